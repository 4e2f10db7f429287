//! What clients asked of each brick, and what came of it: counted by the loop alone, and told to whoever asks for it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use brickwire_core::fop::FopNumber;
use brickwire_core::server::{BrickIx, Finished, Usage};

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Fops of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FopStats {
    /// How many were answered.
    pub count: u64,
    /// Of these, with an error.
    pub errors: u64,
    /// From when the call was read until its reply was sent, together.
    pub nanos: u64,
}

/// What was asked of one brick.
#[derive(Clone, Debug)]
pub struct BrickStats {
    /// By the fop's number.
    fops: Vec<FopStats>,
    /// Bytes that READ brought.
    pub read_bytes: u64,
    /// Bytes that WRITE took.
    pub written_bytes: u64,
}

impl Default for BrickStats {
    fn default() -> Self {
        Self {
            fops: vec![FopStats::default(); FopNumber::ALL.len()],
            read_bytes: 0,
            written_bytes: 0,
        }
    }
}

impl BrickStats {
    /// The fops that were asked at all.
    pub fn fops(&self) -> impl Iterator<Item = (FopNumber, FopStats)> {
        let all =
            FopNumber::ALL.iter().filter_map(|fop| Some((*fop, *self.fops.get(*fop as usize)?)));
        all.filter(|(_, stats)| stats.count > 0)
    }

    fn add(&mut self, finished: &Finished) {
        let Some(stats) = self.fops.get_mut(finished.fop as usize) else { return };
        stats.count += 1;
        stats.errors += u64::from(finished.failed);
        stats.nanos = stats.nanos.saturating_add(finished.nanos);
        match finished.fop {
            _ if finished.failed => {}
            FopNumber::Read => self.read_bytes += u64::from(finished.bytes),
            FopNumber::Write => self.written_bytes += u64::from(finished.bytes),
            _ => {}
        }
    }
}

/// Those of all bricks that are served.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    bricks: BTreeMap<BrickIx, BrickStats>,
}

impl Stats {
    pub(crate) fn add(&mut self, finished: &Finished) {
        // What comes after the brick's end is not counted: nobody would forget it again.
        if let Some(brick) = self.bricks.get_mut(&finished.brick) {
            brick.add(finished);
        }
    }

    /// A brick is served from now on, or not any more.
    pub(crate) fn serves(&mut self, brick: BrickIx, served: bool) {
        if served {
            self.bricks.entry(brick).or_default();
        } else {
            self.bricks.remove(&brick);
        }
    }

    pub(crate) fn of(&self, brick: BrickIx) -> BrickStats {
        self.bricks.get(&brick).cloned().unwrap_or_default()
    }
}

/// A brick that is served, and what was asked of it.
#[derive(Clone, Debug)]
pub struct BrickReport {
    /// Its volume.
    pub volume: String,
    /// Its name.
    pub brick: String,
    /// What was asked of it.
    pub stats: BrickStats,
}

/// Connections from one address to one brick.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientReport {
    /// The address; nothing for a unix socket.
    pub address: String,
    /// Volume and brick; `None` for connections that have not logged in to one, as those to the management port do not.
    pub brick: Option<(String, String)>,
    /// How many.
    pub connections: u32,
    /// Their calls that are not answered completely.
    pub outstanding: u32,
}

/// A server as it stands.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Since it was set up.
    pub uptime: Duration,
    /// How full its tables are.
    pub usage: Usage,
    /// Bytes of buffers that are lent to calls and replies.
    pub buffers_lent_bytes: u64,
    /// Bytes of buffers that are kept for the next.
    pub buffers_kept_bytes: u64,
    /// Its bricks.
    pub bricks: Vec<BrickReport>,
    /// Its clients.
    pub clients: Vec<ClientReport>,
}

/// Where a report is asked for and left. Asking costs the loop nothing but to look whether somebody does.
#[derive(Clone, Default)]
pub(crate) struct ReportMailbox {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    wanted: AtomicBool,
    exchange: Mutex<Exchange>,
    arrived: Condvar,
}

#[derive(Default)]
struct Exchange {
    asked: u64,
    answered: u64,
    report: Option<Report>,
}

impl ReportMailbox {
    /// Asks, has the loop woken, and waits for the answer: `None` if the loop has ended or is stuck.
    pub(crate) fn ask(&self, wake: impl FnOnce()) -> Option<Report> {
        let Inner { wanted, exchange, arrived } = &*self.inner;
        let mut held = exchange.lock().unwrap_or_else(PoisonError::into_inner);
        held.asked += 1;
        let mine = held.asked;
        wanted.store(true, Ordering::Release);
        wake();
        let late = |exchange: &mut Exchange| exchange.answered < mine;
        let waited = arrived.wait_timeout_while(held, PATIENCE, late);
        let (held, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        if timeout.timed_out() { None } else { held.report.clone() }
    }

    /// Answers everybody who has asked so far.
    pub(crate) fn answer(&self, report: impl FnOnce() -> Report) {
        let Inner { wanted, exchange, arrived } = &*self.inner;
        if !wanted.load(Ordering::Relaxed) || !wanted.swap(false, Ordering::Acquire) {
            return;
        }
        let mut held = exchange.lock().unwrap_or_else(PoisonError::into_inner);
        held.report = Some(report());
        held.answered = held.asked;
        arrived.notify_all();
    }
}
