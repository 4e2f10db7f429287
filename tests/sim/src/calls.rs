//! The names of the calls and the results of the replies in a packet, for the reader of a trace.

use brickwire_core::fop::FopNumber;
use brickwire_core::xdr::Errno;

/// Program numbers, docs/spec/01-wire.md, "Programs".
const FOP_PROGRAM: u32 = 1_298_437;

/// The records of a packet that begins with one: `xid name` of a call, `xid = result` of a
/// reply.
pub fn of(mut bytes: &[u8]) -> String {
    let mut text = String::new();
    while let Some(mark) = word(bytes, 0) {
        let len = (mark & 0x7fff_ffff) as usize;
        if mark >> 31 == 0 || len > 1 << 20 {
            break;
        }
        if let (Some(xid), Some(kind)) = (word(bytes, 1), word(bytes, 2)) {
            let what = match kind {
                0 => call(bytes),
                _ => word(bytes, 7).map(|result| match (result as i32, word(bytes, 8)) {
                    (-1, Some(errno)) => format!("= {:?}", Errno::from_wire(errno as i32)),
                    (result, _) => format!("= {result}"),
                }),
            };
            text.push_str(&format!(" [{xid:x} {}]", what.unwrap_or_default()));
        }
        match bytes.get(4 + len..) {
            Some(rest) => bytes = rest,
            None => break,
        }
    }
    text
}

fn call(bytes: &[u8]) -> Option<String> {
    let (program, procedure) = (word(bytes, 4)?, word(bytes, 6)?);
    if program != FOP_PROGRAM {
        return Some(format!("{program} {procedure}"));
    }
    let number = FopNumber::from_u32(procedure)?;
    let mut text = format!("{number:?}");
    if matches!(number, FopNumber::Xattrop | FopNumber::Fxattrop) {
        // The values of the counters, wherever the dictionary is.
        for (at, _) in bytes.windows(12).enumerate().filter(|(_, key)| *key == b"trusted.afr.") {
            let key: Vec<u8> = bytes[at..].iter().copied().take_while(|byte| *byte != 0).collect();
            let value = at + (key.len() + 1).next_multiple_of(4) + 8;
            let counters: Vec<i32> = (0..3)
                .filter_map(|n| bytes.get(value + 4 * n..)?.first_chunk::<4>())
                .map(|counter| i32::from_be_bytes(*counter))
                .collect();
            let name = String::from_utf8_lossy(&key[12..]).into_owned();
            if counters.iter().any(|counter| *counter != 0) {
                text.push_str(&format!(" {name}{counters:?}"));
            }
        }
    }
    Some(text)
}

fn word(bytes: &[u8], index: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(4 * index..)?.first_chunk::<4>()?))
}
