//! The port of a brick (docs/spec/01-wire.md, "Portmap", "PORTBYBRICK").

use crate::xdr::{Decode, Encode, NoRoom, Reader, Writer, XdrError};

/// PORTBYBRICK: the brick is named exactly as its `remote-subvolume`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PortByBrick<'a> {
    /// The brick's path, without a host.
    pub brick: &'a [u8],
}

impl<'a> Decode<'a> for PortByBrick<'a> {
    fn decode(r: &mut Reader<'a>) -> Result<Self, XdrError> {
        Ok(Self { brick: r.string("brick", 4096)? })
    }
}

impl Encode for PortByBrick<'_> {
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
        w.opaque(self.brick)
    }
}

/// The reply. On failure `op_errno` is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PortByBrickReply {
    /// Negative if the brick is unknown or not running.
    pub op_ret: i32,
    /// Meaningless.
    pub op_errno: i32,
    /// 0.
    pub status: i32,
    /// The TCP port.
    pub port: i32,
}

impl<'a> Decode<'a> for PortByBrickReply {
    fn decode(r: &mut Reader<'a>) -> Result<Self, XdrError> {
        Ok(Self {
            op_ret: r.i32("op_ret")?,
            op_errno: r.i32("op_errno")?,
            status: r.i32("status")?,
            port: r.i32("port")?,
        })
    }
}

impl Encode for PortByBrickReply {
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
        w.i32(self.op_ret)?;
        w.i32(self.op_errno)?;
        w.i32(self.status)?;
        w.i32(self.port)
    }
}
