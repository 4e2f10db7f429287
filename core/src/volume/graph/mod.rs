//! The graph in use and the one that is to replace it.

mod build;
mod events;
mod exchange;
mod replicate;

use exchange::Exchange;

use super::machine::Machine;
use super::{Down, GraphError, Table};
use crate::rpc::transport::Owner;
use crate::xlator::client::{self, Client, LANES_MAX, Lane};
use crate::xlator::replicate::transaction;
use crate::xlator::{Node, NodeKind, NodeRef};

/// The state of the two graphs that may exist.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Graphs {
    /// The graph that operations use.
    current: Option<u8>,
    /// The graph that is being brought up to replace it.
    pub(crate) next: Option<u8>,
    /// An attempt to reach a brick of the next graph has failed.
    pub(crate) next_failed: bool,
    shapes: [Shape; 2],
    /// The root of the current graph has been looked up.
    rooted: bool,
    /// The top of the current graph can be used.
    up: bool,
    /// Files are being moved to the next graph; no operation begins.
    pub(crate) exchange: Option<Exchange>,
    /// Number of the last exchange.
    pub(crate) turn: u32,
    /// Some graph has been usable.
    pub(crate) was_up: bool,
    /// The processes behind the bricks of the current and of the next graph, as hashes of their
    /// names.
    pub(crate) server: u64,
    pub(crate) next_server: u64,
    pub(crate) last_down: Down,
}

/// The number of nodes of a graph, its top, and the length of its volfile.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Shape {
    pub(crate) nodes: u16,
    pub(crate) top: u16,
    /// Frames that one fop may need below the top.
    pub(crate) width: u16,
    pub(crate) volfile_len: u32,
}

impl Default for Graphs {
    fn default() -> Self {
        Self {
            current: None,
            next: None,
            next_failed: false,
            shapes: [Shape::default(); 2],
            rooted: false,
            up: false,
            exchange: None,
            turn: 0,
            was_up: false,
            server: 0,
            next_server: 0,
            last_down: Down::Untried,
        }
    }
}

impl Graphs {
    /// Says whether operations may begin.
    pub(crate) fn is_usable(&self) -> bool {
        self.current.is_some() && self.up && self.rooted && self.exchange.is_none()
    }

    pub(crate) fn is_exchanging(&self) -> bool {
        self.exchange.is_some()
    }

    pub(crate) fn exists(&self) -> bool {
        self.current.is_some()
    }

    pub(crate) fn current(&self) -> Option<u8> {
        self.current
    }

    /// Forgets both graphs: the volume stops.
    pub(crate) fn stop(&mut self) {
        *self = Self { was_up: self.was_up, last_down: Down::Stopping, ..Self::default() };
    }

    pub(crate) fn shape(&self, graph: u8) -> Shape {
        self.shapes.get(usize::from(graph)).copied().unwrap_or_default()
    }

    pub(crate) fn top_of(&self, graph: u8) -> NodeRef {
        NodeRef { graph, node: self.shape(graph).top }
    }

    pub(crate) fn top(&self) -> Option<NodeRef> {
        self.current.map(|graph| self.top_of(graph))
    }
}

impl Machine<'_> {
    /// Uses the volfile of `len` bytes in the spare buffer: ignores it if it is the one in use,
    /// takes it over in place if only options changed, and else brings up a graph.
    pub(super) fn new_spec(&mut self, len: usize) {
        let spare = self.context.volfiles.spare;
        let same = self.graphs.current.is_some_and(|current| {
            self.graphs.shape(current).volfile_len as usize == len
                && self.context.volfiles.half(current).get(..len)
                    == self.context.volfiles.half(spare).get(..len)
        });
        if same {
            self.session.graph_error = None;
            return;
        }
        let shape = match self.assemble(spare, len) {
            Ok(shape) => shape,
            Err(error) => {
                self.session.graph_error = Some(error);
                self.session.refused_len = len as u32;
                if self.graphs.current.is_none() {
                    self.session.down = Some(Down::Graph(error));
                    self.first_attempt_failed(0, Down::Graph(error));
                }
                return;
            }
        };
        self.session.graph_error = None;
        self.graphs.shapes[usize::from(spare & 1)] = shape;
        match self.graphs.current {
            Some(current) if self.same_shape(current, spare) => self.adopt(current, spare),
            Some(_) => match self.bring_up(spare) {
                Ok(()) => {
                    self.graphs.next = Some(spare);
                    self.graphs.next_failed = false;
                }
                // The graph in use stays.
                Err(error) => self.session.graph_error = Some(error),
            },
            None => match self.bring_up(spare) {
                Ok(()) => {
                    self.graphs.current = Some(spare);
                    self.context.volfiles.spare = spare ^ 1;
                }
                Err(error) => {
                    self.session.graph_error = Some(error);
                    self.session.refused_len = len as u32;
                    self.session.down = Some(Down::Graph(error));
                    self.first_attempt_failed(0, Down::Graph(error));
                }
            },
        }
    }

    /// Says whether two graphs differ at most in options that take effect without a new connection.
    fn same_shape(&self, a: u8, b: u8) -> bool {
        let (shape_a, shape_b) = (self.graphs.shape(a), self.graphs.shape(b));
        let (text_a, text_b) = (self.context.volfiles.half(a), self.context.volfiles.half(b));
        shape_a.nodes == shape_b.nodes
            && (0..shape_a.nodes).all(|node| {
                let (Some(x), Some(y)) = (
                    self.context.nodes.get(NodeRef { graph: a, node }),
                    self.context.nodes.get(NodeRef { graph: b, node }),
                ) else {
                    return false;
                };
                x.name.of(text_a) == y.name.of(text_b)
                    && x.parent == y.parent
                    && x.children == y.children
                    && x.pending_key.of(text_a) == y.pending_key.of(text_b)
                    && match (&x.kind, &y.kind) {
                        (NodeKind::Client(x), NodeKind::Client(y)) => {
                            x.host.of(text_a) == y.host.of(text_b)
                                && x.subvolume.of(text_a) == y.subvolume.of(text_b)
                                && x.fixed_port == y.fixed_port
                                && x.family == y.family
                                && x.tls.map(|tls| tls.settings(text_a))
                                    == y.tls.map(|tls| tls.settings(text_b))
                        }
                        (NodeKind::Distribute, NodeKind::Distribute) => true,
                        (NodeKind::Replicate(x_options), NodeKind::Replicate(y_options)) => {
                            x_options.count == y_options.count
                                && x_options.arbiter == y_options.arbiter
                                && x_options.dirty_key.of(text_a) == y_options.dirty_key.of(text_b)
                        }
                        _ => false,
                    }
            })
    }

    /// Replaces the graph in use by one that differs in options only: its nodes take over the
    /// connections and their state.
    fn adopt(&mut self, old: u8, new: u8) {
        for node in 0..self.graphs.shape(new).nodes {
            let Some(from) = self.context.nodes.get(NodeRef { graph: old, node }).copied() else {
                continue;
            };
            let Some(to) = self.context.nodes.get_mut(NodeRef { graph: new, node }) else {
                continue;
            };
            to.up = from.up;
            to.event = from.event;
            match (&from.kind, &mut to.kind) {
                (NodeKind::Client(from), NodeKind::Client(to)) => to.adopt(from),
                (NodeKind::Replicate(from), NodeKind::Replicate(to)) => to.adopt(from),
                _ => {}
            }
        }
        self.context.move_graph(old, new);
        // The lanes go on counting their SETVOLUMEs, so they keep the graph's serial number with
        // it: both are parts of the process-uuid, and no two connections may have the same one.
        self.context.serials[usize::from(new & 1)] = self.context.serials[usize::from(old & 1)];
        for node in 0..self.graphs.shape(new).nodes {
            let Some(client) = self.context.client(NodeRef { graph: new, node }).copied() else {
                continue;
            };
            for transport in client.lanes.iter().filter_map(|lane| lane.transport) {
                self.context.rearm_ping(transport);
            }
        }
        self.graphs.current = Some(new);
        self.context.volfiles.spare = old;
        self.clear(old);
    }

    /// Begins to connect every brick of a graph. If there is no transport for each of them, none is
    /// connected.
    fn bring_up(&mut self, graph: u8) -> Result<(), GraphError> {
        let wanted = self.context.config.connections_per_brick.clamp(1, LANES_MAX as u8);
        self.context.serials[usize::from(graph & 1)] =
            self.context.serials.iter().copied().max().unwrap_or(0) + 1;
        let nodes = self.graphs.shape(graph).nodes;
        let bricks =
            (0..nodes).filter(|node| self.context.client(NodeRef { graph, node: *node }).is_some());
        let needs = self.context.transports.claimed() + bricks.count();
        let has = self.context.transports.count();
        if needs > has {
            self.clear(graph);
            return Err(GraphError::TooLarge {
                table: Table::Conns,
                has: has as u32,
                needs: needs as u32,
            });
        }
        // Second connections take the transports that the first ones leave.
        for lane in 0..wanted {
            for node in 0..nodes {
                let at = NodeRef { graph, node };
                if self.context.client(at).is_none() {
                    continue;
                }
                let transport = self.context.transports.claim(Owner::Brick { graph, node, lane });
                let Some(client) = self.context.client_mut(at) else { continue };
                if let Some(entry) = client.lanes.get_mut(usize::from(lane)) {
                    *entry = Lane { transport, ..Lane::default() };
                }
                if transport.is_some() {
                    client.lane_count = lane + 1;
                }
            }
        }
        for node in 0..nodes {
            client::begin(&mut self.context, NodeRef { graph, node }, 0);
        }
        Ok(())
    }

    /// Makes the new graph the one in use.
    pub(super) fn publish(&mut self, new: u8) {
        crate::diag::note!("graph {} takes over", new);
        let old = self.graphs.current.replace(new);
        self.graphs.next = None;
        self.graphs.server = self.graphs.next_server;
        self.graphs.up = true;
        self.graphs.rooted = true;
        self.graphs.was_up = true;
        if let Some(old) = old {
            self.take_down(old);
            self.context.volfiles.spare = old;
        }
        // The end of the old connections has put the changes in flight on them in doubt.
        self.process_answers(self.graphs.server);
        self.resume_if_usable();
        self.fetch_if_due();
    }

    /// Ends a graph: its connections, its fds, its nodes.
    pub(super) fn take_down(&mut self, graph: u8) {
        for node in 0..self.graphs.shape(graph).nodes {
            let at = NodeRef { graph, node };
            for lane in 0..LANES_MAX as u8 {
                client::stop(&mut self.context, at, lane);
            }
        }
        client::forget_fds(&mut self.context, graph);
        transaction::forget(&mut self.context, graph);
        self.context.inodes.forget_graph(graph);
        self.clear(graph);
    }

    /// Empties the nodes of a graph whose connections are closed or belong to another graph.
    fn clear(&mut self, graph: u8) {
        let nodes = self.graphs.shape(graph).nodes;
        for node in 0..nodes {
            if let Some(entry) = self.context.nodes.get_mut(NodeRef { graph, node }) {
                *entry = Node::default();
            }
        }
        self.graphs.shapes[usize::from(graph & 1)] = Shape::default();
    }

    /// The reason why the first unusable brick of a graph cannot be used.
    pub(super) fn first_down(&self, graph: u8) -> Option<Down> {
        (0..self.graphs.shape(graph).nodes)
            .filter_map(|node| self.context.client(NodeRef { graph, node }))
            .find(|client| !client.is_up())
            .map(Client::down)
    }
}
