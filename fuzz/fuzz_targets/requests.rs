//! The requests of every fop: a request that decodes is encoded to bytes that decode to the same
//! request.
#![no_main]

use brickwire_core::fop::FopNumber;
use brickwire_core::fop::wire::Request;
use brickwire_core::xdr::{Encode, Reader, Writer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((first, bytes)) = bytes.split_first() else { return };
    let Some(number) = FopNumber::from_u32(u32::from(*first)) else { return };
    let mut r = Reader::new(bytes);
    let Ok(value) = Request::decode(number, &mut r) else { return };
    let mut room = vec![0; bytes.len() + 4096];
    let mut w = Writer::new(&mut room);
    value.encode(&mut w).expect("there is room");
    let len = w.position();
    assert_eq!(Request::decode(number, &mut Reader::new(&room[..len])).as_ref(), Ok(&value));
});
