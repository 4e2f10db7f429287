//! A whole client and a whole server over a wire that breaks, delays and changes bytes: see
//! `brickwire_fuzz::both`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|program: &[u8]| brickwire_fuzz::both::run(program));
