//! Transactions: what brackets the changes of an inode or a directory, so that copies which miss
//! one are known (docs/spec/10-replicate.md, "Inode-write transactions").
//!
//! ```text
//!   Lock ──▶ Dirty ──▶ Accuse ──▶ Open ──▶ Mark ──▶ Sync ──▶ Settle ──▶ Unlock
//!    │ ▲                            │ ▲
//!    ▼ │                            ▼ │
//!   Backoff, LockInTurn          the fops
//! ```
//!
//! A transaction on data is shared: fops that come while it is open join it, and it stays open for
//! a moment after the last of them (eager lock). DIRTY is therefore raised once and lowered once,
//! whatever the number of writes. Transactions on metadata and entries have one fop each.
//!
//! A fop that some child has failed is answered when the others have recorded that. So is a fop on
//! metadata or entries that a child has missed; a transaction on data records absent children
//! before its first fop.

mod change;
mod ends;
mod join;
mod lock;
mod settle;
mod subject;

pub(crate) use change::answered as change_answered;
pub(super) use ends::child_changed;
pub(crate) use ends::{contended, due, forget, release, release_all};
pub(super) use join::{join, leave, wait};

use ends::rest;

pub(crate) use subject::{Kind, Lockee, gfid_of, kind_of};

use super::children::Children;
use super::round::merged;
use super::{arbiter_of, child_ref};
use crate::fop::wire::Reply;
use crate::id::{FileId, InodeId, TransactionId};
use crate::rpc::transport::Fifo;
use crate::time::Instant;
use crate::xdr::{Errno, Gfid};
use crate::xlator::Down;
use crate::xlator::context::Context;
use crate::xlator::fop::{Delta, Fop, InodeRef, LockOwner};
use crate::xlator::frames::{Failure, Outcome, Parent, Slot};
use crate::xlator::node::NodeRef;

/// The phase of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    /// All children at once are asked for a lock.
    Lock,
    /// Some lock was taken: those that were granted are released.
    Backoff,
    /// The children are asked one after the other, and each waits for its turn.
    LockInTurn,
    /// DIRTY is raised.
    Dirty,
    /// Children that are absent are accused.
    Accuse,
    /// Fops may be wound.
    Open,
    /// The inode of a new entry accuses the children that lack it.
    Mark,
    /// The children flush the data, before DIRTY is lowered.
    Sync,
    /// DIRTY is lowered, and children that have failed are accused.
    Settle,
    Unlock,
}

/// A transaction on one inode, or on one or two directories.
#[derive(Clone, Copy, Debug)]
pub struct Transaction {
    pub(crate) node: NodeRef,
    pub(crate) kind: Kind,
    pub(crate) phase: Phase,
    /// The inode, or the directory (of a RENAME, the new one).
    pub(crate) gfid: Gfid,
    pub(crate) inode: Option<InodeId>,
    pub(crate) file: Option<FileId>,
    /// The fop of a transaction on metadata or entries.
    pub(crate) fop: Fop,
    /// The directory that the fop removes or replaces.
    victim: Option<Gfid>,
    owner: LockOwner,
    waiting: Children,
    /// Children that hold all locks so far; before, those that are asked for them.
    pub(crate) locked: Children,
    /// The holders of each lock.
    granted: [Children; 3],
    lockee: u8,
    /// The directory, of the two of a RENAME, whose counters are being changed.
    parent: u8,
    again: bool,
    /// Children on which DIRTY is raised.
    dirty: Children,
    /// Children that have failed since they were locked.
    pub(crate) failed: Children,
    /// Children that are accused already.
    accused: Children,
    /// Children that no other one accuses.
    sources: Children,
    /// Children that have recorded the outcome.
    recorded: Children,
    errno: Option<Errno>,
    /// No fop joins any more; it ends when those that have joined are over.
    pub(crate) release: bool,
    /// Some fop has failed in a way that leaves the copies different: DIRTY stays.
    broken: bool,
    /// Some child may have executed a fop.
    changed: bool,
    /// Number of unflushed changes that were acknowledged, and of those that a flush covers.
    written: u32,
    synced: u32,
    /// Fops in flight.
    users: u32,
    /// Frames that are wound when it is open.
    queue: Fifo,
    /// Frames that are answered when the outcome is recorded.
    held: Fifo,
    /// Frames that start again when it is gone.
    after: Fifo,
    idle_since: Instant,
}

impl Transaction {
    /// Children that may be wound to.
    fn holding(&self) -> Children {
        self.locked.without(self.failed)
    }

    /// Children that no other one accuses, as far as they have said.
    pub(super) fn sources(&self) -> Children {
        self.sources
    }

    fn on(&self) -> InodeRef {
        InodeRef { gfid: self.gfid, file: self.file }
    }
}

/// Takes the answer to a fop of a transaction itself.
pub(crate) fn answered(
    context: &mut Context<'_>,
    id: TransactionId,
    slot: Slot,
    outcome: Outcome,
    reply: Option<&Reply<'_>>,
) {
    let child = slot.0;
    let Some(phase) = context.transactions.get(id).map(|transaction| transaction.phase) else {
        return;
    };
    let accusations = match (phase, outcome.result, reply) {
        (Phase::Dirty, Ok(_), Some(reply)) => super::accusations_of_reply(context, id, reply),
        (Phase::Dirty, Ok(_), None) => None,
        _ => Some(Default::default()),
    };
    let Some(transaction) = context.transactions.get_mut(id) else { return };
    transaction.waiting.remove(child);
    let lockee = usize::from(transaction.lockee);
    match (phase, outcome.result) {
        (Phase::Lock | Phase::LockInTurn, Ok(_)) => {
            if let Some(granted) = transaction.granted.get_mut(lockee)
                && transaction.locked.contains(child)
            {
                granted.add(child);
            }
        }
        (Phase::Lock, Err(Failure::Errno(Errno::EAGAIN))) => transaction.again = true,
        (Phase::Lock | Phase::LockInTurn, Err(failure)) => transaction.note(&failure),
        (Phase::Dirty, Ok(_)) => match accusations {
            Some(accusations) => {
                if transaction.locked.contains(child) {
                    transaction.dirty.add(child);
                }
                let accused = accusations.by(transaction.kind.counter());
                transaction.sources = transaction.sources.without(accused);
            }
            // It counts as a brick that has failed.
            None => transaction.failed.add(child),
        },
        (Phase::Dirty | Phase::Accuse | Phase::Sync | Phase::Settle, Err(failure)) => {
            transaction.note(&failure);
            transaction.failed.add(child);
        }
        (Phase::Settle, Ok(_)) => transaction.recorded.add(child),
        _ => {}
    }
    if transaction.waiting.is_empty() {
        match phase {
            Phase::Lock | Phase::Backoff | Phase::LockInTurn => lock::step(context, id, child),
            Phase::Dirty => lock::dirty_over(context, id),
            Phase::Accuse => lock::accuse_over(context, id),
            Phase::Open => {}
            Phase::Mark | Phase::Sync | Phase::Settle | Phase::Unlock => settle::step(context, id),
        }
    }
}

impl Transaction {
    /// Keeps the errno of a failure.
    fn note(&mut self, failure: &Failure) {
        let errno = match failure {
            Failure::Errno(errno) => *errno,
            _ => Errno::ENOTCONN,
        };
        self.errno = Some(self.errno.map_or(errno, |other| merged(other, errno)));
    }
}

/// Winds a fop of the transaction itself to some children, and sets them as those that are waited
/// for.
fn wind_to(context: &mut Context<'_>, id: TransactionId, phase: Phase, to: Children, fop: Fop) {
    let Some(transaction) = context.transactions.get_mut(id) else { return };
    transaction.phase = phase;
    transaction.waiting = to;
    let at = transaction.node;
    for child in to.iter() {
        let Some(node) = child_ref(context, at, child) else { continue };
        // Frames for it are reserved.
        let wound = context.frames.wind(node, Parent::Transaction(id, Slot(child)), None, fop);
        debug_assert!(wound.is_some());
    }
}

/// Fails the frames that wait to be wound.
fn refuse(context: &mut Context<'_>, id: TransactionId, failure: Failure) {
    loop {
        let Some(transaction) = context.transactions.get_mut(id) else { return };
        let Some(frame) = context.frames.take_first(&mut transaction.queue) else { return };
        context.frames.unwind(frame, Outcome::failed(failure));
    }
}

/// The failure of a fop that too few children can take part in.
fn without_quorum(context: &Context<'_>, id: TransactionId) -> Failure {
    let Some(transaction) = context.transactions.get(id) else {
        return Failure::NotSent(Down::Untried);
    };
    match transaction.errno {
        None | Some(Errno::ENOTCONN) => {
            Failure::NotSent(super::why_down(context, transaction.node))
        }
        Some(errno) => Failure::Errno(errno),
    }
}

/// Number of children of a node that a transaction has to account for.
fn all_children(context: &Context<'_>, at: NodeRef) -> Children {
    super::replicate(context, at).map_or(Children::NONE, |replicate| replicate.all())
}

fn has_quorum(context: &Context<'_>, at: NodeRef, set: Children) -> bool {
    super::replicate(context, at).is_some_and(|replicate| replicate.has_quorum(set))
}

/// Says whether the copies that nobody accuses suffice for a change of data
/// (docs/spec/10-replicate.md, "Arbiter").
fn sources_suffice(context: &Context<'_>, at: NodeRef, sources: Children) -> Result<(), Errno> {
    if sources.is_empty() {
        return Err(Errno::EIO);
    }
    match arbiter_of(context, at) {
        Some(arbiter) if sources.contains(arbiter) && sources.len() < 2 => Err(Errno::ENOTCONN),
        _ => Ok(()),
    }
}

/// A change of the counter of this kind.
fn delta(kind: Kind, accused: Children, dirty: i8) -> Delta {
    let mut delta = Delta { accused: accused.0, ..Delta::default() };
    let counter = kind.counter() as usize;
    if let Some(by) = delta.by.get_mut(counter) {
        *by = 1;
    }
    if let Some(by) = delta.dirty.get_mut(counter) {
        *by = dirty;
    }
    delta
}
