//! The translators of a graph.

use managed::ManagedSlice;

use super::client::{Client, SentTimes};
use super::context::ChildEvent;
use super::replicate::Replicate;
use crate::volfile::VolumeIndex;

/// Reference to a node of one of the two graphs that may exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct NodeRef {
    pub(crate) graph: u8,
    pub(crate) node: u16,
}

impl NodeRef {
    /// Index in a table of `len` nodes, of which each graph has one half.
    fn index(self, len: usize) -> usize {
        usize::from(self.graph & 1) * (len / 2) + usize::from(self.node)
    }
}

/// A part of the volfile's text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Span {
    pub(crate) at: u32,
    pub(crate) len: u32,
}

impl Span {
    pub(crate) fn of(self, text: &[u8]) -> &[u8] {
        text.get(self.at as usize..(self.at as usize).saturating_add(self.len as usize))
            .unwrap_or_default()
    }
}

/// One translator: its kind and its place in the graph.
#[derive(Clone, Copy, Debug, Default)]
pub struct Node {
    pub(crate) kind: NodeKind,
    pub(crate) name: Span,
    /// Its section of the volfile, while the graph is being built.
    pub(crate) section: VolumeIndex,
    /// The timestamps that bricks below it are sent, as `features/utime` above it says.
    pub(crate) sent_times: SentTimes,
    pub(crate) parent: Option<u16>,
    /// Its place among the children of its parent.
    pub(crate) index: u16,
    /// Its children are `children` consecutive nodes, from this one on.
    pub(crate) first_child: u16,
    pub(crate) children: u16,
    /// Frames that it and the nodes below may need for one fop.
    pub(crate) width: u16,
    /// The key of the counters with which its siblings accuse it, if the parent is a replicate.
    pub(crate) pending_key: Span,
    /// The translator can be used, as its parent knows.
    pub(crate) up: bool,
    /// An event of a brick that the nodes above have not heard yet.
    pub(crate) event: Option<ChildEvent>,
}

/// The translators of both graphs; each graph has one half of the table.
#[derive(Debug)]
pub(crate) struct Nodes<'m> {
    table: ManagedSlice<'m, Node>,
}

impl<'m> Nodes<'m> {
    pub(crate) fn new(table: ManagedSlice<'m, Node>) -> Self {
        Self { table }
    }

    /// Number of nodes that one graph can have.
    pub(crate) fn limit(&self) -> usize {
        self.table.len() / 2
    }

    /// All nodes of a graph, in use or not.
    pub(crate) fn graph_mut(&mut self, graph: u8) -> &mut [Node] {
        let limit = self.limit();
        let at = usize::from(graph & 1) * limit;
        self.table.get_mut(at..at + limit).unwrap_or_default()
    }

    /// The bricks of both graphs.
    pub(crate) fn clients(&self) -> impl Iterator<Item = &Client> {
        self.table.iter().filter_map(|node| match &node.kind {
            NodeKind::Client(client) => Some(client),
            _ => None,
        })
    }

    pub(crate) fn clients_mut(&mut self) -> impl Iterator<Item = &mut Client> {
        self.table.iter_mut().filter_map(|node| match &mut node.kind {
            NodeKind::Client(client) => Some(client),
            _ => None,
        })
    }

    pub(crate) fn get(&self, at: NodeRef) -> Option<&Node> {
        self.table.get(at.index(self.table.len()))
    }

    pub(crate) fn get_mut(&mut self, at: NodeRef) -> Option<&mut Node> {
        let index = at.index(self.table.len());
        self.table.get_mut(index)
    }
}

/// The translators that are implemented.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::large_enum_variant)] // Most nodes of a large graph are clients.
pub(crate) enum NodeKind {
    #[default]
    None,
    Client(Client),
    /// `cluster/distribute` over one subvolume.
    Distribute,
    Replicate(Replicate),
}

impl Node {
    pub(crate) fn replicate(&self) -> Option<&Replicate> {
        match &self.kind {
            NodeKind::Replicate(replicate) => Some(replicate),
            _ => None,
        }
    }
}
