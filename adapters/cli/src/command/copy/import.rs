//! `brickwire import`: a local file or device becomes a file on a volume. Streams: `stream.rs`.
//!
//! Many blocks are in flight, and the result of each one is looked at. The file is good when the
//! last flush has succeeded. When a brick process is restarted meanwhile, everything since the last
//! flush that succeeded is written again.

use std::fs::File as Local;
use std::io;
use std::ops::Range;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::path::Path;
use std::time::Instant;

use brickwire_core::xdr::Errno;
use brickwire_std::{ErrorKind, File, OpenOptions, Queue};
use indicatif::ProgressBar;

use super::journal::{Journal, StretchSum, sum_of};
use super::remote_part::{NewFile, Part};
use super::report::{Report, since};
use super::verify::{compare, compare_bytes};
use super::{BLOCK, CHECKPOINT, DEPTH, interrupt, of_another_copy, stream};
use crate::args::{CopyOptions, Import};
use crate::connect::{Place, open_path};
use crate::failure::{Copied, Failure};
use crate::output;
use crate::settings::Settings;
use crate::sparse::{Blocks, next_data, runs};

/// Bytes that a device is told to make zeroes at once.
const ZEROES: u64 = 1 << 30;
/// How often a stretch is written again before the copy is given up.
const RETRIES: u32 = 8;

pub(crate) fn run(args: &Import, settings: &Settings) -> Result<(), Failure> {
    let Import { file, uri, copy, .. } = args;
    if file.as_os_str() == "-" {
        let input = io::stdin().as_fd().try_clone_to_owned();
        let input = input.map_err(|error| Failure::local("standard input", &error))?;
        return stream::run(input.into(), "standard input", uri, *copy, settings);
    }
    let failed = |error: io::Error| Failure::local(file.display(), &error);
    let local = Local::open(file).map_err(failed)?;
    let metadata = local.metadata().map_err(failed)?;
    let kind = metadata.file_type();
    if kind.is_dir() {
        return Err(Failure::new(format_args!("{}: is a directory", file.display())));
    }
    if !kind.is_file() && !kind.is_block_device() {
        // A pipe or a terminal: it cannot be read twice.
        return stream::run(local, &file.display().to_string(), uri, *copy, settings);
    }
    let size = match metadata.len() {
        // A block device has its size at its end.
        0 if kind.is_block_device() => rustix::fs::seek(&local, rustix::fs::SeekFrom::End(0))
            .map_err(|error| failed(error.into()))?,
        size => size,
    };
    let start = Instant::now();
    let place = open_path(uri, settings)?;
    let source = Source { local: &local, name: file, size };
    let new = NewFile::check(&place, uri, Some(file), copy.force)?;
    interrupt::watch(&new.uri(), settings.json)?;
    let mut target = Destination::open(new, &place, *copy)?;
    let bar = match copy.quiet || settings.json {
        true => ProgressBar::hidden(),
        false => output::progress("import", size),
    };
    let copied = target.copy_from(&source, &bar).and_then(|written| {
        let len = local.metadata().map_err(failed)?.len();
        if kind.is_file() && len != size {
            let text = format!("{}: its size changed while it was read", file.display());
            return Err(Failure::new(text));
        }
        if copy.verify {
            bar.set_message("verify");
            bar.reset();
            target.verify(&source, &bar)?;
        }
        Ok(written)
    });
    bar.finish_and_clear();
    let (resumed_at, replaced) = (target.resumed_at, target.replaces());
    let to = target.uri();
    let written = match copied {
        Ok(written) => written,
        Err(failure) => return Err(target.abandon(failure, size)),
    };
    target.commit()?;
    let report = Report {
        command: "import",
        from: file.display().to_string(),
        to,
        bytes: size,
        written,
        elapsed: since(start),
        verified: copy.verify,
        resumed_at,
        replaced,
    };
    report.print(settings, copy.quiet, false)
}

/// A local file that is read.
pub(crate) struct Source<'a> {
    pub(crate) local: &'a Local,
    pub(crate) name: &'a Path,
    pub(crate) size: u64,
}

impl Source<'_> {
    pub(super) fn read(&self, buffer: &mut [u8], at: u64) -> Result<(), Failure> {
        self.local
            .read_exact_at(buffer, at)
            .map_err(|error| Failure::local(self.name.display(), &error))
    }
}

/// A file that is copied to.
pub(crate) struct Destination<'a> {
    kind: Kind<'a>,
    journal: Journal,
    /// Bytes that an earlier run had copied.
    resumed_at: u64,
}

enum Kind<'a> {
    Part(Box<Part<'a>>),
    InPlace(InPlace<'a>),
}

/// An image of a block volume, whose names cannot be changed.
pub(super) struct InPlace<'a> {
    place: &'a Place,
    uri: String,
    pub(super) image: File,
    /// A device keeps its size: what is not copied to it is made zeroes.
    pub(super) keeps_size: bool,
}

impl<'a> InPlace<'a> {
    pub(super) fn open(uri: String, place: &'a Place) -> Result<Self, Failure> {
        let options = OpenOptions::new().read(true).write(true);
        // Cut to nothing: nothing of an older image shows through where the new one has holes.
        let cut = place.volume.open_file(&place.path, &options.truncate(true));
        match cut {
            Ok(image) => Ok(Self { place, uri, image, keeps_size: false }),
            // A device refuses O_TRUNC with EPERM; it keeps its size.
            Err(error) if error.errno() == Some(Errno::EPERM.to_wire()) => {
                let image = place.volume.open_file(&place.path, &options).map_err(|_| error)?;
                Ok(Self { place, uri, image, keeps_size: true })
            }
            Err(error) => Err(error.into()),
        }
    }

    fn prepare(&self, source: &Source<'_>) -> Result<(), Failure> {
        if !self.keeps_size {
            return Ok(self.image.set_len(source.size)?);
        }
        let has = self.image.metadata()?.size();
        if has < source.size {
            let (path, name, want) = (&self.uri, source.name.display(), source.size);
            let text =
                format!("{path}: is a device of {has} bytes, {name} has {want}: take a larger one");
            return Err(Failure::new(text));
        }
        for piece in Blocks::new(0..source.size, ZEROES) {
            self.image.write_zeroes(piece.start, piece.end - piece.start)?;
        }
        // Zeroes that were lost with a brick process would not be noticed any more.
        Ok(self.image.flush()?)
    }

    fn reopen(&mut self) -> Result<(), Failure> {
        let options = OpenOptions::new().read(true).write(true);
        self.image = self.place.volume.open_file(&self.place.path, &options)?;
        Ok(())
    }
}

impl<'a> Destination<'a> {
    pub(crate) fn open(
        new: NewFile<'a>,
        place: &'a Place,
        copy: CopyOptions,
    ) -> Result<Self, Failure> {
        let part = match copy.resume {
            true => Ok(new.resume()?),
            false => new.begin(copy.force)?,
        };
        let kind = match part {
            Ok(part) => Kind::Part(Box::new(part)),
            Err(new) => Kind::InPlace(InPlace::open(new.uri(), place)?),
        };
        let mut destination = Self { kind, journal: Journal::new(""), resumed_at: 0 };
        if copy.resume {
            destination.resumed_at = u64::MAX;
        }
        Ok(destination)
    }

    pub(crate) fn image(&self) -> &File {
        match &self.kind {
            Kind::Part(part) => &part.file,
            Kind::InPlace(in_place) => &in_place.image,
        }
    }

    pub(crate) fn uri(&self) -> String {
        match &self.kind {
            Kind::Part(part) => part.uri(),
            Kind::InPlace(in_place) => in_place.uri.clone(),
        }
    }

    fn replaces(&self) -> bool {
        match &self.kind {
            Kind::Part(part) => part.replaces(),
            Kind::InPlace(_) => true,
        }
    }

    /// Gives it the source's size, with zeroes wherever nothing is copied yet.
    fn prepare(&mut self, source: &Source<'_>) -> Result<(), Failure> {
        let part = match &self.kind {
            Kind::Part(part) => part,
            Kind::InPlace(in_place) => return in_place.prepare(source),
        };
        self.journal = Journal::new(&format!("import of {} bytes to {}", source.size, part.gfid()));
        if self.resumed_at > 0 {
            if !self.journal.read(&part.read_journal()?) {
                return Err(of_another_copy(part.part_uri()));
            }
            let failed = |error| Failure::local(source.name.display(), &error);
            self.journal.check(|stretch| {
                interrupt::check()?;
                sum_of(source.local, stretch).map_err(failed)
            })?;
            part.cut_journal(self.journal.len())?;
            self.resumed_at = self.journal.end();
            // The rest may be of another attempt, or of a source that has changed since.
            part.file.set_len(self.resumed_at)?;
        }
        part.file.set_len(source.size)?;
        let (bytes, total) = (self.resumed_at, source.size);
        interrupt::note(Some(Copied { bytes, total, part: part.part_uri() }));
        Ok(())
    }

    /// Copies a local file; everything is flushed when it returns. The bytes that were written.
    pub(crate) fn copy_from(
        &mut self,
        source: &Source<'_>,
        bar: &ProgressBar,
    ) -> Result<u64, Failure> {
        self.prepare(source)?;
        let (mut retries, mut written) = (0, 0);
        let mut safe = self.resumed_at;
        bar.set_position(safe);
        bar.reset_eta();
        loop {
            let end = (safe + CHECKPOINT).min(source.size);
            match copy_stretch(source, self.image(), safe..end, bar) {
                Ok(stretch) => {
                    written += stretch.written;
                    safe = stretch.end;
                    self.note(stretch, source.size)?;
                    interrupt::check()?;
                    if safe == source.size {
                        return Ok(written);
                    }
                }
                Err(Step::Fail(failure)) => return Err(failure),
                Err(Step::Again(error)) => {
                    retries += 1;
                    if retries > RETRIES {
                        return Err(error.into());
                    }
                    bar.suspend(|| output::warn(&format!("{error}: going on from byte {safe}")));
                    bar.set_position(safe);
                    match &mut self.kind {
                        Kind::Part(part) => part.reopen()?,
                        Kind::InPlace(in_place) => in_place.reopen()?,
                    }
                    let keeps_size =
                        matches!(&self.kind, Kind::InPlace(in_place) if in_place.keeps_size);
                    if !keeps_size {
                        self.image().set_len(source.size)?;
                    }
                }
            }
        }
    }

    /// Notes a stretch that is flushed. A small copy is not worth a journal.
    fn note(&mut self, stretch: Stretch, size: u64) -> Result<(), Failure> {
        let Kind::Part(part) = &self.kind else { return Ok(()) };
        if stretch.end <= self.journal.end() || (stretch.end == size && self.journal.end() == 0) {
            return Ok(());
        }
        let (at, line) = self.journal.push(stretch.end, stretch.sum);
        part.write_journal(at, &line)?;
        let (bytes, total) = (stretch.end, size);
        interrupt::note(Some(Copied { bytes, total, part: part.part_uri() }));
        Ok(())
    }

    pub(crate) fn verify(&self, source: &Source<'_>, bar: &ProgressBar) -> Result<(), Failure> {
        match &self.kind {
            Kind::Part(part) => compare(source, &part.file, part.path(), bar),
            Kind::InPlace(InPlace { image, place, keeps_size: true, .. }) => {
                compare_bytes(source, image, &place.path, bar)
            }
            Kind::InPlace(InPlace { image, place, .. }) => compare(source, image, &place.path, bar),
        }
    }

    /// Gives the copy its name.
    pub(crate) fn commit(self) -> Result<(), Failure> {
        match self.kind {
            Kind::Part(part) => part.commit(),
            Kind::InPlace(in_place) => Ok(in_place.image.close()?),
        }
    }

    pub(crate) fn abandon(self, failure: Failure, size: u64) -> Failure {
        match self.kind {
            Kind::Part(part) => part.abandon(failure, Some((self.journal.end(), size))),
            Kind::InPlace(in_place) => failure.about(&in_place.uri),
        }
    }
}

/// A stretch that is copied and flushed.
struct Stretch {
    end: u64,
    sum: u64,
    written: u64,
}

/// Why a stretch was not copied.
enum Step {
    /// Writes were lost: copy it again.
    Again(brickwire_std::Error),
    Fail(Failure),
}

impl From<brickwire_std::Error> for Step {
    fn from(error: brickwire_std::Error) -> Self {
        match error.kind() {
            ErrorKind::WritesLost | ErrorKind::Indeterminate => Self::Again(error),
            _ => Self::Fail(error.into()),
        }
    }
}

impl From<Failure> for Step {
    fn from(failure: Failure) -> Self {
        Self::Fail(failure)
    }
}

/// Copies and flushes a stretch, or its beginning if a signal comes.
fn copy_stretch(
    source: &Source<'_>,
    image: &File,
    stretch: Range<u64>,
    bar: &ProgressBar,
) -> Result<Stretch, Step> {
    let mut queue = image.queue(DEPTH);
    let mut copied = Stretch { end: stretch.end, sum: 0, written: 0 };
    let mut sum = StretchSum::default();
    let mut at = stretch.start;
    'stretch: while at < stretch.end {
        let data = next_data(source.local, at, stretch.end)
            .map_err(|error| Failure::local(source.name.display(), &error))?;
        let Some(data) = data else { break };
        for block in Blocks::new(data.clone(), BLOCK) {
            if interrupt::check().is_err() {
                copied.end = block.start;
                break 'stretch;
            }
            let mut buffer = vec![0; (block.end - block.start) as usize];
            source.read(&mut buffer, block.start)?;
            sum.add(block.start, &buffer);
            copied.written += write_runs(&mut queue, buffer, block.start)?;
            bar.set_position(block.end);
        }
        at = data.end;
    }
    drain(&mut queue)?;
    drop(queue);
    image.flush()?;
    bar.set_position(copied.end);
    copied.sum = sum.value();
    Ok(copied)
}

/// Writes what is not zero of a block. The bytes that were written.
pub(super) fn write_runs(
    queue: &mut Queue<'_>,
    block: Vec<u8>,
    at: u64,
) -> Result<u64, brickwire_std::Error> {
    let runs = runs(&block);
    if runs.len() == 1 && runs[0] == (0..block.len()) {
        let len = block.len() as u64;
        write(queue, block, at)?;
        return Ok(len);
    }
    let mut written = 0;
    for run in runs {
        written += run.len() as u64;
        write(queue, block[run.clone()].to_vec(), at + run.start as u64)?;
    }
    Ok(written)
}

pub(super) fn write(
    queue: &mut Queue<'_>,
    data: Vec<u8>,
    at: u64,
) -> Result<(), brickwire_std::Error> {
    if queue.room() == 0
        && let Some(done) = queue.wait()?
    {
        done.result?;
    }
    queue.write(at, data, at)
}

pub(super) fn drain(queue: &mut Queue<'_>) -> Result<(), brickwire_std::Error> {
    while let Some(done) = queue.wait()? {
        done.result?;
    }
    Ok(())
}
