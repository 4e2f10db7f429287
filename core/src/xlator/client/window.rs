//! Frames that wait for room in the window of their connection, in a list through the frames.

use super::super::context::Context;
use super::super::node::NodeRef;
use super::{fds, send};
use crate::id::FrameId;
use crate::rpc::transport::{Fifo, TransportIx};

pub(super) fn park(context: &mut Context<'_>, at: TransportIx, id: FrameId) {
    let Some(transport) = context.transports.get_mut(at) else { return };
    let last = transport.waiting.last.replace(id);
    if last.is_none() {
        transport.waiting.first = Some(id);
    }
    if let Some(last) = last.and_then(|last| context.frames.table.get_mut(last)) {
        last.next = Some(id);
    }
    if let Some(frame) = context.frames.table.get_mut(id) {
        frame.parked = true;
        frame.next = None;
    }
}

/// Takes the first frame that waits for a connection's window.
pub(crate) fn unpark(context: &mut Context<'_>, at: TransportIx) -> Option<FrameId> {
    let transport = context.transports.get_mut(at)?;
    let id = transport.waiting.first?;
    let next = context.frames.table.get_mut(id).and_then(|frame| {
        frame.parked = false;
        frame.next.take()
    });
    transport.waiting.first = next;
    if next.is_none() {
        transport.waiting.last = None;
    }
    Some(id)
}

/// Takes a frame out of the list of those that wait for a window: its operation has ended.
pub(crate) fn unpark_one(context: &mut Context<'_>, at: NodeRef, id: FrameId) {
    let lanes = context.client(at).map(|client| client.lanes).unwrap_or_default();
    for transport in lanes.iter().filter_map(|lane| lane.transport) {
        unpark_one_of(context, transport, id);
    }
    if let Some(frame) = context.frames.table.get_mut(id) {
        frame.parked = false;
        frame.next = None;
    }
}

fn unpark_one_of(context: &mut Context<'_>, at: TransportIx, id: FrameId) {
    let waiting = context
        .transports
        .get_mut(at)
        .map(|transport| core::mem::take(&mut transport.waiting))
        .unwrap_or_default();
    let Fifo { first: mut next, .. } = waiting;
    while let Some(each) = next {
        next = context.frames.table.get_mut(each).and_then(|frame| {
            frame.parked = false;
            frame.next.take()
        });
        if each != id {
            park(context, at, each);
        }
    }
}

/// Sends waiting frames, in order, while the window has room.
pub(crate) fn pump(context: &mut Context<'_>, at: TransportIx, lane: u8) {
    while let Some(id) = unpark(context, at) {
        if !send(context, at, lane, id) {
            return park_first(context, at, id);
        }
    }
    fds::release_more(context, at);
}

fn park_first(context: &mut Context<'_>, at: TransportIx, id: FrameId) {
    let Some(transport) = context.transports.get_mut(at) else { return };
    let first = transport.waiting.first.replace(id);
    if first.is_none() {
        transport.waiting.last = Some(id);
    }
    if let Some(frame) = context.frames.table.get_mut(id) {
        frame.parked = true;
        frame.next = first;
    }
}
