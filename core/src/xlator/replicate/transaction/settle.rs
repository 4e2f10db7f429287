//! The end of a transaction: what was missed is recorded, DIRTY is lowered, the locks are released
//! (docs/spec/10-replicate.md, "Post-op").

use super::subject::{self, Kind};
use super::{Phase, change};
use crate::id::TransactionId;
use crate::xlator::context::Context;
use crate::xlator::fop::{Delta, Fop, InodeRef, LockCommand};
use crate::xlator::replicate::children::Children;

/// Begins to end a transaction: no fop of it is in flight, and none joins any more.
pub(super) fn begin(context: &mut Context<'_>, id: TransactionId) {
    context.disarm_transaction(id);
    let Some(transaction) = context.transactions.get_mut(id) else { return };
    transaction.parent = 0;
    transaction.recorded = transaction.holding();
    mark(context, id);
}

/// Continues when all children have answered.
pub(super) fn step(context: &mut Context<'_>, id: TransactionId) {
    let Some(transaction) = context.transactions.get_mut(id) else { return };
    match transaction.phase {
        Phase::Mark => sync(context, id),
        Phase::Sync => settle(context, id),
        Phase::Settle => {
            transaction.parent += 1;
            settle_next(context, id);
        }
        Phase::Unlock => {
            transaction.lockee += 1;
            unlock(context, id);
        }
        _ => {}
    }
}

/// Has the inode of a new entry accuse the children that lack it: they need all of it.
fn mark(context: &mut Context<'_>, id: TransactionId) {
    let Some(transaction) = context.transactions.get(id) else { return };
    let on_new = subject::new_gfid(&transaction.fop)
        .filter(|_| transaction.kind == Kind::Entry && transaction.changed && !transaction.broken);
    let holders = change::holders_of_new(context, id);
    let missing = super::all_children(context, transaction.node).without(holders);
    let Some(gfid) = on_new.filter(|_| !missing.is_empty() && !holders.is_empty()) else {
        return sync(context, id);
    };
    let owner = transaction.owner;
    let is_dir = matches!(transaction.fop, Fop::Mkdir { .. });
    // Of a directory, the first counter asks for all names to be compared.
    let by = if is_dir { [1, 1, 1] } else { [1, 1, 0] };
    let delta = Delta { accused: missing.0, by, dirty: [0; 3] };
    let on = InodeRef { gfid, file: None };
    let fop = Fop::Changelog { on, delta, created: None, owner };
    super::wind_to(context, id, Phase::Mark, holders, fop);
}

/// Has the children flush the data before DIRTY is lowered. (The C client lowers it without:
/// docs/spec/10-replicate.md, "Invariants for model checking".)
fn sync(context: &mut Context<'_>, id: TransactionId) {
    let Some(transaction) = context.transactions.get(id) else { return };
    let durable =
        super::super::replicate(context, transaction.node).is_some_and(|each| each.durable);
    let to = transaction.dirty.and(transaction.holding());
    if transaction.kind != Kind::Data
        || !durable
        || transaction.broken
        || transaction.written == transaction.synced
        || to.is_empty()
    {
        return settle(context, id);
    }
    let (on, owner) = (transaction.on(), transaction.owner);
    super::wind_to(context, id, Phase::Sync, to, Fop::SyncBatch { on, owner });
}

/// Lowers DIRTY, and accuses the children that have failed.
fn settle(context: &mut Context<'_>, id: TransactionId) {
    let Some(transaction) = context.transactions.get_mut(id) else { return };
    transaction.recorded = transaction.holding();
    settle_next(context, id);
}

/// The same, in one directory of the two of a RENAME.
fn settle_next(context: &mut Context<'_>, id: TransactionId) {
    let Some(transaction) = context.transactions.get(id) else { return };
    let to = transaction.holding();
    let missed =
        super::all_children(context, transaction.node).without(to).without(transaction.accused);
    let accused = if transaction.changed { missed } else { Children::NONE };
    let raised = !transaction.dirty.and(to).is_empty();
    // Without DIRTY, nothing says yet that the copies may differ.
    let late = transaction.broken && !raised && transaction.kind != Kind::Data;
    let (accused, dirty) = match transaction.broken {
        true => (Children::NONE, i8::from(late)),
        false => (accused, if raised { -1 } else { 0 }),
    };
    let nothing = accused.is_empty() && dirty == 0;
    let Some((on, name)) = transaction.counted().filter(|_| !nothing && !to.is_empty()) else {
        return recorded(context, id);
    };
    // The name was indexed already where DIRTY was raised, unless a child failed since.
    let created = name.filter(|_| !raised || !transaction.failed.is_empty());
    let delta = super::delta(transaction.kind, accused, dirty);
    let owner = transaction.owner;
    if let Some(transaction) = context.transactions.get_mut(id) {
        transaction.recorded = Children::NONE;
    }
    super::wind_to(context, id, Phase::Settle, to, Fop::Changelog { on, delta, created, owner });
}

/// The outcome is recorded: answers the fops that have waited for it, and releases the locks.
fn recorded(context: &mut Context<'_>, id: TransactionId) {
    let Some(transaction) = context.transactions.get_mut(id) else { return };
    let (at, recorded) = (transaction.node, transaction.recorded.and(transaction.holding()));
    let holds = !transaction.broken;
    transaction.lockee = 0;
    let holds = holds && super::has_quorum(context, at, recorded);
    change::answer_held(context, id, holds);
    unlock(context, id);
}

/// Releases the next lock.
fn unlock(context: &mut Context<'_>, id: TransactionId) {
    loop {
        let Some(transaction) = context.transactions.get_mut(id) else { return };
        let lockee = usize::from(transaction.lockee);
        let Some(holders) = transaction.granted.get_mut(lockee).map(core::mem::take) else {
            return gone(context, id);
        };
        let owner = transaction.owner;
        let lock = transaction.lockees(&context.names).get(lockee).copied();
        if let (Some(lock), false) = (lock, holders.is_empty()) {
            let fop = lock.fop(LockCommand::Release, owner);
            return super::wind_to(context, id, Phase::Unlock, holders, fop);
        }
        transaction.lockee += 1;
    }
}

/// Removes a transaction. The frames that have waited for its end start again.
pub(super) fn gone(context: &mut Context<'_>, id: TransactionId) {
    let Some(mut transaction) = context.transactions.remove(id) else { return };
    let width = context.nodes.get(transaction.node).map_or(0, |node| node.width);
    context.frames.unreserve(width);
    if let Some(inode) = transaction.inode {
        if let Some(inode) = context.inodes.get_mut(inode) {
            inode.transaction = None;
        }
        context.inodes.release(inode);
    }
    for name in transaction.fop.names().into_iter().flatten() {
        context.names.give(name);
    }
    super::super::settled(context, transaction.node);
    while let Some(frame) = context.frames.take_first(&mut transaction.after) {
        context.frames.restart(frame);
    }
}
