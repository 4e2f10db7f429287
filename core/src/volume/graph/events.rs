//! Events of bricks, and the LOOKUP of the root that makes a graph usable.

use crate::volume::machine::Machine;
use crate::volume::{Down, OpError, Table};
use crate::xdr::Gfid;
use crate::xlator::{ChildEvent, Failure, Fop, NodeRef, Outcome, Parent};

impl Machine<'_> {
    /// Handles the event of a graph's top: it came up, went down, or a brick could not be reached
    /// once more.
    pub(in crate::volume) fn graph_event(&mut self, graph: u8, event: ChildEvent) {
        if self.context.volume_id_doubted {
            // glusterd says whether these still are the bricks of this volume.
            self.spec_changed();
        }
        if self.graphs.next == Some(graph) {
            match event {
                ChildEvent::Up { server, .. } => {
                    self.graphs.next_server = server;
                    self.begin_exchange();
                }
                ChildEvent::Down | ChildEvent::Failed if self.graphs.exchange.is_some() => {
                    self.exchange_failed()
                }
                ChildEvent::Down | ChildEvent::Failed => {
                    self.graphs.next_failed = true;
                    self.fetch_if_due();
                }
            }
            return;
        }
        if self.graphs.current != Some(graph) {
            return;
        }
        match event {
            ChildEvent::Up { server, restarted } => {
                if restarted {
                    self.restarted();
                }
                self.graphs.server = server;
                self.process_answers(server);
                self.graphs.up = self.top_is_up();
                if self.graphs.rooted {
                    self.resume_if_usable();
                } else {
                    self.look_up_root(graph);
                }
            }
            ChildEvent::Down => self.graphs.up = self.top_is_up(),
            ChildEvent::Failed => {
                let (attempts, down) = self.failed_attempts(graph);
                self.first_attempt_failed(attempts, down);
            }
        }
    }

    /// The attempts to connect of the brick of a graph that was tried least often among those that
    /// are not up, and the reason of its last failure.
    fn failed_attempts(&self, graph: u8) -> (u32, Down) {
        (0..self.graphs.shape(graph).nodes)
            .filter_map(|node| self.context.client(NodeRef { graph, node }))
            .filter(|client| !client.is_up())
            .map(|client| (client.lanes[0].attempts, client.down()))
            .min_by_key(|(attempts, _)| *attempts)
            .unwrap_or((0, Down::Untried))
    }

    /// Says whether the top of the graph in use is up.
    pub(in crate::volume) fn top_is_up(&self) -> bool {
        self.graphs.top().and_then(|top| self.context.nodes.get(top)).is_some_and(|top| top.up)
    }

    /// Winds the first fop of a graph, a LOOKUP of the root: translators take their initial state
    /// from its answer (docs/spec/30-client-stack.md, "Inodes").
    fn look_up_root(&mut self, graph: u8) {
        let top = self.graphs.top_of(graph);
        let fop = Fop::LookupGfid { gfid: Gfid::ROOT };
        let width = self.graphs.shape(graph).width;
        let parent = Parent::Root { graph };
        if self.context.frames.wind_top(top, width, parent, None, fop).is_none() {
            self.root_failed(OpError::Busy(Table::Frames));
        }
    }

    /// The root could not be looked up although its brick is connected: fails the operations that
    /// wait, and tries again after a pause.
    fn root_failed(&mut self, error: OpError) {
        self.fail_parked(error);
        self.context.arm_exchange(self.context.config.reconnect_ms.1.max(1));
    }

    /// Looks up the root again after the pause.
    pub(in crate::volume) fn look_up_root_again(&mut self) {
        if let Some(current) = self.graphs.current.filter(|_| self.graphs.up && !self.graphs.rooted)
        {
            self.look_up_root(current);
        }
    }

    pub(in crate::volume) fn root_answered(&mut self, graph: u8, outcome: Outcome) {
        if self.graphs.next == Some(graph) {
            return self.exchange_rooted(outcome.result.is_ok());
        }
        if self.graphs.current != Some(graph) {
            return;
        }
        match outcome.result {
            Ok(_) => {
                self.graphs.rooted = true;
                self.graphs.was_up = true;
                self.resume_if_usable();
            }
            // The connection ended; the root is looked up again when it is back, or, if others are
            // left to ask, after a pause.
            Err(Failure::NotSent(_) | Failure::Lost { .. }) => {
                if self.top_is_up() {
                    self.context.arm_exchange(self.context.config.reconnect_ms.0.max(1));
                }
            }
            Err(Failure::Errno(errno)) => self.root_failed(OpError::Errno(errno)),
            Err(_) => self.root_failed(OpError::BadAnswer("a root")),
        }
    }
}
