//! Counters of fops for each brick. Only the loop writes them; other threads ask it for a report.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use brickwire_core::fop::FopNumber;
use brickwire_core::server::{BrickIx, Finished, Usage};

/// Time that the loop may take to answer.
const REPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// Counters of one fop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FopStats {
    /// Calls answered.
    pub count: u64,
    /// Calls answered with an error.
    pub errors: u64,
    /// Sum of the times from reading a call to sending its reply, in nanoseconds.
    pub nanos: u64,
}

/// Counters of one brick.
#[derive(Clone, Debug)]
pub struct BrickStats {
    /// Indexed by fop number.
    fops: Vec<FopStats>,
    /// Bytes that READs returned.
    pub read_bytes: u64,
    /// Bytes that WRITEs wrote.
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
    /// Counters of the fops that were called at least once.
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

/// Counters of all served bricks.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    bricks: BTreeMap<BrickIx, BrickStats>,
}

impl Stats {
    pub(crate) fn add(&mut self, finished: &Finished) {
        // Replies that finish after their brick was stopped are not counted: the entry would stay
        // for ever.
        if let Some(brick) = self.bricks.get_mut(&finished.brick) {
            brick.add(finished);
        }
    }

    /// Adds the counters of a brick that is served from now on, or drops those of one that is not.
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

/// A served brick and its counters.
#[derive(Clone, Debug)]
pub struct BrickReport {
    /// Name of its volume.
    pub volume: String,
    /// Name of the brick.
    pub brick: String,
    /// Its counters.
    pub stats: BrickStats,
}

/// Connections from one address to one brick.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientReport {
    /// Client address; empty for a unix socket.
    pub address: String,
    /// Volume and brick; `None` for connections without a SETVOLUME, such as those that ask for
    /// volfiles.
    pub brick: Option<(String, String)>,
    /// Number of connections.
    pub connections: u32,
    /// Calls of theirs whose replies are not completely sent.
    pub outstanding: u32,
}

/// State of a server at one moment.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Time since the server was created.
    pub uptime: Duration,
    /// Use of the core's tables.
    pub usage: Usage,
    /// Bytes of buffers that are lent to calls and replies.
    pub buffers_lent_bytes: u64,
    /// Bytes of free buffers that are kept for re-use.
    pub buffers_kept_bytes: u64,
    /// Served bricks.
    pub bricks: Vec<BrickReport>,
    /// Connected clients.
    pub clients: Vec<ClientReport>,
}

/// Exchange between the threads that ask for reports and the loop that makes them. While nothing is
/// asked, the loop only reads one flag.
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
    /// Asks for a report, wakes the loop, and waits. `None` after `REPORT_TIMEOUT`: the loop has
    /// ended or is stuck.
    pub(crate) fn ask(&self, wake: impl FnOnce()) -> Option<Report> {
        let Inner { wanted, exchange, arrived } = &*self.inner;
        let mut held = exchange.lock().unwrap_or_else(PoisonError::into_inner);
        held.asked += 1;
        let mine = held.asked;
        wanted.store(true, Ordering::Release);
        wake();
        let late = |exchange: &mut Exchange| exchange.answered < mine;
        let waited = arrived.wait_timeout_while(held, REPORT_TIMEOUT, late);
        let (held, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        if timeout.timed_out() { None } else { held.report.clone() }
    }

    /// Answers all requests so far.
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
