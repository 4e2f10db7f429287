//! Translators: state machines over typed fops, connected by a queue.
//!
//! A fop enters at the top of a graph and is *wound* from translator to translator down to a
//! `protocol/client`, which makes a call of it. The outcome is *unwound* the same way up. Nothing
//! in this module knows sockets; only `client` knows records.
//!
//! A translator is one module of at most four functions, and an arm in each `match` over
//! [`node::NodeKind`]: it *starts* a frame, takes the *outcome* of a child's frame, names its xdata
//! *keys*, and handles the *event* of a child.

mod abandoned;
pub(crate) mod client;
mod context;
mod deadlines;
pub(crate) mod distribute;
mod file;
mod fop;
mod frames;
mod inodes;
mod node;
mod unavailable;
mod xdata;

pub(crate) use abandoned::InDoubt;
pub use client::RemoteFd;
pub(crate) use context::{ChildEvent, Context, Parts};
pub(crate) use deadlines::{CALL_MS_MAX, TimerKey};
pub use file::File;
pub(crate) use fop::{Attrs, Entry, Fd, Fop};
pub use frames::Frame;
pub(crate) use frames::{Due, Failure, Frames, Outcome, Parent, Slot};
pub(crate) use inodes::Inodes;
pub use inodes::{Inode, InodeChain};
pub use node::Node;
pub(crate) use node::{NodeKind, NodeRef, Nodes, Span};
pub use unavailable::{Down, GraphError, Table};

use crate::id::FrameId;

/// Starts a frame in its translator.
pub(crate) fn start(context: &mut Context<'_>, id: FrameId, at: NodeRef) {
    let Some(node) = context.nodes.get(at) else {
        return context
            .frames
            .unwind(id, Outcome::failed(Failure::NotSent(crate::xlator::Down::Untried)));
    };
    match node.kind {
        NodeKind::Client(_) => client::start(context, id),
        // Distribute only adds keys to the xdata, and hides entries when a directory page is read.
        NodeKind::Distribute => {
            let child = NodeRef { graph: at.graph, node: node.first_child };
            context.frames.wind_tail(id, child);
        }
        NodeKind::None => {
            context
                .frames
                .unwind(id, Outcome::failed(Failure::NotSent(crate::xlator::Down::Untried)));
        }
    }
}

/// Hands the outcome of a child's frame to the translator of the frame `above`, which tagged the
/// child with `slot`.
///
/// No translator has frames of its own below it yet: each forwards fops with `wind_tail`, so the
/// outcome is passed on.
pub(crate) fn answered(context: &mut Context<'_>, above: FrameId, _slot: Slot, outcome: Outcome) {
    let Some(frame) = context.frames.table.get(above) else { return };
    match context.nodes.get(frame.node).map(|node| &node.kind) {
        Some(NodeKind::Distribute | NodeKind::Client(_) | NodeKind::None) | None => {
            context.frames.unwind(above, outcome)
        }
    }
}

/// Reports the event of a brick to the translators above it, from one to the next. Returns what the
/// top of the graph has to say to the volume, if it has to say anything.
pub(crate) fn report(
    context: &mut Context<'_>,
    brick: NodeRef,
    event: ChildEvent,
) -> Option<ChildEvent> {
    let (mut at, mut event) = (brick, event);
    loop {
        let node = context.nodes.get_mut(at)?;
        match event {
            ChildEvent::Up { .. } => node.up = true,
            ChildEvent::Down => node.up = false,
            ChildEvent::Failed => {}
        }
        let Some(parent) = node.parent else { return Some(event) };
        let child = node.index;
        at = NodeRef { graph: at.graph, node: parent };
        event = heard(context, at, child, event)?;
    }
}

/// Handles the event of a child, by its place among the children. Returns the event of the
/// translator itself that follows from it.
fn heard(
    context: &mut Context<'_>,
    at: NodeRef,
    _child: u16,
    event: ChildEvent,
) -> Option<ChildEvent> {
    match context.nodes.get(at)?.kind {
        // It has one child, and is up when that is.
        NodeKind::Distribute => Some(event),
        NodeKind::Client(_) | NodeKind::None => None,
    }
}
