//! How much of a record to gather, decided from its first bytes.

use super::records::INLINE_BYTES;
use super::{Purpose, TransportIx, Transports};
use crate::rpc::{PeerError, READ_DECIDES_AT, read_head_len};

/// Bytes of an accepted reply's header with an empty verifier; the body follows.
const REPLY_HEADER: usize = 24;
/// The smallest record: xid, message type, `reply_stat` and a status.
pub(super) const RECORD_MIN: u32 = 16;

/// How much of a record to gather, decided from its first bytes.
pub(super) enum GatherPlan {
    /// At least this many bytes are needed to decide.
    AtLeast(usize),
    /// The whole record.
    Whole,
    /// This many bytes; payload follows them.
    ReadHead(usize),
    /// Nothing: the reply belongs to an abandoned call.
    Nothing,
}

impl Transports<'_> {
    /// How much to gather of a record that begins with `prefix`. It has `total` bytes if `known`,
    /// else at least `total`.
    pub(super) fn gather_plan(
        &self,
        at: TransportIx,
        prefix: &[u8],
        total: usize,
        known: bool,
    ) -> Result<GatherPlan, PeerError> {
        if known && total < RECORD_MIN as usize {
            return Err(PeerError::RecordTooShort { len: total as u32 });
        }
        let (Some(xid), Some(kind)) = (word(prefix, 0), word(prefix, 4)) else {
            return Ok(GatherPlan::AtLeast(8));
        };
        if kind != 1 {
            return Ok(GatherPlan::Whole);
        }
        let Some((_, call)) = self.answered_by(at, xid) else {
            return Err(PeerError::UnknownXid(xid));
        };
        let Some(into) = call.into else {
            return Ok(if call.purpose == Purpose::Abandoned {
                GatherPlan::Nothing
            } else {
                GatherPlan::Whole
            });
        };
        // A READ: `op_ret`, at byte 24 after an empty verifier, says whether payload follows.
        if known && total < REPLY_HEADER + 8 {
            return Ok(GatherPlan::Whole);
        }
        let (Some(verifier), Some(accepted), Some(op_ret)) =
            (word(prefix, 16), word(prefix, 20), word(prefix, REPLY_HEADER))
        else {
            return Ok(GatherPlan::AtLeast(REPLY_HEADER + 8));
        };
        let denied = word(prefix, 8) != Some(0);
        if denied || verifier != 0 || accepted != 0 || op_ret as i32 <= 0 {
            return Ok(GatherPlan::Whole);
        }
        if op_ret > into.len {
            return Err(PeerError::ReadLength {
                announced: op_ret,
                asked: into.len,
                carried: total as u32,
            });
        }
        let body = prefix.get(REPLY_HEADER..).unwrap_or_default();
        Ok(match read_head_len(body)? {
            Some(len) => {
                let head = len.saturating_add(REPLY_HEADER);
                if known && head.saturating_add(op_ret as usize) != total {
                    let carried = total.saturating_sub(head) as u32;
                    return Err(PeerError::ReadLength {
                        announced: op_ret,
                        asked: into.len,
                        carried,
                    });
                }
                GatherPlan::ReadHead(head)
            }
            None if known && total == prefix.len() => GatherPlan::Whole,
            None => GatherPlan::AtLeast(REPLY_HEADER + READ_DECIDES_AT),
        })
    }
}

pub(super) fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

const _: () = assert!(
    INLINE_BYTES >= REPLY_HEADER + READ_DECIDES_AT + 8,
    "a READ head without xdata fits the inline_buffer"
);
