//! Timestamps in the credentials of calls, by the options of `features/utime`.

mod client_harness;

use brickwire_core::fop::FopNumber;
use brickwire_core::rpc::TimeFlags;
use brickwire_core::volume::Op;
use client_harness::{FILE, Rig, regular, volfile};

const ACCESS: TimeFlags = TimeFlags::from_bits(4);
const CHANGE: TimeFlags = TimeFlags::from_bits(3);

/// The timestamps of an OPEN, a READ and a WRITE on a volume with this line for `noatime`.
fn times(noatime: &str) -> [TimeFlags; 3] {
    let mut rig = Rig::new();
    rig.spec = volfile("", "/brick").replace("    option noatime on\n", noatime);
    rig.bring_up();
    let flags = brickwire_core::volume::OpenFlags::READ_WRITE;
    let open = rig.submit(Op::Open { path: b"f", flags, mode: 0 }, Vec::new());
    let call = rig.expect(FopNumber::Lookup);
    rig.answer_lookup(&call, regular(FILE, 1 << 20));
    let opening = rig.expect(FopNumber::Open);
    rig.answer_open(&opening);
    assert_eq!(rig.result(open), Some(Ok(0)));
    let file = rig.opened[&open];
    rig.read(file, 0, 512);
    let reading = rig.expect(FopNumber::Read);
    rig.write(file, 4096, &[1; 512]);
    let writing = rig.expect(FopNumber::Write);
    [opening.times, reading.times, writing.times]
}

#[test]
fn access_times_are_sent_if_noatime_is_off_and_only_then() {
    assert_eq!(times("    option noatime off\n"), [ACCESS, ACCESS, CHANGE]);
    let changes = [TimeFlags::NONE, TimeFlags::NONE, CHANGE];
    assert_eq!(times("    option noatime on\n"), changes);
    assert_eq!(times("    option any thing\n"), changes, "noatime is on by default");
}
