//! Record marks and RPC headers.
#![no_main]

use brickwire_core::rpc::{CallHeader, MessageType, RecordMark, ReplyHeader};
use brickwire_core::xdr::{Decode, Encode, Reader, Writer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((mark, record)) = bytes.split_first_chunk::<4>() else { return };
    let parsed = RecordMark::parse(*mark);
    assert_eq!(parsed.word().to_be_bytes(), *mark);
    let _ = MessageType::peek(record);
    let mut room = vec![0; record.len() + 1024];
    if let Ok(header) = ReplyHeader::decode(&mut Reader::new(record)) {
        let mut w = Writer::new(&mut room);
        header.encode(&mut w).expect("there is room");
        let len = w.position();
        assert_eq!(ReplyHeader::decode(&mut Reader::new(&room[..len])), Ok(header));
    }
    if let Ok(header) = CallHeader::decode(&mut Reader::new(record)) {
        let mut w = Writer::new(&mut room);
        header.encode(&mut w).expect("there is room");
    }
});
