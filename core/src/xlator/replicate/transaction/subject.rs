//! The subject of a transaction: its kind, the locks that it takes, the directories whose counters
//! it changes (docs/spec/10-replicate.md, "Entry transactions", "Locks").

use core::cmp::Ordering;

use super::super::changelog::Counter;
use super::Transaction;
use crate::id::FileId;
use crate::names::{Name, Names};
use crate::xdr::Gfid;
use crate::xlator::fop::{Entry, Fop, InodeRef, LockCommand, LockOwner};

/// The first byte of the lock on metadata; the one on data begins at 0.
const METADATA_START: u64 = i64::MAX as u64 - 1;

/// The kind of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Data,
    Metadata,
    Entry,
}

impl Kind {
    pub(crate) fn counter(self) -> Counter {
        match self {
            Self::Data => Counter::Data,
            Self::Metadata => Counter::Metadata,
            Self::Entry => Counter::Entry,
        }
    }
}

/// One lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Lockee {
    /// The bytes of an inode, from this one on.
    Inode(InodeRef, u64),
    /// A name of a directory, or all of them.
    Entry(Gfid, Option<Name>),
}

impl Lockee {
    pub(crate) fn fop(self, command: LockCommand, owner: LockOwner) -> Fop {
        match self {
            Self::Inode(on, start) => Fop::InodeLock { on, start, command, owner },
            Self::Entry(dir, name) => Fop::EntryLock { dir, name, command, owner },
        }
    }
}

/// The kind of transaction that a change needs.
pub(crate) fn kind_of(fop: &Fop) -> Kind {
    match fop {
        Fop::SetAttr { .. } | Fop::SetXattr { .. } | Fop::RemoveXattr { .. } => Kind::Metadata,
        Fop::Mkdir { .. }
        | Fop::Rmdir { .. }
        | Fop::Unlink { .. }
        | Fop::Symlink { .. }
        | Fop::Rename { .. }
        | Fop::Link { .. }
        | Fop::Create { .. } => Kind::Entry,
        _ => Kind::Data,
    }
}

/// The inode that a change is about; for entries the directory (of a RENAME, the new one).
pub(crate) fn gfid_of(fop: &Fop) -> Gfid {
    match *fop {
        Fop::SetAttr { gfid, .. }
        | Fop::SetXattr { gfid, .. }
        | Fop::RemoveXattr { gfid, .. }
        | Fop::Truncate { gfid, .. } => gfid,
        Fop::Open { fd, .. } => fd.gfid,
        _ => match parents(fop) {
            [Some(entry), _] => entry.parent,
            _ => fop.fd().map(|fd| fd.gfid).unwrap_or_default(),
        },
    }
}

pub(super) fn file_of(fop: &Fop) -> Option<FileId> {
    match *fop {
        Fop::Open { fd, .. } => Some(fd.file),
        _ => fop.fd().map(|fd| fd.file),
    }
}

/// The directories whose counters a change of entries moves, with the names.
pub(super) fn parents(fop: &Fop) -> [Option<Entry>; 2] {
    match *fop {
        Fop::Mkdir { at, .. }
        | Fop::Rmdir { at }
        | Fop::Unlink { at }
        | Fop::Symlink { at, .. }
        | Fop::Create { at, .. } => [Some(at), None],
        Fop::Link { to, .. } => [Some(to), None],
        Fop::Rename { from, to } => [Some(to), Some(from)],
        _ => [None, None],
    }
}

/// The gfid of a new file or directory, on which children that lack it are accused.
pub(super) fn new_gfid(fop: &Fop) -> Option<Gfid> {
    match *fop {
        Fop::Create { gfid_req, .. } | Fop::Mkdir { gfid_req, .. } => Some(gfid_req),
        _ => None,
    }
}

impl Transaction {
    /// The locks that it takes, in the order in which every client takes them.
    pub(super) fn lockees(&self, names: &Names<'_>) -> heapless::Vec<Lockee, 3> {
        let mut all: heapless::Vec<Lockee, 3> = heapless::Vec::new();
        let mut add = |lockee| {
            // There are two names and a victim at most.
            let _ = all.push(lockee);
        };
        match self.kind {
            Kind::Data => add(Lockee::Inode(self.on(), 0)),
            Kind::Metadata => add(Lockee::Inode(self.on(), METADATA_START)),
            Kind::Entry => {
                for entry in parents(&self.fop).into_iter().flatten() {
                    add(Lockee::Entry(entry.parent, Some(entry.name)));
                }
                if let Some(victim) = self.victim {
                    add(Lockee::Entry(victim, None));
                }
            }
        }
        let mut sorted: heapless::Vec<Lockee, 3> = heapless::Vec::new();
        while let Some(next) = all
            .iter()
            .filter(|each| !sorted.iter().any(|other| same(other, each, names)))
            .min_by(|a, b| order(a, b, names))
        {
            // No more than there are.
            let _ = sorted.push(*next);
        }
        sorted
    }

    /// The inode, or the directories, that it is about.
    pub(in super::super) fn subjects(&self) -> [Option<Gfid>; 2] {
        match self.kind {
            Kind::Entry => parents(&self.fop).map(|entry| entry.map(|entry| entry.parent)),
            _ => [Some(self.gfid), None],
        }
    }

    /// The directory, or inode, whose counters are changed in this step; for entries, the name too.
    pub(super) fn counted(&self) -> Option<(InodeRef, Option<Name>)> {
        if self.kind != Kind::Entry {
            return (self.parent == 0).then(|| (self.on(), None));
        }
        let entry = (*parents(&self.fop).get(usize::from(self.parent))?)?;
        Some((InodeRef { gfid: entry.parent, file: None }, Some(entry.name)))
    }
}

/// The order in which all clients take locks: by gfid, then all names of a directory, then each.
fn order(a: &Lockee, b: &Lockee, names: &Names<'_>) -> Ordering {
    let key = |lockee: &Lockee| match *lockee {
        Lockee::Inode(on, _) => (on.gfid, None),
        Lockee::Entry(dir, name) => (dir, name),
    };
    let ((a_gfid, a_name), (b_gfid, b_name)) = (key(a), key(b));
    let text = |name: Option<Name>| name.map(|name| names.get(name));
    a_gfid.0.cmp(&b_gfid.0).then_with(|| text(a_name).cmp(&text(b_name)))
}

/// Says whether two locks are the same: a RENAME to the same name of the same directory takes one.
fn same(a: &Lockee, b: &Lockee, names: &Names<'_>) -> bool {
    order(a, b, names).is_eq()
}
