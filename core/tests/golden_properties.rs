//! No bytes of a peer cause a panic, and a decoded value encodes to bytes that decode to the same
//! value.

mod golden;

use arbtest::arbitrary::{Result, Unstructured};
use arbtest::arbtest;
use brickwire_core::fop::FopNumber;
use brickwire_core::fop::wire::{Body, Reply, Request};
use brickwire_core::rpc::callback::Callback;
use brickwire_core::rpc::dump::DumpReply;
use brickwire_core::rpc::{
    CallHeader, Cred, MessageType, Procedure, RecordMark, ReplyHeader, read_head_len,
};
use brickwire_core::xdr::{
    Decode, Dict, Errno, Flock, Gfid, Iatt, LegacyDict, OldIatt, Pair, Reader, Value, Writer,
};

#[test]
fn arbitrary_bytes_never_panic_in_any_decoder() {
    arbtest(|u| {
        let bytes = words(u)?;
        let bytes = &bytes[..];
        if let Some(mark) = bytes.first_chunk() {
            let mark = RecordMark::parse(*mark);
            assert_eq!(RecordMark::parse(mark.word().to_be_bytes()), mark);
        }
        let _ = (MessageType::peek(bytes), read_head_len(bytes), Gfid::parse(bytes));
        let _ = (Iatt::decode(&mut Reader::new(bytes)), OldIatt::decode(&mut Reader::new(bytes)));
        let _ = (Flock::decode(&mut Reader::new(bytes)), Cred::decode(&mut Reader::new(bytes)));
        let _ = (
            CallHeader::decode(&mut Reader::new(bytes)),
            ReplyHeader::decode(&mut Reader::new(bytes)),
        );
        if let Ok(dict) = LegacyDict::parse(bytes) {
            assert!(dict.pairs().all(|pair| dict.get(pair.key).is_some()));
        }
        if let Ok(list) = DumpReply::decode(&mut Reader::new(bytes)) {
            assert!(list.programs().count() <= bytes.len() / 24);
        }
        for number in 0..14 {
            let _ = Callback::decode(Procedure::callback(number), &mut Reader::new(bytes));
        }
        for procedure in SMALL {
            for kind in [0, 1] {
                let _ = golden::recode(&with_header(kind, bytes), procedure);
            }
        }
        Ok(())
    });
}

#[test]
fn a_request_that_is_understood_is_understood_the_same_after_encoding() {
    arbtest(|u| {
        let bytes = words(u)?;
        for number in FopNumber::ALL {
            let Ok(request) = Request::decode(*number, &mut Reader::new(&bytes)) else { continue };
            assert_eq!(request.number(), *number);
            let mut again = Vec::new();
            golden::put(&mut again, &request);
            assert_eq!(Request::decode(*number, &mut Reader::new(&again)), Ok(request));
        }
        Ok(())
    });
}

#[test]
fn a_reply_that_is_understood_is_understood_the_same_after_encoding() {
    arbtest(|u| {
        let bytes = words(u)?;
        for number in FopNumber::ALL {
            let Ok(reply) = Reply::decode(*number, &mut Reader::new(&bytes)) else { continue };
            let mut again = Vec::new();
            golden::put_with(&mut again, |w| reply.encode(*number, w));
            assert_eq!(Reply::decode(*number, &mut Reader::new(&again)), Ok(reply));
            let entries = match reply.body {
                Body::Dirents(list) => list.iter().count(),
                Body::Direntps(list) => list.iter().count(),
                Body::ActiveLocks(list) => list.iter().count(),
                _ => 0,
            };
            assert!(entries <= bytes.len() / 28, "every entry stands in the record");
        }
        Ok(())
    });
}

#[test]
fn a_captured_record_with_any_byte_changed_never_panics() {
    let records = golden::all();
    arbtest(|u| {
        let golden = u.choose(&records)?;
        let mut body = golden.body().to_vec();
        for _ in 0..u.int_in_range(1..=4)? {
            let at = u.choose_index(body.len())?;
            body[at] = u.arbitrary()?;
        }
        // A changed type word or procedure makes it another message, which is decoded as that.
        let known = CallHeader::decode(&mut Reader::new(&body))
            .is_ok_and(|header| header.procedure == golden.procedure);
        if golden.name.ends_with("reply") || known {
            let _ = golden::recode(&body, golden.procedure);
        }
        Ok(())
    });
}

#[test]
fn a_dictionary_is_read_as_it_was_written_and_its_size_is_exact() {
    arbtest(|u| {
        let (mut key, bytes): (Vec<u8>, Vec<u8>) = (u.arbitrary()?, u.arbitrary()?);
        key.retain(|byte| *byte != 0);
        let value = match u.int_in_range(0..=4)? {
            0 => Value::Int(u.arbitrary()?),
            1 => Value::Uint(u.arbitrary()?),
            2 => Value::Gfuuid(Gfid(u.arbitrary()?)),
            3 => Value::StrOld(&bytes),
            _ => Value::Ptr(&bytes),
        };
        let pairs = [Pair { key: b"first", value: Value::Uint(1) }, Pair { key: &key, value }];
        let mut out = Vec::new();
        golden::put(&mut out, &Dict::Pairs(&pairs));
        assert_eq!(out[..4], (out.len() as u32 - 12).to_be_bytes(), "xdr_size");
        let back = Dict::decode(&mut Reader::new(&out)).unwrap();
        assert_eq!(back, Dict::Pairs(&pairs));
        assert_eq!(back.get(&key), Some(value), "of the same key twice, the last counts");
        Ok(())
    });
}

#[test]
fn a_failure_is_an_errno_and_a_failure_without_one_is_eio() {
    arbtest(|u| {
        let reply = Reply::plain(u.arbitrary()?, u.int_in_range(-5..=200)?);
        match reply.result() {
            Ok(count) => assert!(count >= 0 && count == reply.op_ret),
            Err(errno) if (1..=200).contains(&reply.op_errno) => {
                assert_eq!(errno.to_wire(), reply.op_errno)
            }
            Err(errno) => assert_eq!(errno, Errno::EIO),
        }
        Ok(())
    });
}

#[test]
fn a_list_that_never_ends_stops_with_the_record() {
    // A link word before each of many entries, and no end: the chain is walked, not recursed.
    let mut entry = [0; 36];
    entry[3] = 1;
    entry[27] = 8;
    entry[31] = 1;
    entry[32] = b'a';
    let mut bytes = vec![0; 8];
    bytes.extend([0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
    for _ in 0..200_000 {
        bytes.extend(entry);
    }
    assert!(Reply::decode(FopNumber::Readdir, &mut Reader::new(&bytes)).is_err());
}

/// Procedures that are no fops.
const SMALL: [Procedure; 6] = [
    Procedure::DUMP,
    Procedure::PING,
    Procedure::PORTBYBRICK,
    Procedure::GETSPEC,
    Procedure::SETVOLUME,
    Procedure::GET_VOLUME_INFO,
];

/// A reply's header before a body, or a call's type before it.
fn with_header(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut record = vec![0; 24];
    record[7] = kind;
    record.extend_from_slice(body);
    record
}

/// Bytes that resemble XDR often enough to get past the first words: zeroes, small words, or random
/// ones.
fn words(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let mut room = vec![0; 4 * u.int_in_range(0..=240)?];
    let mut w = Writer::new(&mut room);
    let mut full = false;
    while !full && !u.is_empty() {
        let word = match u.int_in_range(0..=5)? {
            0..=2 => 0,
            3 => u.int_in_range(0..=16)?,
            4 => 0xffff_ffff,
            _ => u.arbitrary()?,
        };
        full = w.u32(word).is_err();
    }
    Ok(room)
}
