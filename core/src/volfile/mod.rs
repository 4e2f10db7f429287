//! From a volfile's text to a description of its graph, and back to text.
//!
//! A volfile is glusterd's answer to GETSPEC: a list of translator instances, children before
//! parents, the last one on top. This module checks it completely and says where it is wrong. The
//! builder of the graph decides which translators are run, skipped or refused.
//!
//! Nothing is allocated. The caller lends [`Tables`]; [`parse`] fills them with spans into the
//! text, and [`Volfile`] is the view over both. [`needs`] counts beforehand, for a caller that
//! sizes its tables once.
//!
//! ```
//! use brickwire_core::volfile::{
//!     self, Limits, OptionEntry, Tables, TranslatorKind, VolumeEntry, VolumeIndex,
//! };
//!
//! let text = b"volume demo-client-0
//!     type protocol/client
//!     option remote-host 127.0.0.1
//!     option ping-timeout 42
//! end-volume
//!
//! volume demo
//!     type debug/io-stats
//!     subvolumes demo-client-0
//! end-volume
//! ";
//! let (mut volumes, mut options) = ([VolumeEntry::default(); 8], [OptionEntry::default(); 32]);
//! let mut children = [VolumeIndex::default(); 8];
//! let tables = Tables { volumes: &mut volumes, options: &mut options, children: &mut children };
//!
//! let volfile = volfile::parse(text, tables, &Limits::default())?;
//! assert_eq!(volfile.top().name(), "demo");
//! for child in volfile.top().children() {
//!     assert_eq!(child.kind(), TranslatorKind::Client);
//!     assert_eq!(child.option("ping-timeout").unwrap().to_seconds(), Ok(42));
//! }
//! # Ok::<(), volfile::VolfileError>(())
//! ```
//!
//! A volfile may come from a hostile peer: no bytes make this module panic or recurse, and the time
//! it takes is bounded by the length of the text. A text that holds a backtick is refused before
//! anything else, because the real parser would run the text between two of them in a shell.

mod by_name;
mod error;
mod grammar;
mod lex;
mod number;
mod options;
mod parse;
mod token;
mod types;
mod value;
mod view;
mod write;

pub use error::{Explained, Fault, Table, VolfileError};
pub use options::{Decimal, Host, List, PercentOrSize};
pub use parse::{needs, parse};
pub use token::{Bytes, Token, TokenSpan};
pub use types::TranslatorKind;
pub use value::{ValueError, ValueFault, ValueKind};
pub use view::{Volfile, Volume};
pub use write::{VolfileWriter, WriteError};

use core::fmt;

/// The place of a volume in its volfile, counted from the first volume defined. Children have
/// smaller ones than their parents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VolumeIndex(u16);

impl VolumeIndex {
    /// The number itself, to index a table that runs beside the volfile's volumes.
    pub const fn as_usize(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for VolumeIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One volume of a parsed volfile: spans and links, no lifetimes. Read it through [`Volfile`].
#[derive(Clone, Copy, Debug, Default)]
pub struct VolumeEntry {
    name: TokenSpan,
    type_name: TokenSpan,
    hash: u32,
    line: u32,
    options_start: u32,
    children_start: u32,
    options_len: u16,
    children_len: u16,
    depth: u16,
    parents_len: u16,
    last_parent: Link,
    // Links of the tree in `by_name`.
    left: Link,
    right: Link,
    kind: TranslatorKind,
    reachable: bool,
    // Used while a parse looks for the cycle that it will report.
    leads_back: bool,
}

/// One `option` line of a parsed volfile. Read it through [`Volume::options`].
#[derive(Clone, Copy, Debug, Default)]
pub struct OptionEntry {
    key: TokenSpan,
    value: TokenSpan,
}

/// The memory that a parse fills. Earlier content of the entries does not matter.
#[derive(Debug)]
pub struct Tables<'t> {
    /// One entry for each volume.
    pub volumes: &'t mut [VolumeEntry],
    /// One entry for each `option` line.
    pub options: &'t mut [OptionEntry],
    /// One entry for each name after `subvolumes`.
    pub children: &'t mut [VolumeIndex],
}

/// Exact numbers of entries that a volfile needs in each table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Entries of [`Tables::volumes`].
    pub volumes: u32,
    /// Entries of [`Tables::options`].
    pub options: u32,
    /// Entries of [`Tables::children`].
    pub children: u32,
}

/// Limits of a volfile (docs/spec/02-volfile.md, "Limits to enforce"). The real parser has none, so
/// these are wide: a volume of a thousand bricks makes about 600 KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Length of the whole text. Never more than 2 GiB − 1.
    pub text_bytes_max: u32,
    /// Length of one word or string, as it stands in the text.
    pub token_bytes_max: u32,
    /// Volumes of the file.
    pub volumes_max: u16,
    /// Volumes from the top to the deepest leaf, both counted.
    pub depth_max: u16,
    /// Subvolumes of one volume.
    pub children_per_volume_max: u16,
    /// Option lines of one volume.
    pub options_per_volume_max: u16,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            text_bytes_max: 16 << 20,
            token_bytes_max: 64 << 10,
            volumes_max: u16::MAX,
            depth_max: 64,
            children_per_volume_max: u16::MAX,
            options_per_volume_max: 4096,
        }
    }
}

/// A volume index or nothing. Zeroed memory is nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Link(u16);

impl Link {
    /// `Limits::volumes_max` is a `u16`, so the largest index is one less than the largest link.
    const fn to(index: VolumeIndex) -> Self {
        Self(index.0.saturating_add(1))
    }

    const fn get(self) -> Option<VolumeIndex> {
        match self.0.checked_sub(1) {
            Some(index) => Some(VolumeIndex(index)),
            None => None,
        }
    }
}
