//! Headers of calls and replies (docs/spec/01-wire.md, "Call message", "Reply message").

use super::cred::BODY_MAX;
use super::{Cred, Procedure};
use crate::xdr::{Decode, Encode, Fault, NoRoom, Reader, Writer, XdrError};

/// The type of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageType {
    /// A call: from a client, or a callback from a server.
    Call,
    /// A reply.
    Reply,
}

impl MessageType {
    /// The type by the record's second word; `None` if it is neither.
    pub fn peek(record: &[u8]) -> Option<Self> {
        match record.get(4..8)? {
            [0, 0, 0, 0] => Some(Self::Call),
            [0, 0, 0, 1] => Some(Self::Reply),
            _ => None,
        }
    }
}

/// The header of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallHeader<'a> {
    /// Identifier that the reply repeats.
    pub xid: u32,
    /// The procedure to call.
    pub procedure: Procedure,
    /// The caller's credential.
    pub cred: Cred<'a>,
}

impl Encode for CallHeader<'_> {
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
        w.u32(self.xid)?;
        w.u32(0)?;
        w.u32(2)?;
        w.u32(self.procedure.program)?;
        w.u32(self.procedure.version)?;
        w.u32(self.procedure.number)?;
        self.cred.encode(w)?;
        w.u64(0)
    }
}

impl<'a> Decode<'a> for CallHeader<'a> {
    fn decode(r: &mut Reader<'a>) -> Result<Self, XdrError> {
        let xid = r.u32("xid")?;
        expect(r, "msg_type", 0, "0, a call")?;
        expect(r, "rpcvers", 2, "2")?;
        let procedure = Procedure {
            program: r.u32("program")?,
            version: r.u32("version")?,
            number: r.u32("procedure")?,
        };
        let cred = Cred::decode(r)?;
        r.u32("verf.flavor")?;
        r.opaque("verf.body", BODY_MAX)?;
        Ok(Self { xid, procedure, cred })
    }
}

/// The result of a call at the peer's RPC layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReplyStatus {
    /// Results follow.
    Success,
    /// The peer does not have the program.
    ProgUnavail,
    /// The peer has only versions `low` to `high` of the program.
    ProgMismatch {
        /// Lowest version.
        low: u32,
        /// Highest version.
        high: u32,
    },
    /// The program has no such procedure.
    ProcUnavail,
    /// The arguments could not be decoded.
    GarbageArgs,
    /// An internal error of the peer.
    SystemErr,
    /// Denied: the peer supports only RPC versions `low` to `high`.
    RpcMismatch {
        /// Lowest version.
        low: u32,
        /// Highest version.
        high: u32,
    },
    /// Denied: the credential, or the port (2), is not accepted.
    AuthError(u32),
}

/// The header of a reply. Results follow it if the status is `Success`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyHeader {
    /// The xid of the call.
    pub xid: u32,
    /// The result.
    pub status: ReplyStatus,
}

impl<'a> Decode<'a> for ReplyHeader {
    fn decode(r: &mut Reader<'a>) -> Result<Self, XdrError> {
        let xid = r.u32("xid")?;
        expect(r, "msg_type", 1, "1, a reply")?;
        let start = *r;
        let status = match r.u32("reply_stat")? {
            0 => {
                r.u32("verf.flavor")?;
                r.opaque("verf.body", BODY_MAX)?;
                accepted(r)?
            }
            1 => match r.u32("reject_stat")? {
                0 => ReplyStatus::RpcMismatch { low: r.u32("low")?, high: r.u32("high")? },
                1 => ReplyStatus::AuthError(r.u32("auth_stat")?),
                got => {
                    let fault = Fault::Value { got: got.into(), expected: "0 or 1" };
                    return Err(start.error("reject_stat", fault));
                }
            },
            got => {
                return Err(
                    start.error("reply_stat", Fault::Value { got: got.into(), expected: "0 or 1" })
                );
            }
        };
        Ok(Self { xid, status })
    }
}

fn accepted(r: &mut Reader<'_>) -> Result<ReplyStatus, XdrError> {
    let start = *r;
    Ok(match r.u32("accept_stat")? {
        0 => ReplyStatus::Success,
        1 => ReplyStatus::ProgUnavail,
        2 => ReplyStatus::ProgMismatch { low: r.u32("low")?, high: r.u32("high")? },
        3 => ReplyStatus::ProcUnavail,
        4 => ReplyStatus::GarbageArgs,
        5 => ReplyStatus::SystemErr,
        got => {
            return Err(
                start.error("accept_stat", Fault::Value { got: got.into(), expected: "0 to 5" })
            );
        }
    })
}

impl Encode for ReplyHeader {
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
        w.u32(self.xid)?;
        w.u32(1)?;
        let accepted = |w: &mut Writer<'_>, status| {
            w.u32(0)?;
            w.u64(0)?;
            w.u32(status)
        };
        match self.status {
            ReplyStatus::Success => accepted(w, 0),
            ReplyStatus::ProgUnavail => accepted(w, 1),
            ReplyStatus::ProgMismatch { low, high } => {
                accepted(w, 2)?;
                w.u32(low)?;
                w.u32(high)
            }
            ReplyStatus::ProcUnavail => accepted(w, 3),
            ReplyStatus::GarbageArgs => accepted(w, 4),
            ReplyStatus::SystemErr => accepted(w, 5),
            ReplyStatus::RpcMismatch { low, high } => {
                w.u32(1)?;
                w.u32(0)?;
                w.u32(low)?;
                w.u32(high)
            }
            ReplyStatus::AuthError(stat) => {
                w.u32(1)?;
                w.u32(1)?;
                w.u32(stat)
            }
        }
    }
}

fn expect(
    r: &mut Reader<'_>,
    field: &'static str,
    want: u32,
    expected: &'static str,
) -> Result<(), XdrError> {
    let start = *r;
    let got = r.u32(field)?;
    if got == want {
        return Ok(());
    }
    Err(start.error(field, Fault::Value { got: got.into(), expected }))
}
