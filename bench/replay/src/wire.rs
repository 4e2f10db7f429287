//! The few records that a replay needs, by hand: calls are built and replies read field by field.

use std::io::{ErrorKind, Read, Write};

use brickwire_bench_common::Failure;

/// Target of a call: program, version, procedure.
#[derive(Clone, Copy)]
pub(crate) struct Proc(pub(crate) u32, pub(crate) u32, pub(crate) u32);

/// A fop of program 400.
pub(crate) const fn fop(procedure: u32) -> Proc {
    Proc(1_298_437, 400, procedure)
}

/// A call under construction. The record mark is written last, by `finish`.
pub(crate) struct Call(Vec<u8>);

impl Call {
    /// A call to glusterd with AUTH_GLUSTERFS v2, uid 0 and a 4-byte lock owner (spec 01-wire,
    /// 1.4).
    pub(crate) fn to_glusterd(xid: u32, target: Proc) -> Self {
        Self::header(xid, target)
            .u32(390_039)
            .u32(24)
            .u32(0)
            .u32(0)
            .u32(0)
            .u32(0)
            .u32(4)
            .u32(0)
            .u32(0)
            .u32(0)
    }

    /// A call to a brick with AUTH_GLUSTERFS v3. `stamps` says which of the file's times the call
    /// sets.
    pub(crate) fn to_brick(xid: u32, target: Proc, stamps: u32) -> Self {
        let pid = std::process::id();
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let call =
            Self::header(xid, target).u32(390_040).u32(40).u32(pid).u32(0).u32(0).u32(stamps);
        let call = call.u32(now.subsec_nanos()).u64(now.as_secs());
        call.u32(0).u32(4).raw(&pid.to_le_bytes()).u32(0).u32(0)
    }

    fn header(xid: u32, Proc(program, version, procedure): Proc) -> Self {
        Self(vec![0; 4]).u32(xid).u32(0).u32(2).u32(program).u32(version).u32(procedure)
    }

    pub(crate) fn u32(self, value: u32) -> Self {
        self.raw(&value.to_be_bytes())
    }

    pub(crate) fn u64(self, value: u64) -> Self {
        self.raw(&value.to_be_bytes())
    }

    pub(crate) fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// XDR's `opaque<>` and `string<>`.
    pub(crate) fn opaque(self, bytes: &[u8]) -> Self {
        let pad = bytes.len().next_multiple_of(4) - bytes.len();
        self.u32(bytes.len() as u32).raw(bytes).raw(&[0; 3][..pad])
    }

    /// The dictionary of the handshake programs: texts, each with its NUL (docs/spec/01-wire.md,
    /// "Legacy binary dict").
    pub(crate) fn dict1(self, pairs: &[(&str, &str)]) -> Self {
        let mut dict = (pairs.len() as u32).to_be_bytes().to_vec();
        for (key, value) in pairs {
            dict.extend_from_slice(&(key.len() as u32).to_be_bytes());
            dict.extend_from_slice(&(value.len() as u32 + 1).to_be_bytes());
            for text in [key, value] {
                dict.extend_from_slice(text.as_bytes());
                dict.push(0);
            }
        }
        self.opaque(&dict)
    }

    /// "No dictionary", as program 400 says it.
    pub(crate) fn no_xdata(self) -> Self {
        self.u32(0).u32(u32::MAX).u32(0)
    }

    /// The record, whose mark also counts the `payload` bytes that the caller sends after it.
    pub(crate) fn finish(mut self, payload: usize) -> Vec<u8> {
        let mark = LAST_FRAGMENT | (self.0.len() - 4 + payload) as u32;
        self.0[..4].copy_from_slice(&mark.to_be_bytes());
        self.0
    }
}

/// The reply to an accepted call, read from the front.
pub(crate) struct Reply {
    record: Vec<u8>,
    at: usize,
}

impl Reply {
    pub(crate) fn u32(&mut self, field: &str) -> Result<u32, Failure> {
        let bytes = self.take(4, field)?;
        Ok(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    pub(crate) fn i32(&mut self, field: &str) -> Result<i32, Failure> {
        Ok(self.u32(field)? as i32)
    }

    pub(crate) fn opaque(&mut self, field: &str) -> Result<&[u8], Failure> {
        let len = self.u32(field)? as usize;
        let padded =
            len.checked_next_multiple_of(4).ok_or_else(|| format!("{field}: length {len}"))?;
        Ok(&self.take(padded, field)?[..len])
    }

    /// The xdata that comes third in a fop's reply: its first word says how much follows the third.
    pub(crate) fn skip_xdata(&mut self) -> Result<(), Failure> {
        let len = self.u32("xdata")? as usize;
        self.take(8, "xdata")?;
        self.take(len, "xdata").map(|_| ())
    }

    pub(crate) fn take(&mut self, len: usize, field: &str) -> Result<&[u8], Failure> {
        let end = self.at.checked_add(len).filter(|end| *end <= self.record.len());
        let end = end.ok_or_else(|| format!("the reply ends before its {field} does"))?;
        let bytes = &self.record[self.at..end];
        self.at = end;
        Ok(bytes)
    }
}

/// Sends one call, with `payload` behind it, and waits for its reply. Callbacks are dropped.
pub(crate) fn exchange(
    stream: &mut (impl Read + Write + ?Sized),
    call: Call,
    payload: &[u8],
) -> Result<Reply, Failure> {
    let record = call.finish(payload.len());
    stream.write_all(&record).and_then(|()| stream.write_all(payload)).map_err(|e| said(&e))?;
    loop {
        let mut mark = [0; 4];
        stream.read_exact(&mut mark).map_err(|e| said(&e))?;
        let len = u32::from_be_bytes(mark);
        if len & LAST_FRAGMENT == 0 || len & !LAST_FRAGMENT > REPLY_BYTES_MAX {
            return Err(format!(
                "record mark {len:#x}: not one fragment of up to {REPLY_BYTES_MAX} bytes"
            ));
        }
        let mut reply = Reply { record: vec![0; (len & !LAST_FRAGMENT) as usize], at: 0 };
        stream.read_exact(&mut reply.record).map_err(|e| said(&e))?;
        let xid = reply.take(4, "xid")? == &record[4..8];
        if reply.u32("message type")? == 0 {
            continue;
        }
        if reply.u32("reply status")? != 0 {
            let (why, auth) = (reply.u32("reject status")?, reply.u32("auth status")?);
            let hint = if why == 1 { " (does it refuse source ports from 1024 up?)" } else { "" };
            return Err(format!("call denied: reject status {why}, {auth}{hint}"));
        }
        reply.take(8, "verifier")?;
        match reply.u32("accept status")? {
            0 if xid => return Ok(reply),
            0 => return Err("reply to a call that was not made".into()),
            why => return Err(format!("call not served: accept status {why}")),
        }
    }
}

/// An I/O error in words: the time-out has none of its own.
pub(crate) fn said(error: &std::io::Error) -> Failure {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => "no answer within the time allowed".into(),
        ErrorKind::UnexpectedEof => "the peer closed the connection".into(),
        _ => error.to_string(),
    }
}

/// Bit 31 of a record mark.
pub(crate) const LAST_FRAGMENT: u32 = 1 << 31;
const REPLY_BYTES_MAX: u32 = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_call_is_as_long_as_the_captured_one() {
        let call =
            Call::to_brick(1, fop(12), 0).raw(&[7; 16]).u64(0).u64(0).u32(11).u32(0).no_xdata();
        let record = call.finish(0);
        assert_eq!(record.len(), 136);
        assert_eq!(record[..4], 0x8000_0084_u32.to_be_bytes());
    }

    #[test]
    fn a_getspec_call_is_as_long_as_the_captured_one() {
        let call = Call::to_glusterd(2, Proc(14_398_633, 2, 2)).u32(1).opaque(b"wire-one");
        let record = call.dict1(&[("max-op-version", "100000"), ("min-op-version", "1")]).finish(0);
        assert_eq!(record.len(), 148);
        assert_eq!(record[0x54..0x58], 59_u32.to_be_bytes());
    }
}
