//! Replies: a result, xdata and one of a few bodies. One table assigns a body to each fop
//! (docs/spec/01-wire.md, "Request and reply table").

use super::super::FopNumber;
use super::{ActiveLocks, Direntps, Dirents, PATH_MAX};
use crate::xdr::{Decode, Dict, Encode, Errno, Flock, Iatt, NoRoom, Reader, Writer, XdrError};

/// The answer to a fop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply<'a> {
    /// A count or 0; negative on failure.
    pub op_ret: i32,
    /// The error, on failure. On success it has a meaning for READ, READDIR and READDIRP only: 2 is
    /// the end.
    pub op_errno: i32,
    /// Further keys.
    pub xdata: Dict<'a>,
    /// Further fields of the reply; on failure they are present as zeroes.
    pub body: Body<'a>,
}

/// The fields of a reply after its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
// Fields have the wire's names: docs/spec/01-wire.md, "Request and reply table".
#[allow(missing_docs)]
#[allow(clippy::large_enum_variant)] // Lives on the stack for the length of one answer.
pub enum Body<'a> {
    None,
    Stat(Iatt),
    /// Before and after the change; in a LOOKUP, the object and its parent.
    TwoIatts {
        before: Iatt,
        after: Iatt,
    },
    Entry {
        stat: Iatt,
        preparent: Iatt,
        postparent: Iatt,
    },
    Rename {
        stat: Iatt,
        preoldparent: Iatt,
        postoldparent: Iatt,
        prenewparent: Iatt,
        postnewparent: Iatt,
    },
    Create {
        stat: Iatt,
        fd: u64,
        preparent: Iatt,
        postparent: Iatt,
    },
    Open {
        fd: i64,
    },
    /// The payload follows in the record.
    Read {
        stat: Iatt,
        size: u32,
    },
    Readlink {
        stat: Iatt,
        path: &'a [u8],
    },
    Statfs(Statvfs),
    Dict {
        dict: Dict<'a>,
        before: Iatt,
        after: Iatt,
    },
    Dirents(Dirents<'a>),
    Direntps(Direntps<'a>),
    Lk(Flock<'a>),
    Rchecksum {
        flags: u32,
        weak: u32,
        strong: &'a [u8],
    },
    Seek {
        offset: u64,
    },
    Copy {
        stat: Iatt,
        before: Iatt,
        after: Iatt,
    },
    Lease(LeaseId),
    ActiveLocks(ActiveLocks<'a>),
}

/// Space and inodes (docs/spec/01-wire.md, "statfs").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // `struct statvfs`.
pub struct Statvfs {
    pub bsize: u64,
    pub frsize: u64,
    pub blocks: u64,
    pub bfree: u64,
    pub bavail: u64,
    pub files: u64,
    pub ffree: u64,
    pub favail: u64,
    pub fsid: u64,
    pub flag: u64,
    pub namemax: u64,
}

/// A lease.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // Fields have the wire's names.
pub struct LeaseId {
    pub cmd: u32,
    pub lease_type: u32,
    pub lease_id: [u8; 16],
    pub lease_flags: u32,
}

impl Statvfs {
    fn words(&self) -> [u64; 11] {
        [
            self.bsize,
            self.frsize,
            self.blocks,
            self.bfree,
            self.bavail,
            self.files,
            self.ffree,
            self.favail,
            self.fsid,
            self.flag,
            self.namemax,
        ]
    }

    fn decode(r: &mut Reader<'_>) -> Result<Self, XdrError> {
        Ok(Self {
            bsize: r.u64("bsize")?,
            frsize: r.u64("frsize")?,
            blocks: r.u64("blocks")?,
            bfree: r.u64("bfree")?,
            bavail: r.u64("bavail")?,
            files: r.u64("files")?,
            ffree: r.u64("ffree")?,
            favail: r.u64("favail")?,
            fsid: r.u64("fsid")?,
            flag: r.u64("flag")?,
            namemax: r.u64("namemax")?,
        })
    }
}

impl<'a> Reply<'a> {
    /// An answer without a body.
    pub const fn plain(op_ret: i32, op_errno: i32) -> Self {
        Self { op_ret, op_errno, xdata: Dict::Null, body: Body::None }
    }

    /// The count, or the errno.
    pub fn result(&self) -> Result<i32, Errno> {
        if self.op_ret < 0 { Err(Errno::from_wire(self.op_errno)) } else { Ok(self.op_ret) }
    }

    /// Decodes the answer to a fop; the payload of READ is left in the reader.
    // Inlined with the body: a reply is as large as its largest body, and is then decoded in the
    // place where it is used.
    #[inline]
    pub fn decode(number: FopNumber, r: &mut Reader<'a>) -> Result<Self, XdrError> {
        let (op_ret, op_errno) = (r.i32("op_ret")?, r.i32("op_errno")?);
        if number == FopNumber::Read {
            // READ alone has its xdata last.
            let body = Body::decode(number, op_ret, r)?;
            return Ok(Self { op_ret, op_errno, xdata: Dict::decode(r)?, body });
        }
        if number == FopNumber::Null {
            return Ok(Self::plain(op_ret, op_errno));
        }
        let xdata = Dict::decode(r)?;
        Ok(Self { op_ret, op_errno, xdata, body: Body::decode(number, op_ret, r)? })
    }

    /// Encodes the reply to a fop. A failure without a body gets zeroes in its place.
    pub fn encode(&self, number: FopNumber, w: &mut Writer<'_>) -> Result<(), NoRoom> {
        if self.op_ret < 0 && self.body == Body::None {
            let body = Body::zeroes(number);
            if body != Body::None {
                return Self { body, ..*self }.encode(number, w);
            }
        }
        w.i32(self.op_ret)?;
        w.i32(self.op_errno)?;
        match number {
            FopNumber::Read => {
                self.body.encode(w)?;
                self.xdata.encode(w)
            }
            FopNumber::Null => w.u32(0),
            _ => {
                self.xdata.encode(w)?;
                self.body.encode(w)
            }
        }
    }
}

impl<'a> Body<'a> {
    /// The body of a failure: every field is zero (docs/spec/01-wire.md, "Notation").
    fn zeroes(number: FopNumber) -> Self {
        // RENAME's five blocks are the longest body of fixed length.
        const ZEROES: [u8; 5 * Iatt::LEN] = [0; 5 * Iatt::LEN];
        Self::decode(number, -1, &mut Reader::new(&ZEROES)).unwrap_or(Self::None)
    }

    /// The table of bodies by fop.
    #[inline(always)]
    fn decode(number: FopNumber, op_ret: i32, r: &mut Reader<'a>) -> Result<Self, XdrError> {
        use FopNumber as N;
        // The attributes of a failure are undefined, so they are not checked.
        let iatt = |r: &mut Reader<'a>| {
            if op_ret < 0 { Iatt::decode_unchecked(r) } else { Iatt::decode(r) }
        };
        Ok(match number {
            N::Null
            | N::Access
            | N::Release
            | N::Releasedir
            | N::Flush
            | N::Fsyncdir
            | N::Setxattr
            | N::Fsetxattr
            | N::Removexattr
            | N::Fremovexattr
            | N::Inodelk
            | N::Finodelk
            | N::Entrylk
            | N::Fentrylk
            | N::Ipc
            | N::Setactivelk
            | N::Compound => Self::None,
            N::Stat | N::Fstat | N::Icreate => Self::Stat(iatt(r)?),
            N::Lookup
            | N::Setattr
            | N::Fsetattr
            | N::Unlink
            | N::Rmdir
            | N::Write
            | N::Truncate
            | N::Ftruncate
            | N::Fsync
            | N::Fallocate
            | N::Discard
            | N::Zerofill
            | N::Namelink => Self::TwoIatts { before: iatt(r)?, after: iatt(r)? },
            N::Mknod | N::Mkdir | N::Symlink | N::Link | N::Put => {
                Self::Entry { stat: iatt(r)?, preparent: iatt(r)?, postparent: iatt(r)? }
            }
            N::Rename => Self::Rename {
                stat: iatt(r)?,
                preoldparent: iatt(r)?,
                postoldparent: iatt(r)?,
                prenewparent: iatt(r)?,
                postnewparent: iatt(r)?,
            },
            N::Create => Self::Create {
                stat: iatt(r)?,
                fd: r.u64("fd")?,
                preparent: iatt(r)?,
                postparent: iatt(r)?,
            },
            N::Open | N::Opendir => Self::Open { fd: r.i64("fd")? },
            N::Read => Self::Read { stat: iatt(r)?, size: r.u32("size")? },
            N::Readlink => Self::Readlink { stat: iatt(r)?, path: r.string("path", PATH_MAX)? },
            N::Statfs => Self::Statfs(Statvfs::decode(r)?),
            N::Getxattr | N::Fgetxattr | N::Xattrop | N::Fxattrop => {
                Self::Dict { dict: Dict::decode(r)?, before: iatt(r)?, after: iatt(r)? }
            }
            N::Readdir => Self::Dirents(Dirents::decode(r)?),
            N::Readdirp => Self::Direntps(Direntps::decode(r)?),
            N::Lk => Self::Lk(Flock::decode(r)?),
            N::Rchecksum => Self::Rchecksum {
                flags: r.u32("flags")?,
                weak: r.u32("weak_checksum")?,
                strong: r.opaque("strong_checksum", 64)?,
            },
            N::Seek => Self::Seek { offset: r.u64("offset")? },
            N::CopyFileRange => Self::Copy { stat: iatt(r)?, before: iatt(r)?, after: iatt(r)? },
            N::Lease => Self::Lease(LeaseId {
                cmd: r.u32("cmd")?,
                lease_type: r.u32("lease_type")?,
                lease_id: *r.fixed("lease_id")?,
                lease_flags: r.u32("lease_flags")?,
            }),
            N::Getactivelk => Self::ActiveLocks(ActiveLocks::decode(r)?),
        })
    }
}

impl Encode for Body<'_> {
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
        let iatts =
            |w: &mut Writer<'_>, iatts: &[&Iatt]| iatts.iter().try_for_each(|iatt| iatt.encode(w));
        match self {
            Self::None => Ok(()),
            Self::Stat(stat) => stat.encode(w),
            Self::TwoIatts { before, after } => iatts(w, &[before, after]),
            Self::Entry { stat, preparent, postparent } => iatts(w, &[stat, preparent, postparent]),
            Self::Rename { stat, preoldparent, postoldparent, prenewparent, postnewparent } => {
                iatts(w, &[stat, preoldparent, postoldparent, prenewparent, postnewparent])
            }
            Self::Create { stat, fd, preparent, postparent } => {
                stat.encode(w)?;
                w.u64(*fd)?;
                iatts(w, &[preparent, postparent])
            }
            Self::Open { fd } => w.i64(*fd),
            Self::Read { stat, size } => {
                stat.encode(w)?;
                w.u32(*size)
            }
            Self::Readlink { stat, path } => {
                stat.encode(w)?;
                w.opaque(path)
            }
            Self::Statfs(statfs) => statfs.words().into_iter().try_for_each(|word| w.u64(word)),
            Self::Dict { dict, before, after } => {
                dict.encode(w)?;
                iatts(w, &[before, after])
            }
            Self::Dirents(list) => list.encode(w),
            Self::Direntps(list) => list.encode(w),
            Self::Lk(flock) => flock.encode(w),
            Self::Rchecksum { flags, weak, strong } => {
                w.u32(*flags)?;
                w.u32(*weak)?;
                w.opaque(strong)
            }
            Self::Seek { offset } => w.u64(*offset),
            Self::Copy { stat, before, after } => iatts(w, &[stat, before, after]),
            Self::Lease(lease) => {
                w.u32(lease.cmd)?;
                w.u32(lease.lease_type)?;
                w.fixed(&lease.lease_id)?;
                w.u32(lease.lease_flags)
            }
            Self::ActiveLocks(list) => list.encode(w),
        }
    }
}
