//! `brickwire import`: a local file, or a stream, becomes an image. Directories on its way are made.
//!
//! Many blocks are in flight; none is forgotten: each one's result is looked at, and the image is good when the last flush
//! has succeeded. After every stretch of `CHECKPOINT` bytes comes a flush. When a brick process is restarted meanwhile,
//! everything since the last flush that succeeded is written again.

use std::fs::File as Local;
use std::hash::{DefaultHasher, Hasher};
use std::io::{self, Read, stdin};
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::path::Path;

use brickwire_std::{ErrorKind, File, OpenOptions, Queue};
use indicatif::ProgressBar;

use crate::args::Global;
use crate::connect::{Place, open_path};
use crate::failure::Failure;
use crate::output;
use crate::sparse::{Blocks, next_data, runs};

/// Bytes of one write.
pub(super) const BLOCK: u64 = 1 << 20;
/// Writes in flight.
pub(super) const DEPTH: usize = 8;
/// Bytes between flushes: what is written again at most when a brick process is restarted.
const CHECKPOINT: u64 = 256 << 20;
/// Bytes that a device is told to make zeroes at once.
const ZEROES: u64 = 1 << 30;
/// How often that may happen before it is given up.
const RETRIES: u32 = 8;

pub(crate) fn run(file: &Path, uri: &str, verify: bool, global: &Global) -> Result<(), Failure> {
    if file.as_os_str() == "-" {
        let place = open_path(uri, global)?;
        return from_stream(&mut stdin().lock(), "standard input", &place, verify);
    }
    let said = |error: io::Error| Failure::local(file.display(), &error);
    let mut local = Local::open(file).map_err(said)?;
    let metadata = local.metadata().map_err(said)?;
    let kind = metadata.file_type();
    if kind.is_dir() {
        return Err(Failure::new(format_args!("{}: is a directory", file.display())));
    }
    if !kind.is_file() && !kind.is_block_device() {
        // A pipe, a terminal: what it has is known when it ends, and it cannot be read twice.
        let place = open_path(uri, global)?;
        return from_stream(&mut local, &file.display().to_string(), &place, verify);
    }
    let size = match metadata.len() {
        // A block device has its size at its end.
        0 if kind.is_block_device() => rustix::fs::seek(&local, rustix::fs::SeekFrom::End(0))
            .map_err(|error| said(error.into()))?,
        size => size,
    };
    let place = open_path(uri, global)?;
    let bar = output::progress("import", size);
    let source = Source { local: &local, name: file, size };
    let target = copy(&source, &place, &bar)?;
    let len = local.metadata().map_err(said)?.len();
    if kind.is_file() && len != size {
        return Err(Failure::new(format_args!(
            "{}: its size changed while it was read",
            file.display()
        )));
    }
    if verify {
        bar.set_message("verify");
        bar.reset();
        let compare = if target.keeps_size { compare_bytes } else { compare };
        compare(&source, &target.image, &place.path, &bar)?;
    }
    target.image.close()?;
    bar.finish_and_clear();
    Ok(())
}

/// A local file that is read.
pub(super) struct Source<'a> {
    pub(super) local: &'a Local,
    pub(super) name: &'a Path,
    pub(super) size: u64,
}

impl Source<'_> {
    fn read(&self, buffer: &mut [u8], at: u64) -> Result<(), Failure> {
        self.local
            .read_exact_at(buffer, at)
            .map_err(|error| Failure::local(self.name.display(), &error))
    }
}

fn create(place: &Place, truncate: bool) -> Result<File, brickwire_std::Error> {
    // Cut to nothing first: nothing of an older image shows through where the new one has holes.
    let options =
        OpenOptions::new().read(true).write(true).create(true).truncate(truncate).mode(0o600);
    match (place.volume.open_file(&place.path, &options), place.path.parent()) {
        // Directories on the way are made, so that a first import on a new volume just works.
        (Err(error), Some(parents)) if error.errno() == Some(2) => {
            place.volume.create_dir_all(parents, 0o755)?;
            place.volume.open_file(&place.path, &options)
        }
        (result, _) => result,
    }
}

/// An image that is copied to.
pub(super) struct Target {
    pub(super) image: File,
    /// It is a device, which has the size that it has: what is not copied to it is made zeroes.
    pub(super) keeps_size: bool,
}

impl Target {
    fn open(place: &Place) -> Result<Self, Failure> {
        match create(place, true) {
            Ok(image) => Ok(Self { image, keeps_size: false }),
            // What a server answers that was asked to cut a device.
            Err(error) if error.errno() == Some(1) => {
                let options = OpenOptions::new().read(true).write(true);
                // If it is not that, the first answer says more.
                let image = place.volume.open_file(&place.path, &options).map_err(|_| error)?;
                Ok(Self { image, keeps_size: true })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Makes it an image of `size` bytes that are all zero.
    fn prepare(&self, source: &Source<'_>, path: &Path) -> Result<(), Failure> {
        if !self.keeps_size {
            return Ok(self.image.set_len(source.size)?);
        }
        let has = self.image.metadata()?.size();
        if has < source.size {
            let (path, name, want) = (path.display(), source.name.display(), source.size);
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
}

/// Copies a local file; the image is flushed when it returns.
pub(super) fn copy(
    source: &Source<'_>,
    place: &Place,
    bar: &ProgressBar,
) -> Result<Target, Failure> {
    let mut target = Target::open(place)?;
    target.prepare(source, &place.path)?;
    let (mut safe, mut retries) = (0, 0);
    while safe < source.size || retries == 0 {
        let end = (safe + CHECKPOINT).min(source.size);
        match copy_stretch(source, &target.image, safe..end, bar) {
            Ok(()) if end == source.size => return Ok(target),
            Ok(()) => safe = end,
            Err(Step::Give(failure)) => return Err(failure),
            Err(Step::Again(error)) => {
                retries += 1;
                if retries > RETRIES {
                    return Err(error.into());
                }
                bar.suspend(|| eprintln!("brickwire: {error}: going on from byte {safe}"));
                bar.set_position(safe);
                // A handle of its own: the old one's flushes cannot succeed any more.
                target.image = create(place, false)?;
                if !target.keeps_size {
                    target.image.set_len(source.size)?;
                }
            }
        }
    }
    Ok(target)
}

/// What is to be done about a stretch that was not copied.
enum Step {
    /// Copy it again.
    Again(brickwire_std::Error),
    /// Give up.
    Give(Failure),
}

impl From<brickwire_std::Error> for Step {
    fn from(error: brickwire_std::Error) -> Self {
        match error.kind() {
            ErrorKind::WritesLost | ErrorKind::Indeterminate => Self::Again(error),
            _ => Self::Give(error.into()),
        }
    }
}

impl From<Failure> for Step {
    fn from(failure: Failure) -> Self {
        Self::Give(failure)
    }
}

fn copy_stretch(
    source: &Source<'_>,
    image: &File,
    stretch: std::ops::Range<u64>,
    bar: &ProgressBar,
) -> Result<(), Step> {
    let mut queue = image.queue(DEPTH);
    let mut at = stretch.start;
    while at < stretch.end {
        let data = next_data(source.local, at, stretch.end)
            .map_err(|error| Failure::local(source.name.display(), &error))?;
        let Some(data) = data else { break };
        for block in Blocks::new(data.clone(), BLOCK) {
            let mut buffer = vec![0; (block.end - block.start) as usize];
            source.read(&mut buffer, block.start)?;
            write_runs(&mut queue, buffer, block.start)?;
            bar.set_position(block.end);
        }
        at = data.end;
    }
    drain(&mut queue)?;
    drop(queue);
    image.flush()?;
    bar.set_position(stretch.end);
    Ok(())
}

/// Writes what is not zero of a block.
fn write_runs(queue: &mut Queue<'_>, block: Vec<u8>, at: u64) -> Result<(), brickwire_std::Error> {
    let runs = runs(&block);
    let whole = runs.len() == 1 && runs[0] == (0..block.len());
    if whole {
        return write(queue, block, at);
    }
    for run in runs {
        write(queue, block[run.clone()].to_vec(), at + run.start as u64)?;
    }
    Ok(())
}

fn write(queue: &mut Queue<'_>, data: Vec<u8>, at: u64) -> Result<(), brickwire_std::Error> {
    if queue.room() == 0
        && let Some(done) = queue.wait()?
    {
        done.result?;
    }
    queue.write(at, data, at)
}

fn drain(queue: &mut Queue<'_>) -> Result<(), brickwire_std::Error> {
    while let Some(done) = queue.wait()? {
        done.result?;
    }
    Ok(())
}

/// Reads both and compares.
pub(super) fn compare(
    source: &Source<'_>,
    image: &File,
    path: &Path,
    bar: &ProgressBar,
) -> Result<(), Failure> {
    let size = image.metadata()?.size();
    if size != source.size {
        let (path, name, want) = (path.display(), source.name.display(), source.size);
        return Err(Failure::new(format_args!(
            "{path}: verify: has {size} bytes, {name} has {want}"
        )));
    }
    compare_bytes(source, image, path, bar)
}

/// The same for the bytes that the source has; the image may have more.
fn compare_bytes(
    source: &Source<'_>,
    image: &File,
    path: &Path,
    bar: &ProgressBar,
) -> Result<(), Failure> {
    let mut queue = image.queue(DEPTH);
    let mut blocks = Blocks::new(0..source.size, BLOCK);
    let mut local = Vec::new();
    loop {
        while queue.room() > 0 {
            let Some(block) = blocks.next() else { break };
            queue.read(block.start, vec![0; (block.end - block.start) as usize], block.start)?;
        }
        let Some(done) = queue.wait()? else { return Ok(()) };
        let got = done.result?;
        local.resize(done.buffer.len(), 0);
        source.read(&mut local, done.token)?;
        if got != local.len() || done.buffer != local {
            let byte = done.buffer.iter().zip(&local).position(|(a, b)| a != b).unwrap_or(got);
            let at = done.token + byte as u64;
            return Err(Failure::new(format_args!(
                "{}: verify: differs from {} at byte {at}",
                path.display(),
                source.name.display()
            )));
        }
        bar.inc(got as u64);
    }
}

/// A stream cannot be read twice: what a restart of a brick process takes away is not there any more.
fn from_stream(
    input: &mut dyn Read,
    name: &str,
    place: &Place,
    verify: bool,
) -> Result<(), Failure> {
    let Target { image, keeps_size } = Target::open(place)?;
    let mut queue = image.queue(DEPTH);
    let mut sums = Vec::new();
    let mut at = 0;
    loop {
        let mut block = vec![0; BLOCK as usize];
        let mut have = 0;
        while have < block.len() {
            match input.read(&mut block[have..]) {
                Ok(0) => break,
                Ok(n) => have += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Failure::local(name, &error)),
            }
        }
        block.truncate(have);
        if have == 0 {
            break;
        }
        if verify {
            sums.push(sum(&block));
        }
        if keeps_size {
            // There may be anything where a stream has zeroes.
            write(&mut queue, block, at)?;
        } else {
            write_runs(&mut queue, block, at)?;
        }
        at += have as u64;
    }
    drain(&mut queue)?;
    drop(queue);
    if !keeps_size {
        image.set_len(at)?;
    }
    image.flush()?;
    for (index, expected) in sums.into_iter().enumerate() {
        let start = index as u64 * BLOCK;
        let mut block = vec![0; BLOCK.min(at - start) as usize];
        image.read_exact_at(&mut block, start)?;
        if sum(&block) != expected {
            let path = place.path.display();
            let text =
                format!("{path}: verify: differs between bytes {start} and {}", start + BLOCK);
            return Err(Failure::new(text));
        }
    }
    image.close()?;
    Ok(())
}

fn sum(block: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(block);
    hasher.finish()
}
