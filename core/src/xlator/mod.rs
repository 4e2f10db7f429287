//! Translators: state machines over typed fops, joined by a queue.
//!
//! A fop enters at the top of a graph, is *wound* from translator to translator down to a `protocol/client`, becomes a
//! call there, and its answer is *unwound* the same way up. Nothing under here knows what a socket is; only `client`
//! knows what a record is.
//!
//! A new translator is one module with (at most) four functions, and an arm in each `match` over [`node::NodeKind`]: *start* a
//! frame, hear the *answer* of a child's frame, say which xdata *keys* it adds, and hear an *event* of a child.

pub(crate) mod client;
pub(crate) mod distribute;
mod down;
mod file;
mod flow;
mod fop;
mod keys;
mod node;
mod stack;

pub use client::RemoteFd;
pub use down::{Down, GraphError, Table};
pub use file::File;
pub(crate) use file::lose_unflushed;
pub use flow::Frame;
pub(crate) use flow::{Answer, Due, Failure, Flow, Parent, Slot};
pub(crate) use fop::{Attrs, Entry, Fd, Fop};
pub use node::Node;
pub(crate) use node::{NodeKind, NodeRef, Span};
pub(crate) use stack::{BrickEvent, CALL_MS_MAX, Key, Parts, Stack};

use crate::id::FrameId;

/// Starts a frame on its translator.
pub(crate) fn start(stack: &mut Stack<'_>, id: FrameId, at: NodeRef) {
    let Some(node) = stack.flow.node(at) else {
        return stack
            .flow
            .unwind(id, Answer::failed(Failure::NotSent(crate::xlator::Down::Untried)));
    };
    match node.kind {
        NodeKind::Client(_) => client::start(stack, id),
        // What it adds to a fop are keys, and what it hides is hidden where entries are read.
        NodeKind::Distribute => {
            let child = NodeRef { graph: at.graph, node: node.first_child };
            stack.flow.wind_tail(id, child);
        }
        NodeKind::None => {
            stack.flow.unwind(id, Answer::failed(Failure::NotSent(crate::xlator::Down::Untried)));
        }
    }
}

/// A child's frame has its answer: the translator of the frame above hears it. `slot` is what that one called it.
///
/// Every translator that there is hands fops on as they are and has no frames below its own; one that had would find its
/// answer here.
pub(crate) fn answered(stack: &mut Stack<'_>, above: FrameId, _slot: Slot, answer: Answer) {
    let Some(frame) = stack.flow.frames.get(above) else { return };
    match stack.flow.node(frame.node).map(|node| &node.kind) {
        Some(NodeKind::Distribute | NodeKind::Client(_) | NodeKind::None) | None => {
            stack.flow.unwind(above, answer)
        }
    }
}

/// Hears what a leaf has to say, and passes it up.
pub(crate) fn hear(stack: &mut Stack<'_>, at: NodeRef, event: BrickEvent) {
    let up = matches!(event, BrickEvent::Up { .. });
    let mut next = Some(at);
    while let Some(here) = next {
        let Some(node) = stack.flow.node_mut(here) else { break };
        // Every translator that there is has one child: it is up when that one is.
        node.up = up;
        next = node.parent.map(|node| NodeRef { graph: at.graph, node });
    }
}
