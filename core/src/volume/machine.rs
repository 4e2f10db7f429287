//! The state behind a [`Volume`](super::Volume): the operations, the lists that they are in, and
//! the loop that ends every step.

use managed::ManagedSlice;

use super::graph::Graphs;
use super::op_list::OpList;
use super::operation::{Kind, List, OpState, Operation};
use super::session::Session;
use super::{Down, OpError, Table};
use crate::fop::wire::{Body, Reply};
use crate::id::{FrameId, Id, KeptId, OpId};
use crate::rpc::transport::Purpose;
use crate::slab::Slab;
use crate::volfile::{OptionEntry, VolumeEntry, VolumeIndex};
use crate::xdr::{Dict, Gfid, Iatt};
use crate::xlator::replicate::transaction;
use crate::xlator::{self, Context, Due, Failure, Fop, NodeRef, Outcome, Parent, client};

/// Scratch tables for parsing a volfile.
#[derive(Debug)]
pub(crate) struct Scratch<'m> {
    pub(crate) volumes: ManagedSlice<'m, VolumeEntry>,
    pub(crate) options: ManagedSlice<'m, OptionEntry>,
    pub(crate) children: ManagedSlice<'m, VolumeIndex>,
}

/// All state of a volume but the bytes of records.
#[derive(Debug)]
pub(crate) struct Machine<'m> {
    pub(crate) context: Context<'m>,
    pub(crate) ops: Slab<'m, Operation, OpId>,
    pub(crate) graphs: Graphs,
    pub(crate) session: Session,
    pub(crate) scratch: Scratch<'m>,
    /// Operations that begin, or continue, in this step.
    ready: OpList,
    /// Operations that wait until the volume can be used.
    parked: OpList,
    /// Operations that have ended and whose completion the adapter has not yet taken.
    pub(crate) finished: OpList,
    /// The operation that keeps the reply which is being processed: see `Volume::keep`.
    pub(crate) keep: Option<OpId>,
    pub(crate) changed: bool,
    /// Size that READDIRP asks for, in bytes as the brick counts them.
    pub(crate) page_bytes: u32,
    pub(crate) stopped: bool,
    /// The STOP that waits until transactions have ended.
    pub(crate) stopping: Option<OpId>,
}

impl<'m> Machine<'m> {
    #[inline(always)]
    pub(crate) fn new(
        context: Context<'m>,
        ops: Slab<'m, Operation, OpId>,
        scratch: Scratch<'m>,
    ) -> Self {
        Self {
            context,
            ops,
            graphs: Graphs::default(),
            session: Session::default(),
            scratch,
            ready: OpList::default(),
            parked: OpList::default(),
            finished: OpList::default(),
            keep: None,
            changed: false,
            page_bytes: 512,
            stopped: false,
            stopping: None,
        }
    }

    /// Queues an operation, to begin or continue in the current step.
    pub(super) fn admit(&mut self, id: OpId) {
        if let Some(op) = self.ops.get_mut(id) {
            op.list = List::Ready;
        }
        self.ready.push(&mut self.ops, id);
    }

    /// Queues an operation until the volume can be used.
    pub(super) fn park(&mut self, id: OpId) {
        if let Some(op) = self.ops.get_mut(id) {
            op.list = List::Parked;
        }
        self.parked.push(&mut self.ops, id);
    }

    /// If the volume can be used, queues the operations that waited for it, oldest first.
    pub(super) fn resume_if_usable(&mut self) {
        if !self.graphs.is_usable() {
            return;
        }
        // The process that answers now.
        let server = self.graphs.server;
        let mut waiting = core::mem::take(&mut self.parked);
        while let Some(id) = waiting.pop(&mut self.ops) {
            let Some(op) = self.ops.get_mut(id) else { continue };
            op.list = List::None;
            match op.doubt {
                // The process that may have the operation in its queue still runs, or does not name
                // itself and may be the same one: a second execution could undo a younger change.
                Some(doubt) if doubt.server == server || server == 0 => {
                    let down = self.graphs.last_down;
                    self.finish(id, Err(OpError::Indeterminate(down)));
                }
                _ => {
                    op.doubt = None;
                    self.admit(id);
                }
            }
        }
    }

    /// Ends all operations that wait for the volume, with this error.
    pub(super) fn fail_parked(&mut self, error: OpError) {
        let mut waiting = core::mem::take(&mut self.parked);
        while let Some(id) = waiting.pop(&mut self.ops) {
            if let Some(op) = self.ops.get_mut(id) {
                op.list = List::None;
            }
            self.finish(id, Err(error));
        }
    }

    /// Processes queued operations, frames and events until there are none: the end of every step.
    /// `reply` is the record that the step is about; it is lent to the operations and frames whose
    /// fop it answers, and to no others.
    pub(super) fn run(&mut self, reply: Option<&Reply<'_>>) {
        loop {
            if let Some(id) = self.ready.pop(&mut self.ops) {
                if let Some(op) = self.ops.get_mut(id) {
                    op.list = List::None;
                }
                self.continue_op(id);
                continue;
            }
            match self.context.frames.next() {
                Some(Due::Start(id, node)) => {
                    xlator::start(&mut self.context, id, node);
                    continue;
                }
                Some(Due::Answered(frame, outcome)) => {
                    let reply = reply.filter(|_| outcome.has_reply);
                    match frame.parent {
                        Parent::Op(op) => match frame.kept.filter(|_| reply.is_none()) {
                            Some(kept) => self.op_answered_by_kept(op, &frame.fop, outcome, kept),
                            None => self.op_answered(op, &frame.fop, outcome, reply),
                        },
                        Parent::Frame(above, slot) => {
                            xlator::answered(&mut self.context, above, slot, outcome, reply)
                        }
                        Parent::Transaction(id, slot) => {
                            transaction::answered(&mut self.context, id, slot, outcome, reply)
                        }
                        Parent::AbandonedChange(inode, at) => {
                            self.context.abandoned_change_over(inode, at)
                        }
                        Parent::AbandonedFlush(inode) => {
                            self.abandoned_fsync_answered(inode, outcome.result.is_err())
                        }
                        Parent::Nobody => {}
                        Parent::Root { graph } => self.root_answered(graph, outcome),
                        Parent::Exchange { turn } => {
                            self.exchange_answered(turn, &frame.fop, outcome)
                        }
                    }
                    if let Some(kept) = frame.kept {
                        self.context.kept.free(kept);
                    }
                    continue;
                }
                None => {}
            }
            if self.context.has_events {
                self.take_events();
                continue;
            }
            if core::mem::take(&mut self.context.abandoned_settled) {
                self.begin_unblocked();
                continue;
            }
            if self.advance_exchange() {
                continue;
            }
            match self.stopping {
                Some(id) if self.context.transactions.len() == 0 => self.stop_now(id),
                _ => return,
            }
        }
    }

    /// Says whether an operation has listed the root of a volume with replicas.
    pub(super) fn lists_replicated_root(&self, op: &Operation) -> bool {
        let file = op.file.and_then(|file| self.context.files.get(file));
        let width = self.graphs.current().map_or(0, |graph| self.graphs.shape(graph).width);
        width > 0 && file.is_some_and(|file| file.gfid == Gfid::ROOT)
    }

    /// Takes the outcome of an operation's fop with what a translator has kept of the replies.
    #[inline(never)]
    fn op_answered_by_kept(&mut self, op: OpId, fop: &Fop, outcome: Outcome, kept: KeptId) {
        let Some(kept) = self.context.kept.get(kept) else { return };
        let (stat, statfs, none) = (kept.stat, kept.statfs, Iatt::default());
        let body = match (fop, statfs) {
            (Fop::Lookup { .. } | Fop::LookupGfid { .. }, _) => {
                Body::TwoIatts { before: stat, after: none }
            }
            (Fop::SetAttr { .. }, _) => Body::TwoIatts { before: none, after: stat },
            (Fop::Create { .. }, _) => {
                Body::Create { stat, fd: 0, preparent: none, postparent: none }
            }
            (Fop::Statfs { .. }, Some(statfs)) => Body::Statfs(statfs),
            _ => Body::None,
        };
        let reply = Reply { op_ret: 0, op_errno: 0, xdata: Dict::Null, body };
        self.op_answered(op, fop, outcome, Some(&reply));
    }

    /// Begins an operation, or continues it where it was interrupted.
    fn continue_op(&mut self, id: OpId) {
        let Some(op) = self.ops.get(id) else { return };
        if op.is_over() {
            return;
        }
        // A CLOSE does not wait for a brick that is away. It waits while files move to a new graph.
        if op.kind == Kind::Close && !self.graphs.is_exchanging() {
            return self.begin_close(id);
        }
        if !self.graphs.is_usable() {
            // Waiting does not make a volfile usable; glusterd announces a newer one.
            return match self.session.graph_error.filter(|_| !self.graphs.exists()) {
                Some(error) => self.finish(id, Err(OpError::Graph(error))),
                None => self.park(id),
            };
        }
        match (op.state, op.fop) {
            (OpState::New, _) => self.begin(id),
            (_, Some(fop)) => self.wind(id, fop),
            (_, None) => self.resolve_next(id),
        }
    }

    /// Winds a fop of an operation to the top of the graph in use.
    pub(super) fn wind(&mut self, id: OpId, fop: Fop) {
        if let Some(op) = self.ops.get_mut(id) {
            op.fop = Some(fop);
        }
        let Some(top) = self.graphs.top() else { return self.park(id) };
        if self.wind_to_top(top, Parent::Op(id), Some(id), fop).is_none() {
            self.finish(id, Err(OpError::Busy(Table::Frames)));
        }
    }

    /// Winds a fop to the top of a graph. Returns `None` if there are not enough frames for it.
    pub(super) fn wind_to_top(
        &mut self,
        top: NodeRef,
        parent: Parent,
        op: Option<OpId>,
        fop: Fop,
    ) -> Option<FrameId> {
        let width = self.graphs.shape(top.graph).width;
        self.context.frames.wind_top(top, width, parent, op, fop)
    }

    /// Ends an operation: frees its names and its deadline, takes it out of its inode's list, and
    /// queues it for completion.
    pub(super) fn finish(&mut self, id: OpId, result: Result<u32, OpError>) {
        let Some(op) = self.ops.get_mut(id) else { return };
        if op.is_over() {
            return;
        }
        if result.is_err() {
            if let Some(doubt) = op.doubt {
                self.change_in_doubt(id, doubt);
            }
            self.drop_unopened(id);
        }
        let Some(op) = self.ops.get_mut(id) else { return };
        let (file, names, was_close) = (op.file, op.names, op.kind == Kind::Close);
        op.fop = None;
        self.context.timers.clear(id.index() as u32);
        for name in names.into_iter().flatten() {
            self.context.names.give(name);
        }
        self.leave_inode(id);
        if let Some(file) = file.filter(|_| was_close) {
            self.context.remove_file(file);
        }
        if let Some(op) = self.ops.get_mut(id) {
            op.names = [None; 2];
            op.state = OpState::Done(result);
        }
        self.finished.push(&mut self.ops, id);
    }

    /// Removes the file of an operation that should have opened it and has not.
    pub(super) fn drop_unopened(&mut self, id: OpId) {
        if let Some(op) = self.ops.get_mut(id)
            && matches!(op.kind, Kind::Open { .. } | Kind::OpenDir)
            && let Some(file) = op.file.take()
        {
            self.context.remove_file(file);
        }
    }

    /// Ends an operation from outside: at its deadline, or because the caller cancels it.
    pub(super) fn abort(&mut self, id: OpId, error: OpError) {
        let Some(op) = self.ops.get(id) else { return };
        if op.is_over() {
            return;
        }
        if self.stopping == Some(id) {
            return self.stop_now(id);
        }
        // Out of the list that it waits in, because it is about to enter the list of ended ones.
        match op.list {
            List::None => {}
            List::Ready => self.ready.remove(&mut self.ops, id),
            List::Parked => self.parked.remove(&mut self.ops, id),
        }
        self.abandon_top_frame(id);
        let mut from = 0;
        while let Some(frame) = self.context.frames.table.next_from(from) {
            from = frame.index() + 1;
            if self.context.frames.table.get(frame).is_some_and(|frame| frame.op == Some(id)) {
                self.drop_frame_of(id, frame);
            }
        }
        self.finish(id, Err(error));
    }

    /// Asks the translator at the top whether the frame of an operation that ends has to go on
    /// without it. If so, the calls below it stay, but for those that refer to the caller's buffer.
    fn abandon_top_frame(&mut self, op: OpId) {
        if self.context.transactions.len() == 0 {
            return;
        }
        let frames = &self.context.frames.table;
        let is_top =
            |id: &FrameId| frames.get(*id).is_some_and(|frame| frame.parent == Parent::Op(op));
        let Some(top) = frames.ids().find(is_top) else { return };
        let fop = frames.get(top).map(|frame| frame.fop);
        let is_flush = matches!(fop, Some(Fop::Fsync { .. }));
        if !xlator::abandon(&mut self.context, top, Parent::Nobody) {
            return;
        }
        let purpose = if is_flush { self.flush_abandoned(op) } else { self.change_abandoned(op) };
        let parent = match purpose {
            Purpose::AbandonedChange(inode, at) => Parent::AbandonedChange(inode, at),
            Purpose::AbandonedFsync(inode) => Parent::AbandonedFlush(inode),
            _ => Parent::Nobody,
        };
        if let Some(frame) = self.context.frames.table.get_mut(top) {
            frame.parent = parent;
            if let Some(kept) = frame.kept.take() {
                self.context.kept.free(kept);
            }
        }
        let mut from = 0;
        while let Some(id) = self.context.frames.table.next_from(from) {
            from = id.index() + 1;
            let Some(frame) = self.context.frames.table.get_mut(id) else { continue };
            if frame.op == Some(op) {
                frame.op = None;
                self.detach_call(id);
            }
        }
    }

    /// The operation of a brick's frame ends, and the frame stays. If its record is not sent in
    /// full and refers to the caller's buffer, the brick counts as failed.
    fn detach_call(&mut self, id: FrameId) {
        let Some(frame) = self.context.frames.table.get(id).copied() else { return };
        if frame.parked {
            client::unpark_one(&mut self.context, frame.node, id);
        }
        match frame.call {
            Some(call) => {
                if let Some(transport) = self.context.transports.is_stalled(call) {
                    self.transport_lost(transport, Down::Stalled, true);
                }
            }
            None => {
                let failure = Failure::NotSent(Down::Stalled);
                self.context.frames.unwind(id, Outcome::failed(failure));
            }
        }
    }

    /// Drops a frame whose operation ends. A call that the brick may have received stays in the
    /// table until its answer, with a purpose that says what the answer still means.
    fn drop_frame_of(&mut self, op: OpId, id: crate::id::FrameId) {
        let Some(frame) = self.context.frames.table.get(id).copied() else { return };
        if frame.parked {
            client::unpark_one(&mut self.context, frame.node, id);
        }
        if let Some(kept) = frame.kept {
            self.context.kept.free(kept);
        }
        self.context.frames.drop_frame(id);
        let Some(call) = frame.call else { return };
        let purpose = match frame.fop {
            Fop::Open { .. } => match self.change_abandoned(op) {
                Purpose::AbandonedChange(inode, at) => Purpose::AbandonedTruncation(inode, at),
                _ => Purpose::AbandonedOpen,
            },
            Fop::OpenDir { .. } | Fop::Create { .. } => Purpose::AbandonedOpen,
            Fop::Fsync { .. } => self.flush_abandoned(op),
            fop if fop.is_repeatable() => Purpose::Abandoned,
            _ => self.change_abandoned(op),
        };
        let abandon = self.context.transports.abandon(call, purpose);
        if let Some(abandon) = abandon
            && (abandon.stalled || abandon.flooded)
        {
            let down = if abandon.stalled {
                Down::Stalled
            } else {
                Down::Peer(crate::rpc::PeerError::Abandoned)
            };
            self.transport_lost(abandon.transport, down, true);
        }
    }

    /// Takes the events of bricks since the last call, and handles what the tops of the graphs make
    /// of them.
    fn take_events(&mut self) {
        self.context.has_events = false;
        let nodes = self.context.nodes.limit() as u16;
        for at in (0..2).flat_map(|graph| (0..nodes).map(move |node| NodeRef { graph, node })) {
            let Some(event) = self.context.nodes.get_mut(at).and_then(|node| node.event.take())
            else {
                continue;
            };
            self.changed = true;
            if let Some(event) = xlator::report(&mut self.context, at, event) {
                self.graph_event(at.graph, event);
            }
        }
        // Operations have waited for these events, and the top may have had nothing to say: one
        // copy went while another one came.
        if self.top_is_up() {
            self.resume_if_usable();
        }
    }
}
