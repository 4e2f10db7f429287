//! Open files are opened again on a new connection before it counts as up.

use super::super::context::Context;
use super::super::node::NodeRef;
use super::{LanePhase, fds, handshake};
use crate::fop::wire::{Body, Reply};
use crate::id::FdId;
use crate::rpc::transport::CallError;
use crate::xdr::Errno;

/// Reopens in flight: bounds the work of one step after a reconnect.
const REOPENS_MAX: u16 = 32;

/// The progress of reopening files.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ReopenWindow {
    /// Entries in slots below this one have been sent.
    next: u32,
    outstanding: u16,
}

/// Sends further OPENs for open files; when all are answered, the lane is up.
pub(super) fn reopen_more(context: &mut Context<'_>, at: NodeRef, lane: u8) {
    loop {
        let Some(entry) = context.lane_mut(at, lane) else { return };
        if entry.phase != LanePhase::Reopening || entry.reopening.outstanding >= REOPENS_MAX {
            return;
        }
        let (next, outstanding) = (entry.reopening.next, entry.reopening.outstanding);
        // A further lane opens files when they are read.
        let wanted = if lane == 0 { fds::next_wanted(context, at, lane, next) } else { None };
        let Some(id) = wanted else {
            if outstanding == 0 {
                handshake::up(context, at, lane);
            }
            return;
        };
        match fds::reopen(context, id) {
            Ok(()) => {
                if let Some(entry) = context.lane_mut(at, lane) {
                    entry.reopening.next = id.slot() as u32 + 1;
                    entry.reopening.outstanding += 1;
                }
            }
            // The window is full; the next answer continues here.
            Err(CallError::WindowFull | CallError::CallsFull) if outstanding > 0 => return,
            Err(error) => return handshake::close_unless_sent(context, at, lane, Err(error)),
        }
    }
}

/// Takes the answer to an OPEN or OPENDIR for a file that was open before.
pub(crate) fn reopened(
    context: &mut Context<'_>,
    at: NodeRef,
    lane: u8,
    id: FdId,
    dir: bool,
    reply: &Reply<'_>,
) {
    let Some((epoch, transport)) =
        context.lane_mut(at, lane).map(|lane| (lane.epoch, lane.transport))
    else {
        return;
    };
    let result = match (reply.result(), &reply.body) {
        (Ok(_), Body::Open { fd }) => Ok(*fd),
        (Ok(_), _) => Err(Errno::EIO),
        (Err(errno), _) => Err(errno),
    };
    match (context.fds.get_mut(id), result) {
        (Some(fd), Ok(number)) if fd.state == fds::FdState::Opening => {
            fd.number = number;
            fd.epoch = epoch;
            fd.state = fds::FdState::Open;
        }
        (Some(fd), Err(errno)) if fd.state == fds::FdState::Opening => {
            fd.state = fds::FdState::Failed(errno)
        }
        // The file was closed meanwhile.
        (_, Ok(number)) => {
            if let Some(transport) = transport {
                fds::release_orphan(context, transport, number, dir);
            }
        }
        _ => {}
    }
    if let Some(entry) = context.lane_mut(at, lane)
        && entry.phase == LanePhase::Reopening
    {
        entry.reopening.outstanding = entry.reopening.outstanding.saturating_sub(1);
        // The deadline is for each answer, not for all of them together.
        if let Some(transport) = transport {
            context.arm_step(transport);
        }
        reopen_more(context, at, lane);
    }
}
