//! Fops that change nothing and that one copy can answer: another copy is asked if the first one
//! fails (docs/spec/10-replicate.md, "Reads").

use super::children::Children;
use super::lookup;
use super::round::Stage;
use super::{child_ref, forget_failures, gfid_of, readable, replicate, round_mut, why_down};
use crate::id::FrameId;
use crate::xdr::{Errno, Gfid};
use crate::xlator::context::Context;
use crate::xlator::fop::Fop;
use crate::xlator::frames::{Failure, Outcome, Parent, Slot};
use crate::xlator::node::NodeRef;

pub(super) fn start(context: &mut Context<'_>, id: FrameId) {
    let Some(frame) = context.frames.table.get(id) else { return };
    let (at, fop, gfid) = (frame.node, frame.fop, gfid_of(frame));
    if let Fop::Readdirp { fd, offset, .. } = fop {
        // Offsets of a directory are the brick's own: a listing ends where it began.
        let begun = context.files.get(fd.file).and_then(|file| file.read_child);
        if let Some(child) = begun.filter(|_| offset != 0) {
            return wind(context, id, child);
        }
    }
    match choose(context, at, &fop, &gfid, Children::NONE) {
        Choice::Child(child) => wind(context, id, child),
        Choice::Unknown => {
            forget_failures(context, &gfid);
            lookup::refresh(context, id);
        }
        Choice::NoneLeft => refused(context, id, Errno::EIO),
    }
}

/// The counters were read again: chooses a copy.
pub(super) fn refreshed(context: &mut Context<'_>, id: FrameId) {
    let Some(frame) = context.frames.table.get(id) else { return };
    let (at, fop, gfid) = (frame.node, frame.fop, gfid_of(frame));
    let Some(round) = round_mut(context, id) else { return };
    round.refreshed = true;
    let (tried, errno, lost) = (round.tried, round.errno, round.lost);
    match choose(context, at, &fop, &gfid, tried) {
        Choice::Child(child) => wind(context, id, child),
        _ if lost => {
            let down = why_down(context, at);
            let failure = Failure::Lost { down, server: 0 };
            context.frames.unwind(id, Outcome::failed(failure));
        }
        _ => refused(context, id, errno.unwrap_or(Errno::EIO)),
    }
}

fn refused(context: &mut Context<'_>, id: FrameId, errno: Errno) {
    context.frames.unwind(id, Outcome::failed(Failure::Errno(errno)));
}

enum Choice {
    Child(u16),
    /// The children have to be asked which copies are good.
    Unknown,
    NoneLeft,
}

/// Chooses a copy that nobody accuses, of a child that is up and was not tried. All clients choose
/// the same one of an inode, so that its changes are seen in one order.
fn choose(context: &Context<'_>, at: NodeRef, fop: &Fop, gfid: &Gfid, tried: Children) -> Choice {
    let Some(replicate) = replicate(context, at) else { return Choice::NoneLeft };
    let Some(known) = readable(context, at, gfid) else { return Choice::Unknown };
    let both = known.data.and(known.metadata);
    // Names can be read of a directory that no copy has in full.
    let is_listing = matches!(fop, Fop::Readdirp { .. });
    let good = if is_listing && both.is_empty() { replicate.up } else { both };
    let good = good.and(replicate.up);
    if good.is_empty() && tried.is_empty() {
        return Choice::Unknown;
    }
    let left = good.without(tried);
    let first = gfid.0.iter().fold(0_u32, |sum, byte| sum.wrapping_mul(31) + u32::from(*byte));
    let first = (first % u32::from(replicate.count.max(1))) as u16;
    match left.next(first).or_else(|| left.next(0)) {
        Some(child) => Choice::Child(child),
        None => Choice::NoneLeft,
    }
}

fn wind(context: &mut Context<'_>, id: FrameId, child: u16) {
    let Some(frame) = context.frames.table.get(id) else { return };
    let (at, op, fop) = (frame.node, frame.op, frame.fop);
    if let Fop::Readdirp { fd, .. } = fop
        && let Some(file) = context.files.get_mut(fd.file)
    {
        file.read_child = Some(child);
    }
    if let Some(round) = round_mut(context, id) {
        (round.stage, round.waiting) = (Stage::Reading, Children::only(child));
        round.tried.add(child);
    }
    let Some(node) = child_ref(context, at, child) else { return };
    // Frames for it are reserved.
    let wound = context.frames.wind(node, Parent::Frame(id, Slot(child)), op, fop);
    debug_assert!(wound.is_some());
}

/// Takes the answer of the copy. The reply, which is lent in this step, is passed on with it.
pub(super) fn answered(context: &mut Context<'_>, id: FrameId, child: u16, outcome: Outcome) {
    let Err(failure) = outcome.result else { return context.frames.unwind(id, outcome) };
    let Some(frame) = context.frames.table.get(id) else { return };
    let (at, fop, gfid) = (frame.node, frame.fop, gfid_of(frame));
    let Some(round) = round_mut(context, id) else { return };
    round.waiting.remove(child);
    let refreshed = round.refreshed;
    match (fop, failure) {
        // The copies agree about these.
        (Fop::GetXattr { .. }, Failure::Errno(Errno::ENODATA))
        | (Fop::Seek { .. }, Failure::Errno(Errno::ENXIO))
        | (_, Failure::TooLong | Failure::Busy(_)) => return context.frames.unwind(id, outcome),
        (Fop::Readdirp { offset, .. }, failure) if offset != 0 => {
            let errno = match failure {
                Failure::Errno(errno) => errno,
                _ => Errno::ENOTCONN,
            };
            return refused(context, id, errno);
        }
        _ => round.failed(child, &failure),
    }
    let tried = round.tried;
    if !refreshed {
        return lookup::refresh(context, id);
    }
    match choose(context, at, &fop, &gfid, tried) {
        Choice::Child(child) => wind(context, id, child),
        _ => refreshed_out(context, id),
    }
}

/// No copy is left to ask.
fn refreshed_out(context: &mut Context<'_>, id: FrameId) {
    let Some(at) = context.frames.table.get(id).map(|frame| frame.node) else { return };
    let Some(round) = round_mut(context, id) else { return };
    let (errno, lost) = (round.errno, round.lost);
    if lost || errno == Some(Errno::ENOTCONN) {
        // Its operation asks again when a quorum is there.
        let failure = Failure::Lost { down: why_down(context, at), server: 0 };
        return context.frames.unwind(id, Outcome::failed(failure));
    }
    refused(context, id, errno.unwrap_or(Errno::EIO));
}
