//! `brickwire import` of a pipe or standard input, which can be read once: neither a restart of a
//! brick process nor an interruption can be gone on from.

use std::fs::File as Local;
use std::io::{self, Read};
use std::time::{Duration, Instant};

use brickwire_std::File;
use indicatif::ProgressBar;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use xxhash_rust::xxh64::xxh64;

use super::import::{InPlace, drain, write, write_runs};
use super::remote_part::NewFile;
use super::report::{Report, since};
use super::{BLOCK, DEPTH, interrupt};
use crate::args::CopyOptions;
use crate::connect::open_path;
use crate::failure::Failure;
use crate::output;
use crate::settings::Settings;

/// How often a signal is looked for while no input comes.
const LISTEN_EVERY: Duration = Duration::from_millis(200);

pub(super) fn run(
    input: Local,
    name: &str,
    uri: &str,
    copy: CopyOptions,
    settings: &Settings,
) -> Result<(), Failure> {
    if copy.resume {
        let text = format!("{name}: cannot be read again from the middle: leave --resume out");
        return Err(Failure::usage(text));
    }
    let start = Instant::now();
    let place = open_path(uri, settings)?;
    let new = NewFile::check(&place, uri, None, copy.force)?;
    let (to, replaced) = (new.uri(), new.replaces());
    interrupt::watch(&to, settings.json)?;
    let bar = match copy.quiet || settings.json {
        true => ProgressBar::hidden(),
        false => output::progress_of_stream("import"),
    };
    let mut stream = Stream { input, name, verify: copy.verify, bar: &bar };
    let copied = match new.begin(copy.force)? {
        Ok(part) => match stream.copy_to(&part.file, &to, false) {
            Ok(copied) => {
                part.commit()?;
                copied
            }
            Err(failure) => {
                bar.finish_and_clear();
                return Err(part.abandon(failure, None));
            }
        },
        Err(new) => {
            let in_place = InPlace::open(new.uri(), &place)?;
            let copied = stream
                .copy_to(&in_place.image, &to, in_place.keeps_size)
                .map_err(|failure| failure.about(&to))?;
            in_place.image.close()?;
            copied
        }
    };
    bar.finish_and_clear();
    let report = Report {
        command: "import",
        from: name.to_owned(),
        to,
        bytes: copied.bytes,
        written: copied.written,
        elapsed: since(start),
        verified: copy.verify,
        resumed_at: 0,
        replaced,
    };
    report.print(settings, copy.quiet, false)
}

struct Stream<'a> {
    input: Local,
    name: &'a str,
    verify: bool,
    bar: &'a ProgressBar,
}

#[derive(Default)]
struct Copied {
    bytes: u64,
    written: u64,
}

impl Stream<'_> {
    /// Copies all of it and flushes. `keeps_size`: the image is a device, which may hold anything.
    fn copy_to(&mut self, image: &File, to: &str, keeps_size: bool) -> Result<Copied, Failure> {
        let mut queue = image.queue(DEPTH);
        let mut sums = Vec::new();
        let mut copied = Copied::default();
        loop {
            interrupt::check()?;
            let block = self.next_block()?;
            let len = block.len() as u64;
            if len == 0 {
                break;
            }
            if self.verify {
                sums.push(xxh64(&block, 0));
            }
            if keeps_size {
                write(&mut queue, block, copied.bytes)?;
                copied.written += len;
            } else {
                copied.written += write_runs(&mut queue, block, copied.bytes)?;
            }
            copied.bytes += len;
            self.bar.set_position(copied.bytes);
        }
        drain(&mut queue)?;
        drop(queue);
        if !keeps_size {
            image.set_len(copied.bytes)?;
        }
        image.flush()?;
        self.bar.set_message("verify");
        for (index, expected) in sums.into_iter().enumerate() {
            interrupt::check()?;
            let start = index as u64 * BLOCK;
            let mut block = vec![0; BLOCK.min(copied.bytes - start) as usize];
            image.read_exact_at(&mut block, start)?;
            if xxh64(&block, 0) != expected {
                let end = start + BLOCK;
                return Err(Failure::new(format_args!(
                    "{to}: verify: differs between bytes {start} and {end}"
                )));
            }
        }
        Ok(copied)
    }

    /// A writer that says nothing must not keep a signal from being heard.
    fn wait_for_input(&self) -> Result<(), Failure> {
        let mut wanted = [PollFd::new(&self.input, PollFlags::IN)];
        let timeout = Timespec::try_from(LISTEN_EVERY).ok();
        loop {
            interrupt::check()?;
            match poll(&mut wanted, timeout.as_ref()) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return Ok(()),
                Err(error) => return Err(Failure::local(self.name, &error.into())),
            }
        }
    }

    /// A block, which is shorter only at the end of the stream.
    fn next_block(&mut self) -> Result<Vec<u8>, Failure> {
        let mut block = vec![0; BLOCK as usize];
        let mut have = 0;
        while have < block.len() {
            self.wait_for_input()?;
            match self.input.read(&mut block[have..]) {
                Ok(0) => break,
                Ok(n) => have += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => interrupt::check()?,
                Err(error) => return Err(Failure::local(self.name, &error)),
            }
        }
        block.truncate(have);
        Ok(block)
    }
}
