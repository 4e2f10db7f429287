//! Seeds of the simulated world. `BRICKWIRE_SEEDS=17` or `BRICKWIRE_SEEDS=0..1000` runs others;
//! `cargo xtask sim` runs many, fast, and shows the trace of one.

use std::ops::Range;

use brickwire_sim::run::{Options, Report, run, run_scenario};
use brickwire_sim::scenario::Scenario;

fn seeds(own: Range<u64>) -> Range<u64> {
    let Ok(text) = std::env::var("BRICKWIRE_SEEDS") else { return own };
    let number = |text: &str| text.parse::<u64>().expect("BRICKWIRE_SEEDS: a number, or FROM..TO");
    match text.split_once("..") {
        Some((from, to)) => number(from)..number(to),
        None => number(&text)..number(&text) + 1,
    }
}

fn check(report: &Report) {
    if let Some(violation) = &report.violation {
        let seed = report.seed;
        panic!("seed {seed}: {violation}\nrepeat with: cargo xtask sim --seed {seed} --trace");
    }
}

#[test]
fn every_promise_is_kept_whatever_the_faults() {
    let (mut succeeded, mut all, mut told) = (0, 0, 0);
    for seed in seeds(0..100) {
        let report = run(seed, Options::default());
        check(&report);
        (succeeded, all) = (succeeded + report.ended.0, all + report.ended.1);
        told += report.told;
    }
    assert!(succeeded > all / 2, "{succeeded} of {all} operations: the faults leave no work");
    assert!(succeeded < all, "no operation failed: there were no faults");
    assert!(told > 0 || seeds(0..100).count() < 50, "nothing was lost");
}

#[test]
fn without_faults_every_operation_succeeds() {
    for seed in seeds(1_000..1_030) {
        let scenario = Scenario::draw(seed).without_faults();
        check(&run_scenario(&scenario, Options::default()));
    }
}

#[test]
fn the_same_seed_makes_the_same_run_to_the_bit() {
    for seed in 0..10 {
        let (one, two) = (run(seed, Options::default()), run(seed, Options::default()));
        assert_eq!((one.hash, one.steps, one.ended), (two.hash, two.steps, two.ended));
        assert_ne!(one.hash, run(seed + 1, Options::default()).hash);
    }
}
