//! Runs programs of the fuzz targets `server`, `pair` and `session` without a fuzzer: the kept
//! ones, so that each finding stays a test, and for the first two some that a generator draws.
//! (`soak.rs` draws those of `session`.)

mod client_server_sim;
mod server_harness;

#[allow(unreachable_pub)] // It is of another crate.
#[path = "../../fuzz/src/both.rs"]
mod both;
#[allow(unreachable_pub)]
#[path = "../../fuzz/src/peer.rs"]
mod peer;
#[allow(unreachable_pub)]
#[path = "../../fuzz/src/server.rs"]
mod server;
#[allow(unreachable_pub)]
#[path = "../../fuzz/src/session.rs"]
mod session;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use client_server_sim::{Dice, seeds};

/// Runs every kept program of a target.
fn kept(target: &str, run: fn(&[u8])) {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds").join(target);
    let mut programs: Vec<PathBuf> =
        std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    programs.sort();
    assert!(!programs.is_empty());
    for program in programs {
        let bytes = std::fs::read(&program).unwrap();
        let result = catch_unwind(AssertUnwindSafe(|| run(&bytes)));
        assert!(result.is_ok(), "{} fails", program.display());
    }
}

/// Runs programs of random bytes after a beginning that connects the first peer.
fn drawn(own: std::ops::Range<u64>, run: fn(&[u8])) {
    for seed in seeds(own) {
        let mut dice = Dice::new(seed);
        let len = 50 + dice.below(600);
        let program: Vec<u8> = (0..len).map(|_| dice.below(256) as u8).collect();
        // Somebody is connected from the beginning.
        let program = [&[0, 0, 0, 0][..], &program].concat();
        let result = catch_unwind(AssertUnwindSafe(|| run(&program)));
        assert!(
            result.is_ok(),
            "the program of seed {seed} fails (BRICKWIRE_SEEDS={seed} runs it alone)"
        );
    }
}

#[test]
fn kept_programs_of_clients_against_a_server() {
    kept("server", server::run);
}

#[test]
fn kept_programs_of_a_pair_over_a_bad_wire() {
    kept("pair", both::run);
}

#[test]
fn drawn_programs_of_clients_against_a_server() {
    drawn(0..300, server::run);
}

#[test]
fn drawn_programs_of_a_pair_over_a_bad_wire() {
    drawn(0..60, |program| both::run(&program[2..]));
}

#[test]
fn kept_programs_of_a_client_against_an_arbitrary_peer() {
    kept("session", session::run);
}
