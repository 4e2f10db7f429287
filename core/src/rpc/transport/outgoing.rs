//! The records to send on a connection, from the first unsent byte.

use super::{TransportIx, Transports};
use crate::boundary::{Outgoing, Range};

impl<'m> Transports<'m> {
    /// The records of a connection that are not sent completely, in order.
    pub(crate) fn outgoing<'v>(
        &'v self,
        at: Option<TransportIx>,
    ) -> impl Iterator<Item = Outgoing<'v>> + use<'v, 'm> {
        let transport = at.and_then(|at| self.get(at));
        let region = at.map_or(0, |at| usize::from(at.0) * self.head_bytes);
        let mut next = transport.and_then(|transport| transport.first_out);
        // Bytes of the first record that are already sent.
        let mut skip = transport.map_or(0, |transport| transport.sent as usize);
        core::iter::from_fn(move || {
            let call = self.calls.get(next?)?;
            next = call.next_out();
            let (at, len) = call.head();
            let bytes = self.heads.get(region + at..region + at + len + call.tail_len())?;
            let (head, tail) = bytes.split_at_checked(len)?;
            let skip = core::mem::take(&mut skip);
            let (head_skip, skip) = (skip.min(len), skip.saturating_sub(len));
            let data = call.data().and_then(|data| rest(data, skip));
            let tail_skip = skip.saturating_sub(call.data().map_or(0, |data| data.len as usize));
            Some(Outgoing { head: head.get(head_skip..)?, data, tail: tail.get(tail_skip..)? })
        })
    }
}

/// `data` without its first `skip` bytes; `None` if nothing is left.
fn rest(data: Range, skip: usize) -> Option<Range> {
    let skip = u32::try_from(skip).ok()?;
    let len = data.len.checked_sub(skip).filter(|len| *len > 0)?;
    Some(Range { op: data.op, at: data.at.checked_add(skip)?, len })
}
