//! Calls from servers to their clients. None is answered (docs/spec/01-wire.md, "Callback
//! program").

use super::{CallHeader, Procedure, program};
use crate::xdr::{
    Decode, Encode, Flock, Gfid, LegacyDict, NoRoom, OldIatt, Reader, Writer, XdrError,
};

const DOMAIN_MAX: usize = 4096;

/// One callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(clippy::large_enum_variant)] // Lives on the stack for the length of one call.
pub enum Callback<'a> {
    /// From glusterd: a volfile of the pool changed.
    Fetchspec,
    /// Drop all cached inodes; never sent by 10.x.
    InoFlush,
    /// From glusterd: an event for its daemons.
    EventNotify {
        /// The event's number.
        op: i32,
        /// About what.
        dict: LegacyDict<'a>,
    },
    /// From glusterd to the snapshot daemon.
    GetSnaps,
    /// From a brick: cached attributes of an inode are out of date.
    CacheInvalidation(CacheInvalidation<'a>),
    /// From a brick: its storage became usable.
    ChildUp,
    /// From a brick: its storage is no longer usable, although the connection is up.
    ChildDown,
    /// From a brick: return a lease.
    RecallLease {
        /// The inode.
        gfid: Gfid,
        /// Kind of lease.
        lease_type: u32,
        /// Transaction.
        tid: [u8; 16],
        /// Further keys.
        xdata: LegacyDict<'a>,
    },
    /// From glusterd: process `pid` shall write a statedump.
    Statedump {
        /// The process.
        pid: u32,
    },
    /// From a brick: another client waits for an inode lock that this client holds.
    InodelkContention {
        /// The inode.
        gfid: Gfid,
        /// The contended range.
        flock: Flock<'a>,
        /// Process id of the waiting client.
        pid: u32,
        /// Lock domain.
        domain: &'a [u8],
        /// Further keys.
        xdata: LegacyDict<'a>,
    },
    /// From a brick: another client waits for an entry lock that this client holds.
    EntrylkContention {
        /// The directory.
        gfid: Gfid,
        /// Kind of lock.
        kind: u32,
        /// Process id of the waiting client.
        pid: u32,
        /// The contended name.
        name: &'a [u8],
        /// Lock domain.
        domain: &'a [u8],
        /// Further keys.
        xdata: LegacyDict<'a>,
    },
    /// Any other callback: ignored.
    Unknown(Procedure),
}

/// A change of an inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheInvalidation<'a> {
    /// The inode. This is the only gfid that is text on the wire.
    pub gfid: Gfid,
    /// 1.
    pub event_type: u32,
    /// The changes, as bits.
    pub flags: u32,
    /// Seconds for which the server remembers the client's interest.
    pub expire_s: u32,
    /// The new attributes, or zeroes.
    pub stat: OldIatt,
    /// The same for the parent.
    pub parent: OldIatt,
    /// The same for the old parent, after a rename.
    pub old_parent: OldIatt,
    /// Changed xattrs.
    pub xdata: LegacyDict<'a>,
}

impl<'a> Callback<'a> {
    /// Decodes a record that is a call: header and body.
    pub fn decode_record(record: &'a [u8]) -> Result<Self, XdrError> {
        let mut r = Reader::new(record);
        let header = CallHeader::decode(&mut r)?;
        Self::decode(header.procedure, &mut r)
    }

    /// Decodes the body of a callback.
    pub fn decode(procedure: Procedure, r: &mut Reader<'a>) -> Result<Self, XdrError> {
        if procedure.program != program::CALLBACK {
            return Ok(Self::Unknown(procedure));
        }
        let dict = |r: &mut Reader<'a>, field| LegacyDict::decode(r, field, 1 << 20);
        Ok(match procedure.number {
            1 => Self::Fetchspec,
            2 => Self::InoFlush,
            3 => Self::EventNotify { op: r.i32("op")?, dict: dict(r, "dict")? },
            4 => Self::GetSnaps,
            5 => Self::CacheInvalidation(CacheInvalidation {
                gfid: text_gfid(r)?,
                event_type: r.u32("event_type")?,
                flags: r.u32("flags")?,
                expire_s: r.u32("expire_time_attr")?,
                stat: OldIatt::decode(r)?,
                parent: OldIatt::decode(r)?,
                old_parent: OldIatt::decode(r)?,
                xdata: dict(r, "xdata")?,
            }),
            6 => Self::ChildUp,
            7 => Self::ChildDown,
            8 => Self::RecallLease {
                gfid: Gfid::decode(r)?,
                lease_type: r.u32("lease_type")?,
                tid: *r.fixed("tid")?,
                xdata: dict(r, "xdata")?,
            },
            9 => Self::Statedump { pid: r.u32("pid")? },
            10 => Self::InodelkContention {
                gfid: Gfid::decode(r)?,
                flock: Flock::decode(r)?,
                pid: r.u32("pid")?,
                domain: r.opaque("domain", DOMAIN_MAX)?,
                xdata: dict(r, "xdata")?,
            },
            11 => Self::EntrylkContention {
                gfid: Gfid::decode(r)?,
                kind: r.u32("type")?,
                pid: r.u32("pid")?,
                name: r.opaque("name", DOMAIN_MAX)?,
                domain: r.opaque("domain", DOMAIN_MAX)?,
                xdata: dict(r, "xdata")?,
            },
            _ => Self::Unknown(procedure),
        })
    }

    /// The procedure of the callback.
    pub fn procedure(&self) -> Procedure {
        Procedure::callback(match self {
            Self::Fetchspec => 1,
            Self::InoFlush => 2,
            Self::EventNotify { .. } => 3,
            Self::GetSnaps => 4,
            Self::CacheInvalidation(_) => 5,
            Self::ChildUp => 6,
            Self::ChildDown => 7,
            Self::RecallLease { .. } => 8,
            Self::Statedump { .. } => 9,
            Self::InodelkContention { .. } => 10,
            Self::EntrylkContention { .. } => 11,
            Self::Unknown(procedure) => return *procedure,
        })
    }

    /// Encodes the body, with empty dictionaries: this server sends none.
    pub fn encode(&self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
        let dict = |w: &mut Writer<'_>| w.opaque(b"");
        match self {
            Self::Fetchspec
            | Self::InoFlush
            | Self::GetSnaps
            | Self::ChildUp
            | Self::ChildDown
            | Self::Unknown(_) => Ok(()),
            Self::EventNotify { op, .. } => {
                w.i32(*op)?;
                dict(w)
            }
            Self::CacheInvalidation(what) => {
                let mut text: heapless::String<36> = heapless::String::new();
                // The text of a gfid has 36 characters.
                let _ = core::fmt::write(&mut text, format_args!("{}", what.gfid));
                w.opaque(text.as_bytes())?;
                w.u32(what.event_type)?;
                w.u32(what.flags)?;
                w.u32(what.expire_s)?;
                what.stat.encode(w)?;
                what.parent.encode(w)?;
                what.old_parent.encode(w)?;
                dict(w)
            }
            Self::RecallLease { gfid, lease_type, tid, .. } => {
                gfid.encode(w)?;
                w.u32(*lease_type)?;
                w.fixed(tid)?;
                dict(w)
            }
            Self::Statedump { pid } => w.u32(*pid),
            Self::InodelkContention { gfid, flock, pid, domain, .. } => {
                gfid.encode(w)?;
                flock.encode(w)?;
                w.u32(*pid)?;
                w.opaque(domain)?;
                dict(w)
            }
            Self::EntrylkContention { gfid, kind, pid, name, domain, .. } => {
                gfid.encode(w)?;
                w.u32(*kind)?;
                w.u32(*pid)?;
                w.opaque(name)?;
                w.opaque(domain)?;
                dict(w)
            }
        }
    }
}

fn text_gfid(r: &mut Reader<'_>) -> Result<Gfid, XdrError> {
    use crate::xdr::Fault;
    let start = *r;
    let text = r.opaque("gfid", 64)?;
    Gfid::parse(text).ok_or_else(|| {
        start.error(
            "gfid",
            Fault::Value { got: text.len() as u64, expected: "a uuid as text of 36 characters" },
        )
    })
}
