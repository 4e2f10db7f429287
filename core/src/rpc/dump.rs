//! DUMP, the list of a peer's programs, and PING (docs/spec/01-wire.md, "DUMP").

use crate::xdr::{Decode, Encode, Fault, NoRoom, Reader, Writer, XdrError};

/// Longest name of a program.
const NAME_MAX: usize = 255;
/// Most programs of a list.
const PROGRAMS_MAX: u32 = 256;

/// The argument of DUMP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DumpArgs {
    /// Ignored by servers.
    pub gfs_id: u64,
}

impl DumpArgs {
    /// The value that clients of 10.x send.
    pub const CLIENT: DumpArgs = DumpArgs { gfs_id: 0xcaed };
}

impl Encode for DumpArgs {
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
        w.u64(self.gfs_id)
    }
}

impl<'a> Decode<'a> for DumpArgs {
    fn decode(r: &mut Reader<'a>) -> Result<Self, XdrError> {
        Ok(Self { gfs_id: r.u64("gfs_id")? })
    }
}

/// One program of a peer. Its name is for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProgramEntry<'a> {
    /// Name.
    pub name: &'a [u8],
    /// Number.
    pub number: u64,
    /// Version.
    pub version: u64,
}

/// The reply to DUMP. The list is checked when it is decoded, and read from the record afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DumpReply<'a> {
    /// 0.
    pub gfs_id: u64,
    /// Negative on failure.
    pub op_ret: i32,
    /// errno on failure.
    pub op_errno: i32,
    list: &'a [u8],
}

impl<'a> DumpReply<'a> {
    /// The programs.
    pub fn programs(&self) -> impl Iterator<Item = ProgramEntry<'a>> + use<'a> {
        let mut r = Reader::new(self.list);
        core::iter::from_fn(move || next(&mut r).ok().flatten())
    }

    /// Whether the peer has this program in this version.
    pub fn has(&self, number: u32, version: u32) -> bool {
        self.programs()
            .any(|each| each.number == u64::from(number) && each.version == u64::from(version))
    }
}

fn next<'a>(r: &mut Reader<'a>) -> Result<Option<ProgramEntry<'a>>, XdrError> {
    if r.u32("prog.next")? == 0 {
        return Ok(None);
    }
    let name = r.opaque("prog.name", NAME_MAX)?;
    Ok(Some(ProgramEntry { name, number: r.u64("prog.number")?, version: r.u64("prog.version")? }))
}

impl<'a> Decode<'a> for DumpReply<'a> {
    fn decode(r: &mut Reader<'a>) -> Result<Self, XdrError> {
        let (gfs_id, op_ret, op_errno) = (r.u64("gfs_id")?, r.i32("op_ret")?, r.i32("op_errno")?);
        let first = *r;
        let mut count = 0;
        while next(r)?.is_some() {
            count += 1;
            if count > PROGRAMS_MAX {
                return Err(first.error("prog", Fault::TooLong { len: count, max: PROGRAMS_MAX }));
            }
        }
        Ok(Self { gfs_id, op_ret, op_errno, list: r.since(&first) })
    }
}

impl Encode for DumpReply<'_> {
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
        w.u64(self.gfs_id)?;
        w.i32(self.op_ret)?;
        w.i32(self.op_errno)?;
        w.raw(self.list)
    }
}

/// Writes the reply to DUMP of a server that has these programs.
pub fn put_dump(w: &mut Writer<'_>, programs: &[ProgramEntry<'_>]) -> Result<(), NoRoom> {
    w.u64(0)?;
    w.u64(0)?;
    for each in programs {
        w.u32(1)?;
        w.opaque(each.name)?;
        w.u64(each.number)?;
        w.u64(each.version)?;
    }
    w.u32(0)
}

/// The reply to PING and other procedures without results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PingReply<'a> {
    /// Negative on failure.
    pub op_ret: i32,
    /// errno on failure.
    pub op_errno: i32,
    /// Empty.
    pub xdata: &'a [u8],
}

impl<'a> Decode<'a> for PingReply<'a> {
    fn decode(r: &mut Reader<'a>) -> Result<Self, XdrError> {
        Ok(Self {
            op_ret: r.i32("op_ret")?,
            op_errno: r.i32("op_errno")?,
            xdata: r.opaque("xdata", 4096)?,
        })
    }
}

impl Encode for PingReply<'_> {
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
        w.i32(self.op_ret)?;
        w.i32(self.op_errno)?;
        w.opaque(self.xdata)
    }
}
