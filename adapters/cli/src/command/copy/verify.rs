//! Reads both sides of a copy again and compares them.

use std::path::Path;

use brickwire_std::File;
use indicatif::ProgressBar;

use super::import::Source;
use super::{BLOCK, DEPTH, interrupt};
use crate::failure::Failure;
use crate::sparse::Blocks;

/// Compares sizes and contents.
pub(crate) fn compare(
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

/// Compares the bytes that the source has; the image may have more.
pub(super) fn compare_bytes(
    source: &Source<'_>,
    image: &File,
    path: &Path,
    bar: &ProgressBar,
) -> Result<(), Failure> {
    let mut queue = image.queue(DEPTH);
    let mut blocks = Blocks::new(0..source.size, BLOCK);
    let mut local = Vec::new();
    loop {
        interrupt::check()?;
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
