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
pub(crate) mod replicate;
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
pub use replicate::{Kept, Transaction};
pub use unavailable::{Down, GraphError, Table};

use crate::fop::wire::Reply;
use crate::id::FrameId;
use crate::xdr::Gfid;

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
        NodeKind::Replicate(_) => replicate::start(context, id),
        NodeKind::None => {
            context
                .frames
                .unwind(id, Outcome::failed(Failure::NotSent(crate::xlator::Down::Untried)));
        }
    }
}

/// Hands the outcome of a child's frame to the translator of the frame `above`, which tagged the
/// child with `slot`. A translator that has no frames of its own below it forwards fops with
/// `wind_tail`, so that it sees no outcomes.
pub(crate) fn answered(
    context: &mut Context<'_>,
    above: FrameId,
    slot: Slot,
    outcome: Outcome,
    reply: Option<&Reply<'_>>,
) {
    let Some(frame) = context.frames.table.get(above) else { return };
    match context.nodes.get(frame.node).map(|node| &node.kind) {
        Some(NodeKind::Replicate(_)) => replicate::answered(context, above, slot, outcome, reply),
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
    child: u16,
    event: ChildEvent,
) -> Option<ChildEvent> {
    match context.nodes.get(at)?.kind {
        // It has one child, and is up when that is.
        NodeKind::Distribute => Some(event),
        NodeKind::Replicate(_) => replicate::heard(context, at, child, event),
        NodeKind::Client(_) | NodeKind::None => None,
    }
}

/// Says whether the volume can answer without this brick, because others have what it has.
pub(crate) fn can_do_without(context: &Context<'_>, brick: NodeRef) -> bool {
    let Some(node) = context.nodes.get(brick) else { return false };
    let parent = node.parent.map(|parent| NodeRef { graph: brick.graph, node: parent });
    parent.is_some_and(|parent| replicate::can_do_without(context, parent, node.index))
}

/// An operation ends before the frame at the top of its graph does. Returns true if the frame
/// stays, with another parent, because bricks have begun what a translator has to finish.
pub(crate) fn abandon(context: &mut Context<'_>, id: FrameId, parent: Parent) -> bool {
    let Some(frame) = context.frames.table.get(id) else { return false };
    match context.nodes.get(frame.node).map(|node| &node.kind) {
        Some(NodeKind::Replicate(_)) => replicate::abandon(context, id, parent),
        _ => false,
    }
}

/// A brick says that another client waits for a lock that we hold on an inode.
pub(crate) fn contended(context: &mut Context<'_>, brick: NodeRef, gfid: &Gfid) {
    let parent = context.nodes.get(brick).and_then(|node| node.parent);
    if let Some(node) = parent {
        let at = NodeRef { graph: brick.graph, node };
        replicate::transaction::contended(context, at, gfid);
    }
}
