//! A peer that answers correctly, so that changed answers of the fuzzer get past the first checks.

use brickwire_core::fop::FopNumber;
use brickwire_core::fop::wire::{Body, Direntp, Direntps, Reply, Request, Statvfs};
use brickwire_core::rpc::dump::{PingReply, ProgramEntry, put_dump};
use brickwire_core::rpc::handshake::{GetspecReply, Opaque, SetvolumeReply};
use brickwire_core::rpc::portmap::PortByBrickReply;
use brickwire_core::rpc::{CallHeader, Procedure, RecordMark, ReplyHeader, ReplyStatus, program};
use brickwire_core::xdr::{Decode, Dict, Encode, Gfid, Iatt, Reader, Writer};

/// Volfiles to serve. The first two differ in an option, the third has another brick, the last is
/// refused.
const SPECS: [&str; 4] = [
    "volume c\n type protocol/client\n option remote-host h\n option remote-subvolume /b\n\
     end-volume\nvolume d\n type cluster/distribute\n subvolumes c\nend-volume\n",
    "volume c\n type protocol/client\n option remote-host h\n option remote-subvolume /b\n\
     \x20option ping-timeout 3\nend-volume\nvolume d\n type cluster/distribute\n subvolumes c\n\
     end-volume\n",
    "volume c\n type protocol/client\n option remote-host h\n option remote-subvolume /other\n\
     end-volume\nvolume d\n type cluster/distribute\n subvolumes c\nend-volume\n",
    "volume c\n type protocol/client\n option remote-host h\n option remote-subvolume /b\n\
     end-volume\nvolume d\n type features/shard\n subvolumes c\nend-volume\n",
];

fn iatt(mode: u32) -> Iatt {
    Iatt {
        gfid: Gfid([mode as u8 | 1; 16]),
        flags: Iatt::ALL,
        mode,
        size: 100,
        nlink: 1,
        ..Iatt::default()
    }
}

/// The reply to a call, as a whole record. `choice` selects one of its variants.
pub fn reply(record: &[u8], choice: u8) -> Option<Vec<u8>> {
    let mut r = Reader::new(record);
    let header = CallHeader::decode(&mut r).ok()?;
    let mut room = vec![0; 8192];
    let mut w = Writer::new(&mut room);
    w.u32(0).ok()?;
    ReplyHeader { xid: header.xid, status: ReplyStatus::Success }.encode(&mut w).ok()?;
    let mut payload = 0;
    match header.procedure {
        Procedure::GETSPEC => {
            let spec = SPECS[usize::from(choice) % SPECS.len()].as_bytes();
            let xdata = Opaque::Bytes(&[]);
            GetspecReply { op_ret: spec.len() as i32, op_errno: 0, spec, xdata }
                .encode(&mut w)
                .ok()?;
        }
        Procedure::PORTBYBRICK => {
            let port = if choice == 255 { -1 } else { 49152 };
            PortByBrickReply { op_ret: 0, op_errno: 0, status: 0, port }.encode(&mut w).ok()?;
        }
        Procedure::DUMP => {
            put_dump(
                &mut w,
                &[ProgramEntry { name: b"fop", number: program::FOP.into(), version: 400 }],
            )
            .ok()?;
        }
        Procedure::PING => PingReply::default().encode(&mut w).ok()?,
        Procedure::SETVOLUME => {
            let process = [b'p', b'0' + choice % 3];
            let texts =
                [("process-uuid", Some(&process[..])), ("volume-id", Some(&b"the volume"[..]))];
            SetvolumeReply { op_ret: 0, op_errno: 22, dict: Opaque::Texts(&texts) }
                .encode(&mut w)
                .ok()?;
        }
        procedure => {
            let number = FopNumber::from_u32(procedure.number)?;
            let request = Request::decode(number, &mut r).ok()?;
            let op_ret = fop(number, &request, choice, &mut w)?;
            if number == FopNumber::Read {
                payload = op_ret;
            }
        }
    }
    let len = w.position();
    room.truncate(len);
    room.resize(len + payload as usize, choice);
    let mark = RecordMark::last(room.len() as u32 - 4).to_be_bytes();
    room[..4].copy_from_slice(&mark);
    Some(room)
}

/// Encodes the reply to a fop; returns its `op_ret`.
fn fop(number: FopNumber, request: &Request<'_>, choice: u8, w: &mut Writer<'_>) -> Option<u32> {
    let (dir, file) = (iatt(0o040_755), iatt(if choice % 7 == 6 { 0o120_777 } else { 0o100_644 }));
    let entries =
        [Direntp { ino: 1, offset: 7, len: 1, kind: 8, name: b"e", stat: file, dict: Dict::Null }];
    let fd = i64::from(choice % 4);
    let mut op_ret = 0;
    if choice % 16 == 15 {
        Reply { body: zero(number), ..Reply::plain(-1, i32::from(choice)) }
            .encode(number, w)
            .ok()?;
        return Some(0);
    }
    let body = match request {
        Request::Lookup(lookup) if lookup.gfid == Gfid::ROOT || choice.is_multiple_of(2) => {
            Body::TwoIatts { before: dir, after: dir }
        }
        Request::Read(read) => {
            op_ret = read.size.min(u32::from(choice));
            Body::Read { stat: file, size: op_ret }
        }
        Request::Write(write) => {
            op_ret = if choice % 5 == 4 { write.size / 2 } else { write.size };
            Body::TwoIatts { before: file, after: file }
        }
        Request::Open(_) | Request::Opendir(_) => Body::Open { fd },
        Request::Create(_) => {
            Body::Create { stat: file, fd: fd as u64, preparent: dir, postparent: dir }
        }
        Request::Readlink(_) => Body::Readlink {
            stat: file,
            path: [&b"f"[..], b"/", b"../x", b"."][usize::from(choice % 4)],
        },
        Request::Readdirp(_) => {
            op_ret = 1;
            Body::Direntps(Direntps::of(&entries))
        }
        _ => match zero(number) {
            Body::TwoIatts { .. } => Body::TwoIatts { before: file, after: file },
            other => other,
        },
    };
    let op_errno = i32::from(choice % 3);
    Reply { op_ret: op_ret as i32, op_errno, xdata: Dict::Null, body }.encode(number, w).ok()?;
    Some(op_ret)
}

/// An empty body of a fop's reply.
fn zero(number: FopNumber) -> Body<'static> {
    // The decoder is given zeroes, and returns a body of the right variant.
    let zeroes: &'static [u8] = &[0; 2048];
    Reply::decode(number, &mut Reader::new(zeroes)).map_or(Body::None, |reply| match reply.body {
        Body::Statfs(_) => Body::Statfs(Statvfs::default()),
        body => body,
    })
}
