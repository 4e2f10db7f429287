//! Values of typed dictionaries.

use super::super::{Decode, Encode, Fault, Gfid, Iatt, NoRoom, Reader, Writer, XdrError};
use super::DICT_MAX;

/// Times of an inode in `trusted.glusterfs.mdata`: seconds and nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Mdata {
    /// Last access.
    pub atime: (i64, u32),
    /// Last change of the data.
    pub mtime: (i64, u32),
    /// Last change of the inode.
    pub ctime: (i64, u32),
}

/// A value. Readers accept similar types, as the real ones do; writers send the types in the tables
/// of docs/spec/01-wire.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Bytes without a type (1).
    StrOld(&'a [u8]),
    /// Any signed integer (2).
    Int(i64),
    /// Any unsigned integer (3).
    Uint(u64),
    /// A double, by its bits (4): there are no floats here.
    Double(u64),
    /// Text; its NUL is counted on the wire and left out here (5).
    Str(&'a [u8]),
    /// Raw bytes (6).
    Ptr(&'a [u8]),
    /// A gfid (7).
    Gfuuid(Gfid),
    /// Attributes (8).
    Iatt(&'a Iatt),
    /// Attributes, as decoded from a record (8): the 148 bytes.
    IattBytes(&'a [u8; Iatt::LEN]),
    /// Times (9).
    Mdata(Mdata),
}

impl<'a> Value<'a> {
    /// As a number: an integer of either sign, or the decimal text of one.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Int(value) => u64::try_from(*value).ok(),
            Self::Uint(value) => Some(*value),
            Self::Str(text) | Self::StrOld(text) => {
                let text = text.strip_suffix(&[0]).unwrap_or(text);
                core::str::from_utf8(text).ok()?.parse().ok()
            }
            _ => None,
        }
    }

    /// As bytes: text without its NUL, or raw.
    pub fn as_bytes(&self) -> Option<&'a [u8]> {
        match self {
            Self::Str(bytes) | Self::Ptr(bytes) | Self::StrOld(bytes) => Some(bytes),
            _ => None,
        }
    }
}

impl<'a> Decode<'a> for Value<'a> {
    fn decode(r: &mut Reader<'a>) -> Result<Self, XdrError> {
        let start = *r;
        let kind = r.u32("value.type")?;
        Ok(match kind {
            1 => Self::StrOld(r.opaque("value", DICT_MAX)?),
            2 => Self::Int(r.i64("value")?),
            3 => Self::Uint(r.u64("value")?),
            4 => Self::Double(r.u64("value")?),
            5 => {
                let text = r.opaque("value", DICT_MAX)?;
                Self::Str(text.strip_suffix(&[0]).unwrap_or(text))
            }
            6 => Self::Ptr(r.opaque("value", DICT_MAX)?),
            7 => Self::Gfuuid(Gfid::decode(r)?),
            8 => Self::IattBytes(r.fixed("value")?),
            9 => {
                let (atime, mtime, ctime) =
                    (r.i64("value.atime")?, r.i64("value.mtime")?, r.i64("value.ctime")?);
                let (a, m, c) =
                    (r.u32("value.atime")?, r.u32("value.mtime")?, r.u32("value.ctime")?);
                Self::Mdata(Mdata { atime: (atime, a), mtime: (mtime, m), ctime: (ctime, c) })
            }
            _ => {
                let fault = Fault::Value { got: kind.into(), expected: "a type from 1 to 9" };
                return Err(start.error("value.type", fault));
            }
        })
    }
}

impl Encode for Value<'_> {
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
        match self {
            Self::StrOld(bytes) => {
                w.u32(1)?;
                w.opaque(bytes)
            }
            Self::Int(value) => {
                w.u32(2)?;
                w.i64(*value)
            }
            Self::Uint(value) => {
                w.u32(3)?;
                w.u64(*value)
            }
            Self::Double(bits) => {
                w.u32(4)?;
                w.u64(*bits)
            }
            Self::Str(text) => {
                w.u32(5)?;
                w.u32(text.len() as u32 + 1)?;
                w.raw(text)?;
                w.raw(&[0])?;
                w.pad(text.len() + 1)
            }
            Self::Ptr(bytes) => {
                w.u32(6)?;
                w.opaque(bytes)
            }
            Self::Gfuuid(gfid) => {
                w.u32(7)?;
                gfid.encode(w)
            }
            Self::Iatt(iatt) => {
                w.u32(8)?;
                iatt.encode(w)
            }
            Self::IattBytes(bytes) => {
                w.u32(8)?;
                w.raw(&bytes[..])
            }
            Self::Mdata(mdata) => {
                w.u32(9)?;
                for (seconds, _) in [mdata.atime, mdata.mtime, mdata.ctime] {
                    w.i64(seconds)?;
                }
                for (_, nanos) in [mdata.atime, mdata.mtime, mdata.ctime] {
                    w.u32(nanos)?;
                }
                Ok(())
            }
        }
    }
}
