//! Shapes that the client cannot open yet: the world has them, with all their bricks, and the
//! client refuses the volume by name. The author of the translator adds the shape to
//! `Shape::OPENED` and removes it here.

use brickwire_core::volume::{Op, OpError};
use brickwire_sim::scenario::{AUDITOR, ClientPlan, Scenario, VolumePlan};
use brickwire_sim::shape::Shape;
use brickwire_sim::world::World;

#[test]
fn a_replicated_volume_is_refused_by_the_name_of_its_translator() {
    for (replicas, arbiter) in [(2, false), (3, false), (3, true)] {
        let mut scenario = Scenario::draw(1).without_faults();
        let shape = Shape::Replicate { replicas, arbiter };
        scenario.hosts = replicas;
        scenario.volumes = vec![VolumePlan { shape, hosts: (0..replicas).collect() }];
        let mut world = World::new(&scenario, None, false);
        assert_eq!(world.processes.len(), 2 * replicas, "a glusterd and a brick on each host");
        let plan = ClientPlan {
            volume: 0,
            limits: AUDITOR,
            depth: 1,
            open: 1,
            op_timeout_ms: 60_000,
            lanes: 1,
        };
        let client = world.add_client(&plan);
        let done = world.ask(client, Op::Start, Vec::new()).expect("no promise is broken");
        let Err(OpError::Graph(error)) = done.result else { panic!("{:?}", done.result) };
        assert!(error.to_string().contains("cluster/replicate"), "{error}");
    }
}
