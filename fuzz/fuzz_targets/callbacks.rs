//! Callbacks of servers to their clients.
#![no_main]

use brickwire_core::rpc::Procedure;
use brickwire_core::rpc::callback::Callback;
use brickwire_core::xdr::{Reader, Writer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = Callback::decode_record(bytes);
    let Some((first, body)) = bytes.split_first() else { return };
    let Ok(callback) =
        Callback::decode(Procedure::callback(u32::from(*first)), &mut Reader::new(body))
    else {
        return;
    };
    let mut room = vec![0; body.len() + 4096];
    let mut w = Writer::new(&mut room);
    callback.encode(&mut w).expect("there is room");
    let len = w.position();
    Callback::decode(callback.procedure(), &mut Reader::new(&room[..len]))
        .expect("what was encoded decodes");
});
