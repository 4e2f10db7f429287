//! RMDIR and RENAME look up first what they remove or replace: a directory is locked as a whole
//! (docs/spec/10-replicate.md, "Locks").

use super::children::Children;
use super::lookup::{forget_kept, summary, up};
use super::round::Stage;
use super::verdict::{Verdict, judge};
use super::{readable, replicate, transaction, wind_round};
use crate::id::FrameId;
use crate::xdr::Gfid;
use crate::xlator::context::Context;
use crate::xlator::fop::{Entry, Fop};
use crate::xlator::node::NodeRef;

/// Looks up what a RMDIR removes or a RENAME replaces: a directory is locked as a whole.
pub(super) fn start(context: &mut Context<'_>, id: FrameId) {
    let Some(at) = context.frames.table.get(id).map(|frame| frame.node) else { return };
    look_up_victim(context, id, up(context, at));
}

fn victim(fop: &Fop) -> Option<Entry> {
    match *fop {
        Fop::Rmdir { at } | Fop::Rename { to: at, .. } => Some(at),
        _ => None,
    }
}

fn look_up_victim(context: &mut Context<'_>, id: FrameId, on: Children) {
    let fop = context.frames.table.get(id).map(|frame| frame.fop);
    let Some(at) = fop.and_then(|fop| victim(&fop)) else { return };
    let fop = Fop::Lookup { at, gfid_req: Gfid::NONE };
    wind_round(context, id, Stage::Victim, on, fop);
}

/// The children have said what is to be removed or replaced.
pub(super) fn victim_found(context: &mut Context<'_>, id: FrameId, at: NodeRef) {
    let fop = context.frames.table.get(id).map(|frame| frame.fop);
    let Some(entry) = fop.and_then(|fop| victim(&fop)) else { return };
    let found = summary(context, id);
    let Some(all) = replicate(context, at).map(|replicate| replicate.all()) else { return };
    let trusted = readable(context, at, &entry.parent).map_or(all, |known| known.names);
    let has_quorum = |set| replicate(context, at).is_some_and(|each| each.has_quorum(set));
    match judge(&found.answers, trusted, has_quorum) {
        Verdict::Differs(children) if !children.and(up(context, at)).is_empty() => {
            forget_kept(context, id);
            look_up_victim(context, id, children.and(up(context, at)));
        }
        Verdict::Found(_) if found.is_dir => transaction::join(context, id, Some(found.gfid)),
        // The children themselves say what is wrong.
        _ => transaction::join(context, id, None),
    }
}
