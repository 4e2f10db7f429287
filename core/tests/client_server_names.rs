//! Names and clients that vanish, over a connection with seeded faults. `tests/sim` compares random
//! changes of names with a model of a tree.

mod client_server_sim;
mod server_harness;

use brickwire_core::volume::{Op, OpError, OpenFlags};
use brickwire_core::xdr::Errno;
use client_server_sim::{Faults, Simulation, seeds};

#[test]
fn a_big_directory_is_listed_completely_with_any_faults() {
    for (seed, faults) in [(1, Faults::DELAYS_ONLY), (2, Faults::RESETS)] {
        let mut sim = Simulation::new(seed, Faults::default());
        let all: Vec<String> =
            (0..300).map(|n| format!("a-rather-long-name-of-a-file-{n:04}")).collect();
        for name in &all {
            let file = sim.open(name, OpenFlags::READ_WRITE.and(OpenFlags::CREATE)).unwrap();
            sim.do_(Op::Close { file }).unwrap();
        }
        sim.faults = faults;
        // A listing that broke off is begun again.
        let names = (0..100).find_map(|_| sim.list("").ok()).expect("a listing");
        assert_eq!(names, all);
    }
}

#[test]
fn symlinks_are_followed_in_the_middle_and_at_the_end_and_loops_end() {
    let mut sim = Simulation::new(3, Faults::DELAYS_ONLY);
    let symlink = |sim: &mut Simulation, target: &str, path: &str| {
        sim.do_(Op::Symlink { target: target.as_bytes(), path: path.as_bytes() }).unwrap();
    };
    sim.do_(Op::Mkdir { path: b"dir", mode: 0o755 }).unwrap();
    sim.do_(Op::Mkdir { path: b"dir/sub", mode: 0o755 }).unwrap();
    symlink(&mut sim, "dir/sub", "short");
    symlink(&mut sim, "../../short/file", "dir/sub/again");
    symlink(&mut sim, "loop-b", "loop-a");
    symlink(&mut sim, "loop-a", "loop-b");
    symlink(&mut sim, "short/new", "dangling");
    let create = OpenFlags::READ_WRITE.and(OpenFlags::CREATE);
    let file = sim.open("short/file", create).unwrap();
    sim.write(file, 0, b"through the link").unwrap();
    let again = sim.open("dir/sub/again", OpenFlags::READ).unwrap();
    assert_eq!(sim.read(again, 0, 100).unwrap(), b"through the link");
    assert_eq!(sim.open("loop-a", OpenFlags::READ), Err(OpError::Errno(Errno::ELOOP)));
    let new = sim.open("dangling", create).unwrap();
    sim.write(new, 0, b"x").unwrap();
    assert_eq!(sim.stat("dir/sub/new").unwrap().size, 1);
    assert!(sim.stat("dangling").unwrap().is_symlink(), "a look that does not follow");
    symlink(&mut sim, "nowhere", "taken");
    let must_be_new = sim.open("taken", create.and(OpenFlags::EXCLUSIVE));
    assert_eq!(
        must_be_new,
        Err(OpError::Errno(Errno::EEXIST)),
        "the name is taken, whatever it leads to"
    );
    assert_eq!(sim.stat("nowhere"), Err(OpError::Errno(Errno::ENOENT)));
}

#[test]
fn a_client_that_vanishes_leaves_nothing_with_the_server() {
    for seed in seeds(0..30) {
        let mut sim = Simulation::new(seed, Faults::DELAYS_ONLY);
        let create = OpenFlags::READ_WRITE.and(OpenFlags::CREATE);
        let files: Vec<_> = (0..4).map(|n| sim.open(&format!("f{n}"), create).unwrap()).collect();
        for (n, file) in files.iter().enumerate() {
            sim.submit(Op::Write { file: *file, offset: 0, len: 5000 }, vec![n as u8; 5000]);
            sim.submit(Op::Read { file: *file, offset: 0, len: 5000, fill: false }, vec![0; 5000]);
        }
        for _ in 0..seed * 3 {
            sim.step();
        }
        sim.client_vanishes();
        let usage = sim.server.usage();
        assert_eq!((usage.connections, usage.jobs, usage.files), (0, 0, 0), "seed {seed}");
        assert_eq!(
            (sim.storage.buffers(), sim.storage.memory.usage().files),
            (0, 0),
            "seed {seed}"
        );
    }
}
