//! Random operations, faults and hostile answers, and then a recovery without faults: every
//! operation that was taken ends exactly once, the volume can be used again, and no table has an
//! entry left. The driver is that of the fuzz target `session`.
//!
//! `BRICKWIRE_SOAK=N` runs N programs more than the usual ones; a failure names its seed.
#![allow(unreachable_pub)] // Shared with the fuzz target.

#[path = "../../fuzz/src/peer.rs"]
mod peer;
#[path = "../../fuzz/src/session.rs"]
mod session;

use rand_core::{RngCore, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// A program of random steps, after enough steps of a well-behaved peer to be connected.
fn program(seed: u64) -> Vec<u8> {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    // One connection to the brick, or two.
    let mut program = vec![(random.next_u32() & 1) as u8, 0];
    for _ in 0..12 {
        program.extend([0, 0, 3, 0]);
    }
    let len = 40 + random.next_u64() % 1500;
    // Some programs have few faults and get further.
    let calm = random.next_u32() % 4;
    for _ in 0..len {
        let mut step = [0; 3];
        random.fill_bytes(&mut step);
        if random.next_u32() % 4 < calm {
            step[0] = [0, 3, 4, 8, 9, 3, 12][step[0] as usize % 7];
        }
        program.extend(step);
    }
    // Programs of even length end with a recovery, the others with a stop in the middle.
    if !seed.is_multiple_of(4) && program.len() % 2 == 1 {
        program.pop();
    }
    program
}

#[test]
fn whatever_happens_everything_is_over_once_and_nothing_is_left_of_it() {
    let more: u64 = std::env::var("BRICKWIRE_SOAK").ok().and_then(|n| n.parse().ok()).unwrap_or(0);
    for seed in 0..400 + more {
        let program = program(seed);
        let run = std::panic::catch_unwind(|| session::run(&program));
        assert!(run.is_ok(), "seed {seed}");
    }
}

#[test]
#[ignore = "replays one program: BRICKWIRE_PROGRAM=file"]
fn one_program() {
    let Some(path) = std::env::var_os("BRICKWIRE_PROGRAM") else { return };
    session::run(&std::fs::read(path).expect("a program"));
}
