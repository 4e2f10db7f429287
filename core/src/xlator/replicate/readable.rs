//! The copies of an inode that may be read, as the children said last
//! (docs/spec/10-replicate.md, "Readability", "Inode context").

use super::changelog::Copies;
use super::children::Children;
use super::replicate;
use super::transaction::Kind;
use crate::id::TransactionId;
use crate::xdr::Gfid;
use crate::xlator::context::Context;
use crate::xlator::node::NodeRef;

/// The copies of an inode that may be read, as the children said last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Readable {
    node: NodeRef,
    /// The generation of the node when they said so, plus one; 0 if nothing is known.
    generation: u32,
    pub(super) data: Children,
    pub(super) metadata: Children,
    /// The copies that nobody accuses, that of an arbiter among them: of the names in a directory,
    /// and of metadata.
    pub(super) names: Children,
    pub(super) attributes: Children,
    /// Children that have failed a change since the generation began, whatever they said before.
    failed_data: Children,
    failed_metadata: Children,
}

impl Readable {
    /// Forgets it if it is about a node of a graph that ends.
    pub(crate) fn forget_graph(&mut self, graph: u8) {
        if self.node.graph == graph {
            *self = Self::default();
        }
    }

    /// Moves it to another graph that has taken over the node.
    pub(crate) fn move_graph(&mut self, old: u8, new: u8) {
        if self.node.graph == old {
            self.node.graph = new;
        }
    }
}

/// The copies of an inode that may be read; `None` if the children have to be asked.
pub(super) fn readable(context: &Context<'_>, at: NodeRef, gfid: &Gfid) -> Option<Readable> {
    let inode = context.inodes.find(gfid).and_then(|inode| context.inodes.get(inode))?;
    let now = replicate(context, at)?.generation.wrapping_add(1);
    let known = inode.readable;
    (known.node == at && known.generation == now).then_some(known)
}

/// Notes what the children say about an inode.
pub(super) fn note_readable(context: &mut Context<'_>, at: NodeRef, gfid: &Gfid, copies: &Copies) {
    let Some(generation) = replicate(context, at).map(|each| each.generation.wrapping_add(1))
    else {
        return;
    };
    let Some(inode) = context.inodes.note(gfid) else { return };
    let known = &mut inode.readable;
    if known.node != at || known.generation != generation {
        *known = Readable { node: at, generation, ..Readable::default() };
    }
    // The answers may be older than a failure.
    known.data = copies.data.without(known.failed_data);
    known.names = copies.names.without(known.failed_data);
    known.metadata = copies.metadata.without(known.failed_metadata);
    known.attributes = copies.attributes.without(known.failed_metadata);
}

/// Has the children asked again about an inode before it is read.
pub(super) fn refresh_needed(context: &mut Context<'_>, id: TransactionId) {
    let Some(gfid) = context.transactions.get(id).map(|transaction| transaction.gfid) else {
        return;
    };
    let inode = context.inodes.find(&gfid);
    if let Some(inode) = inode.and_then(|inode| context.inodes.get_mut(inode)) {
        inode.readable = Readable::default();
    }
}

/// No copy is read any more that has failed a change of this transaction, or that is accused as it
/// has found.
pub(super) fn forget_failed(context: &mut Context<'_>, id: TransactionId) {
    let Some(transaction) = context.transactions.get(id).copied() else { return };
    let Some(replicate) = replicate(context, transaction.node) else { return };
    let (node, generation) = (transaction.node, replicate.generation.wrapping_add(1));
    let failed = match transaction.kind {
        Kind::Data => replicate.all().without(transaction.sources()).or(transaction.failed),
        Kind::Metadata | Kind::Entry => transaction.failed,
    };
    for gfid in transaction.subjects().into_iter().flatten() {
        let Some(inode) = context.inodes.note(&gfid) else { continue };
        let known = &mut inode.readable;
        if known.node != node || known.generation != generation {
            // Nothing else is known.
            continue;
        }
        match transaction.kind {
            Kind::Data | Kind::Entry => {
                known.failed_data = known.failed_data.or(failed);
                known.data = known.data.without(failed);
                known.names = known.names.without(failed);
            }
            Kind::Metadata => {
                known.failed_metadata = known.failed_metadata.or(failed);
                known.metadata = known.metadata.without(failed);
                known.attributes = known.attributes.without(failed);
            }
        }
    }
}

/// Forgets which copies have failed: none is left, and one may have been healed.
pub(super) fn forget_failures(context: &mut Context<'_>, gfid: &Gfid) {
    let inode = context.inodes.find(gfid);
    if let Some(inode) = inode.and_then(|inode| context.inodes.get_mut(inode)) {
        inode.readable = Readable::default();
    }
}
