//! The beginning of a transaction: locks, DIRTY, and accusations of children that are absent
//! (docs/spec/10-replicate.md, "Phases of a transaction", "Acquisition").

use super::subject::Kind;
use super::{Lockee, Phase, change, settle};
use crate::id::TransactionId;
use crate::xlator::context::Context;
use crate::xlator::fop::{Fop, LockCommand};
use crate::xlator::frames::Failure;
use crate::xlator::replicate::children::Children;

/// Asks all children for the first lock.
pub(super) fn begin(context: &mut Context<'_>, id: TransactionId) {
    let up = context.transactions.get(id).map(|transaction| transaction.locked);
    match up {
        Some(up) if !up.is_empty() => wind(context, id, Phase::Lock, up, LockCommand::Try),
        _ => locked(context, id),
    }
}

fn lockee(context: &Context<'_>, id: TransactionId) -> Option<Lockee> {
    let transaction = context.transactions.get(id)?;
    transaction.lockees(&context.names).get(usize::from(transaction.lockee)).copied()
}

fn wind(
    context: &mut Context<'_>,
    id: TransactionId,
    phase: Phase,
    to: Children,
    command: LockCommand,
) {
    let Some(owner) = context.transactions.get(id).map(|transaction| transaction.owner) else {
        return;
    };
    if let Some(lockee) = lockee(context, id) {
        super::wind_to(context, id, phase, to, lockee.fop(command, owner));
    }
}

/// Continues when all children that were asked have answered; `child` was the last.
pub(super) fn step(context: &mut Context<'_>, id: TransactionId, child: u16) {
    let Some(transaction) = context.transactions.get_mut(id) else { return };
    let lockee = usize::from(transaction.lockee);
    match transaction.phase {
        // Somebody else holds or takes the same lock. Two clients that hold a part each and wait
        // for the rest would wait for ever.
        Phase::Lock if core::mem::take(&mut transaction.again) => {
            let granted = transaction.granted.get_mut(lockee).map(core::mem::take);
            match granted.filter(|granted| !granted.is_empty()) {
                Some(granted) => wind(context, id, Phase::Backoff, granted, LockCommand::Release),
                None => in_turn(context, id, 0),
            }
        }
        Phase::Backoff => in_turn(context, id, 0),
        Phase::LockInTurn => in_turn(context, id, child + 1),
        _ => locked(context, id),
    }
}

/// Asks the next child, from `from` on, and lets it wait.
fn in_turn(context: &mut Context<'_>, id: TransactionId, from: u16) {
    let next = context.transactions.get(id).and_then(|each| each.locked.next(from));
    match next {
        Some(child) => {
            wind(context, id, Phase::LockInTurn, Children::only(child), LockCommand::Wait)
        }
        None => locked(context, id),
    }
}

/// All children have answered for one lock: takes the next one, or goes on.
fn locked(context: &mut Context<'_>, id: TransactionId) {
    let Some(transaction) = context.transactions.get_mut(id) else { return };
    let granted = transaction.granted.get(usize::from(transaction.lockee)).copied();
    transaction.locked = transaction.locked.and(granted.unwrap_or_default());
    let holders = transaction.locked;
    transaction.lockee += 1;
    if !holders.is_empty() && lockee(context, id).is_some() {
        return wind(context, id, Phase::Lock, holders, LockCommand::Try);
    }
    let Some(transaction) = context.transactions.get_mut(id) else { return };
    let (at, kind) = (transaction.node, transaction.kind);
    transaction.sources = holders;
    if !super::has_quorum(context, at, holders) {
        return give_up(context, id, None);
    }
    // The refusals of the others are no reason for a failure from here on.
    if let Some(transaction) = context.transactions.get_mut(id) {
        transaction.errno = None;
    }
    let optimistic = super::super::replicate(context, at).is_some_and(|each| each.optimistic);
    let complete = holders == super::all_children(context, at);
    if kind == Kind::Data || !complete || !optimistic {
        dirty(context, id)
    } else {
        open(context, id)
    }
}

/// Raises DIRTY.
fn dirty(context: &mut Context<'_>, id: TransactionId) {
    let Some(transaction) = context.transactions.get(id) else { return };
    let Some((on, created)) = transaction.counted() else { return };
    let delta = super::delta(transaction.kind, Children::NONE, 1);
    let (to, owner) = (transaction.holding(), transaction.owner);
    super::wind_to(context, id, Phase::Dirty, to, Fop::Changelog { on, delta, created, owner });
}

/// DIRTY is raised, or some children have failed to.
pub(super) fn dirty_over(context: &mut Context<'_>, id: TransactionId) {
    let Some(transaction) = context.transactions.get_mut(id) else { return };
    transaction.parent += 1;
    let (at, kind, holding) = (transaction.node, transaction.kind, transaction.holding());
    if !holding.is_empty() && transaction.counted().is_some() {
        return dirty(context, id);
    }
    let Some(transaction) = context.transactions.get_mut(id) else { return };
    transaction.parent = 0;
    transaction.sources = transaction.sources.and(holding);
    let sources = transaction.sources;
    if !super::has_quorum(context, at, holding) {
        return give_up(context, id, None);
    }
    if kind != Kind::Data {
        return open(context, id);
    }
    if let Err(errno) = super::sources_suffice(context, at, sources) {
        return give_up(context, id, Some(Failure::Errno(errno)));
    }
    super::super::forget_failed(context, id);
    accuse(context, id);
}

/// Accuses the children that will miss every change of this transaction, before the first one. (The
/// C client does that when the transaction ends; if it is killed before, nothing says that they
/// have old data: docs/spec/10-replicate.md, "Invariants for model checking".)
fn accuse(context: &mut Context<'_>, id: TransactionId) {
    let Some(transaction) = context.transactions.get(id) else { return };
    let holding = transaction.holding();
    let absent = super::all_children(context, transaction.node).without(holding);
    let Some((on, created)) = transaction.counted().filter(|_| !absent.is_empty()) else {
        return open(context, id);
    };
    let delta = super::delta(transaction.kind, absent, 0);
    let owner = transaction.owner;
    if let Some(transaction) = context.transactions.get_mut(id) {
        transaction.accused = absent;
    }
    let fop = Fop::Changelog { on, delta, created, owner };
    super::wind_to(context, id, Phase::Accuse, holding, fop);
}

pub(super) fn accuse_over(context: &mut Context<'_>, id: TransactionId) {
    let Some(transaction) = context.transactions.get_mut(id) else { return };
    let (at, holding) = (transaction.node, transaction.holding());
    transaction.sources = transaction.sources.and(holding);
    let sources = transaction.sources;
    if !super::has_quorum(context, at, holding) {
        return give_up(context, id, None);
    }
    match super::sources_suffice(context, at, sources) {
        Ok(()) => open(context, id),
        Err(errno) => give_up(context, id, Some(Failure::Errno(errno))),
    }
}

/// Winds the fops that have waited.
fn open(context: &mut Context<'_>, id: TransactionId) {
    let Some(transaction) = context.transactions.get_mut(id) else { return };
    transaction.phase = Phase::Open;
    loop {
        let Some(transaction) = context.transactions.get_mut(id) else { return };
        let Some(frame) = context.frames.take_first(&mut transaction.queue) else { break };
        change::wind(context, id, frame);
    }
    super::rest(context, id);
}

/// Too few children take part: fails the fops that have waited, and releases what was taken.
fn give_up(context: &mut Context<'_>, id: TransactionId, failure: Option<Failure>) {
    let failure = failure.unwrap_or_else(|| super::without_quorum(context, id));
    super::refuse(context, id, failure);
    if let Some(transaction) = context.transactions.get_mut(id) {
        transaction.release = true;
    }
    settle::begin(context, id);
}
