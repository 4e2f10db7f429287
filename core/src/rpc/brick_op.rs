//! What glusterd asks of the daemons that it started, at their own sockets: here of a self-heal daemon (measured on GlusterFS
//! 10.3).

use super::handshake::Opaque;
use crate::xdr::{Decode, Encode, NoRoom, Reader, Writer, XdrError};

/// What a self-heal daemon may be asked: the values of `xl-op`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HealOp {
    /// Heal what the bricks list.
    Index = 1,
    /// Look at everything, and heal it.
    Full = 2,
    /// How much do the bricks list?
    Count = 8,
}

/// Asks translators of a daemon's graph for something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TranslatorOp<'a> {
    /// Texts: `xl-op`; `count` of translators; each one's name as `xl-0`, …, and under that name the number that its answers begin
    /// with.
    pub input: Opaque<'a>,
}

/// The number of this request among all that daemons and bricks know, which stands in it too.
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
        // The name is a brick's, and there is none.
        w.opaque(b"")?;
        w.i32(TRANSLATOR_OP)?;
        self.input.put(w)?;
        w.opaque(b"")
    }
}

/// The answer of a self-heal daemon: for each brick `SET-BRICK-status` or `SET-BRICK-hardlinks`. A translator that it does not
/// have says nothing, and is no failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TranslatorOpReply<'a> {
    /// Negative if it failed.
    pub op_ret: i32,
    /// Why.
    pub op_errno: i32,
    /// What the translators say.
    pub output: Opaque<'a>,
    /// The same for a person.
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
