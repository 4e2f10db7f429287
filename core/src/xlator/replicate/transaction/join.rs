//! A fop takes part in a transaction: in the one that is open for its inode, or in a new one.

use super::super::children::Children;
use super::super::round::{Round, Stage};
use super::super::{replicate, round_mut};
use super::subject::{self, Kind, kind_of};
use super::{Phase, Transaction, change, lock, release};
use crate::id::{FrameId, TransactionId};
use crate::rpc::transport::Fifo;
use crate::xdr::Gfid;
use crate::xlator::Table;
use crate::xlator::context::Context;
use crate::xlator::fop::LockOwner;
use crate::xlator::frames::{Failure, Outcome};

/// Lets a frame take part in a transaction: in the one that is open for its inode, or in a new one.
pub(in super::super) fn join(context: &mut Context<'_>, id: FrameId, victim: Option<Gfid>) {
    let Some((at, fop)) = context.frames.table.get(id).map(|frame| (frame.node, frame.fop)) else {
        return;
    };
    let Some(round) = round_mut(context, id) else { return };
    round.again |= round.stage == Stage::Again;
    round.stage = Stage::Waiting;
    let kind = kind_of(&fop);
    let mut inode = None;
    if kind == Kind::Data {
        let gfid = subject::gfid_of(&fop);
        let Some(found) = context.inodes.acquire(&gfid) else {
            let full = Outcome::failed(Failure::Busy(Table::Inodes));
            return context.frames.unwind(id, full);
        };
        if let Some(open) = context.inodes.get(found).and_then(|inode| inode.transaction) {
            context.inodes.release(found);
            return join_open(context, open, id);
        }
        inode = Some(found);
    }
    let Some(up) = replicate(context, at).map(|replicate| replicate.up) else { return };
    let owner = LockOwner(context.next_lock_owner());
    let new = Transaction {
        node: at,
        kind,
        phase: Phase::Lock,
        gfid: subject::gfid_of(&fop),
        inode,
        file: subject::file_of(&fop),
        fop,
        victim,
        owner,
        waiting: Children::NONE,
        locked: up,
        granted: [Children::NONE; 3],
        lockee: 0,
        parent: 0,
        again: false,
        dirty: Children::NONE,
        failed: Children::NONE,
        accused: Children::NONE,
        sources: Children::NONE,
        recorded: Children::NONE,
        errno: None,
        release: kind != Kind::Data,
        broken: false,
        changed: false,
        written: 0,
        synced: 0,
        users: 0,
        queue: Fifo::default(),
        held: Fifo::default(),
        after: Fifo::default(),
        idle_since: context.now,
    };
    let width = context.nodes.get(at).map_or(0, |node| node.width);
    let reserved = context.frames.reserve(width);
    let Some(transaction) =
        Some(()).filter(|()| reserved).and_then(|()| context.transactions.insert(new))
    else {
        if reserved {
            context.frames.unreserve(width);
        }
        if let Some(inode) = inode {
            context.inodes.release(inode);
        }
        return wait_for_any(context, id);
    };
    if let Some(inode) = inode.and_then(|inode| context.inodes.get_mut(inode)) {
        inode.transaction = Some(transaction);
    }
    for name in fop.names().into_iter().flatten() {
        context.names.retain(name);
    }
    enqueue(context, transaction, id);
    lock::begin(context, transaction);
}

/// Lets a frame join a transaction that exists, or wait for its end.
fn join_open(context: &mut Context<'_>, id: TransactionId, frame: FrameId) {
    let Some(transaction) = context.transactions.get_mut(id) else { return };
    if transaction.release {
        return wait(context, id, frame);
    }
    if transaction.file.is_none() {
        transaction.file =
            context.frames.table.get(frame).and_then(|frame| subject::file_of(&frame.fop));
    }
    if transaction.phase == Phase::Open {
        change::wind(context, id, frame);
    } else {
        enqueue(context, id, frame);
    }
}

fn enqueue(context: &mut Context<'_>, id: TransactionId, frame: FrameId) {
    if let Some(round) = round_mut(context, frame) {
        round.transaction = Some(id);
    }
    if let Some(transaction) = context.transactions.get_mut(id) {
        context.frames.append(&mut transaction.queue, frame);
    }
}

/// Lets a frame start again when a transaction is gone.
pub(in super::super) fn wait(context: &mut Context<'_>, id: TransactionId, frame: FrameId) {
    if let Some(round) = round_mut(context, frame) {
        round.transaction = Some(id);
    }
    if let Some(transaction) = context.transactions.get_mut(id) {
        context.frames.append(&mut transaction.after, frame);
    }
}

/// The table of transactions is full: ends one that is idle, and lets the frame wait for it, or for
/// any other.
fn wait_for_any(context: &mut Context<'_>, frame: FrameId) {
    let ids = || context.transactions.ids();
    let idle = ids().find(|id| {
        context
            .transactions
            .get(*id)
            .is_some_and(|transaction| transaction.phase == Phase::Open && transaction.users == 0)
    });
    match idle.or_else(|| ids().next()) {
        Some(id) => {
            wait(context, id, frame);
            release(context, id);
        }
        None => context.frames.unwind(frame, Outcome::failed(Failure::Busy(Table::Frames))),
    }
}

/// Takes a frame whose operation ends out of the transaction that it waits for. Returns whether it
/// waited; if not, its fop is in flight.
pub(in super::super) fn leave(context: &mut Context<'_>, frame: FrameId, round: &Round) -> bool {
    let Some(transaction) = round.transaction.and_then(|id| context.transactions.get_mut(id))
    else {
        return false;
    };
    let lists = [&mut transaction.queue, &mut transaction.held, &mut transaction.after];
    lists.into_iter().any(|list| context.frames.take_out(list, frame))
}
