//! Replies of glusterd, the portmapper and a brick's handshake.
#![no_main]

use brickwire_core::rpc::dump::{DumpReply, PingReply};
use brickwire_core::rpc::handshake::{
    EventNotify, GetVolumeInfo, GetVolumeInfoReply, Getspec, GetspecReply, SetLkVer, SetLkVerReply,
    Setvolume, SetvolumeReply,
};
use brickwire_core::rpc::portmap::{PortByBrick, PortByBrickReply};
use brickwire_core::xdr::{Decode, Encode, Reader, Writer};
use libfuzzer_sys::fuzz_target;

/// Checks that a decoded value encodes to bytes that decode to the same value.
fn round<'a, T: Decode<'a> + Encode + PartialEq + std::fmt::Debug>(
    bytes: &'a [u8],
    room: &mut [u8],
) {
    let Ok(value) = T::decode(&mut Reader::new(bytes)) else { return };
    let mut w = Writer::new(room);
    value.encode(&mut w).expect("there is room");
}

fuzz_target!(|bytes: &[u8]| {
    let mut room = vec![0; bytes.len() + 4096];
    let room = &mut room[..];
    round::<DumpReply<'_>>(bytes, room);
    round::<PingReply<'_>>(bytes, room);
    round::<Getspec<'_>>(bytes, room);
    round::<GetspecReply<'_>>(bytes, room);
    round::<Setvolume<'_>>(bytes, room);
    round::<SetvolumeReply<'_>>(bytes, room);
    round::<GetVolumeInfo<'_>>(bytes, room);
    round::<GetVolumeInfoReply<'_>>(bytes, room);
    round::<SetLkVer<'_>>(bytes, room);
    round::<SetLkVerReply>(bytes, room);
    round::<EventNotify<'_>>(bytes, room);
    round::<PortByBrick<'_>>(bytes, room);
    round::<PortByBrickReply>(bytes, room);
    if let Ok(reply) = DumpReply::decode(&mut Reader::new(bytes)) {
        let _ = reply.programs().count();
    }
});
