//! `brickwire export` and `brickwire cat`: an image becomes a local file, or goes to standard output.

use std::collections::BTreeMap;
use std::fs::File as Local;
use std::io::{self, Write, stdout};
use std::ops::Range;
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::path::Path;

use brickwire_std::{ErrorKind, File, OpenOptions};

use super::import::{BLOCK, DEPTH, Source, compare};
use crate::args::Global;
use crate::connect::{Place, open_path};
use crate::failure::Failure;
use crate::output;
use crate::sparse::{Blocks, runs};

pub(crate) fn run(uri: &str, file: &Path, verify: bool, global: &Global) -> Result<(), Failure> {
    let no_verify = || match verify {
        true => {
            Err(Failure::Usage("--verify needs a file, or a device, that can be read again".into()))
        }
        false => Ok(()),
    };
    if file.as_os_str() == "-" {
        no_verify()?;
        let place = open_path(uri, global)?;
        return in_order(&place, stdout().lock(), &|error| {
            Failure::local("standard output", error)
        });
    }
    let place = open_path(uri, global)?;
    let image = place.volume.open_file(&place.path, &OpenOptions::new().read(true))?;
    let said = |error: &io::Error| Failure::local(file.display(), error);
    let open =
        |read| Local::options().read(read).write(true).create(true).truncate(true).open(file);
    // A pipe is opened for writing alone: then a reader that goes is noticed.
    let is_pipe = std::fs::metadata(file).is_ok_and(|metadata| metadata.file_type().is_fifo());
    let local = open(!is_pipe).map_err(|error| said(&error))?;
    let kind = local.metadata().map_err(|error| said(&error))?.file_type();
    if !kind.is_file() && !kind.is_block_device() {
        no_verify()?;
        return in_order(&place, local, &said);
    }
    to_file(&image, &place.path, &local, file, verify)
}

/// To where bytes have places: a file, or a device.
fn to_file(
    image: &File,
    path: &Path,
    local: &Local,
    file: &Path,
    verify: bool,
) -> Result<(), Failure> {
    let said = |error: io::Error| Failure::local(file.display(), &error);
    let size = image.metadata()?.size();
    let is_file = local.metadata().map_err(said)?.is_file();
    let bar = output::progress("export", size);
    if is_file {
        local.set_len(size).map_err(said)?;
    }
    let write = |at: u64, block: &[u8]| {
        // What is not a fresh file has to be told its zeroes too.
        let parts = if is_file { runs(block) } else { std::iter::once(0..block.len()).collect() };
        for run in parts {
            local.write_all_at(&block[run.clone()], at + run.start as u64).map_err(said)?;
        }
        bar.set_position(at);
        Ok(())
    };
    if is_file {
        let stretches = Stretches::new(image, size);
        read_all(image, path, stretches, write)?;
    } else {
        read_all(image, path, std::iter::once(Ok(0..size)), write)?;
    }
    unchanged(image, path, size)?;
    local.sync_all().map_err(said)?;
    if verify {
        bar.set_message("verify");
        bar.reset();
        let source = Source { local, name: file, size };
        compare(&source, image, path, &bar)?;
    }
    bar.finish_and_clear();
    Ok(())
}

/// An image that is written to while it is copied is no image of any moment; a size that changed is the part of that
/// which can be seen.
fn unchanged(image: &File, path: &Path, size: u64) -> Result<(), Failure> {
    let now = image.metadata()?.size();
    if now != size {
        return Err(Failure::new(format_args!(
            "{}: its size changed from {size} to {now} while it was read",
            path.display()
        )));
    }
    Ok(())
}

pub(crate) fn cat(uri: &str, global: &Global) -> Result<(), Failure> {
    let place = open_path(uri, global)?;
    in_order(&place, stdout().lock(), &Failure::printed)
}

/// To where bytes only follow each other.
fn in_order(
    place: &Place,
    mut out: impl Write,
    said: &dyn Fn(&io::Error) -> Failure,
) -> Result<(), Failure> {
    let image = place.volume.open_file(&place.path, &OpenOptions::new().read(true))?;
    let size = image.metadata()?.size();
    let mut waiting: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    let mut next = 0;
    // Blocks come in any order and leave in theirs.
    read_all(&image, &place.path, std::iter::once(Ok(0..size)), |at, block| {
        waiting.insert(at, block.to_vec());
        while let Some(block) = waiting.remove(&next) {
            out.write_all(&block).map_err(|error| said(&error))?;
            next += block.len() as u64;
        }
        Ok(())
    })?;
    out.flush().map_err(|error| said(&error))?;
    unchanged(&image, &place.path, size)
}

/// Reads stretches of an image, many blocks at a time.
fn read_all(
    image: &File,
    path: &Path,
    stretches: impl Iterator<Item = Result<Range<u64>, Failure>>,
    mut write: impl FnMut(u64, &[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut queue = image.queue(DEPTH);
    let mut spare: Vec<Vec<u8>> = Vec::new();
    let mut take = |done: brickwire_std::Completion, spare: &mut Vec<Vec<u8>>| {
        let got = done.result?;
        if got != done.buffer.len() {
            let at = done.token + got as u64;
            return Err(Failure::new(format_args!(
                "{}: ends at byte {at}, before its size",
                path.display()
            )));
        }
        write(done.token, &done.buffer)?;
        spare.push(done.buffer);
        Ok(())
    };
    for stretch in stretches {
        for block in Blocks::new(stretch?, BLOCK) {
            if queue.room() == 0
                && let Some(done) = queue.wait()?
            {
                take(done, &mut spare)?;
            }
            let mut buffer = spare.pop().unwrap_or_default();
            buffer.resize((block.end - block.start) as usize, 0);
            queue.read(block.start, buffer, block.start)?;
        }
    }
    while let Some(done) = queue.wait()? {
        take(done, &mut spare)?;
    }
    Ok(())
}

/// The stretches of data of an image; all of it where the brick knows no holes.
struct Stretches<'a> {
    image: &'a File,
    at: u64,
    size: u64,
}

impl<'a> Stretches<'a> {
    fn new(image: &'a File, size: u64) -> Self {
        Self { image, at: 0, size }
    }

    fn find(&mut self) -> Result<Option<Range<u64>>, brickwire_std::Error> {
        let Some(start) = self.image.seek_data(self.at)?.filter(|start| *start < self.size) else {
            return Ok(None);
        };
        let end = self.image.seek_hole(start)?.unwrap_or(self.size).min(self.size);
        Ok(Some(start..end))
    }
}

impl Iterator for Stretches<'_> {
    type Item = Result<Range<u64>, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.size {
            return None;
        }
        let found = match self.find() {
            Ok(found) => found,
            // No SEEK on this brick: everything is data, and zeroes are found by looking.
            Err(error) if error.kind() == ErrorKind::Errno => Some(self.at..self.size),
            Err(error) => return Some(Err(error.into())),
        };
        self.at = found.as_ref().map_or(self.size, |stretch| stretch.end.max(self.at + 1));
        found.map(Ok)
    }
}
