//! The handshake program: GETSPEC at glusterd, SETVOLUME at bricks, and its smaller procedures
//! (docs/spec/01-wire.md, "Handshake", "GETSPEC", "SETVOLUME").

use crate::xdr::{Decode, Encode, LegacyDict, NoRoom, Reader, Writer, XdrError, put_legacy};

/// A volfile id of 255 bytes or more gets a garbled reply (docs/spec/01-wire.md, "GETSPEC").
const KEY_MAX: usize = 254;
/// The longest volfile that is decoded.
const SPEC_MAX: usize = 16 << 20;
/// The longest dictionary of a handshake.
const DICT_MAX: usize = 1 << 20;

/// GETSPEC: requests a volfile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Getspec<'a> {
    /// 1: requests a list of servers too.
    pub flags: u32,
    /// The volfile's key: the volume's name for its client volfile.
    pub key: &'a [u8],
    /// Op-versions; required. Only its length is checked here.
    pub xdata: Opaque<'a>,
}

/// A legacy dictionary: received and checked, or to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opaque<'a> {
    /// The bytes from a record.
    Bytes(&'a [u8]),
    /// Texts to write.
    Texts(&'a [(&'a str, Option<&'a [u8]>)]),
}

impl<'a> Opaque<'a> {
    pub(super) fn decode(r: &mut Reader<'a>, field: &'static str) -> Result<Self, XdrError> {
        let mut copy = *r;
        LegacyDict::decode(&mut copy, field, DICT_MAX)?;
        Ok(Self::Bytes(r.opaque(field, DICT_MAX)?))
    }

    /// The dictionary, if it came from a record.
    pub fn dict(&self) -> LegacyDict<'a> {
        match self {
            Self::Bytes(bytes) => LegacyDict::parse(bytes).unwrap_or_default(),
            Self::Texts(_) => LegacyDict::default(),
        }
    }

    pub(super) fn put(&self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
        match self {
            Self::Bytes(bytes) => w.opaque(bytes),
            Self::Texts(texts) => put_legacy(w, texts),
        }
    }
}

impl<'a> Getspec<'a> {
    /// The request of a client that supports every op-version of 10.x.
    pub const fn for_client(key: &'a [u8]) -> Self {
        Self {
            flags: 1,
            key,
            xdata: Opaque::Texts(&[
                ("min-op-version", Some(b"1")),
                ("max-op-version", Some(b"100000")),
            ]),
        }
    }
}

impl<'a> Decode<'a> for Getspec<'a> {
    fn decode(r: &mut Reader<'a>) -> Result<Self, XdrError> {
        Ok(Self {
            flags: r.u32("flags")?,
            key: r.string("key", KEY_MAX)?,
            xdata: Opaque::decode(r, "xdata")?,
        })
    }
}

impl Encode for Getspec<'_> {
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
        w.u32(self.flags)?;
        w.opaque(self.key)?;
        self.xdata.put(w)
    }
}

/// The reply to GETSPEC. It has a volfile only if `op_ret` is the text's length and `op_errno` is
/// 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GetspecReply<'a> {
    /// Length of the volfile, or negative on failure.
    pub op_ret: i32,
    /// errno on failure.
    pub op_errno: i32,
    /// The volfile.
    pub spec: &'a [u8],
    /// Sometimes a list of further volfile servers.
    pub xdata: Opaque<'a>,
}

impl<'a> Decode<'a> for GetspecReply<'a> {
    fn decode(r: &mut Reader<'a>) -> Result<Self, XdrError> {
        Ok(Self {
            op_ret: r.i32("op_ret")?,
            op_errno: r.i32("op_errno")?,
            spec: r.opaque("spec", SPEC_MAX)?,
            xdata: Opaque::decode(r, "xdata")?,
        })
    }
}

impl Encode for GetspecReply<'_> {
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
        w.i32(self.op_ret)?;
        w.i32(self.op_errno)?;
        w.opaque(self.spec)?;
        self.xdata.put(w)
    }
}

/// SETVOLUME: names the brick to use and identifies the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setvolume<'a> {
    /// All arguments, as keys.
    pub dict: Opaque<'a>,
}

impl<'a> Decode<'a> for Setvolume<'a> {
    fn decode(r: &mut Reader<'a>) -> Result<Self, XdrError> {
        Ok(Self { dict: Opaque::decode(r, "dict")? })
    }
}

impl Encode for Setvolume<'_> {
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
        self.dict.put(w)
    }
}

/// The reply to SETVOLUME. On success `op_errno` is meaningless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetvolumeReply<'a> {
    /// Negative on failure.
    pub op_ret: i32,
    /// errno on failure.
    pub op_errno: i32,
    /// `ERROR`, `process-uuid`, `volume-id`, `child_up` …
    pub dict: Opaque<'a>,
}

impl<'a> Decode<'a> for SetvolumeReply<'a> {
    fn decode(r: &mut Reader<'a>) -> Result<Self, XdrError> {
        Ok(Self {
            op_ret: r.i32("op_ret")?,
            op_errno: r.i32("op_errno")?,
            dict: Opaque::decode(r, "dict")?,
        })
    }
}

impl Encode for SetvolumeReply<'_> {
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
        w.i32(self.op_ret)?;
        w.i32(self.op_errno)?;
        self.dict.put(w)
    }
}

/// GET_VOLUME_INFO (and GET_SNAPSHOT_INFO) of glusterd: the volume's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GetVolumeInfo<'a> {
    /// `volname`, `flags`.
    pub dict: Opaque<'a>,
}

impl<'a> Decode<'a> for GetVolumeInfo<'a> {
    fn decode(r: &mut Reader<'a>) -> Result<Self, XdrError> {
        Ok(Self { dict: Opaque::decode(r, "dict")? })
    }
}

impl Encode for GetVolumeInfo<'_> {
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
        self.dict.put(w)
    }
}

/// The reply to GET_VOLUME_INFO. On success `op_errno` is meaningless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GetVolumeInfoReply<'a> {
    /// Negative on failure.
    pub op_ret: i32,
    /// errno on failure.
    pub op_errno: i32,
    /// Error message for a person.
    pub errstr: &'a [u8],
    /// `volume_id`.
    pub dict: Opaque<'a>,
}

impl<'a> Decode<'a> for GetVolumeInfoReply<'a> {
    fn decode(r: &mut Reader<'a>) -> Result<Self, XdrError> {
        Ok(Self {
            op_ret: r.i32("op_ret")?,
            op_errno: r.i32("op_errno")?,
            errstr: r.opaque("op_errstr", 4096)?,
            dict: Opaque::decode(r, "dict")?,
        })
    }
}

impl Encode for GetVolumeInfoReply<'_> {
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
        w.i32(self.op_ret)?;
        w.i32(self.op_errno)?;
        w.opaque(self.errstr)?;
        self.dict.put(w)
    }
}

/// SET_LK_VER: obsolete; bricks echo the version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetLkVer<'a> {
    /// The client's process-uuid.
    pub uid: &'a [u8],
    /// Version.
    pub lk_ver: i32,
}

impl<'a> Decode<'a> for SetLkVer<'a> {
    fn decode(r: &mut Reader<'a>) -> Result<Self, XdrError> {
        Ok(Self { uid: r.string("uid", 1024)?, lk_ver: r.i32("lk_ver")? })
    }
}

impl Encode for SetLkVer<'_> {
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
        w.opaque(self.uid)?;
        w.i32(self.lk_ver)
    }
}

/// The reply to SET_LK_VER.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetLkVerReply {
    /// Negative on failure.
    pub op_ret: i32,
    /// errno on failure.
    pub op_errno: i32,
    /// The version, echoed.
    pub lk_ver: i32,
}

impl<'a> Decode<'a> for SetLkVerReply {
    fn decode(r: &mut Reader<'a>) -> Result<Self, XdrError> {
        Ok(Self {
            op_ret: r.i32("op_ret")?,
            op_errno: r.i32("op_errno")?,
            lk_ver: r.i32("lk_ver")?,
        })
    }
}

impl Encode for SetLkVerReply {
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
        w.i32(self.op_ret)?;
        w.i32(self.op_errno)?;
        w.i32(self.lk_ver)
    }
}

/// EVENT_NOTIFY of the handshake program, between glusterd and its daemons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventNotify<'a> {
    /// The event's number.
    pub op: i32,
    /// The event's keys.
    pub dict: Opaque<'a>,
}

impl<'a> Decode<'a> for EventNotify<'a> {
    fn decode(r: &mut Reader<'a>) -> Result<Self, XdrError> {
        Ok(Self { op: r.i32("op")?, dict: Opaque::decode(r, "dict")? })
    }
}

impl Encode for EventNotify<'_> {
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
        w.i32(self.op)?;
        self.dict.put(w)
    }
}
