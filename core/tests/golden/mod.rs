//! Captured records, and what the codec makes of one: decoded whole, and encoded again.
#![allow(dead_code)] // Every test file uses its own part.

use std::path::PathBuf;
use std::vec::Vec;

use brickwire_core::fop::FopNumber;
use brickwire_core::fop::wire::{Reply, Request};
use brickwire_core::rpc::callback::Callback;
use brickwire_core::rpc::dump::{DumpArgs, DumpReply, PingReply};
use brickwire_core::rpc::handshake::{
    GetVolumeInfo, GetVolumeInfoReply, Getspec, GetspecReply, Setvolume, SetvolumeReply,
};
use brickwire_core::rpc::portmap::{PortByBrick, PortByBrickReply};
use brickwire_core::rpc::{CallHeader, MessageType, Procedure, RecordMark, ReplyHeader, program};
use brickwire_core::xdr::{Decode, Encode, NoRoom, Reader, Writer, XdrError};

/// A captured record: what stands behind its mark.
pub(crate) struct Golden {
    /// The file's name, without `.bin`.
    pub(crate) name: String,
    /// The record with its mark.
    pub(crate) bytes: Vec<u8>,
    /// The procedure of the call, or of the call that the reply answers.
    pub(crate) procedure: Procedure,
    /// Bytes of payload behind the last XDR field.
    pub(crate) payload: usize,
}

impl Golden {
    /// The record without its mark.
    pub(crate) fn body(&self) -> &[u8] {
        &self.bytes[RecordMark::LEN..]
    }

    /// The record's XDR part: everything but mark and payload.
    pub(crate) fn head(&self) -> &[u8] {
        &self.bytes[RecordMark::LEN..self.bytes.len() - self.payload]
    }
}

/// All records of the index.
pub(crate) fn all() -> Vec<Golden> {
    let index = String::from_utf8(read("index.tsv")).unwrap();
    let rows = index
        .lines()
        .filter(|line| line.split('\t').next().is_some_and(|file| file.ends_with(".bin")));
    rows.map(|row| {
        let columns: Vec<&str> = row.split('\t').collect();
        let bytes = read(columns[0]);
        assert_eq!(bytes.len().to_string(), columns[1], "{}", columns[0]);
        let payload = columns[5]
            .strip_prefix("payload ")
            .map_or(0, |text| text.strip_suffix(" bytes").unwrap().parse().unwrap());
        let name = columns[0].strip_suffix(".bin").unwrap().to_string();
        Golden { name, bytes, procedure: procedure(columns[3]), payload }
    })
    .collect()
}

/// The record of this name.
pub(crate) fn one(name: &str) -> Golden {
    all().into_iter().find(|golden| golden.name == name).unwrap()
}

fn read(file: &str) -> Vec<u8> {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "testdata", "wire", file].iter().collect();
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The index writes a fop by its name, and the rest by program, version and procedure.
fn procedure(text: &str) -> Procedure {
    match text {
        "('HNDSK', 2, 1)" => Procedure::SETVOLUME,
        "('HNDSK', 2, 2)" => Procedure::GETSPEC,
        "('HNDSK', 2, 6)" => Procedure::GET_VOLUME_INFO,
        "('DUMP', 1, 1)" => Procedure::DUMP,
        "('DUMP', 1, 2)" => Procedure::PING,
        "('PMAP', 1, 1)" => Procedure::PORTBYBRICK,
        _ => match text.strip_prefix("CBK ") {
            Some(number) => Procedure::callback(number.parse().unwrap()),
            None => Procedure::fop(number(text) as u32),
        },
    }
}

fn number(name: &str) -> FopNumber {
    let plain = name.replace('_', "");
    let found = FopNumber::ALL.iter().find(|number| number.name().eq_ignore_ascii_case(&plain));
    *found.unwrap_or_else(|| panic!("no fop {name}"))
}

/// Decodes a record (without its mark) and encodes it again, with its payload.
pub(crate) fn recode(record: &[u8], procedure: Procedure) -> Result<Vec<u8>, XdrError> {
    let mut out = Vec::new();
    let mut r = Reader::new(record);
    match MessageType::peek(record) {
        Some(MessageType::Reply) => {
            put(&mut out, &ReplyHeader::decode(&mut r)?);
            reply(procedure, &mut r, &mut out)?;
        }
        _ => {
            let header = CallHeader::decode(&mut r)?;
            put(&mut out, &header);
            call(header.procedure, &mut r, &mut out)?;
        }
    }
    out.extend_from_slice(r.rest());
    Ok(out)
}

fn call(procedure: Procedure, r: &mut Reader<'_>, out: &mut Vec<u8>) -> Result<(), XdrError> {
    match procedure {
        Procedure::DUMP => put(out, &DumpArgs::decode(r)?),
        Procedure::PING => {}
        Procedure::PORTBYBRICK => put(out, &PortByBrick::decode(r)?),
        Procedure::GETSPEC => put(out, &Getspec::decode(r)?),
        Procedure::SETVOLUME => put(out, &Setvolume::decode(r)?),
        Procedure::GET_VOLUME_INFO => put(out, &GetVolumeInfo::decode(r)?),
        Procedure { program: program::CALLBACK, .. } => {
            let callback = Callback::decode(procedure, r)?;
            assert_eq!(callback.procedure(), procedure);
            put_with(out, |w| callback.encode(w));
        }
        _ => {
            let number = FopNumber::from_u32(procedure.number).expect("a known fop");
            let request = Request::decode(number, r)?;
            assert_eq!(request.number(), number);
            put(out, &request);
        }
    }
    Ok(())
}

fn reply(procedure: Procedure, r: &mut Reader<'_>, out: &mut Vec<u8>) -> Result<(), XdrError> {
    match procedure {
        Procedure::DUMP => put(out, &DumpReply::decode(r)?),
        Procedure::PING => put(out, &PingReply::decode(r)?),
        Procedure::PORTBYBRICK => put(out, &PortByBrickReply::decode(r)?),
        Procedure::GETSPEC => put(out, &GetspecReply::decode(r)?),
        Procedure::SETVOLUME => put(out, &SetvolumeReply::decode(r)?),
        Procedure::GET_VOLUME_INFO => put(out, &GetVolumeInfoReply::decode(r)?),
        _ => {
            let number = FopNumber::from_u32(procedure.number).expect("a known fop");
            let reply = Reply::decode(number, r)?;
            put_with(out, |w| reply.encode(number, w));
        }
    }
    Ok(())
}

/// Encodes into exactly the bytes that `encoded_len` says.
pub(crate) fn put(out: &mut Vec<u8>, value: &impl Encode) {
    let at = out.len();
    put_with(out, |w| value.encode(w));
    assert_eq!(out.len() - at, value.encoded_len(), "encoded_len is what encode writes");
}

/// Encodes; and again into a byte less than that needs, which must be refused.
pub(crate) fn put_with(out: &mut Vec<u8>, encode: impl Fn(&mut Writer<'_>) -> Result<(), NoRoom>) {
    let mut room = vec![0xee; 1 << 20];
    let mut w = Writer::new(&mut room);
    encode(&mut w).unwrap();
    let len = w.position();
    out.extend_from_slice(&room[..len]);
    if let Some(short) = len.checked_sub(1) {
        assert!(encode(&mut Writer::new(&mut room[..short])).is_err(), "one byte less is no room");
    }
}
