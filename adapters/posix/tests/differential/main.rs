//! A brick in memory and a directory on disk get the same calls and must give the same answers.
//!
//! `BRICKWIRE_SEEDS=17` runs the program of one seed, `BRICKWIRE_SEEDS=0..100000` many of them.
//! `BRICKWIRE_DIFFERENTIAL=/var/tmp` puts the directories there, to test another file system than
//! tmpfs.

mod attrs;
mod data;
mod names;
mod outcome;
mod program;
mod rig;
mod tables;
mod xattrs;

use std::ops::Range;

use brickwire_posix::XattrNamespace;
use program::{Dice, On, Op, Program, Step, shrunk};
use rig::{Difference, Rig};

/// Number of fops in a program.
const STEPS: usize = 80;

fn seeds(own: Range<u64>) -> Range<u64> {
    let Ok(text) = std::env::var("BRICKWIRE_SEEDS") else { return own };
    let number = |text: &str| {
        text.parse::<u64>().expect("BRICKWIRE_SEEDS is a number, or two with .. between")
    };
    match text.split_once("..") {
        Some((from, to)) => number(from)..number(to),
        None => number(&text)..number(&text) + 1,
    }
}

/// The first difference between the storages.
fn difference(namespace: XattrNamespace, program: &Program) -> Option<Difference> {
    Rig::new(namespace, program.timed)?.run(&program.steps).err()
}

fn compare_storages(namespace: XattrNamespace, own: Range<u64>) {
    for seed in seeds(own) {
        let program = Dice::new(seed).program(STEPS);
        if let Some(Difference { steps, .. }) = difference(namespace, &program) {
            let program =
                shrunk(program.cut(steps), |program| difference(namespace, program).is_some());
            let steps: String = program.steps.iter().map(|step| format!("  {step:?}\n")).collect();
            let Difference { text: difference, .. } =
                difference(namespace, &program).expect("a difference, as before");
            panic!(
                "the storages differ: BRICKWIRE_SEEDS={seed}, timed {}\n{steps}{difference}",
                program.timed
            );
        }
    }
}

#[test]
fn a_time_that_is_set_is_kept_where_no_client_had_told_any() {
    // Times that no call has set are the file system's own, which depend on when the test runs.
    let op = Op::Setattr { on: On::Gfid(0), valid: 0x10, mode: 0, uid: 0, gid: 0, time: 1234 };
    let program = [
        Step { who: 0, times: 1, op },
        Step { who: 0, times: 0, op: Op::Stat { on: On::Gfid(0), keys: 0 } },
    ];
    let Some(mut rig) = Rig::new(XattrNamespace::Trusted, true) else { return };
    rig.steps(&program).unwrap_or_else(|Difference { text, .. }| panic!("{text}"));
}

#[test]
fn a_brick_in_memory_answers_as_a_directory_does() {
    compare_storages(XattrNamespace::Trusted, 0..100);
}

#[test]
fn a_brick_in_memory_answers_as_a_directory_of_somebody_who_is_not_root() {
    compare_storages(XattrNamespace::User, 0..100);
}
