//! The fops of a transaction: each is wound to every child that holds the lock, and its outcome is
//! judged when all of them have answered (docs/spec/10-replicate.md, "Result classes").

use super::super::round::{Round, Stage};
use super::super::{arbiter_of, child_ref, keep, round_mut, want_fds};
use super::subject::Kind;
use crate::fop::OpenFlags;
use crate::fop::wire::{Body, Reply};
use crate::id::{FrameId, TransactionId};
use crate::xdr::{Errno, Iatt};
use crate::xlator::Down;
use crate::xlator::context::Context;
use crate::xlator::fop::Fop;
use crate::xlator::frames::{Failure, Outcome, Parent, Slot};
use crate::xlator::replicate::children::Children;

/// The fop that a child gets. An arbiter gets no data.
fn fop_for(fop: Fop, is_arbiter: bool) -> Fop {
    match fop {
        Fop::Write { fd, offset, .. } if is_arbiter => Fop::WriteWitness { fd, offset },
        // The second step of an OPEN that truncates.
        Fop::Open { fd, .. } => Fop::Ftruncate { fd, size: 0 },
        // If the name exists after all, the caller opens the file, and truncates it in a
        // transaction on its data.
        Fop::Create { at, file, flags, mode, gfid_req } => {
            let flags = flags.and(OpenFlags::EXCLUSIVE).without(OpenFlags::TRUNCATE);
            Fop::Create { at, file, flags, mode, gfid_req }
        }
        fop => fop,
    }
}

/// Winds the fop of a frame to the children that hold the lock.
pub(super) fn wind(context: &mut Context<'_>, id: TransactionId, frame: FrameId) {
    let Some(transaction) = context.transactions.get_mut(id) else { return };
    let (at, to, written) = (transaction.node, transaction.holding(), transaction.written);
    transaction.users += 1;
    transaction.changed = true;
    let Some(entry) = context.frames.table.get(frame) else { return };
    let (op, fop) = (entry.op, entry.fop);
    let trusted = trusted(context, id).and(to);
    if let Some(round) = round_mut(context, frame) {
        round.transaction = Some(id);
        round.begin(Stage::Changing, to);
        round.covers = written;
        round.trusted = trusted;
    }
    if to.is_empty() {
        return over(context, frame);
    }
    let arbiter = arbiter_of(context, at);
    for child in to.iter() {
        let Some(node) = child_ref(context, at, child) else { continue };
        let fop = fop_for(fop, arbiter == Some(child));
        // Frames for it are reserved.
        let wound = context.frames.wind(node, Parent::Frame(frame, Slot(child)), op, fop);
        debug_assert!(wound.is_some());
    }
}

/// The children whose copies nobody accuses.
fn trusted(context: &Context<'_>, id: TransactionId) -> Children {
    let Some(transaction) = context.transactions.get(id) else { return Children::NONE };
    let known = super::super::readable(context, transaction.node, &transaction.gfid);
    let good = match (transaction.kind, known) {
        (Kind::Data, _) | (_, None) => transaction.sources,
        (Kind::Metadata, Some(known)) => known.attributes,
        (Kind::Entry, Some(known)) => known.names,
    };
    // A copy that has not got the file cannot give it a name.
    let has = match transaction.fop {
        Fop::Link { gfid, .. } => {
            super::super::readable(context, transaction.node, &gfid).map(|known| known.attributes)
        }
        _ => None,
    };
    let good = has.map_or(good, |has| good.and(has));
    good.and(transaction.sources).without(transaction.failed)
}

/// Takes the answer of a child.
pub(crate) fn answered(
    context: &mut Context<'_>,
    frame: FrameId,
    child: u16,
    outcome: Outcome,
    reply: Option<&Reply<'_>>,
) {
    let Some(entry) = context.frames.table.get(frame) else { return };
    let (at, fop) = (entry.node, entry.fop);
    let is_arbiter = arbiter_of(context, at) == Some(child);
    let Some(round) = round_mut(context, frame) else { return };
    round.waiting.remove(child);
    let (is_first, transaction) = (round.best.is_empty(), round.transaction);
    let from_trusted = !round.best.and(round.trusted).is_empty();
    match outcome.result {
        Ok(count) => {
            let count = match fop {
                // It has counted the byte that it was sent instead of the data.
                Fop::Write { data, .. } if is_arbiter && count == 1 => data.len,
                _ => count,
            };
            round.succeeded(child, count);
            let better = is_first || (round.trusted.contains(child) && !from_trusted);
            if let Some(stat) = reply.and_then(|reply| attributes(&reply.body)).filter(|_| better) {
                keep(context, frame, child, stat);
            }
        }
        Err(failure) => round.failed(child, &failure),
    }
    if let Some(transaction) = transaction.and_then(|id| context.transactions.get_mut(id))
        && transaction.kind == Kind::Data
        && reply.is_some_and(|reply| is_contended(reply))
    {
        transaction.release = true;
    }
    if round_mut(context, frame).is_some_and(|round| round.waiting.is_empty()) {
        over(context, frame);
    }
}

/// Says whether another client holds or waits for the lock.
fn is_contended(reply: &Reply<'_>) -> bool {
    let count = reply.xdata.get("glusterfs.inodelk-count");
    count.and_then(|count| count.as_u64()).is_some_and(|count| count > 1)
}

/// The attributes that a reply to a change brings.
fn attributes<'r>(body: &'r Body<'_>) -> Option<&'r Iatt> {
    match body {
        Body::TwoIatts { after, .. } => Some(after),
        Body::Entry { stat, .. } | Body::Create { stat, .. } => Some(stat),
        _ => None,
    }
}

/// All children have answered: judges the fop.
fn over(context: &mut Context<'_>, frame: FrameId) {
    let Some(round) = round_mut(context, frame).map(|round| *round) else { return };
    let Some(fop) = context.frames.table.get(frame).map(|frame| frame.fop) else { return };
    let found = round.transaction.and_then(|id| Some((id, context.transactions.get_mut(id)?)));
    let Some((id, transaction)) = found else {
        // The graph was taken down.
        let failure = Failure::Lost { down: Down::Stopping, server: 0 };
        return context.frames.unwind(frame, Outcome::failed(failure));
    };
    transaction.users = transaction.users.saturating_sub(1);
    let (at, kind, locked) = (transaction.node, transaction.kind, transaction.locked);
    let failed = round.asked.without(round.best);
    let complete = locked == super::all_children(context, at);
    if round.is_refused() {
        let errno = round.errno.unwrap_or(Errno::EIO);
        context.frames.unwind(frame, Outcome::failed(Failure::Errno(errno)));
        return super::rest(context, id);
    }
    if kind != Kind::Data
        && round.best.is_empty()
        && !round.lost
        && !round.again
        && round.errno != Some(Errno::ENOTCONN)
    {
        // No child has changed anything.
        if let Some(round) = round_mut(context, frame) {
            round.stage = Stage::Again;
        }
        super::super::refresh_needed(context, id);
        super::wait(context, id, frame);
        return super::rest(context, id);
    }
    let Some(transaction) = context.transactions.get(id) else { return };
    let survivors = transaction.holding().and(round.best);
    let sources = transaction.sources.without(transaction.failed).without(failed);
    // If the last copy that nobody accuses has failed, the others must not accuse it.
    let splits = match kind {
        Kind::Data => super::sources_suffice(context, at, sources).is_err(),
        Kind::Metadata | Kind::Entry => {
            !round.trusted.is_empty() && round.best.and(round.trusted).is_empty()
        }
    };
    if round.best.is_empty() || splits || !super::has_quorum(context, at, survivors) {
        broken(context, id);
        context.frames.unwind(frame, Outcome::failed(unknown(context, id, &round)));
        return super::rest(context, id);
    }
    if let Fop::Create { file, .. } = fop {
        want_fds(context, at, file, super::all_children(context, at).without(round.best));
    }
    let Some(transaction) = context.transactions.get_mut(id) else { return };
    if kind == Kind::Data {
        match fop {
            Fop::Fsync { last, .. } => {
                if failed.is_empty() {
                    transaction.synced = transaction.synced.max(round.covers);
                }
                transaction.release |= last;
            }
            _ => transaction.written += 1,
        }
    }
    if !failed.is_empty() {
        transaction.failed = transaction.failed.or(failed);
        transaction.release = true;
        super::super::forget_failed(context, id);
    }
    if !failed.is_empty() || (kind != Kind::Data && !complete) {
        if let Some(round) = round_mut(context, frame) {
            round.stage = Stage::Held;
        }
        let Some(transaction) = context.transactions.get_mut(id) else { return };
        context.frames.append(&mut transaction.held, frame);
    } else {
        answer(context, frame);
    }
    super::rest(context, id);
}

/// Notes that the copies may differ, and that nobody may be accused of it.
fn broken(context: &mut Context<'_>, id: TransactionId) {
    if let Some(transaction) = context.transactions.get_mut(id) {
        transaction.broken = true;
        transaction.release = true;
    }
    super::super::refresh_needed(context, id);
}

/// The failure of a fop that some children may have executed.
fn unknown(context: &Context<'_>, id: TransactionId, round: &Round) -> Failure {
    match round.errno {
        Some(errno) if errno != Errno::ENOTCONN => Failure::Errno(errno),
        _ => {
            let at = context.transactions.get(id).map(|transaction| transaction.node);
            let down = super::super::why_down(context, at.unwrap_or_default());
            Failure::Lost { down, server: 0 }
        }
    }
}

/// Answers a frame whose fop has succeeded.
pub(super) fn answer(context: &mut Context<'_>, frame: FrameId) {
    let Some(count) = round_mut(context, frame).map(|round| round.count) else { return };
    context.frames.unwind(frame, Outcome::ok(count));
}

/// Answers the frames that have waited until the failures of children were recorded.
pub(super) fn answer_held(context: &mut Context<'_>, id: TransactionId, recorded: bool) {
    loop {
        let Some(transaction) = context.transactions.get_mut(id) else { return };
        let Some(frame) = context.frames.take_first(&mut transaction.held) else { return };
        if recorded {
            answer(context, frame);
        } else {
            let round = round_mut(context, frame).map(|round| *round).unwrap_or_default();
            let failure = unknown(context, id, &Round { errno: None, ..round });
            context.frames.unwind(frame, Outcome::failed(failure));
        }
    }
}

/// The children that have carried out the fop of a transaction on entries.
pub(super) fn holders_of_new(context: &Context<'_>, id: TransactionId) -> Children {
    context.transactions.get(id).map_or(Children::NONE, |each| each.holding())
}
