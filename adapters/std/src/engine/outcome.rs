//! Results of operations, owned: the core's answer is valid only until the next call to it.

use brickwire_core::FileId;
use brickwire_core::fop::wire::Statvfs;
use brickwire_core::volume::Answer;
use brickwire_core::xdr::Iatt;

use crate::{DirEntry, Error, Metadata};

/// The result of an operation: its count and its answer.
pub(crate) type Outcome = Result<(u32, Owned), Error>;

/// The answer of an operation, besides its count. Large variants are boxed, because the results of
/// reads and writes, which have none, are moved several times.
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
