//! What an operation came to, owned: the core's answer lives only until its next step.

use brickwire_core::FileId;
use brickwire_core::fop::wire::Statvfs;
use brickwire_core::volume::Answer;
use brickwire_core::xdr::Iatt;

use crate::{DirEntry, Error, Metadata};

/// How an operation ended.
pub(crate) type Outcome = Result<(u32, Owned), Error>;

/// What it answered besides its count. What is large is boxed: outcomes of reads and writes, which have nothing of it, are
/// handed on several times.
#[derive(Debug)]
pub(crate) enum Owned {
    None,
    Stat(Box<Iatt>),
    Opened { file: FileId, stat: Box<Iatt> },
    Offset(u64),
    Statfs(Box<Statvfs>),
    Bytes(Vec<u8>),
    Xattrs(Vec<(Vec<u8>, Vec<u8>)>),
    Entries { entries: Vec<DirEntry>, next: Option<u64>, last: bool },
}

impl Owned {
    pub(crate) fn of(answer: Answer<'_>) -> Self {
        match answer {
            Answer::Stat(stat) => Self::Stat(Box::new(*stat)),
            Answer::Opened { file, stat, .. } => Self::Opened { file, stat: Box::new(*stat) },
            Answer::Offset(offset) => Self::Offset(offset),
            Answer::Statfs(statfs) => Self::Statfs(Box::new(*statfs)),
            Answer::Link(path) => Self::Bytes(path.to_vec()),
            Answer::Xattrs(dict) => Self::Xattrs(
                dict.pairs()
                    .filter_map(|(key, value)| Some((key.to_vec(), value.as_bytes()?.to_vec())))
                    .collect(),
            ),
            Answer::Entries { entries, last } => Self::Entries {
                entries: entries
                    .iter()
                    .filter(|entry| !matches!(entry.name, b"." | b".."))
                    .map(|entry| DirEntry::new(entry.name, Metadata::new(entry.stat)))
                    .collect(),
                next: entries.next_cookie(),
                last,
            },
            _ => Self::None,
        }
    }
}
