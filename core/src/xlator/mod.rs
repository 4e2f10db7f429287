//! Translators: state machines over typed fops, joined by a queue.
//!
//! A fop enters at the top of a graph, is *wound* from translator to translator down to a `protocol/client`, becomes a
//! call there, and its answer is *unwound* the same way up. Nothing under here knows what a socket is; only `client`
//! knows what a record is.
//!
//! A new translator is one module with (at most) four functions, and an arm in each `match` over [`node::NodeKind`]: *start* a
//! frame, hear the *answer* of a child's frame, say which xdata *keys* it adds, and hear an *event* of a child.

pub(crate) mod client;
mod context;
pub(crate) mod distribute;
mod file;
mod fop;
mod frames;
mod node;
mod unavailable;
mod xdata;

pub use client::RemoteFd;
pub(crate) use context::{BrickEvent, CALL_MS_MAX, Context, Parts, TimerKey};
pub use file::File;
pub(crate) use file::{InDoubt, lose_unflushed};
pub(crate) use fop::{Attrs, Entry, Fd, Fop};
pub use frames::Frame;
pub(crate) use frames::{Due, Failure, Frames, Outcome, Parent, Slot};
pub use node::Node;
pub(crate) use node::{NodeKind, NodeRef, Nodes, Span};
pub use unavailable::{Down, GraphError, Table};

use crate::id::FrameId;

/// Starts a frame on its translator.
pub(crate) fn start(context: &mut Context<'_>, id: FrameId, at: NodeRef) {
    let Some(node) = context.nodes.get(at) else {
        return context
            .frames
            .unwind(id, Outcome::failed(Failure::NotSent(crate::xlator::Down::Untried)));
    };
    match node.kind {
        NodeKind::Client(_) => client::start(context, id),
        // What it adds to a fop are keys, and what it hides is hidden where entries are read.
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

/// A child's frame has its answer: the translator of the frame above hears it. `slot` is what that one called it.
///
/// Every translator that there is hands fops on as they are and has no frames below its own; one that had would find its
/// answer here.
pub(crate) fn answered(context: &mut Context<'_>, above: FrameId, _slot: Slot, outcome: Outcome) {
    let Some(frame) = context.frames.table.get(above) else { return };
    match context.nodes.get(frame.node).map(|node| &node.kind) {
        Some(NodeKind::Distribute | NodeKind::Client(_) | NodeKind::None) | None => {
            context.frames.unwind(above, outcome)
        }
    }
}

/// Hears what a leaf has to say, and passes it up.
pub(crate) fn hear(context: &mut Context<'_>, at: NodeRef, event: BrickEvent) {
    let up = matches!(event, BrickEvent::Up { .. });
    let mut next = Some(at);
    while let Some(here) = next {
        let Some(node) = context.nodes.get_mut(here) else { break };
        // Every translator that there is has one child: it is up when that one is.
        node.up = up;
        next = node.parent.map(|node| NodeRef { graph: at.graph, node });
    }
}
