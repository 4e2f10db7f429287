//! Frames and their queue: fops go down a graph, and outcomes come up, without recursion.
//!
//! `wind` and `unwind` queue a frame and return. A frame is in the queue at most once (to be
//! started, or with its outcome), so the queue is a list through the frames, needs no memory and
//! cannot overflow.

use managed::ManagedSlice;

use super::Down;
use super::fop::Fop;
use super::node::NodeRef;
use super::replicate::Round;
use crate::id::{FrameId, InodeId, KeptId, OpId, RangeIx, TransactionId};
use crate::rpc::transport::Fifo;
use crate::slab::{Slab, Slot as TableSlot};
use crate::xdr::Errno;

/// Tag that a parent gives each child frame it waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Slot(pub(crate) u16);

/// The receiver of a frame's outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Parent {
    /// An operation of the volume.
    Op(OpId),
    /// The frame of the translator above.
    Frame(FrameId, Slot),
    /// A transaction of the translator above.
    Transaction(TransactionId, Slot),
    /// None: the operation has ended, and its translator finishes what bricks have begun. The fop
    /// is a change of these bytes of an inode.
    AbandonedChange(InodeId, RangeIx),
    /// The same; the fop is an FSYNC of this inode.
    AbandonedFlush(InodeId),
    /// None, and nothing depends on the outcome.
    Nobody,
    /// The first LOOKUP of the root, on a new graph.
    Root { graph: u8 },
    /// The exchange of graphs with this number moves the file of the fop.
    Exchange { turn: u32 },
}

/// The reason why a fop failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Failure {
    /// The brick answered with this errno.
    Errno(Errno),
    /// The fop was not sent: its subvolume is not connected.
    NotSent(Down),
    /// The connection ended before the answer. `server` is the process that may have executed the
    /// fop.
    Lost { down: Down, server: u64 },
    /// The answer is longer than the buffers for answers.
    TooLong,
    /// The answer reports success without this field.
    BadAnswer(&'static str),
    /// A table was full.
    Busy(crate::xlator::Table),
}

/// The outcome of a fop. Further fields of the answer are in the decoded reply of the brick, which
/// is lent while the step lasts that receives it, and never stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Outcome {
    /// `op_ret`.
    pub(crate) result: Result<u32, Failure>,
    /// READ and READDIRP: the end of the file or directory was reached.
    pub(crate) end: bool,
    /// The reply that the present step is about is the answer to this fop. A translator that
    /// answers from anything else leaves this off, so that no parent takes another fop's attributes
    /// for its own.
    pub(crate) has_reply: bool,
}

impl Outcome {
    pub(crate) fn ok(count: u32) -> Self {
        Self { result: Ok(count), end: false, has_reply: false }
    }

    pub(crate) fn failed(failure: Failure) -> Self {
        Self { result: Err(failure), end: false, has_reply: false }
    }

    /// The same outcome, answered by the reply of the present step.
    pub(crate) fn with_reply(self) -> Self {
        Self { has_reply: true, ..self }
    }
}

/// The state of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum FrameState {
    /// Queued, to be started.
    Starting,
    /// Its translator works on it, or waits.
    Working,
    /// Queued, with its outcome.
    Answering(Outcome),
    /// Cancelled while queued; freed when dequeued, because the list is intrusive.
    Dropped,
}

/// The next task of the queue.
#[allow(clippy::large_enum_variant)] // Lives as long as it takes to do it.
#[derive(Debug)]
pub(crate) enum Due {
    /// The translator begins to work on the fop of this frame.
    Start(FrameId, NodeRef),
    /// This frame, which has been freed, has its outcome.
    Answered(Frame, Outcome),
}

/// The state of a translator's work on a frame, where it has more than the frame itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Work {
    #[default]
    None,
    Replicate(Round),
}

/// One fop in one translator.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    pub(crate) node: NodeRef,
    pub(crate) parent: Parent,
    pub(crate) op: Option<OpId>,
    pub(crate) fop: Fop,
    pub(crate) state: FrameState,
    pub(crate) work: Work,
    /// Attributes for the outcome, if no reply of the same step brings them.
    pub(crate) kept: Option<KeptId>,
    /// Frames that are reserved for its children.
    reserved: u16,
    /// The call that a brick's frame waits for.
    pub(crate) call: Option<crate::id::CallId>,
    /// Next in the queue, in the list of frames that wait for a connection's window, or in a list
    /// of its translator.
    pub(crate) next: Option<FrameId>,
    /// It is in the list of frames that wait for a connection's window.
    pub(crate) parked: bool,
}

/// The frames of all translators, and the queue of tasks.
#[derive(Debug)]
pub(crate) struct Frames<'m> {
    pub(crate) table: Slab<'m, Frame, FrameId>,
    first: Option<FrameId>,
    last: Option<FrameId>,
    /// Frames that are reserved for children of frames and for transactions.
    reserved: usize,
}

impl<'m> Frames<'m> {
    pub(crate) fn new(table: ManagedSlice<'m, TableSlot<Frame>>) -> Self {
        Self { table: Slab::new(table), first: None, last: None, reserved: 0 }
    }

    /// Reserves frames that translators below will need. Returns whether there are so many.
    pub(crate) fn reserve(&mut self, frames: u16) -> bool {
        let free = self.table.capacity().saturating_sub(self.table.len());
        let fits = free.saturating_sub(self.reserved) >= usize::from(frames);
        if fits {
            self.reserved += usize::from(frames);
        }
        fits
    }

    pub(crate) fn unreserve(&mut self, frames: u16) {
        self.reserved = self.reserved.saturating_sub(usize::from(frames));
    }

    /// Winds `fop` to the top of a graph, and reserves the `width` frames that its children may
    /// need. Returns `None` if there are not so many.
    pub(crate) fn wind_top(
        &mut self,
        top: NodeRef,
        width: u16,
        parent: Parent,
        op: Option<OpId>,
        fop: Fop,
    ) -> Option<FrameId> {
        if !self.reserve(width.saturating_add(1)) {
            return None;
        }
        self.unreserve(1);
        let id = self.wind(top, parent, op, fop)?;
        if let Some(frame) = self.table.get_mut(id) {
            frame.reserved = width;
        }
        Some(id)
    }

    /// Winds `fop` to `node`. Returns `None` if no frame is free.
    pub(crate) fn wind(
        &mut self,
        node: NodeRef,
        parent: Parent,
        op: Option<OpId>,
        fop: Fop,
    ) -> Option<FrameId> {
        let frame = Frame {
            work: Work::None,
            kept: None,
            reserved: 0,
            node,
            parent,
            op,
            fop,
            state: FrameState::Starting,
            call: None,
            next: None,
            parked: false,
        };
        let id = self.table.insert(frame)?;
        self.enqueue(id);
        Some(id)
    }

    /// Forwards the fop of a frame to `child`; the outcome bypasses the present translator.
    pub(crate) fn wind_tail(&mut self, id: FrameId, child: NodeRef) {
        if let Some(frame) = self.table.get_mut(id) {
            frame.node = child;
            frame.state = FrameState::Starting;
            self.enqueue(id);
        }
    }

    /// Ends a frame with its outcome. If it has one already, that one stays.
    pub(crate) fn unwind(&mut self, id: FrameId, outcome: Outcome) {
        let Some(frame) = self.table.get_mut(id) else { return };
        frame.call = None;
        match frame.state {
            FrameState::Working => {
                frame.state = FrameState::Answering(outcome);
                self.enqueue(id);
            }
            // It is in the queue already.
            FrameState::Starting => frame.state = FrameState::Answering(outcome),
            FrameState::Answering(_) | FrameState::Dropped => {}
        }
    }

    /// Frees a frame whose outcome is not wanted any more.
    pub(crate) fn drop_frame(&mut self, id: FrameId) {
        match self.table.get_mut(id) {
            Some(frame) if frame.state != FrameState::Working => frame.state = FrameState::Dropped,
            Some(_) => drop(self.remove(id)),
            None => {}
        }
    }

    fn remove(&mut self, id: FrameId) -> Option<Frame> {
        let frame = self.table.remove(id)?;
        self.unreserve(frame.reserved);
        Some(frame)
    }

    /// Starts a frame again from the beginning: it waited for something that is over.
    pub(crate) fn restart(&mut self, id: FrameId) {
        if let Some(frame) = self.table.get_mut(id) {
            frame.state = FrameState::Starting;
            self.enqueue(id);
        }
    }

    /// Appends a frame, on which its translator works, to a list of that translator.
    pub(crate) fn append(&mut self, list: &mut Fifo, id: FrameId) {
        if let Some(frame) = self.table.get_mut(id) {
            frame.next = None;
        }
        match list.last.and_then(|last| self.table.get_mut(last)) {
            Some(last) => last.next = Some(id),
            None => list.first = Some(id),
        }
        list.last = Some(id);
    }

    /// Takes the first frame of a list.
    pub(crate) fn take_first(&mut self, list: &mut Fifo) -> Option<FrameId> {
        let id = list.first?;
        list.first = self.table.get_mut(id).and_then(|frame| frame.next.take());
        if list.first.is_none() {
            list.last = None;
        }
        Some(id)
    }

    /// Takes a frame out of a list. Returns whether it was there.
    pub(crate) fn take_out(&mut self, list: &mut Fifo, id: FrameId) -> bool {
        let (mut all, mut found) = (core::mem::take(list), false);
        while let Some(each) = self.take_first(&mut all) {
            if each == id {
                found = true;
            } else {
                self.append(list, each);
            }
        }
        found
    }

    fn enqueue(&mut self, id: FrameId) {
        if let Some(frame) = self.table.get_mut(id) {
            frame.next = None;
        }
        match self.last.and_then(|last| self.table.get_mut(last)) {
            Some(last) => last.next = Some(id),
            None => self.first = Some(id),
        }
        self.last = Some(id);
    }

    /// Takes the next task.
    pub(crate) fn next(&mut self) -> Option<Due> {
        loop {
            let id = self.first?;
            let frame = self.table.get_mut(id)?;
            self.first = frame.next.take();
            if self.first.is_none() {
                self.last = None;
            }
            match frame.state {
                FrameState::Starting | FrameState::Working => {
                    frame.state = FrameState::Working;
                    return Some(Due::Start(id, frame.node));
                }
                FrameState::Answering(outcome) => {
                    return Some(Due::Answered(self.remove(id)?, outcome));
                }
                FrameState::Dropped => drop(self.remove(id)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xdr::Gfid;
    use alloc::vec;
    use alloc::vec::Vec;

    const TOP: NodeRef = NodeRef { graph: 0, node: 0 };

    fn child(node: u16) -> NodeRef {
        NodeRef { graph: 0, node }
    }

    fn frames_of(count: usize) -> Frames<'static> {
        Frames::new(ManagedSlice::Owned(vec![TableSlot::EMPTY; count]))
    }

    fn op() -> OpId {
        OpId(crate::id::RawId::new(3, 1))
    }

    /// A translator that winds to three children and unwinds after the last outcome.
    #[test]
    fn a_fop_fans_out_and_its_answers_come_up_in_the_order_in_which_they_came() {
        let mut frames = frames_of(4);
        let fop = Fop::LookupGfid { gfid: Gfid::ROOT };
        frames.wind(TOP, Parent::Op(op()), Some(op()), fop).unwrap();
        let mut started = Vec::new();
        let mut waiting = 3;
        let mut answered = Vec::new();
        let mut over = None;
        let mut late = vec![child(2), child(3), child(1)];
        loop {
            let Some(due) = frames.next() else {
                // The children answer from outside, in another order.
                let Some(next) = late.pop() else { break };
                let id = frames
                    .table
                    .ids()
                    .find(|id| frames.table.get(*id).unwrap().node == next)
                    .unwrap();
                frames.unwind(id, Outcome::ok(next.node.into()));
                continue;
            };
            match due {
                Due::Start(id, TOP) => {
                    let frame = *frames.table.get(id).unwrap();
                    for node in 1..=3 {
                        frames
                            .wind(child(node), Parent::Frame(id, Slot(node)), frame.op, frame.fop)
                            .unwrap();
                    }
                }
                Due::Start(_, node) => started.push(node.node),
                Due::Answered(Frame { parent: Parent::Frame(above, slot), .. }, outcome) => {
                    answered.push((slot.0, outcome.result));
                    waiting -= 1;
                    if waiting == 0 {
                        frames.unwind(above, Outcome::ok(6));
                    }
                }
                Due::Answered(Frame { parent: Parent::Op(_), .. }, outcome) => over = Some(outcome),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(started, [1, 2, 3]);
        assert_eq!(answered, [(1, Ok(1)), (3, Ok(3)), (2, Ok(2))]);
        assert_eq!(over, Some(Outcome::ok(6)));
        assert_eq!(frames.table.ids().count(), 0, "no frame is left behind");
    }

    #[test]
    fn a_frame_that_is_dropped_in_the_middle_of_the_queue_takes_nobody_with_it() {
        let mut frames = frames_of(4);
        let fop = Fop::LookupGfid { gfid: Gfid::ROOT };
        let ids: Vec<_> = (0..3)
            .map(|node| frames.wind(child(node), Parent::Op(op()), Some(op()), fop).unwrap())
            .collect();
        frames.drop_frame(ids[0]);
        frames.drop_frame(ids[1]);
        frames.unwind(ids[1], Outcome::ok(1));
        frames.unwind(ids[2], Outcome::ok(2));
        frames.unwind(ids[2], Outcome::ok(3));
        let due = frames.next();
        let Some(Due::Answered(frame, outcome)) = due else { panic!("{due:?}") };
        assert_eq!((frame.node, outcome), (child(2), Outcome::ok(2)), "the first answer counts");
        assert!(frames.next().is_none());
        assert_eq!(frames.table.len(), 0);
    }

    #[test]
    fn a_full_table_of_frames_says_so_before_anything_is_wound() {
        let mut frames = frames_of(1);
        let fop = Fop::LookupGfid { gfid: Gfid::ROOT };
        assert!(frames.wind(TOP, Parent::Op(op()), Some(op()), fop).is_some());
        assert!(frames.wind(child(1), Parent::Op(op()), Some(op()), fop).is_none());
    }
}
