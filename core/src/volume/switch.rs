//! From one graph to the next with files open (client stack spec §9).
//!
//! Operations that are on their way are let finish on the old graph; new ones wait. Then, a few files at a time: what was
//! written is made durable on the old graph, and the file is opened on the new one. Only then does the new graph answer.
//!
//! A flush that fails here is not forgotten, as the C client does: the file's next flush fails with it.
//!
//! A switch that fails half-way, or takes longer than an operation may, changes nothing: the old graph goes on, and after
//! a pause the new one is tried again.

use super::OpenFlags;
use super::machine::Machine;
use crate::id::FileId;
use crate::xdr::Gfid;
use crate::xlator::{Answer, Fd, Fop, Parent};

/// Files that are carried over at a time.
const FILES_MAX: u16 = 16;

/// How far the switch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Switch {
    to: u8,
    /// Tells its steps from those of one that failed and whose answers may still come.
    turn: u32,
    /// The root of the new graph has been looked up.
    rooted: bool,
    rooting: bool,
    /// Files below this slot have been begun.
    next: u32,
    outstanding: u16,
}

impl Machine<'_> {
    /// The next graph's top is up: from here on nothing new begins on the old one.
    pub(super) fn switch_begin(&mut self) {
        let Some(to) = self.graphs.next else { return };
        if self.graphs.switching.is_some() {
            return;
        }
        self.graphs.turn = self.graphs.turn.wrapping_add(1);
        let turn = self.graphs.turn;
        self.graphs.switching =
            Some(Switch { to, turn, rooted: false, rooting: false, next: 0, outstanding: 0 });
        self.stack.arm_switch(self.stack.config.op_timeout_ms);
    }

    /// Goes on with the switch as far as it goes now: at the end of every step. Says whether there is something to do
    /// because of it.
    pub(super) fn switch_on(&mut self) -> bool {
        let Some(mut switch) = self.graphs.switching else { return false };
        if !switch.rooting {
            let top = self.graphs.top_of(switch.to);
            let fop = Fop::LookupGfid { gfid: Gfid::ROOT };
            switch.rooting =
                self.stack.flow.wind(top, Parent::Root { graph: switch.to }, None, fop).is_some();
            self.graphs.switching = Some(switch);
            return switch.rooting;
        }
        if !switch.rooted || self.is_busy_besides(switch.to) {
            return false;
        }
        let before = switch;
        while switch.outstanding < FILES_MAX {
            let Some(id) = self.stack.files.next_from(switch.next as usize) else { break };
            match self.carry(id, &switch) {
                Carried::Begun => switch.outstanding += 1,
                Carried::Nothing => {}
                // Again when a frame is free: the end of every other one leads back here.
                Carried::Full => break,
            }
            switch.next = id.slot() as u32 + 1;
        }
        self.graphs.switching = Some(switch);
        if switch.outstanding == 0 && self.stack.files.next_from(switch.next as usize).is_none() {
            self.graphs.switching = None;
            self.stack.disarm_switch();
            self.publish(switch.to);
            return true;
        }
        switch != before
    }

    /// Are fops of operations on their way on another graph? They finish where they began.
    fn is_busy_besides(&self, to: u8) -> bool {
        let frames = &self.stack.flow.frames;
        frames.len() > 0
            && frames.ids().any(|id| {
                frames.get(id).is_some_and(|frame| frame.op.is_some() && frame.node.graph != to)
            })
    }

    pub(super) fn switch_rooted(&mut self, ok: bool) {
        match &mut self.graphs.switching {
            Some(switch) if ok => switch.rooted = true,
            _ => self.switch_failed(),
        }
    }

    /// Begins to carry one file over.
    fn carry(&mut self, id: FileId, switch: &Switch) -> Carried {
        let Some(file) = self.stack.files.get(id).copied() else { return Carried::Nothing };
        if file.gfid == Gfid::NONE || file.first_fd.is_none() {
            // Still being opened: its operation waits and opens it on the new graph.
            return Carried::Nothing;
        }
        let fd = Fd { file: id, gfid: file.gfid };
        let parent = Parent::Switch { turn: switch.turn };
        let wound = match self.graphs.top().filter(|_| file.is_dirty() && !file.lost) {
            Some(top) => self.stack.flow.wind(
                top,
                parent,
                None,
                Fop::Fsync { fd, data_only: false, last: true },
            ),
            None => self.open_on(id, switch),
        };
        if wound.is_some() { Carried::Begun } else { Carried::Full }
    }

    fn open_on(&mut self, id: FileId, switch: &Switch) -> Option<crate::id::FrameId> {
        let file = self.stack.files.get(id).copied()?;
        let fd = Fd { file: id, gfid: file.gfid };
        let top = self.graphs.top_of(switch.to);
        let fop = if file.dir {
            Fop::OpenDir { fd }
        } else {
            let flags = file
                .flags
                .without(OpenFlags::CREATE)
                .without(OpenFlags::EXCLUSIVE)
                .without(OpenFlags::TRUNCATE);
            Fop::Open { fd, flags }
        };
        self.stack.flow.wind(top, Parent::Switch { turn: switch.turn }, None, fop)
    }

    /// A step for one file is answered.
    pub(super) fn switch_answered(&mut self, turn: u32, fop: &Fop, answer: Answer) {
        let switch = self.graphs.switching.filter(|switch| switch.turn == turn);
        if let Fop::Fsync { fd, .. } = *fop {
            match (answer.result, switch) {
                // Nothing was written since it was sent.
                (Ok(_), Some(_)) => {
                    if let Some(file) = self.stack.files.get_mut(fd.file) {
                        file.durable = file.acknowledged;
                    }
                }
                // Of a switch that failed: what it covers nobody knows any more.
                (Ok(_), None) => {}
                (Err(_), _) => self.flush_failed(fd.gfid),
            }
            // The frame that has just ended left room for this one.
            if let Some(switch) = switch
                && self.open_on(fd.file, &switch).is_some()
            {
                return;
            }
        }
        // A file that cannot be opened on the new graph answers EBADFD from now on: its handle has no fd there.
        if let Some(switch) = self.graphs.switching.as_mut().filter(|switch| switch.turn == turn) {
            switch.outstanding = switch.outstanding.saturating_sub(1);
        }
    }

    /// The time of a switch is over, or the pause after one that failed.
    pub(super) fn switch_due(&mut self) {
        if self.graphs.switching.is_some() {
            return self.switch_failed();
        }
        self.look_up_root_again();
        self.spec_changed();
    }

    /// The new graph failed before it took over: the old one goes on, and after a pause the new one is fetched again.
    pub(super) fn switch_failed(&mut self) {
        self.graphs.switching = None;
        if let Some(next) = self.graphs.next.take() {
            self.take_down(next);
        }
        self.stack.arm_switch(self.stack.config.reconnect_ms.1.max(1));
        self.resume_if_usable();
        self.fetch_if_due();
    }
}

/// What came of an attempt to carry a file over.
enum Carried {
    /// A step is on its way.
    Begun,
    /// There is nothing to do for it.
    Nothing,
    /// No frame was free.
    Full,
}
