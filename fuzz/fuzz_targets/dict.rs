//! Dictionaries in both encodings.
#![no_main]

use brickwire_core::xdr::{Decode, Dict, Encode, LegacyDict, Reader, Writer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut r = Reader::new(bytes);
    if let Ok(dict) = Dict::decode(&mut r) {
        for (key, value) in dict.pairs() {
            let _ = (
                value.as_u64(),
                value.as_bytes(),
                core::str::from_utf8(key).map(|key| dict.get(key)),
            );
        }
        let used = r.offset() as usize;
        let mut room = vec![0; used];
        let mut w = Writer::new(&mut room);
        dict.encode(&mut w).expect("as long as it was");
        assert_eq!(room, bytes[..used], "what was decoded is encoded to the same bytes");
    }
    if let Ok(dict) = LegacyDict::parse(bytes) {
        for pair in dict.pairs() {
            let _ = (dict.get(pair.key), dict.text(pair.key));
        }
    }
});
