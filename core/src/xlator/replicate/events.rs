//! Children come and go (docs/spec/10-replicate.md, "Child state machine").

use super::{child_ref, replicate, replicate_mut, transaction};
use crate::xlator::context::{ChildEvent, Context};
use crate::xlator::node::NodeRef;

/// Handles the event of a child. Returns what follows from it for the parent.
pub(crate) fn heard(
    context: &mut Context<'_>,
    at: NodeRef,
    child: u16,
    event: ChildEvent,
) -> Option<ChildEvent> {
    let was_up = context.nodes.get(at)?.up;
    let unsettled = context
        .transactions
        .ids()
        .any(|id| context.transactions.get(id).is_some_and(|transaction| transaction.node == at));
    let replicate = replicate_mut(context, at)?;
    replicate.heard.add(child);
    let before = replicate.up;
    match event {
        ChildEvent::Up { restarted, .. } => {
            replicate.up.add(child);
            // While others are up, they accuse a child whose connection has ended.
            replicate.restarted |= restarted && (!was_up || unsettled);
        }
        ChildEvent::Down => replicate.up.remove(child),
        ChildEvent::Failed => {}
    }
    let changed = replicate.up != before;
    if changed {
        replicate.generation = replicate.generation.wrapping_add(1);
    }
    let is_up =
        replicate.has_quorum(replicate.up) && (was_up || replicate.heard == replicate.all());
    let event = match (was_up, is_up) {
        (false, true) => {
            let restarted = core::mem::take(&mut replicate.restarted);
            Some(ChildEvent::Up { server: 0, restarted })
        }
        (true, false) => Some(ChildEvent::Down),
        (false, false) if event == ChildEvent::Failed => Some(ChildEvent::Failed),
        _ => None,
    };
    if changed {
        rearm_pings(context, at);
        transaction::child_changed(context, at, child, event_is_up(context, at, child));
    }
    event
}

/// The time that a child may be silent depends on the others.
fn rearm_pings(context: &mut Context<'_>, at: NodeRef) {
    let count = replicate(context, at).map_or(0, |replicate| replicate.count);
    for child in 0..count {
        let client = child_ref(context, at, child).and_then(|child| context.client(child));
        let Some(lanes) = client.map(|client| client.lanes) else { continue };
        for transport in lanes.iter().filter_map(|lane| lane.transport) {
            context.rearm_ping(transport);
        }
    }
}

fn event_is_up(context: &Context<'_>, at: NodeRef, child: u16) -> bool {
    replicate(context, at).is_some_and(|replicate| replicate.up.contains(child))
}

/// A transaction has ended. When the last one has, nothing unflushed is left that a restarted brick
/// may have lost and that no other brick accuses it of.
pub(super) fn settled(context: &mut Context<'_>, at: NodeRef) {
    let unsettled = context
        .transactions
        .ids()
        .any(|id| context.transactions.get(id).is_some_and(|transaction| transaction.node == at));
    if !unsettled
        && context.nodes.get(at).is_some_and(|node| node.up)
        && let Some(replicate) = replicate_mut(context, at)
    {
        replicate.restarted = false;
    }
}

/// Says whether the other children can answer without this one: then it must not hold them up.
pub(crate) fn can_do_without(context: &Context<'_>, at: NodeRef, child: u16) -> bool {
    replicate(context, at).is_some_and(|replicate| {
        let mut others = replicate.up;
        others.remove(child);
        replicate.has_quorum(others)
    })
}
