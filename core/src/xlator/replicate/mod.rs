//! `cluster/replicate`: each child has a copy of every file and name (docs/spec/10-replicate.md).
//!
//! A change is bracketed by a [`transaction`], which records which children have missed it; so a
//! copy that is behind is known to be. A read goes to one copy that nobody accuses: the accusations
//! that the children have answered last are kept with the inode ([`Readable`]), for as long as no
//! child comes or goes.
//!
//! The translator is up when a quorum of children is, and each child has reported once. Without a
//! quorum no fop is sent: it fails with [`Failure::NotSent`], and its operation waits.

pub(crate) mod changelog;
mod children;
mod events;
mod everywhere;
mod keys;
mod lookup;
mod open;
mod read;
mod readable;
mod round;
pub(crate) mod transaction;
mod verdict;
mod victim;

pub(crate) use children::{CHILDREN_MAX, Children, Quorum};
pub(crate) use events::{can_do_without, heard};
pub(crate) use keys::{keys, operands};
pub(crate) use lookup::hides_in_root;
pub(crate) use readable::Readable;
pub(crate) use round::Round;
pub use transaction::Transaction;

use events::settled;
use readable::{forget_failed, forget_failures, note_readable, readable, refresh_needed};

use changelog::{Accusations, Findings};
use round::Stage;
use transaction::Kind;
use verdict::Answers;

use super::context::Context;
use super::fop::Fop;
use super::frames::{Failure, FrameState, Outcome, Parent, Slot, Work};
use super::node::{NodeKind, NodeRef, Span};
use super::{Down, Frame};
use crate::fop::OpenFlags;
use crate::fop::wire::{Reply, Statvfs};
use crate::id::{FileId, FrameId, TransactionId};
use crate::xdr::{Dict, Gfid, Iatt};

/// The options and the state of one replicate.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Replicate {
    /// Number of children.
    pub(crate) count: u16,
    /// The last child stores names, metadata and counters, and no data.
    pub(crate) arbiter: bool,
    pub(crate) quorum: Quorum,
    /// The time that a transaction on data stays open after its last fop; 0 if it does not.
    pub(crate) delay_ms: u32,
    /// `optimistic-change-log`: metadata and entries without DIRTY while all children are there.
    pub(crate) optimistic: bool,
    /// `ensure-durability`: data is flushed before DIRTY is lowered.
    pub(crate) durable: bool,
    /// `granular-entry-heal`: bricks keep an index of names that may be missing.
    pub(crate) granular: bool,
    /// The names of the children in the keys of their counters, as the volfile lists them.
    pub(crate) pending_names: Span,
    /// The xattr DIRTY.
    pub(crate) dirty_key: Span,
    /// Children that are up.
    pub(crate) up: Children,
    /// Children that have come up, or failed to, since the graph is there.
    pub(crate) heard: Children,
    /// Number of times that a child has come or gone.
    pub(crate) generation: u32,
    /// The process of some child is not the one that acknowledged changes that no flush covers.
    pub(crate) restarted: bool,
}

impl Replicate {
    pub(crate) fn all(&self) -> Children {
        Children::first(self.count)
    }

    pub(crate) fn has_quorum(&self, set: Children) -> bool {
        self.quorum.holds(set, self.count)
    }

    /// Takes over the state of the same replicate in an older graph, but not the options.
    pub(crate) fn adopt(&mut self, before: &Self) {
        self.up = before.up;
        self.heard = before.heard;
        self.generation = before.generation;
        self.restarted = before.restarted;
    }
}

/// The part of the replies that a frame keeps until it is answered.
#[derive(Clone, Copy, Debug)]
pub struct Kept {
    /// The child that the attributes are from.
    pub(crate) from: u16,
    pub(crate) stat: Iatt,
    pub(crate) statfs: Option<Statvfs>,
    findings: Findings,
    answers: Answers,
    /// Children whose copy of the directory misses nothing, once they were asked.
    trusted: Option<Children>,
}

impl Kept {
    fn nothing() -> Self {
        Self {
            from: 0,
            stat: Iatt::default(),
            statfs: None,
            findings: Findings::NONE,
            answers: Answers::default(),
            trusted: None,
        }
    }
}

/// Starts a frame.
pub(crate) fn start(context: &mut Context<'_>, id: FrameId) {
    let Some((at, fop)) = context.frames.table.get(id).map(|frame| (frame.node, frame.fop)) else {
        return;
    };
    let before = round_mut(context, id).map(|round| round.stage);
    if let Some(frame) = context.frames.table.get_mut(id) {
        // Of an earlier start.
        if let Some(kept) = frame.kept.take() {
            context.kept.free(kept);
        }
        let stage = match before {
            Some(stage @ (Stage::Settled | Stage::Again)) => stage,
            _ => Stage::New,
        };
        frame.work = Work::Replicate(Round { stage, ..Round::default() });
    }
    let Some(replicate) = replicate(context, at) else { return };
    if !replicate.has_quorum(replicate.up) {
        let down = why_down(context, at);
        return context.frames.unwind(id, Outcome::failed(Failure::NotSent(down)));
    }
    match fop {
        Fop::Lookup { .. } | Fop::LookupGfid { .. } => lookup::start(context, id),
        Fop::Read { .. }
        | Fop::Fstat { .. }
        | Fop::Seek { .. }
        | Fop::Readlink { .. }
        | Fop::GetXattr { .. }
        | Fop::Readdirp { .. } => read::start(context, id),
        Fop::Open { .. } | Fop::OpenDir { .. } => open::start(context, id),
        Fop::Flush { .. } | Fop::Statfs { .. } => everywhere::start(context, id),
        _ => match transaction::kind_of(&fop) {
            Kind::Data => transaction::join(context, id, None),
            Kind::Metadata | Kind::Entry => {
                let gfid = transaction::gfid_of(&fop);
                match readable(context, at, &gfid) {
                    Some(_) => start_change(context, id),
                    None => lookup::start_directory(context, id, gfid),
                }
            }
        },
    }
}

/// Starts a change of metadata or entries.
fn start_change(context: &mut Context<'_>, id: FrameId) {
    let Some(frame) = context.frames.table.get_mut(id) else { return };
    if let Some(kept) = frame.kept.take() {
        context.kept.free(kept);
    }
    match frame.fop {
        Fop::Rmdir { .. } | Fop::Rename { .. } => victim::start(context, id),
        _ => transaction::join(context, id, None),
    }
}

/// Takes the outcome of a child's frame.
pub(crate) fn answered(
    context: &mut Context<'_>,
    above: FrameId,
    slot: Slot,
    outcome: Outcome,
    reply: Option<&Reply<'_>>,
) {
    let child = slot.0;
    let Some(stage) = round_mut(context, above).map(|round| round.stage) else { return };
    match stage {
        Stage::Changing => transaction::change_answered(context, above, child, outcome, reply),
        Stage::Looking
        | Stage::Parent
        | Stage::Confirming
        | Stage::Refreshing
        | Stage::Directory
        | Stage::Victim => lookup::answered(context, above, child, outcome, reply),
        Stage::Reading => read::answered(context, above, child, outcome),
        Stage::Opening => open::answered(context, above, child, outcome),
        Stage::Everywhere => everywhere::answered(context, above, child, outcome, reply),
        Stage::New | Stage::Again | Stage::Waiting | Stage::Settled | Stage::Held => {}
    }
}

/// An operation ends before its frame does. A change that children have begun is finished without
/// it: the frame stays, with `parent`, and this returns true. Any other frame is to be dropped.
pub(crate) fn abandon(context: &mut Context<'_>, id: FrameId, parent: Parent) -> bool {
    let Some(round) = round_mut(context, id).map(|round| *round) else { return false };
    let waits = matches!(round.stage, Stage::Waiting | Stage::Settled | Stage::Held)
        || (matches!(round.stage, Stage::New | Stage::Again) && round.transaction.is_some());
    if waits {
        transaction::leave(context, id, &round);
        return false;
    }
    if round.stage != Stage::Changing {
        return false;
    }
    if let Some(frame) = context.frames.table.get_mut(id)
        && frame.state == FrameState::Working
    {
        (frame.parent, frame.op) = (parent, None);
        return true;
    }
    false
}

pub(crate) fn replicate<'c>(context: &'c Context<'_>, at: NodeRef) -> Option<&'c Replicate> {
    match &context.nodes.get(at)?.kind {
        NodeKind::Replicate(replicate) => Some(replicate),
        _ => None,
    }
}

fn replicate_mut<'c>(context: &'c mut Context<'_>, at: NodeRef) -> Option<&'c mut Replicate> {
    match &mut context.nodes.get_mut(at)?.kind {
        NodeKind::Replicate(replicate) => Some(replicate),
        _ => None,
    }
}

fn round_mut<'c>(context: &'c mut Context<'_>, id: FrameId) -> Option<&'c mut Round> {
    match &mut context.frames.table.get_mut(id)?.work {
        Work::Replicate(round) => Some(round),
        Work::None => None,
    }
}

/// The node of a child.
fn child_ref(context: &Context<'_>, at: NodeRef, child: u16) -> Option<NodeRef> {
    let node = context.nodes.get(at)?;
    (child < node.children).then(|| NodeRef { graph: at.graph, node: node.first_child + child })
}

fn arbiter_of(context: &Context<'_>, at: NodeRef) -> Option<u16> {
    replicate(context, at).filter(|each| each.arbiter).map(|each| each.count.saturating_sub(1))
}

/// The reason why the first child that is not up is not.
fn why_down(context: &Context<'_>, at: NodeRef) -> Down {
    let up = replicate(context, at).map_or(Children::NONE, |replicate| replicate.up);
    let all = replicate(context, at).map_or(Children::NONE, Replicate::all);
    let down = all.without(up).next(0).and_then(|child| child_ref(context, at, child));
    down.and_then(|child| context.client(child)).map_or(Down::Untried, |client| client.down())
}

/// Winds a fop for a frame to some children, as one round.
fn wind_round(context: &mut Context<'_>, id: FrameId, stage: Stage, to: Children, fop: Fop) {
    let Some((at, op)) = context.frames.table.get(id).map(|frame| (frame.node, frame.op)) else {
        return;
    };
    if let Some(round) = round_mut(context, id) {
        round.begin(stage, to);
    }
    for child in to.iter() {
        let Some(node) = child_ref(context, at, child) else { continue };
        // Frames for it are reserved.
        let wound = context.frames.wind(node, Parent::Frame(id, Slot(child)), op, fop);
        debug_assert!(wound.is_some());
    }
}

/// The record in which a frame keeps what its outcome says besides the count.
fn kept_mut<'c>(context: &'c mut Context<'_>, id: FrameId) -> Option<&'c mut Kept> {
    let frame = context.frames.table.get_mut(id)?;
    let kept = match frame.kept {
        Some(kept) => kept,
        // There is one for each operation.
        None => context.kept.insert(Kept::nothing())?,
    };
    frame.kept = Some(kept);
    context.kept.get_mut(kept)
}

/// Keeps the attributes that a child has answered with.
fn keep(context: &mut Context<'_>, id: FrameId, child: u16, stat: &Iatt) {
    if let Some(kept) = kept_mut(context, id) {
        (kept.from, kept.stat) = (child, *stat);
    }
}

/// The keys of the counters of each child, in order.
fn pending_keys<'c>(context: &'c Context<'_>, at: NodeRef) -> impl Iterator<Item = &'c [u8]> {
    let text = context.volfiles.half(at.graph);
    let count = replicate(context, at).map_or(0, |replicate| replicate.count);
    (0..count).map(move |child| {
        let node = child_ref(context, at, child).and_then(|child| context.nodes.get(child));
        node.map(|node| node.pending_key.of(text)).unwrap_or_default()
    })
}

/// The accusations of a reply; `None` if a counter has a wrong length.
fn accusations(context: &Context<'_>, at: NodeRef, dict: &Dict<'_>) -> Option<Accusations> {
    Accusations::read(dict, pending_keys(context, at)).ok()
}

/// The accusations in the reply to a fop of a transaction.
fn accusations_of_reply(
    context: &Context<'_>,
    id: TransactionId,
    reply: &Reply<'_>,
) -> Option<Accusations> {
    let at = context.transactions.get(id)?.node;
    match &reply.body {
        crate::fop::wire::Body::Dict { dict, .. } => accusations(context, at, dict),
        _ => None,
    }
}

/// Has a file opened on children that were away when it was: as soon as they are back.
fn want_fds(context: &mut Context<'_>, at: NodeRef, file: FileId, on: Children) {
    let (flags, dir) = match context.files.get(file) {
        Some(file) => (file.flags, file.dir),
        None => return,
    };
    let flags =
        flags.without(OpenFlags::CREATE).without(OpenFlags::EXCLUSIVE).without(OpenFlags::TRUNCATE);
    for child in on.iter() {
        if let Some(node) = child_ref(context, at, child) {
            super::client::want_fd(context, node, file, flags, dir);
        }
    }
}

/// The frame's inode in the order of changes, for a fop on an open file.
fn gfid_of(frame: &Frame) -> Gfid {
    match frame.fop {
        Fop::LookupGfid { gfid } | Fop::Readlink { gfid } | Fop::GetXattr { gfid, .. } => gfid,
        fop => fop.fd().map(|fd| fd.gfid).unwrap_or_default(),
    }
}
