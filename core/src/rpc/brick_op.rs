//! Requests of glusterd to daemons that it started, on their own sockets: TRANSLATOR_OP to a
//! self-heal daemon (measured on GlusterFS 10.3).

use super::handshake::Opaque;
use crate::xdr::{Decode, Encode, NoRoom, Reader, Writer, XdrError};

/// Requests to a self-heal daemon: the values of `xl-op`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HealOp {
    /// Heal the entries in the bricks' indices.
    Index = 1,
    /// Crawl the whole volume and heal it.
    Full = 2,
    /// Count the entries in the bricks' indices.
    Count = 8,
}

/// TRANSLATOR_OP: a request to translators of a daemon's graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TranslatorOp<'a> {
    /// Texts: `xl-op`; `count` of translators; the name of each as `xl-0`, `xl-1`, …; and under
    /// that name the number that its answers begin with.
    pub input: Opaque<'a>,
}

/// Procedure number of the request, which is also one of its fields.
const TRANSLATOR_OP: i32 = 3;
const NAME_MAX: usize = 4096;

impl<'a> Decode<'a> for TranslatorOp<'a> {
    fn decode(r: &mut Reader<'a>) -> Result<Self, XdrError> {
        r.string("name", NAME_MAX)?;
        r.i32("op")?;
        let input = Opaque::decode(r, "input")?;
        Opaque::decode(r, "dict")?;
        Ok(Self { input })
    }
}

impl Encode for TranslatorOp<'_> {
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
        // The name field is for requests to bricks.
        w.opaque(b"")?;
        w.i32(TRANSLATOR_OP)?;
        self.input.put(w)?;
        w.opaque(b"")
    }
}

/// The reply of a self-heal daemon: for each brick `SET-BRICK-status` or `SET-BRICK-hardlinks`. A
/// translator that the daemon does not have is left out and is not a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TranslatorOpReply<'a> {
    /// Negative on failure.
    pub op_ret: i32,
    /// errno on failure.
    pub op_errno: i32,
    /// Results of the translators.
    pub output: Opaque<'a>,
    /// Error message for a person.
    pub errstr: &'a [u8],
}

impl<'a> Decode<'a> for TranslatorOpReply<'a> {
    fn decode(r: &mut Reader<'a>) -> Result<Self, XdrError> {
        Ok(Self {
            op_ret: r.i32("op_ret")?,
            op_errno: r.i32("op_errno")?,
            output: Opaque::decode(r, "output")?,
            errstr: r.string("errstr", NAME_MAX)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rpc::{CallHeader, Cred, Procedure};

    #[test]
    fn a_daemon_is_asked_as_glusterd_asks_it() {
        let texts = [
            ("xl-op", Some(&b"1"[..])),
            ("count", Some(b"1")),
            ("xl-0", Some(b"v-replicate-0")),
            ("v-replicate-0", Some(b"0")),
        ];
        let mut bytes = [0; 256];
        let mut w = Writer::new(&mut bytes);
        let header =
            CallHeader { xid: 3, procedure: Procedure::TRANSLATOR_OP, cred: Cred::bootstrap() };
        header.encode(&mut w).unwrap();
        let at = w.position();
        TranslatorOp { input: Opaque::Texts(&texts) }.encode(&mut w).unwrap();
        let end = w.position();
        assert_eq!(
            bytes[..24],
            [0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0x4a, 0x46, 0x32, 0, 0, 0, 2, 0, 0, 0, 3]
        );
        let written = &bytes[at..end];
        assert_eq!(written[..8], [0, 0, 0, 0, 0, 0, 0, 3]);
        assert_eq!(
            written[written.len() - 4..],
            [0; 4],
            "without a second dictionary it is garbage to a daemon"
        );
        let read = TranslatorOp::decode(&mut Reader::new(written)).unwrap();
        assert_eq!(read.input.dict().text(b"v-replicate-0"), Some(&b"0"[..]));
    }

    #[test]
    fn a_daemon_says_what_becomes_of_each_brick() {
        let mut bytes = [0_u8; 0x4c + 20];
        bytes[11] = 0x4c;
        bytes[15] = 3;
        let mut at = 16;
        for key in [b"0-2-hardlinks", b"0-1-hardlinks", b"0-0-hardlinks"] {
            bytes[at + 3] = 13;
            bytes[at + 7] = 2;
            bytes[at + 8..at + 21].copy_from_slice(key);
            bytes[at + 22] = b'7';
            at += 24;
        }
        let reply = TranslatorOpReply::decode(&mut Reader::new(&bytes)).unwrap();
        assert_eq!(reply.output.dict().text(b"0-1-hardlinks"), Some(&b"7"[..]));
        assert_eq!(reply.output.dict().pairs().count(), 3);
    }
}
