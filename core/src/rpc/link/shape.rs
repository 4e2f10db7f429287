//! What to gather of a record whose beginning is known.

use super::records::CARRY_BYTES;
use super::{LinkIx, Links, Purpose};
use crate::rpc::{PeerError, READ_DECIDES_AT, read_head_len};

/// Bytes of an accepted reply's header with an empty verifier: what is before a reply's body.
const REPLY_HEADER: usize = 24;
/// The smallest record: a reply header up to `reply_stat` and a status.
pub(super) const RECORD_MIN: u32 = 16;

/// What to gather of a record whose beginning is known.
pub(super) enum Shape {
    /// At least so many bytes are needed to know.
    AtLeast(usize),
    /// All of it.
    Whole,
    /// So many bytes, then comes payload.
    ReadHead(usize),
    /// Nothing: nobody waits for it.
    Nothing,
}

impl Links<'_> {
    /// What to gather of a record that begins with `prefix` and has `total` bytes (so far, unless `known`).
    pub(super) fn shape(
        &self,
        at: LinkIx,
        prefix: &[u8],
        total: usize,
        known: bool,
    ) -> Result<Shape, PeerError> {
        if known && total < RECORD_MIN as usize {
            return Err(PeerError::RecordTooShort { len: total as u32 });
        }
        let (Some(xid), Some(kind)) = (word(prefix, 0), word(prefix, 4)) else {
            return Ok(Shape::AtLeast(8));
        };
        if kind != 1 {
            return Ok(Shape::Whole);
        }
        let Some((_, call)) = self.answered_by(at, xid) else {
            return Err(PeerError::UnknownXid(xid));
        };
        let Some(into) = call.into else {
            return Ok(if call.purpose == Purpose::Abandoned {
                Shape::Nothing
            } else {
                Shape::Whole
            });
        };
        // A READ: `op_ret` decides, at byte 24 behind an empty verifier.
        if known && total < REPLY_HEADER + 8 {
            return Ok(Shape::Whole);
        }
        let (Some(verifier), Some(accepted), Some(op_ret)) =
            (word(prefix, 16), word(prefix, 20), word(prefix, REPLY_HEADER))
        else {
            return Ok(Shape::AtLeast(REPLY_HEADER + 8));
        };
        let denied = word(prefix, 8) != Some(0);
        if denied || verifier != 0 || accepted != 0 || op_ret as i32 <= 0 {
            return Ok(Shape::Whole);
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
                Shape::ReadHead(head)
            }
            None if known && total == prefix.len() => Shape::Whole,
            None => Shape::AtLeast(REPLY_HEADER + READ_DECIDES_AT),
        })
    }
}

pub(super) fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

const _: () = assert!(
    CARRY_BYTES >= REPLY_HEADER + READ_DECIDES_AT + 8,
    "a READ head without xdata fits the carry"
);
