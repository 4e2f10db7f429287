//! A client and an arbitrary peer: see `brickwire_fuzz::session`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|program: &[u8]| brickwire_fuzz::session::run(program));
