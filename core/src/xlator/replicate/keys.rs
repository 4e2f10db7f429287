//! The keys that this translator adds to the xdata of fops, and the operands of changes of counters
//! (docs/spec/10-replicate.md, "Eager lock", "Request", "Granular name indices").

use super::changelog::{VALUE_BYTES, Values, ZERO};
use super::{CHILDREN_MAX, Children, Replicate};
use crate::names::Names;
use crate::xdr::{Pair, Value};
use crate::xlator::fop::{Delta, Fop};
use crate::xlator::node::{Node, NodeRef, Nodes};
use crate::xlator::xdata::Xdata;

/// Adds the keys for a fop. `text` is the volfile of the graph, with the keys of the counters.
pub(crate) fn keys<'k>(
    nodes: &Nodes<'_>,
    at: NodeRef,
    text: &'k [u8],
    names: &'k Names<'_>,
    fop: &Fop,
    keys: &mut Xdata<'k>,
) {
    let Some(node) = nodes.get(at) else { return };
    let Some(replicate) = node.replicate() else { return };
    let domain = Value::Str(node.name.of(text));
    match *fop {
        Fop::Lookup { .. } | Fop::LookupGfid { .. } | Fop::Fstat { .. } => {
            // The length of the value that is asked for.
            let wanted = Value::Uint(VALUE_BYTES as u64);
            for child in children(nodes, at, node, replicate) {
                keys.add_bytes(child.pending_key.of(text), wanted);
            }
            keys.add_bytes(replicate.dirty_key.of(text), wanted);
            keys.add("glusterfs.inodelk-dom-count", domain);
            if let Fop::Lookup { .. } = fop {
                keys.add("glusterfs.parent-entrylk", Value::Uint(0));
            }
        }
        Fop::Write { .. } | Fop::WriteWitness { .. } | Fop::Fsync { .. } => {
            keys.add("glusterfs.inodelk-dom-count", domain);
        }
        Fop::SyncBatch { .. } => {
            keys.add("batch-fsync", Value::Int(1));
            keys.add("glusterfs-internal-fop", Value::Str(b"yes"));
        }
        Fop::Changelog { created: Some(name), .. } if replicate.granular => {
            keys.add("glusterfs.xattrop-entry-create", Value::Str(names.get(name)));
        }
        _ => {}
    }
}

/// The operands of a change of counters. All keys are always there: a brick removes its index entry
/// of an inode if those in the request are zero.
pub(crate) fn operands<'k>(
    nodes: &Nodes<'_>,
    at: NodeRef,
    text: &'k [u8],
    delta: &Delta,
    values: &'k Values,
) -> heapless::Vec<Pair<'k>, { CHILDREN_MAX + 1 }> {
    let mut pairs = heapless::Vec::new();
    let mut add = |key: &'k [u8], value: &'k [u8]| {
        // There are so many children at most.
        let _ = pairs.push(Pair { key, value: Value::Ptr(value) });
    };
    let Some((node, replicate)) = nodes.get(at).and_then(|node| Some((node, node.replicate()?)))
    else {
        return pairs;
    };
    let accused = Children(delta.accused);
    for (index, child) in (0..).zip(children(nodes, at, node, replicate)) {
        let value = if accused.contains(index) { &values.accused[..] } else { &ZERO[..] };
        add(child.pending_key.of(text), value);
    }
    add(replicate.dirty_key.of(text), &values.dirty);
    pairs
}

fn children<'n>(
    nodes: &'n Nodes<'_>,
    at: NodeRef,
    node: &Node,
    replicate: &Replicate,
) -> impl Iterator<Item = &'n Node> {
    let first = node.first_child;
    (first..first.saturating_add(replicate.count))
        .filter_map(move |child| nodes.get(NodeRef { graph: at.graph, node: child }))
}
