//! From one graph to the next with files open (client stack spec §9).
//!
//! Operations that are on their way are let finish on the old graph; new ones wait. Then, a few files at a time: what was
//! written is made durable on the old graph, and the file is opened on the new one. Only then does the new graph answer.
//!
//! A flush that fails here is not forgotten, as the C client does: the file's next flush fails with it.

use super::OpenFlags;
use super::machine::Machine;
use crate::id::{FileId, Id};
use crate::xdr::Gfid;
use crate::xlator::{Answer, Fd, Fop, Parent};

/// Files that are carried over at a time.
const FILES_MAX: u16 = 16;

/// How far the switch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Switch {
    to: u8,
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
        if self.graphs.switching.is_none() {
            self.graphs.switching =
                Some(Switch { to, rooted: false, rooting: false, next: 0, outstanding: 0 });
        }
        self.switch_on();
    }

    /// Goes on with the switch as far as it goes now.
    pub(super) fn switch_on(&mut self) {
        let Some(mut switch) = self.graphs.switching else { return };
        if !switch.rooting {
            let top = self.graphs.top_of(switch.to);
            let fop = Fop::LookupGfid { gfid: Gfid::ROOT };
            if self.stack.flow.wind(top, Parent::Root { graph: switch.to }, None, fop).is_none() {
                return;
            }
            switch.rooting = true;
            self.graphs.switching = Some(switch);
        }
        // Frames of operations on the old graph finish first.
        let old_busy = self.stack.flow.frames.ids().any(|id| {
            self.stack
                .flow
                .frames
                .get(id)
                .is_some_and(|frame| frame.op.is_some() && frame.node.graph != switch.to)
        });
        if !switch.rooted || old_busy {
            return;
        }
        while switch.outstanding < FILES_MAX {
            let Some(id) = self.stack.files.next_from(switch.next as usize) else { break };
            switch.next = id.slot() as u32 + 1;
            if self.carry(id, switch.to) {
                switch.outstanding += 1;
            }
        }
        self.graphs.switching = Some(switch);
        if switch.outstanding == 0 && self.stack.files.next_from(switch.next as usize).is_none() {
            self.graphs.switching = None;
            self.publish(switch.to);
        }
    }

    pub(super) fn switch_rooted(&mut self, ok: bool) {
        match &mut self.graphs.switching {
            Some(switch) if ok => switch.rooted = true,
            _ => return self.switch_failed(),
        }
        self.switch_on();
    }

    /// Begins to carry one file over. `false` if there is nothing to do for it, or nothing can be done.
    fn carry(&mut self, id: FileId, to: u8) -> bool {
        let Some(file) = self.stack.files.get(id).copied() else { return false };
        if file.gfid == Gfid::NONE || file.first_fd.is_none() {
            // Still being opened: its operation waits and opens it on the new graph.
            return false;
        }
        let fd = Fd { file: id, gfid: file.gfid };
        let parent = Parent::Switch { file: id.index() as u32 };
        let old_top = self.graphs.top().filter(|_| file.is_dirty() && !file.lost);
        let wound = match old_top {
            Some(top) => {
                self.stack.flow.wind(top, parent, None, Fop::Fsync { fd, data_only: false, last: true })
            }
            None => self.open_on(id, to),
        };
        wound.is_some()
    }

    fn open_on(&mut self, id: FileId, to: u8) -> Option<crate::id::FrameId> {
        let file = self.stack.files.get(id).copied()?;
        let fd = Fd { file: id, gfid: file.gfid };
        let top = self.graphs.top_of(to);
        let parent = Parent::Switch { file: id.index() as u32 };
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
        self.stack.flow.wind(top, parent, None, fop)
    }

    /// A step for one file is answered.
    pub(super) fn switch_answered(&mut self, file: u32, fop: &Fop, answer: Answer) {
        let Some(switch) = self.graphs.switching else { return };
        let id = self.stack.files.id_at(file as usize);
        if let (Fop::Fsync { .. }, Some(id)) = (fop, id) {
            if let Some(entry) = self.stack.files.get_mut(id) {
                match answer.result {
                    Ok(_) => entry.durable = entry.acknowledged,
                    Err(_) => entry.lost = true,
                }
            }
            if self.open_on(id, switch.to).is_some() {
                return;
            }
        }
        // A file that cannot be opened on the new graph answers EBADFD from now on: its handle has no fd there.
        if let Some(switch) = &mut self.graphs.switching {
            switch.outstanding = switch.outstanding.saturating_sub(1);
        }
        self.switch_on();
    }

    /// The new graph went down before it took over: the old one goes on, and the new one is fetched again.
    pub(super) fn switch_failed(&mut self) {
        self.graphs.switching = None;
        if let Some(next) = self.graphs.next.take() {
            self.take_down(next);
        }
        let server = self.graphs.server;
        self.resume_parked(server);
        self.spec_changed();
    }
}
