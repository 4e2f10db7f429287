//! `brickwire export` and `brickwire cat`: a file of a volume becomes a local file, or goes to a
//! pipe.

use std::collections::BTreeMap;
use std::fs::File as Local;
use std::io::{self, Write, stdout};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

use brickwire_std::{ErrorKind, File, OpenOptions};
use indicatif::ProgressBar;

use super::import::Source;
use super::journal::{Journal, StretchSum, sum_of};
use super::local_part::{LocalPart, LocalTarget};
use super::report::{Report, since};
use super::verify::compare;
use super::{BLOCK, CHECKPOINT, DEPTH, base_name, interrupt, of_another_copy};
use crate::args::{CopyOptions, Export, OnUri};
use crate::connect::{Place, open_path};
use crate::failure::{Copied, Failure};
use crate::output;
use crate::settings::Settings;
use crate::sparse::{Blocks, runs};

pub(crate) fn run(args: &Export, settings: &Settings) -> Result<(), Failure> {
    let Export { uri, file, copy, .. } = args;
    let start = Instant::now();
    let place = open_path(uri, settings)?;
    let name = (uri.as_str(), base_name(&place.path));
    let target = match file.as_os_str() == "-" {
        true => LocalTarget::Stream(file.clone()),
        false => LocalTarget::find(file, name.1, copy.force || copy.resume)?,
    };
    let image = place.volume.open_file(&place.path, &OpenOptions::new().read(true))?;
    let export = Exporter { image: &image, path: &place.path, copy: *copy, json: settings.json };
    let (report, stdout_is_copy) = match target {
        LocalTarget::File(new) => {
            let new = match copy.resume {
                true => new.resume()?,
                false => new.begin(copy.force)?,
            };
            (export.to_part(new, copy.force)?, false)
        }
        LocalTarget::Device(path) => {
            interrupt::watch(&path.display().to_string(), settings.json)?;
            (export.to_device(&path)?, false)
        }
        LocalTarget::Stream(path) => (export.to_stream(&path)?, path.as_os_str() == "-"),
    };
    let report = Report { from: uri.clone(), elapsed: since(start), ..report };
    report.print(settings, copy.quiet, stdout_is_copy)
}

struct Exporter<'a> {
    image: &'a File,
    path: &'a Path,
    copy: CopyOptions,
    json: bool,
}

impl Exporter<'_> {
    fn bar(&self, size: u64) -> ProgressBar {
        match self.copy.quiet || self.json {
            true => ProgressBar::hidden(),
            false => output::progress("export", size),
        }
    }

    fn report(&self, to: &Path, bytes: u64, written: u64) -> Report {
        Report {
            command: "export",
            from: String::new(),
            to: to.display().to_string(),
            bytes,
            written,
            elapsed: std::time::Duration::ZERO,
            verified: self.copy.verify,
            resumed_at: 0,
            replaced: false,
        }
    }

    fn to_part(&self, part: LocalPart, force: bool) -> Result<Report, Failure> {
        if part.replaces() && !force {
            return Err(Failure::new(format_args!(
                "{}: file exists (EEXIST): --force replaces it",
                part.target().display()
            )));
        }
        interrupt::watch(&part.target().display().to_string(), self.json)?;
        let metadata = self.image.metadata()?;
        let (size, iatt) = (metadata.size(), metadata.iatt());
        // Any change of the image moves one of its times.
        let mut journal = Journal::new(&format!(
            "export of {size} bytes of {} {:?} {:?}",
            metadata.gfid(),
            (iatt.mtime, iatt.mtime_nsec),
            (iatt.ctime, iatt.ctime_nsec)
        ));
        let bar = self.bar(size);
        let copied = self.copy_stretches(&part, &mut journal, size, &bar);
        bar.finish_and_clear();
        match copied {
            Ok((written, resumed_at)) => {
                let report = self.report(part.target(), size, written);
                let report = Report { resumed_at, replaced: part.replaces(), ..report };
                part.commit()?;
                Ok(report)
            }
            Err(failure) => Err(part.abandon(failure, journal.end(), size)),
        }
    }

    /// The bytes that were written, and those that an earlier run had copied.
    fn copy_stretches(
        &self,
        part: &LocalPart,
        journal: &mut Journal,
        size: u64,
        bar: &ProgressBar,
    ) -> Result<(u64, u64), Failure> {
        let local = &part.file;
        let failed = |error: io::Error| Failure::local(part.target().display(), &error);
        if self.copy.resume {
            if !journal.read(&part.read_journal()?) {
                return Err(of_another_copy(part.path().display()));
            }
            journal.check(|stretch| {
                interrupt::check()?;
                sum_of(local, stretch).map_err(failed)
            })?;
            part.cut_journal(journal.len())?;
            // Nothing of what an earlier run wrote after that shows through a hole.
            local.set_len(journal.end()).map_err(failed)?;
        }
        local.set_len(size).map_err(failed)?;
        let resumed_at = journal.end();
        let name = part.path().display().to_string();
        interrupt::note(Some(Copied { bytes: resumed_at, total: size, part: name }));
        let (mut safe, mut written) = (resumed_at, 0);
        while safe < size {
            bar.set_position(safe);
            let end = (safe + CHECKPOINT).min(size);
            let mut sum = StretchSum::default();
            let stretches = Stretches { image: self.image, at: safe, end };
            let reached = read_all(self.image, self.path, stretches, end, |at, block| {
                sum.add(at, block);
                for run in runs(block) {
                    written += run.len() as u64;
                    let to = at + run.start as u64;
                    local.write_all_at(&block[run], to).map_err(failed)?;
                }
                bar.set_position(at);
                Ok(())
            })?;
            local.sync_data().map_err(failed)?;
            safe = reached;
            if safe > journal.end() && (safe < size || journal.end() > 0) {
                let (at, line) = journal.push(safe, sum.value());
                part.write_journal(at, &line)?;
                let name = part.path().display().to_string();
                interrupt::note(Some(Copied { bytes: safe, total: size, part: name }));
            }
            interrupt::check()?;
        }
        unchanged(self.image, self.path, size)?;
        local.sync_all().map_err(failed)?;
        if self.copy.verify {
            self.verify(local, part.target(), size, bar)?;
        }
        Ok((written, resumed_at))
    }

    fn verify(
        &self,
        local: &Local,
        name: &Path,
        size: u64,
        bar: &ProgressBar,
    ) -> Result<(), Failure> {
        bar.set_message("verify");
        bar.reset();
        compare(&Source { local, name, size }, self.image, self.path, bar)
    }

    /// A device is told its zeroes too, and has nothing to rename.
    fn to_device(&self, path: &Path) -> Result<Report, Failure> {
        let failed = |error: io::Error| Failure::local(path.display(), &error);
        if self.copy.resume {
            let text = format!("{}: is a device: leave --resume out", path.display());
            return Err(Failure::usage(text));
        }
        let local = Local::options().read(true).write(true).open(path).map_err(failed)?;
        let size = self.image.metadata()?.size();
        refuse_small_device(&local, path, self.path, size)?;
        let bar = self.bar(size);
        let all = std::iter::once(Ok(0..size));
        let reached = read_all(self.image, self.path, all, size, |at, block| {
            local.write_all_at(block, at).map_err(failed)?;
            bar.set_position(at);
            Ok(())
        })?;
        if reached < size {
            interrupt::check().map_err(|failure| failure.about(&path.display().to_string()))?;
        }
        unchanged(self.image, self.path, size)?;
        local.sync_all().map_err(failed)?;
        if self.copy.verify {
            self.verify(&local, path, size, &bar)?;
        }
        bar.finish_and_clear();
        Ok(Report { replaced: true, ..self.report(path, size, size) })
    }

    fn to_stream(&self, path: &Path) -> Result<Report, Failure> {
        let CopyOptions { verify, resume, .. } = self.copy;
        if verify || resume {
            let option = if verify { "--verify" } else { "--resume" };
            let text = format!("{option} needs a file, or a device, that can be read again");
            return Err(Failure::usage(text));
        }
        let size = self.image.metadata()?.size();
        let bar = self.bar(size);
        if path.as_os_str() == "-" {
            let failed = |error: &io::Error| Failure::local("standard output", error);
            in_order(self.image, self.path, stdout().lock(), &failed, &bar)?;
        } else {
            let failed = |error: &io::Error| Failure::local(path.display(), error);
            // For writing alone: then a reader that goes is noticed.
            let local = Local::options().write(true).open(path).map_err(|error| failed(&error))?;
            in_order(self.image, self.path, local, &failed, &bar)?;
        }
        bar.finish_and_clear();
        Ok(self.report(path, size, size))
    }
}

/// A device that is too small is not written to at all: it holds something else.
fn refuse_small_device(
    device: &Local,
    path: &Path,
    image: &Path,
    size: u64,
) -> Result<(), Failure> {
    // A block device has its size at its end.
    let has = rustix::fs::seek(device, rustix::fs::SeekFrom::End(0))
        .map_err(|error| Failure::local(path.display(), &error.into()))?;
    if has < size {
        let (path, image) = (path.display(), image.display());
        return Err(Failure::new(format_args!(
            "{path}: is a device of {has} bytes, {image} has {size}: take a larger one"
        )));
    }
    Ok(())
}

/// A file that is written to while it is copied is of no moment; a size that changed is the part of
/// that which can be seen.
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

pub(crate) fn cat(on: &OnUri, settings: &Settings) -> Result<(), Failure> {
    let Place { volume, path } = open_path(&on.uri, settings)?;
    let image = volume.open_file(&path, &OpenOptions::new().read(true))?;
    in_order(&image, &path, stdout().lock(), &Failure::printed, &ProgressBar::hidden())
}

/// Writes to where bytes only follow each other.
fn in_order(
    image: &File,
    path: &Path,
    mut out: impl Write,
    failed: &dyn Fn(&io::Error) -> Failure,
    bar: &ProgressBar,
) -> Result<(), Failure> {
    let size = image.metadata()?.size();
    let mut waiting: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    let mut next = 0;
    // Blocks come in any order and leave in theirs.
    read_all(image, path, std::iter::once(Ok(0..size)), size, |at, block| {
        waiting.insert(at, block.to_vec());
        while let Some(block) = waiting.remove(&next) {
            out.write_all(&block).map_err(|error| failed(&error))?;
            next += block.len() as u64;
            bar.set_position(next);
        }
        Ok(())
    })?;
    out.flush().map_err(|error| failed(&error))?;
    unchanged(image, path, size)
}

/// Reads stretches of an image, many blocks at a time. Where it ended: at `end`, or before it if a
/// signal came.
fn read_all(
    image: &File,
    path: &Path,
    stretches: impl Iterator<Item = Result<Range<u64>, Failure>>,
    end: u64,
    mut write: impl FnMut(u64, &[u8]) -> Result<(), Failure>,
) -> Result<u64, Failure> {
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
    let mut reached = end;
    'stretches: for stretch in stretches {
        for block in Blocks::new(stretch?, BLOCK) {
            if interrupt::check().is_err() {
                reached = block.start;
                break 'stretches;
            }
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
    Ok(reached)
}

/// The stretches of data of an image before `end`; all of it where the brick knows no holes.
struct Stretches<'a> {
    image: &'a File,
    at: u64,
    end: u64,
}

impl Stretches<'_> {
    fn find(&mut self) -> Result<Option<Range<u64>>, brickwire_std::Error> {
        let Some(start) = self.image.seek_data(self.at)?.filter(|start| *start < self.end) else {
            return Ok(None);
        };
        let end = self.image.seek_hole(start)?.unwrap_or(self.end).min(self.end);
        Ok(Some(start..end))
    }
}

impl Iterator for Stretches<'_> {
    type Item = Result<Range<u64>, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.end {
            return None;
        }
        let found = match self.find() {
            Ok(found) => found,
            // A brick without SEEK: zeroes are found by looking.
            Err(error) if error.kind() == ErrorKind::Errno => Some(self.at..self.end),
            Err(error) => return Some(Err(error.into())),
        };
        self.at = found.as_ref().map_or(self.end, |stretch| stretch.end.max(self.at + 1));
        found.map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_as_large_as_its_end_is_far() {
        let device = tempfile::tempfile().unwrap();
        device.set_len(4096).unwrap();
        let fits = |size| refuse_small_device(&device, Path::new("/dev/x"), Path::new("a"), size);
        fits(4096).unwrap();
        let said = fits(4097).unwrap_err().to_string();
        assert_eq!(said, "/dev/x: is a device of 4096 bytes, a has 4097: take a larger one");
    }
}
