//! `brickwire ls` and `brickwire stat`.

use std::os::unix::ffi::OsStringExt;

use brickwire_std::{DirEntry, FileType, Metadata};
use serde_json::{Value, json};

use crate::args::{Ls, OnUri};
use crate::connect::open;
use crate::failure::Failure;
use crate::output::{self, name_json, printable};
use crate::settings::Settings;
use crate::size::short;

pub(crate) fn ls(args: &Ls, settings: &Settings) -> Result<(), Failure> {
    let place = open(&args.uri, settings)?;
    let metadata = place.volume.lstat(&place.path)?;
    if !metadata.is_dir() && !place.volume.stat(&place.path)?.is_dir() {
        return show(&[(place.path.clone().into_os_string().into_vec(), metadata)], args, settings);
    }
    let mut entries: Vec<DirEntry> =
        place.volume.read_dir(&place.path)?.collect::<Result<_, _>>()?;
    entries.sort_by(|a, b| a.name().cmp(b.name()));
    let entries: Vec<_> =
        entries.into_iter().map(|entry| (entry.name().to_vec(), *entry.metadata())).collect();
    show(&entries, args, settings)
}

fn show(entries: &[(Vec<u8>, Metadata)], args: &Ls, settings: &Settings) -> Result<(), Failure> {
    if settings.json {
        let entries: Vec<Value> = entries
            .iter()
            .map(|(name, metadata)| {
                let (name, hex) = name_json(name);
                let mut object = facts(metadata);
                object["name"] = name;
                if let Some(hex) = hex {
                    object["name_hex"] = hex;
                }
                object
            })
            .collect();
        return output::json(&json!(entries));
    }
    let size = |metadata: &Metadata| match args.human_readable {
        true => short(metadata.size()),
        false => metadata.size().to_string(),
    };
    let width = entries.iter().map(|(_, metadata)| size(metadata).len()).max().unwrap_or(1);
    for (name, metadata) in entries {
        if !args.long {
            output::line(printable(name))?;
            continue;
        }
        let iatt = metadata.iatt();
        output::line(format_args!(
            "{} {:>3} {:>5} {:>5} {:>width$} {} {}",
            mode(metadata),
            iatt.nlink,
            iatt.uid,
            iatt.gid,
            size(metadata),
            humantime::format_rfc3339_seconds(metadata.modified()),
            printable(name)
        ))?;
    }
    Ok(())
}

pub(crate) fn stat(on: &OnUri, settings: &Settings) -> Result<(), Failure> {
    let place = open(&on.uri, settings)?;
    let metadata = place.volume.lstat(&place.path)?;
    if settings.json {
        return output::json(&facts(&metadata));
    }
    let iatt = metadata.iatt();
    output::line(format_args!("gfid       {}", metadata.gfid()))?;
    output::line(format_args!("type       {}", kind(&metadata)))?;
    output::line(format_args!("mode       {} ({:04o})", mode(&metadata), metadata.permissions()))?;
    output::line(format_args!("owner      {}:{}", iatt.uid, iatt.gid))?;
    output::line(format_args!("links      {}", iatt.nlink))?;
    output::line(format_args!("size       {}", metadata.size()))?;
    output::line(format_args!("allocated  {}", metadata.allocated()))?;
    output::line(format_args!(
        "modified   {}",
        humantime::format_rfc3339_nanos(metadata.modified())
    ))?;
    output::line(format_args!(
        "accessed   {}",
        humantime::format_rfc3339_nanos(metadata.accessed())
    ))
}

pub(super) fn facts(metadata: &Metadata) -> Value {
    let iatt = metadata.iatt();
    json!({
        "name": null,
        "gfid": metadata.gfid().to_string(),
        "type": kind(metadata),
        "mode": format!("{:04o}", metadata.permissions()),
        "uid": iatt.uid,
        "gid": iatt.gid,
        "nlink": iatt.nlink,
        "size": metadata.size(),
        "allocated": metadata.allocated(),
        "modified": humantime::format_rfc3339_nanos(metadata.modified()).to_string(),
        "accessed": humantime::format_rfc3339_nanos(metadata.accessed()).to_string(),
    })
}

pub(super) fn kind(metadata: &Metadata) -> &'static str {
    match metadata.file_type() {
        Some(FileType::Regular) => "file",
        Some(FileType::Directory) => "directory",
        Some(FileType::Symlink) => "symlink",
        Some(FileType::Block) => "block",
        Some(FileType::Character) => "character",
        Some(FileType::Fifo) => "fifo",
        Some(FileType::Socket) => "socket",
        None => "unknown",
    }
}

/// The mode as `ls -l` prints it: `-rw-r--r--`.
fn mode(metadata: &Metadata) -> String {
    let first = match metadata.file_type() {
        Some(FileType::Regular) => '-',
        Some(FileType::Directory) => 'd',
        Some(FileType::Symlink) => 'l',
        Some(FileType::Block) => 'b',
        Some(FileType::Character) => 'c',
        Some(FileType::Fifo) => 'p',
        Some(FileType::Socket) => 's',
        None => '?',
    };
    let bits = metadata.permissions();
    let mut text = String::from(first);
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        text.push(if bits >> shift & 4 != 0 { 'r' } else { '-' });
        text.push(if bits >> shift & 2 != 0 { 'w' } else { '-' });
        text.push(match (bits & special != 0, bits >> shift & 1 != 0) {
            (true, true) => letter,
            (true, false) => letter.to_ascii_uppercase(),
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    text
}
