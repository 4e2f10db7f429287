//! A translator of a graph, as it is instantiated.

use super::client::Client;
use super::stack::BrickEvent;

/// A node of one of the two graphs that may exist at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct NodeRef {
    pub(crate) graph: u8,
    pub(crate) node: u16,
}

impl NodeRef {
    /// Where the node stands in a table of `len` that both graphs share by halves.
    pub(crate) fn index(self, len: usize) -> usize {
        usize::from(self.graph & 1) * (len / 2) + usize::from(self.node)
    }
}

/// A piece of the volfile's text.
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

/// One translator: what it is, and where it stands.
#[derive(Clone, Copy, Debug, Default)]
pub struct Node {
    pub(crate) kind: NodeKind,
    pub(crate) name: Span,
    pub(crate) parent: Option<u16>,
    pub(crate) first_child: u16,
    /// Can it be used? What it told its parent last.
    pub(crate) up: bool,
    /// What it has to say to those above it, not yet heard.
    pub(crate) event: Option<BrickEvent>,
}

/// The translators that there are.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::large_enum_variant)] // Most nodes of a large graph are clients.
pub(crate) enum NodeKind {
    #[default]
    None,
    Client(Client),
    /// `cluster/distribute` over one subvolume.
    Distribute,
}
