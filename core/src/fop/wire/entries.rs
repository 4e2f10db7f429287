//! Lists in replies: optional chains, checked once and then read from the record, link by link
//! (docs/spec/01-wire.md, "Directory entries").

use crate::xdr::{Decode, Dict, Encode, Fault, Flock, Iatt, NoRoom, Reader, Writer, XdrError};

/// Bytes of a name in a directory (docs/spec/01-wire.md, "Bounds a robust client").
const ENTRY_MAX: usize = 255;
/// Bytes of a client's name at most.
const NAME_MAX: usize = 4096;
/// Links of a list at most.
const LINKS_MAX: u32 = 1 << 16;

/// One entry of READDIR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dirent<'a> {
    /// Inode number on the backend.
    pub ino: u64,
    /// The cookie that resumes behind this entry.
    pub offset: u64,
    /// Length of the name, repeated.
    pub len: u32,
    /// Kind of inode, as `d_type`.
    pub kind: u32,
    /// Name.
    pub name: &'a [u8],
}

/// One entry of READDIRP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Direntp<'a> {
    /// Inode number.
    pub ino: u64,
    /// The cookie that resumes behind this entry.
    pub offset: u64,
    /// Length of the name, repeated.
    pub len: u32,
    /// Kind of inode, as `d_type`.
    pub kind: u32,
    /// Name.
    pub name: &'a [u8],
    /// Attributes; with a zero gfid, look the name up before use.
    pub stat: Iatt,
    /// Requested xattrs.
    pub dict: Dict<'a>,
}

/// One lock of GETACTIVELK and SETACTIVELK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActiveLock<'a> {
    /// The range.
    pub flock: Flock<'a>,
    /// The client that holds the lock.
    pub client_uid: &'a [u8],
    /// Flags.
    pub flags: u32,
}

impl<'a> Decode<'a> for Dirent<'a> {
    fn decode(r: &mut Reader<'a>) -> Result<Self, XdrError> {
        Ok(Self {
            ino: r.u64("d_ino")?,
            offset: r.u64("d_off")?,
            len: r.u32("d_len")?,
            kind: r.u32("d_type")?,
            name: name(r)?,
        })
    }
}

impl Encode for Dirent<'_> {
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
        w.u64(self.ino)?;
        w.u64(self.offset)?;
        w.u32(self.len)?;
        w.u32(self.kind)?;
        w.opaque(self.name)
    }
}

impl<'a> Decode<'a> for Direntp<'a> {
    fn decode(r: &mut Reader<'a>) -> Result<Self, XdrError> {
        let Dirent { ino, offset, len, kind, name } = Dirent::decode(r)?;
        Ok(Self { ino, offset, len, kind, name, stat: Iatt::decode(r)?, dict: Dict::decode(r)? })
    }
}

impl Encode for Direntp<'_> {
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
        let Self { ino, offset, len, kind, name, .. } = *self;
        Dirent { ino, offset, len, kind, name }.encode(w)?;
        self.stat.encode(w)?;
        self.dict.encode(w)
    }
}

impl<'a> Decode<'a> for ActiveLock<'a> {
    fn decode(r: &mut Reader<'a>) -> Result<Self, XdrError> {
        Ok(Self {
            flock: Flock::decode(r)?,
            client_uid: r.string("client_uid", NAME_MAX)?,
            flags: r.u32("lk_flags")?,
        })
    }
}

impl Encode for ActiveLock<'_> {
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
        self.flock.encode(w)?;
        w.opaque(self.client_uid)?;
        w.u32(self.flags)
    }
}

/// Decodes a file name: not empty, no slash, no NUL.
fn name<'a>(r: &mut Reader<'a>) -> Result<&'a [u8], XdrError> {
    let start = *r;
    let name = r.string("name", ENTRY_MAX)?;
    if name.is_empty() || name.contains(&b'/') {
        let fault = Fault::Value { got: name.len() as u64, expected: "a name without a slash" };
        return Err(start.error("name", fault));
    }
    Ok(name)
}

macro_rules! lists {
    ($($(#[$meta:meta])* $list:ident of $item:ident;)+) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $list<'a> {
            source: Source<'a, $item<'a>>,
        }

        impl<'a> $list<'a> {
            /// A list to be encoded.
            pub const fn of(items: &'a [$item<'a>]) -> Self {
                Self { source: Source::Items(items) }
            }

            /// A list whose items are encoded already: the word 1 before each item, the word 0 at
            /// the end. It is not checked here; a client rejects a malformed list.
            pub const fn encoded(links: &'a [u8]) -> Self {
                Self { source: Source::Wire(links) }
            }

            /// The items, in their order.
            pub fn iter(&self) -> impl Iterator<Item = $item<'a>> + use<'a> {
                self.source.iter()
            }
        }

        impl<'a> Decode<'a> for $list<'a> {
            fn decode(r: &mut Reader<'a>) -> Result<Self, XdrError> {
                Ok(Self { source: Source::decode(r)? })
            }
        }

        impl Encode for $list<'_> {
            fn encode(&self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
                self.source.encode(w)
            }
        }
    )+};
}

lists! {
    /// The entries of a READDIR reply.
    Dirents of Dirent;
    /// The entries of a READDIRP reply.
    Direntps of Direntp;
    /// Locks.
    ActiveLocks of ActiveLock;
}

/// A list from a record, or one to be encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source<'a, T> {
    Wire(&'a [u8]),
    Items(&'a [T]),
}

impl<'a, T: Decode<'a> + Encode + Copy> Source<'a, T> {
    fn decode(r: &mut Reader<'a>) -> Result<Self, XdrError> {
        let first = *r;
        let mut count = 0;
        while next::<T>(r)?.is_some() {
            count += 1;
            if count > LINKS_MAX {
                return Err(first.error("list", Fault::TooLong { len: count, max: LINKS_MAX }));
            }
        }
        Ok(Self::Wire(r.since(&first)))
    }

    fn iter(&self) -> impl Iterator<Item = T> + use<'a, T> {
        let (mut wire, mut items) = match *self {
            Self::Wire(bytes) => (Some(Reader::new(bytes)), [].iter()),
            Self::Items(items) => (None, items.iter()),
        };
        core::iter::from_fn(move || match &mut wire {
            // It was checked when it was decoded.
            Some(r) => next::<T>(r).ok().flatten(),
            None => items.next().copied(),
        })
    }

    fn encode(&self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
        match self {
            Self::Wire(bytes) => w.raw(bytes),
            Self::Items(items) => {
                for item in *items {
                    w.u32(1)?;
                    item.encode(w)?;
                }
                w.u32(0)
            }
        }
    }
}

fn next<'a, T: Decode<'a>>(r: &mut Reader<'a>) -> Result<Option<T>, XdrError> {
    let start = *r;
    match r.u32("list.next")? {
        0 => Ok(None),
        1 => T::decode(r).map(Some),
        got => Err(start.error("list.next", Fault::Value { got: got.into(), expected: "0 or 1" })),
    }
}
