//! A transaction ends: no fop joins it any more, and when those that have are over it is settled.

use super::{Phase, change, refuse, settle};
use crate::id::TransactionId;
use crate::xdr::Gfid;
use crate::xlator::Down;
use crate::xlator::context::Context;
use crate::xlator::frames::Failure;
use crate::xlator::node::NodeRef;

/// Lets no further fop join. Settles the transaction if none is in flight.
pub(crate) fn release(context: &mut Context<'_>, id: TransactionId) {
    if let Some(transaction) = context.transactions.get_mut(id) {
        transaction.release = true;
        rest(context, id);
    }
}

/// Ends all transactions of a graph as soon as their fops are over.
pub(crate) fn release_all(context: &mut Context<'_>, graph: u8) {
    let mut from = 0;
    while let Some(id) = context.transactions.next_from(from) {
        from = id.slot() + 1;
        if context.transactions.get(id).is_some_and(|each| each.node.graph == graph) {
            release(context, id);
        }
    }
}

/// Forgets all transactions of a graph that is taken down: its connections are closed, so its
/// bricks have dropped the locks. Where DIRTY is raised, self-heal compares the copies.
pub(crate) fn forget(context: &mut Context<'_>, graph: u8) {
    let mut from = 0;
    while let Some(id) = context.transactions.next_from(from) {
        from = id.slot() + 1;
        let Some(transaction) = context.transactions.get_mut(id) else { continue };
        if transaction.node.graph != graph {
            continue;
        }
        context.disarm_transaction(id);
        refuse(context, id, Failure::NotSent(Down::Stopping));
        change::answer_held(context, id, false);
        settle::gone(context, id);
    }
}

/// Another client waits for a lock on this inode.
pub(crate) fn contended(context: &mut Context<'_>, at: NodeRef, gfid: &Gfid) {
    let inode = context.inodes.find(gfid).and_then(|inode| context.inodes.get(inode));
    let id = inode.and_then(|inode| inode.transaction);
    if let Some(id) = id
        && context.transactions.get(id).is_some_and(|transaction| transaction.node == at)
    {
        release(context, id);
    }
}

/// A child of a node went down or came up. No fop joins a transaction that began before.
pub(in super::super) fn child_changed(
    context: &mut Context<'_>,
    at: NodeRef,
    child: u16,
    is_up: bool,
) {
    let mut from = 0;
    while let Some(id) = context.transactions.next_from(from) {
        from = id.slot() + 1;
        let Some(transaction) = context.transactions.get_mut(id) else { continue };
        if transaction.node != at {
            continue;
        }
        if !is_up {
            // The brick has dropped its locks with the connection.
            for granted in &mut transaction.granted {
                granted.remove(child);
            }
            transaction.locked.remove(child);
            transaction.dirty.remove(child);
            transaction.failed.add(child);
        }
        release(context, id);
    }
}

/// The time that an idle transaction stays open may be over.
pub(crate) fn due(context: &mut Context<'_>, index: usize) {
    let Some(id) = context.transactions.id_at(index) else { return };
    let Some(transaction) = context.transactions.get(id) else { return };
    if transaction.phase != Phase::Open || transaction.users > 0 {
        return;
    }
    let until = transaction.idle_since.plus_millis(delay_ms(context, transaction.node));
    if context.now >= until {
        release(context, id);
    } else {
        context.arm_transaction(id, until);
    }
}

fn delay_ms(context: &Context<'_>, at: NodeRef) -> u64 {
    super::super::replicate(context, at).map_or(0, |replicate| u64::from(replicate.delay_ms))
}

/// Decides how an open transaction goes on when no fop is in flight.
pub(super) fn rest(context: &mut Context<'_>, id: TransactionId) {
    let now = context.now;
    let Some(transaction) = context.transactions.get_mut(id) else { return };
    if transaction.phase != Phase::Open || transaction.users > 0 {
        return;
    }
    transaction.idle_since = now;
    let (release, at) = (transaction.release, transaction.node);
    let delay = delay_ms(context, at);
    if release || delay == 0 {
        if let Some(transaction) = context.transactions.get_mut(id) {
            transaction.release = true;
        }
        settle::begin(context, id);
    } else {
        context.arm_transaction(id, now.plus_millis(delay));
    }
}
