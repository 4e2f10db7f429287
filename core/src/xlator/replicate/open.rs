//! OPEN and OPENDIR: on every child, and a quorum has to succeed (docs/spec/10-replicate.md, "Other
//! read-side fops").

use super::children::Children;
use super::round::Stage;
use super::{readable, replicate, round_mut, transaction, want_fds, why_down, wind_round};
use crate::fop::OpenFlags;
use crate::id::FrameId;
use crate::xdr::Errno;
use crate::xlator::context::Context;
use crate::xlator::fop::{Fd, Fop};
use crate::xlator::frames::{Failure, Outcome};

pub(super) fn start(context: &mut Context<'_>, id: FrameId) {
    let Some((at, fop)) = context.frames.table.get(id).map(|frame| (frame.node, frame.fop)) else {
        return;
    };
    let up = replicate(context, at).map_or(Children::NONE, |replicate| replicate.up);
    let fop = match fop {
        Fop::Open { fd, flags } => {
            // A file of which no copy is good cannot be read or written.
            let known = readable(context, at, &fd.gfid);
            if known.is_some_and(|known| known.data.and(known.metadata).is_empty()) {
                let failure = Failure::Errno(Errno::EIO);
                return context.frames.unwind(id, Outcome::failed(failure));
            }
            if let Some(round) = round_mut(context, id) {
                round.truncates = flags.has(OpenFlags::TRUNCATE);
            }
            Fop::Open { fd, flags: flags.without(OpenFlags::TRUNCATE) }
        }
        fop => fop,
    };
    wind_round(context, id, Stage::Opening, up, fop);
}

pub(super) fn answered(context: &mut Context<'_>, id: FrameId, child: u16, outcome: Outcome) {
    let Some((at, fop)) = context.frames.table.get(id).map(|frame| (frame.node, frame.fop)) else {
        return;
    };
    let Some(round) = round_mut(context, id) else { return };
    round.waiting.remove(child);
    match outcome.result {
        Ok(_) => round.succeeded(child, 0),
        Err(failure) => round.failed(child, &failure),
    }
    if !round.waiting.is_empty() {
        return;
    }
    let round = *round;
    let Some(replicate) = replicate(context, at) else { return };
    if !replicate.has_quorum(round.best) {
        let failure = match round.errno {
            Some(errno) if errno != Errno::ENOTCONN => Failure::Errno(errno),
            _ => Failure::Lost { down: why_down(context, at), server: 0 },
        };
        return context.frames.unwind(id, Outcome::failed(failure));
    }
    let missing = replicate.all().without(round.best);
    if let Fop::Open { fd: Fd { file, .. }, .. } | Fop::OpenDir { fd: Fd { file, .. } } = fop {
        want_fds(context, at, file, missing);
    }
    if round.truncates {
        transaction::join(context, id, None)
    } else {
        context.frames.unwind(id, Outcome::ok(0));
    }
}
