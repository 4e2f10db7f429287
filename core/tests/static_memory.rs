//! A client whose tables are in a static.

mod client_server_sim;
mod server_harness;

use brickwire_core::memory::{Limits, Memory, ServerLimits, ServerMemory};
use brickwire_core::server::{Server, ServerConfig};
use brickwire_core::volume::{self, Config, Endpoint, Op, OpenFlags, Output, Volume};
use brickwire_core::{Instant, memory, server_memory};
use client_server_sim::{Dice, Faults, LIMITS, Simulation};

/// Writes, reads back and lists, with connections that break; returns the trace of all steps.
fn work(memory: Memory<'static>) -> u64 {
    let dice = Dice::new(11);
    let faults = Faults::default();
    let small = ServerLimits::SMALL;
    let mut sim = Simulation::with_memory(dice, faults, LIMITS, memory, small, "static");
    let create = OpenFlags::READ_WRITE.and(OpenFlags::CREATE);
    let files: Vec<_> =
        ["a", "b"].iter().map(|path| sim.open(path, create).expect("created")).collect();
    sim.faults = Faults::RESETS;
    for n in 0..40_u8 {
        for file in &files {
            let data = [n; 700];
            // Its connection may have broken: then it has the same bytes or none.
            let _ = sim.write(*file, u64::from(n) * 700, &data);
        }
    }
    sim.faults = Faults::default();
    for file in files {
        sim.write(file, 0, &[9; 3000]).expect("no faults any more");
        assert_eq!(sim.read(file, 1000, 2000).expect("read"), [9; 2000]);
        sim.do_(Op::Close { file }).expect("closed");
    }
    assert_eq!(sim.list("").expect("listed"), ["a", "b"]);
    sim.trace()
}

#[test]
fn a_client_in_a_static_does_what_one_on_the_heap_does() {
    let tables = memory!(LIMITS).expect("handed out once");
    assert_eq!(tables.lacks(&LIMITS), None);
    assert_eq!(tables.bytes(), Memory::on_heap(&LIMITS).bytes());
    assert_eq!(work(tables), work(Memory::on_heap(&LIMITS)));
}

#[test]
fn a_static_is_handed_out_once_and_each_place_has_its_own() {
    fn tables() -> Option<Memory<'static>> {
        memory!(Limits::FIRMWARE)
    }
    assert!(tables().is_some());
    assert!(tables().is_none());
    assert!(memory!(Limits::FIRMWARE).is_some(), "another place");
}

#[test]
fn a_server_fits_a_static() {
    const LIMITS: ServerLimits = ServerLimits::SMALL;
    let tables = server_memory!(LIMITS).expect("handed out once");
    assert_eq!(tables.bytes(), ServerMemory::on_heap(&LIMITS).bytes());
    assert!(Server::new(ServerConfig::default(), &LIMITS, tables).is_ok());
}

#[test]
fn a_volume_is_small_because_its_configuration_is_lent_as_its_tables_are() {
    let mut config = Config::new();
    config.volume = "v".try_into().unwrap();
    let server = volume::Server::Tcp { host: "node7".try_into().unwrap(), port: 24008 };
    config.servers.push(server).unwrap();
    config.entropy = [1; 32];
    config.groups.extend_from_slice(&[1; volume::GROUPS_MAX]).unwrap();
    let tables = memory!(Limits::FIRMWARE).expect("handed out once");
    let mut volume =
        Volume::new(&mut config, Limits::FIRMWARE, tables, Instant::ZERO).expect("sane");
    let Some(Output::Connect { conn }) = volume.poll(Instant::ZERO) else { panic!("no dial") };
    let endpoint = volume.endpoint(conn);
    assert!(matches!(endpoint, Some(Endpoint::Tcp { host: "node7", port: 24008, .. })));
    assert!(size_of::<Volume<'_>>() < size_of::<Config>(), "{}", size_of::<Volume<'_>>());
}
