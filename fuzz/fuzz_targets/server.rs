//! A server and arbitrary clients: see `brickwire_fuzz::server`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|program: &[u8]| brickwire_fuzz::server::run(program));
