//! Every captured record of a real client and a real brick decodes, and encodes to the same bytes.

mod golden;

use brickwire_core::fop::FopNumber;
use brickwire_core::rpc::read_head_len;
use brickwire_core::rpc::{Procedure, RecordMark, ReplyHeader};
use brickwire_core::xdr::{Decode, Reader};

#[test]
fn the_index_names_every_record_that_was_captured() {
    let records = golden::all();
    assert!(records.len() > 100, "{} records", records.len());
    for each in ["call", "reply"] {
        assert!(records.iter().filter(|golden| golden.name.ends_with(each)).count() > 50);
    }
}

#[test]
fn a_record_is_one_last_fragment_and_its_mark_says_its_length() {
    for golden in golden::all() {
        let mark = RecordMark::parse(golden.bytes[..4].try_into().unwrap());
        assert_eq!(
            mark,
            RecordMark { last: true, len: golden.body().len() as u32 },
            "{}",
            golden.name
        );
        assert_eq!(mark.word().to_be_bytes(), golden.bytes[..4], "{}", golden.name);
    }
}

#[test]
fn every_captured_record_is_encoded_again_to_the_same_bytes() {
    for golden in golden::all() {
        match golden::recode(golden.body(), golden.procedure) {
            Ok(bytes) => assert_eq!(bytes, golden.body(), "{}", golden.name),
            Err(error) => panic!("{}: {error}", golden.name),
        }
    }
}

#[test]
fn a_record_that_ends_anywhere_before_its_payload_is_an_error() {
    for golden in golden::all() {
        let head = golden.head();
        for len in 0..head.len() {
            let cut = golden::recode(&head[..len], golden.procedure);
            assert!(
                cut.is_err(),
                "{} cut to {len} of {} bytes was taken for whole",
                golden.name,
                head.len()
            );
        }
    }
}

#[test]
fn a_cut_record_is_reported_at_a_byte_that_it_has() {
    for golden in golden::all() {
        let head = golden.head();
        for len in 0..head.len() {
            let error = golden::recode(&head[..len], golden.procedure).unwrap_err();
            assert!(error.offset as usize <= len, "{} cut to {len}: {error}", golden.name);
            assert!(!error.field.is_empty());
        }
    }
}

#[test]
fn the_payload_of_a_read_begins_where_the_head_says() {
    let fop = Procedure::fop(FopNumber::Read as u32);
    let reads = golden::all()
        .into_iter()
        .filter(|golden| golden.procedure == fop && golden.name.ends_with("reply"));
    let mut count = 0;
    for golden in reads {
        let mut r = Reader::new(golden.body());
        ReplyHeader::decode(&mut r).unwrap();
        let body = r.rest();
        let said = read_head_len(body).unwrap().unwrap();
        assert_eq!(said + golden.payload, body.len(), "{}", golden.name);
        // The size word of xdata is enough, and nothing less is.
        assert_eq!(read_head_len(&body[..164]), Ok(Some(said)));
        assert_eq!(read_head_len(&body[..163]), Ok(None));
        count += 1;
    }
    assert_eq!(count, 2);
}
