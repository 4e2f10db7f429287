//! The smallest client: one brick, four operations, under 64 KiB.

mod client_harness;

use brickwire_core::fop::FopNumber;
use brickwire_core::volume::{NewError, Volume};
use brickwire_core::{Instant, Limits, ManagedSlice, Memory, memory::Slot};
use client_harness::Rig;

#[test]
fn firmware_fits_into_64_kib_and_works() {
    let memory = Memory::on_heap(&Limits::FIRMWARE);
    let bytes = memory.bytes() + size_of::<Volume<'_>>();
    assert!(bytes < 64 * 1024, "{bytes} bytes");
    let mut rig = Rig::with(|_| {}, Limits::FIRMWARE);
    rig.bring_up();
    let file = rig.open();
    let writes: Vec<_> = (0..4_u64).map(|n| rig.write(file, n * 512, &[n as u8; 512])).collect();
    for _ in &writes {
        let call = rig.expect(FopNumber::Write);
        rig.answer_done(&call, 512);
    }
    for write in writes {
        assert_eq!(rig.result(write), Some(Ok(512)));
    }
    let read = rig.read(file, 0, 2048);
    let call = rig.expect(FopNumber::Read);
    rig.answer_read(&call, &[7; 2048]);
    assert_eq!(rig.result(read), Some(Ok(2048)));
}

#[test]
fn lent_memory_that_is_too_small_is_refused_by_the_name_of_its_table() {
    let mut config = brickwire_core::volume::Config::new();
    config.volume = "v".try_into().unwrap();
    let server =
        brickwire_core::volume::Server::Unix { path: "/run/glusterd.socket".try_into().unwrap() };
    config.servers.push(server).unwrap();
    config.entropy = [1; 32];
    let mut memory = Memory::on_heap(&Limits::FIRMWARE);
    let mut ops = [const { Slot::EMPTY }; 3];
    memory.ops = ManagedSlice::Borrowed(&mut ops);
    let refused = Volume::new(config, Limits::FIRMWARE, memory, Instant::ZERO).err();
    assert_eq!(refused, Some(NewError::Memory { table: "ops", has: 3, needs: 4 }));
}

#[test]
fn the_memory_of_a_host_is_what_its_tables_are() {
    let memory = Memory::on_heap(&Limits::HOST);
    let mib = memory.bytes() as f64 / (1 << 20) as f64;
    // Most of it is reserved address space: an idle connection uses its entry and its inline
    // buffer, and heads only while it sends.
    assert!(mib < 16.0, "{mib:.1} MiB");
}
