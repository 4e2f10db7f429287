//! The exchange of the graph in use for a new one, with files open (docs/spec/30-client-stack.md,
//! "Volfile change").
//!
//! Fops in flight finish on the old graph, and new operations wait. Then a few files at a time are
//! moved: acknowledged writes are flushed on the old graph, and the file is opened on the new one.
//! Only then does the new graph take over.
//!
//! If a flush fails here, the file's next flush fails too. (The C client forgets the failure.)
//!
//! An exchange that fails, or that takes longer than an operation may, changes nothing: the old
//! graph stays in use, and after a pause the new one is tried again.

use crate::id::FileId;
use crate::volume::OpenFlags;
use crate::volume::machine::Machine;
use crate::xdr::Gfid;
use crate::xlator::replicate::transaction;
use crate::xlator::{Fd, Fop, Outcome, Parent};

/// Files that are moved at a time.
const FILES_MAX: u16 = 16;

/// The state of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exchange {
    to: u8,
    /// Number of this exchange: answers that belong to an earlier one are told apart by it.
    turn: u32,
    /// The root of the new graph has been looked up.
    rooted: bool,
    rooting: bool,
    /// Files in slots below this one have been begun.
    next: u32,
    outstanding: u16,
}

impl Machine<'_> {
    /// Begins an exchange: the top of the next graph is up. From now on no operation begins on the
    /// old one.
    pub(in crate::volume) fn begin_exchange(&mut self) {
        let Some(to) = self.graphs.next else { return };
        if self.graphs.exchange.is_some() {
            return;
        }
        self.graphs.turn = self.graphs.turn.wrapping_add(1);
        let turn = self.graphs.turn;
        self.graphs.exchange =
            Some(Exchange { to, turn, rooted: false, rooting: false, next: 0, outstanding: 0 });
        self.context.arm_exchange(self.context.config.op_timeout_ms);
    }

    /// Continues an exchange at the end of a step. Returns whether there is something to run
    /// because of it.
    pub(in crate::volume) fn advance_exchange(&mut self) -> bool {
        let Some(mut exchange) = self.graphs.exchange else { return false };
        if !exchange.rooting {
            let top = self.graphs.top_of(exchange.to);
            let fop = Fop::LookupGfid { gfid: Gfid::ROOT };
            let parent = Parent::Root { graph: exchange.to };
            exchange.rooting = self.wind_to_top(top, parent, None, fop).is_some();
            self.graphs.exchange = Some(exchange);
            return exchange.rooting;
        }
        if !exchange.rooted || self.has_fops_beside(exchange.to) {
            return false;
        }
        // Before the old graph is left, its bricks are told that the changes are over.
        if let Some(old) = self.graphs.current()
            && self.has_transactions(old)
        {
            transaction::release_all(&mut self.context, old);
            return false;
        }
        let before = exchange;
        while exchange.outstanding < FILES_MAX {
            let Some(id) = self.context.files.next_from(exchange.next as usize) else { break };
            match self.move_file(id, &exchange) {
                Moved::Begun => exchange.outstanding += 1,
                Moved::Nothing => {}
                // A frame that ends leads back here, and leaves room for this one.
                Moved::Full => break,
            }
            exchange.next = id.slot() as u32 + 1;
        }
        self.graphs.exchange = Some(exchange);
        if exchange.outstanding == 0
            && self.context.files.next_from(exchange.next as usize).is_none()
        {
            self.graphs.exchange = None;
            self.context.disarm_exchange();
            self.publish(exchange.to);
            return true;
        }
        exchange != before
    }

    /// Says whether fops of operations are in flight on another graph than `to`.
    fn has_fops_beside(&self, to: u8) -> bool {
        let frames = &self.context.frames.table;
        frames.len() > 0
            && frames.ids().any(|id| {
                frames.get(id).is_some_and(|frame| frame.op.is_some() && frame.node.graph != to)
            })
    }

    /// Says whether a translator of a graph has something to record on bricks.
    pub(in crate::volume) fn has_transactions(&self, graph: u8) -> bool {
        let transactions = &self.context.transactions;
        transactions.len() > 0
            && transactions
                .ids()
                .any(|id| transactions.get(id).is_some_and(|each| each.node.graph == graph))
    }

    pub(in crate::volume) fn exchange_rooted(&mut self, ok: bool) {
        match &mut self.graphs.exchange {
            Some(exchange) if ok => exchange.rooted = true,
            _ => self.exchange_failed(),
        }
    }

    /// Begins to move one file.
    fn move_file(&mut self, id: FileId, exchange: &Exchange) -> Moved {
        let Some(file) = self.context.files.get(id).copied() else { return Moved::Nothing };
        if file.gfid == Gfid::NONE || file.first_fd.is_none() {
            // Its open is not answered yet; that operation waits and opens it on the new graph.
            return Moved::Nothing;
        }
        let fd = Fd { file: id, gfid: file.gfid };
        let parent = Parent::Exchange { turn: exchange.turn };
        // One handle of an inode flushes the writes of all.
        let inode = self.context.inodes.get(file.inode);
        let flush = inode
            .is_some_and(|inode| inode.synced.is_dirty() && inode.flushed_by_turn != exchange.turn);
        let wound = match self.graphs.top().filter(|_| flush) {
            Some(top) => {
                let fop = Fop::Fsync { fd, data_only: false, last: true };
                self.wind_to_top(top, parent, None, fop)
            }
            None => self.open_on(id, exchange),
        };
        if wound.is_none() {
            return Moved::Full;
        }
        if flush && let Some(inode) = self.context.inodes.get_mut(file.inode) {
            inode.flushed_by_turn = exchange.turn;
        }
        Moved::Begun
    }

    fn open_on(&mut self, id: FileId, exchange: &Exchange) -> Option<crate::id::FrameId> {
        let file = self.context.files.get(id).copied()?;
        let fd = Fd { file: id, gfid: file.gfid };
        let top = self.graphs.top_of(exchange.to);
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
        self.wind_to_top(top, Parent::Exchange { turn: exchange.turn }, None, fop)
    }

    /// Takes the answer to a fop that moves a file.
    pub(in crate::volume) fn exchange_answered(&mut self, turn: u32, fop: &Fop, outcome: Outcome) {
        let exchange = self.graphs.exchange.filter(|exchange| exchange.turn == turn);
        if let Fop::Fsync { fd, .. } = *fop {
            match (outcome.result, exchange) {
                // Nothing was written since it was sent.
                (Ok(_), Some(_)) => {
                    if let Some(inode) = self.context.inodes.find(&fd.gfid)
                        && let Some(inode) = self.context.inodes.get_mut(inode)
                    {
                        inode.synced.flushed(inode.synced.acknowledged);
                    }
                }
                // The exchange failed, and writes may have been acknowledged since: the flush
                // covers none for certain.
                (Ok(_), None) => {}
                (Err(_), _) => self.flush_failed(&fd.gfid),
            }
            // The frame that has just ended left room for this one.
            if let Some(exchange) = exchange
                && self.open_on(fd.file, &exchange).is_some()
            {
                return;
            }
        }
        // Also after a failure: operations on a handle that has no fd on the new graph fail with
        // EBADFD.
        if let Some(exchange) =
            self.graphs.exchange.as_mut().filter(|exchange| exchange.turn == turn)
        {
            exchange.outstanding = exchange.outstanding.saturating_sub(1);
        }
    }

    /// The time of an exchange is over, or the pause after one that failed.
    pub(in crate::volume) fn exchange_due(&mut self) {
        if self.graphs.exchange.is_some() {
            return self.exchange_failed();
        }
        self.look_up_root_again();
        self.spec_changed();
    }

    /// Ends an exchange that failed: the old graph stays in use, and after a pause the volfile is
    /// fetched again.
    pub(in crate::volume) fn exchange_failed(&mut self) {
        self.graphs.exchange = None;
        if let Some(next) = self.graphs.next.take() {
            self.take_down(next);
        }
        self.context.arm_exchange(self.context.config.reconnect_ms.1.max(1));
        self.resume_if_usable();
        self.fetch_if_due();
    }
}

/// The result of an attempt to move a file.
enum Moved {
    /// A fop was wound.
    Begun,
    /// The file needs none.
    Nothing,
    /// No frame was free.
    Full,
}
