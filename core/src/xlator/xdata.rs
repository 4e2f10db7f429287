//! The xdata of a fop: each translator above the brick adds its own keys.

use super::fop::Fop;
use super::node::{NodeKind, NodeRef, Nodes};
use super::{distribute, replicate};
use crate::names::Names;
use crate::xdr::{Dict, Gfid, Pair, Value};

/// The texts that keys and values are taken from, and the nodes that refer to them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Texts<'k, 'm> {
    pub(crate) nodes: &'k Nodes<'m>,
    /// The volfile of the graph, with the keys of replication counters behind it.
    pub(crate) volfile: &'k [u8],
    pub(crate) names: &'k Names<'m>,
}

/// Keys that one fop may carry, of all translators together.
const KEYS_MAX: usize = 14;

/// The keys of one fop, collected for its encoder.
#[derive(Debug, Default)]
pub(crate) struct Xdata<'k> {
    pairs: heapless::Vec<Pair<'k>, KEYS_MAX>,
    overflow: bool,
}

impl<'k> Xdata<'k> {
    pub(crate) fn add(&mut self, key: &'k str, value: Value<'k>) {
        self.add_bytes(key.as_bytes(), value);
    }

    pub(crate) fn add_bytes(&mut self, key: &'k [u8], value: Value<'k>) {
        self.overflow |= self.pairs.push(Pair { key, value }).is_err();
    }

    pub(crate) fn dict(&self) -> Dict<'_> {
        if self.pairs.is_empty() { Dict::Null } else { Dict::Pairs(&self.pairs) }
    }

    /// Says whether there were more keys than `KEYS_MAX`: a bug. The fop must not be sent without
    /// them.
    pub(crate) fn overflowed(&self) -> bool {
        self.overflow
    }
}

/// Adds the keys of the operation itself, then those of each translator above the brick.
pub(crate) fn gather<'k>(texts: Texts<'k, '_>, leaf: NodeRef, fop: &'k Fop, keys: &mut Xdata<'k>) {
    let nodes = texts.nodes;
    match fop {
        Fop::Lookup { gfid_req: Gfid::NONE, .. } => {}
        Fop::Lookup { gfid_req, .. }
        | Fop::Mkdir { gfid_req, .. }
        | Fop::Symlink { gfid_req, .. }
        | Fop::Create { gfid_req, .. } => keys.add("gfid-req", Value::Gfuuid(*gfid_req)),
        Fop::Fsync { last: true, .. } => keys.add("last-fsync", Value::Int(1)),
        _ => {}
    }
    let mut above = nodes.get(leaf).and_then(|node| node.parent);
    while let Some(at) = above.map(|node| NodeRef { graph: leaf.graph, node })
        && let Some(node) = nodes.get(at)
    {
        match node.kind {
            NodeKind::Distribute => distribute::keys(fop, keys),
            NodeKind::Replicate(_) => {
                replicate::keys(nodes, at, texts.volfile, texts.names, fop, keys);
            }
            NodeKind::Client(_) | NodeKind::None => {}
        }
        above = node.parent;
    }
}
