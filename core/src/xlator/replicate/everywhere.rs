//! Fops that go to every child and that one success suffices for: FLUSH and STATFS
//! (docs/spec/10-replicate.md, "Other read-side fops").

use super::children::Children;
use super::round::Stage;
use super::{arbiter_of, kept_mut, replicate, round_mut, transaction, why_down, wind_round};
use crate::fop::wire::{Body, Reply};
use crate::id::FrameId;
use crate::xdr::Errno;
use crate::xlator::context::Context;
use crate::xlator::fop::Fop;
use crate::xlator::frames::{Failure, Outcome};

pub(super) fn start(context: &mut Context<'_>, id: FrameId) {
    let Some((at, fop)) = context.frames.table.get(id).map(|frame| (frame.node, frame.fop)) else {
        return;
    };
    let mut to = replicate(context, at).map_or(Children::NONE, |replicate| replicate.up);
    match fop {
        Fop::Flush { fd } => {
            let settled = round_mut(context, id).is_some_and(|round| round.stage == Stage::Settled);
            let inode = context.inodes.find(&fd.gfid).and_then(|inode| context.inodes.get(inode));
            let open = inode.and_then(|inode| inode.transaction);
            if let Some(open) = open.filter(|_| !settled) {
                // Nothing of this handle is left to be recorded when the caller has closed it.
                if let Some(round) = round_mut(context, id) {
                    round.stage = Stage::Settled;
                }
                transaction::wait(context, open, id);
                return transaction::release(context, open);
            }
        }
        _ => {
            // An arbiter's space is not the volume's.
            if let Some(arbiter) = arbiter_of(context, at) {
                to.remove(arbiter);
            }
        }
    }
    if to.is_empty() {
        let failure = Failure::NotSent(why_down(context, at));
        return context.frames.unwind(id, Outcome::failed(failure));
    }
    wind_round(context, id, Stage::Everywhere, to, fop);
}

pub(super) fn answered(
    context: &mut Context<'_>,
    id: FrameId,
    child: u16,
    outcome: Outcome,
    reply: Option<&Reply<'_>>,
) {
    let Some(at) = context.frames.table.get(id).map(|frame| frame.node) else { return };
    if let (Ok(_), Some(Body::Statfs(statfs))) = (outcome.result, reply.map(|reply| &reply.body))
        && let Some(kept) = kept_mut(context, id)
        && kept.statfs.is_none_or(|least| statfs.bavail < least.bavail)
    {
        // The volume has as much room as the child that has least.
        kept.statfs = Some(*statfs);
    }
    let Some(round) = round_mut(context, id) else { return };
    round.waiting.remove(child);
    match outcome.result {
        Ok(count) => round.succeeded(child, count),
        Err(failure) => round.failed(child, &failure),
    }
    if !round.waiting.is_empty() {
        return;
    }
    let round = *round;
    let outcome = match (round.best.is_empty(), round.errno) {
        (false, _) => Outcome::ok(round.count),
        (true, None | Some(Errno::ENOTCONN)) => {
            Outcome::failed(Failure::Lost { down: why_down(context, at), server: 0 })
        }
        (true, Some(errno)) => Outcome::failed(Failure::Errno(errno)),
    };
    context.frames.unwind(id, outcome);
}
