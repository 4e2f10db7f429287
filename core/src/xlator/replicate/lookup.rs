//! LOOKUP on every child: what the copies are, and which of them are good
//! (docs/spec/10-replicate.md, "Lookup"). The same question is asked before a read if the answer is
//! not known.

use super::changelog::{Copies, Counter};
use super::children::Children;
use super::round::{Round, Stage};
use super::verdict::{Answers, Verdict, judge};
use super::{
    Kept, accusations, arbiter_of, child_ref, kept_mut, note_readable, read, readable, replicate,
    round_mut, victim, why_down, wind_round,
};
use crate::fop::wire::{Body, Reply};
use crate::id::FrameId;
use crate::xdr::{Errno, Gfid, Iatt};
use crate::xlator::context::Context;
use crate::xlator::fop::{Entry, Fop};
use crate::xlator::frames::{Failure, Outcome, Parent, Slot};
use crate::xlator::node::NodeRef;

/// Says whether a name in the root belongs to self-heal (docs/spec/10-replicate.md,
/// "Anonymous-inode directory").
pub(crate) fn hides_in_root(name: &[u8]) -> bool {
    name.starts_with(b".glusterfs-anonymous-inode")
}

pub(super) fn start(context: &mut Context<'_>, id: FrameId) {
    let Some((at, fop)) = context.frames.table.get(id).map(|frame| (frame.node, frame.fop)) else {
        return;
    };
    let fop = match fop {
        Fop::Lookup { at: Entry { parent: Gfid::ROOT, name }, .. }
            if hides_in_root(context.names.get(name)) =>
        {
            return context.frames.unwind(id, Outcome::failed(Failure::Errno(Errno::EPERM)));
        }
        // A brick would give this gfid to a file that has none.
        Fop::Lookup { at, .. } => Fop::Lookup { at, gfid_req: Gfid::NONE },
        fop => fop,
    };
    wind_round(context, id, Stage::Looking, up(context, at), fop);
}

/// Asks the children which copies of the directory, or of the inode's metadata, are good, before it
/// is changed.
pub(super) fn start_directory(context: &mut Context<'_>, id: FrameId, gfid: Gfid) {
    let Some(at) = context.frames.table.get(id).map(|frame| frame.node) else { return };
    wind_round(context, id, Stage::Directory, up(context, at), Fop::LookupGfid { gfid });
}

pub(super) fn forget_kept(context: &mut Context<'_>, id: FrameId) {
    if let Some(frame) = context.frames.table.get_mut(id)
        && let Some(kept) = frame.kept.take()
    {
        context.kept.free(kept);
    }
}

/// Asks the children which copies may be read.
pub(super) fn refresh(context: &mut Context<'_>, id: FrameId) {
    forget_kept(context, id);
    let Some(frame) = context.frames.table.get(id) else { return };
    let at = frame.node;
    let fop = match frame.fop {
        Fop::Readdirp { fd, .. } => Fop::LookupGfid { gfid: fd.gfid },
        // Only a handle finds a file that is unlinked.
        fop => match fop.fd() {
            Some(fd) => Fop::Fstat { fd },
            None => Fop::LookupGfid { gfid: super::gfid_of(frame) },
        },
    };
    wind_round(context, id, Stage::Refreshing, up(context, at), fop);
}

pub(super) fn up(context: &Context<'_>, at: NodeRef) -> Children {
    replicate(context, at).map_or(Children::NONE, |replicate| replicate.up)
}

pub(super) fn answered(
    context: &mut Context<'_>,
    id: FrameId,
    child: u16,
    outcome: Outcome,
    reply: Option<&Reply<'_>>,
) {
    let Some(at) = context.frames.table.get(id).map(|frame| frame.node) else { return };
    let Some(round) = round_mut(context, id) else { return };
    round.waiting.remove(child);
    if round.stage == Stage::Confirming {
        // The reply, which is lent in this step, is passed on.
        return context.frames.unwind(id, outcome);
    }
    if round.stage == Stage::Parent {
        return parent_answered(context, id, child, outcome, reply);
    }
    let found = reply.and_then(|reply| attributes(&reply.body)).zip(reply);
    match (outcome.result, found) {
        (Ok(_), Some((stat, reply))) if stat.gfid != Gfid::NONE => {
            let read = accusations(context, at, &reply.xdata);
            let count = |key| reply.xdata.get(key).and_then(|value| value.as_u64()).unwrap_or(0);
            let (locked, parent_locked) =
                (count("glusterfs.inodelk-count") > 0, count("glusterfs.parent-entrylk") > 0);
            match (read, kept_mut(context, id)) {
                (Some(accusations), Some(kept)) => {
                    kept.add(child, stat);
                    kept.answers.found.add(child);
                    kept.findings.add(child, &accusations, stat);
                    kept.findings.locked |= locked;
                    kept.answers.parent_locked |= parent_locked;
                    if let Some(round) = round_mut(context, id) {
                        round.succeeded(child, 0);
                    }
                }
                _ => failed(context, id, child, Failure::BadAnswer("replication counters")),
            }
        }
        (Ok(_), _) => failed(context, id, child, Failure::BadAnswer("attributes")),
        (Err(failure), _) => failed(context, id, child, failure),
    }
    let Some(round) = round_mut(context, id).map(|round| *round) else { return };
    if !round.waiting.is_empty() {
        return;
    }
    match round.stage {
        Stage::Refreshing => refreshed(context, id, at, &round),
        Stage::Directory => {
            let found = summary(context, id);
            let answers = found.answers;
            if answers.differs.is_empty() && !answers.found.is_empty() {
                let copies = copies(context, id, at, answers.found);
                note_readable(context, at, &found.gfid, &copies);
            }
            super::start_change(context, id);
        }
        Stage::Victim => victim::victim_found(context, id, at),
        _ => looked(context, id, at, &round),
    }
}

fn attributes<'r>(body: &'r Body<'_>) -> Option<&'r Iatt> {
    match body {
        Body::TwoIatts { before, .. } => Some(before),
        Body::Stat(stat) => Some(stat),
        _ => None,
    }
}

impl Kept {
    /// Takes the attributes of one more child.
    fn add(&mut self, child: u16, stat: &Iatt) {
        if self.findings.found.is_empty() {
            (self.from, self.stat) = (child, *stat);
        } else if stat.gfid != self.stat.gfid || stat.file_type() != self.stat.file_type() {
            self.answers.differs.add(child);
        }
    }
}

fn failed(context: &mut Context<'_>, id: FrameId, child: u16, failure: Failure) {
    if let Failure::Errno(Errno::ENOENT | Errno::ESTALE) = failure
        && let Some(kept) = kept_mut(context, id)
    {
        kept.answers.absent.add(child);
    }
    if let Some(round) = round_mut(context, id) {
        round.failed(child, &failure);
    }
}

/// The children have said which copies of an inode are good.
fn refreshed(context: &mut Context<'_>, id: FrameId, at: NodeRef, round: &Round) {
    let has_quorum = replicate(context, at).is_some_and(|each| each.has_quorum(round.best));
    let found = summary(context, id);
    if !has_quorum {
        return context.frames.unwind(id, Outcome::failed(refused(context, at, round)));
    }
    if !found.answers.differs.is_empty() {
        return context.frames.unwind(id, Outcome::failed(Failure::Errno(Errno::EIO)));
    }
    let copies = copies(context, id, at, found.answers.found);
    note_readable(context, at, &found.gfid, &copies);
    read::refreshed(context, id);
}

/// The replies that a frame has kept, in short.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Summary {
    pub(super) gfid: Gfid,
    pub(super) is_dir: bool,
    from: u16,
    pub(super) answers: Answers,
    trusted: Option<Children>,
}

pub(super) fn summary(context: &Context<'_>, id: FrameId) -> Summary {
    let kept = context.frames.table.get(id).and_then(|frame| context.kept.get(frame.kept?));
    kept.map_or_else(Summary::default, |kept| Summary {
        gfid: kept.stat.gfid,
        is_dir: kept.stat.is_dir(),
        from: kept.from,
        answers: kept.answers,
        trusted: kept.trusted,
    })
}

/// The good copies among these children, as the replies that a frame has kept say.
fn copies(context: &Context<'_>, id: FrameId, at: NodeRef, among: Children) -> Copies {
    let kept = context.frames.table.get(id).and_then(|frame| context.kept.get(frame.kept?));
    let arbiter = arbiter_of(context, at);
    kept.map_or_else(Copies::default, |kept| kept.findings.copies(among, arbiter))
}

/// The failure of a round in which too few children have succeeded.
fn refused(context: &Context<'_>, at: NodeRef, round: &Round) -> Failure {
    match round.errno {
        Some(errno) if errno != Errno::ENOTCONN && !round.lost => Failure::Errno(errno),
        // Its operation asks again.
        _ => Failure::Lost { down: why_down(context, at), server: 0 },
    }
}

/// Asks the children which copies of a directory miss nothing.
fn ask_parent(context: &mut Context<'_>, id: FrameId, at: NodeRef, parent: Gfid) {
    if let Some(kept) = kept_mut(context, id) {
        kept.trusted = Some(Children::NONE);
    }
    wind_round(context, id, Stage::Parent, up(context, at), Fop::LookupGfid { gfid: parent });
}

fn parent_answered(
    context: &mut Context<'_>,
    id: FrameId,
    child: u16,
    outcome: Outcome,
    reply: Option<&Reply<'_>>,
) {
    let Some(at) = context.frames.table.get(id).map(|frame| frame.node) else { return };
    let read = match (outcome.result, reply) {
        (Ok(_), Some(reply)) => accusations(context, at, &reply.xdata),
        _ => None,
    };
    if let Some(round) = round_mut(context, id)
        && let Some(accusations) = read
    {
        round.best.add(child);
        // Accused children are collected here until all have answered.
        round.tried = round.tried.or(accusations.by(Counter::Entry));
    }
    let Some(round) = round_mut(context, id).map(|round| *round) else { return };
    if !round.waiting.is_empty() {
        return;
    }
    if let Some(kept) = kept_mut(context, id) {
        kept.trusted = Some(round.best.without(round.tried));
    }
    looked(context, id, at, &round);
}

/// All children have looked: decides what the answer is, and which child gives it.
fn looked(context: &mut Context<'_>, id: FrameId, at: NodeRef, round: &Round) {
    let Some(fop) = context.frames.table.get(id).map(|frame| frame.fop) else { return };
    let kept = summary(context, id);
    let answers = kept.answers;
    let Some(all) = replicate(context, at).map(|replicate| replicate.all()) else { return };
    let has_quorum = |set| replicate(context, at).is_some_and(|each| each.has_quorum(set));
    // Children whose copy of the directory misses nothing.
    let trusted = match fop {
        Fop::Lookup { at: entry, .. } => {
            let known = readable(context, at, &entry.parent).map(|known| known.names);
            let disagree = !answers.absent.is_empty() && !answers.found.is_empty()
                || !answers.differs.is_empty();
            match known.or(kept.trusted) {
                Some(trusted) => trusted,
                None if disagree => return ask_parent(context, id, at, entry.parent),
                None => all,
            }
        }
        _ => all,
    };
    match judge(&answers, trusted, has_quorum) {
        Verdict::Unanswered => {
            context.frames.unwind(id, Outcome::failed(refused(context, at, round)));
        }
        Verdict::Absent => {
            let errno = round.errno.filter(|errno| *errno == Errno::ESTALE);
            let failure = Failure::Errno(errno.unwrap_or(Errno::ENOENT));
            context.frames.unwind(id, Outcome::failed(failure));
        }
        Verdict::Contradiction => {
            context.frames.unwind(id, Outcome::failed(Failure::Errno(Errno::EIO)));
        }
        Verdict::Differs(children) => {
            let arbiter = arbiter_of(context, at).map_or(Children::NONE, Children::only);
            match children.without(arbiter) {
                Children::NONE => arbiter_alone(context, id),
                bearing => confirm(context, id, at, bearing),
            }
        }
        Verdict::Found(found) => {
            let copies = copies(context, id, at, found);
            if has_quorum(found) {
                note_readable(context, at, &kept.gfid, &copies);
            }
            choose(context, id, at, &copies, trusted, kept.from);
        }
    }
}

/// Answers with the attributes of a good copy.
fn choose(
    context: &mut Context<'_>,
    id: FrameId,
    at: NodeRef,
    copies: &Copies,
    trusted: Children,
    from: u16,
) {
    let arbiter = arbiter_of(context, at);
    let bearing = copies.found.without(arbiter.map_or(Children::NONE, Children::only));
    let good = copies.data.and(copies.metadata);
    // A copy of which a name is missing counts its names wrongly.
    let candidates = [good.and(trusted), good, copies.metadata, bearing];
    let best = candidates.into_iter().find(|candidates| !candidates.is_empty());
    match best {
        Some(best) if best.contains(from) => context.frames.unwind(id, Outcome::ok(0)),
        Some(best) => confirm(context, id, at, best),
        None => arbiter_alone(context, id),
    }
}

/// Only an arbiter has the object, and its sizes are all 0.
fn arbiter_alone(context: &mut Context<'_>, id: FrameId) {
    context.frames.unwind(id, Outcome::failed(Failure::Errno(Errno::ENOTCONN)));
}

/// Asks one of these children again, to answer with its attributes.
fn confirm(context: &mut Context<'_>, id: FrameId, at: NodeRef, children: Children) {
    forget_kept(context, id);
    let Some(frame) = context.frames.table.get(id) else { return };
    let (op, fop) = (frame.op, frame.fop);
    let Some(child) = children.and(up(context, at)).next(0) else {
        let failure = Failure::Lost { down: why_down(context, at), server: 0 };
        return context.frames.unwind(id, Outcome::failed(failure));
    };
    let fop = match fop {
        Fop::Lookup { at, .. } => Fop::Lookup { at, gfid_req: Gfid::NONE },
        fop => fop,
    };
    if let Some(round) = round_mut(context, id) {
        round.begin(Stage::Confirming, Children::only(child));
    }
    let Some(node) = child_ref(context, at, child) else { return };
    // Frames for it are reserved.
    let wound = context.frames.wind(node, Parent::Frame(id, Slot(child)), op, fop);
    debug_assert!(wound.is_some());
}
