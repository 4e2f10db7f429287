//! Volumes with copies, without faults: every operation succeeds, on each shape.

use brickwire_sim::run::{Options, run_scenario};
use brickwire_sim::scenario::{Scenario, VolumePlan};
use brickwire_sim::shape::Shape;

#[test]
fn every_operation_succeeds_on_two_and_three_copies_and_with_an_arbiter() {
    for (replicas, arbiter) in [(2, false), (3, false), (3, true)] {
        let shape = Shape::Replicate { replicas, arbiter };
        let mut runs = 0;
        for seed in 0..200 {
            let mut scenario = Scenario::draw(seed).without_faults();
            // The tables of its clients fit the shape that was drawn.
            if scenario.volumes.iter().any(|volume| volume.shape.bricks() < replicas) {
                continue;
            }
            scenario.hosts = replicas;
            let plan = VolumePlan { shape, hosts: (0..replicas).collect() };
            scenario.volumes.iter_mut().for_each(|volume| *volume = plan.clone());
            let report = run_scenario(&scenario, Options::default());
            assert!(report.violation.is_none(), "seed {seed}: {:?}", report.violation);
            runs += 1;
        }
        assert!(runs > 20, "{runs} scenarios");
    }
}
