//! Runs the simulated world.

use anyhow::{Result, bail};

use crate::command::{cargo, run};

/// Which seeds to run.
#[derive(Clone, Debug)]
pub struct Simulation {
    /// Number of seeds.
    pub seeds: u64,
    /// The only seed, or the first one.
    pub seed: Option<u64>,
    /// Prints each event of the one seed.
    pub trace: bool,
    /// A broken part.
    pub mutant: Option<String>,
}

/// Builds the simulator with optimisations and all checks, and runs it.
pub fn sim(simulation: &Simulation) -> Result<()> {
    if simulation.trace && simulation.seed.is_none() {
        bail!("--trace shows one run: name its seed with --seed");
    }
    let mut program = cargo();
    program.args(["run", "--quiet", "--profile", "sim", "--package", "brickwire-sim", "--"]);
    program.arg(simulation.seed.unwrap_or(0).to_string());
    program.arg(simulation.seeds.to_string());
    if simulation.trace {
        program.arg("--trace");
    }
    if let Some(mutant) = &simulation.mutant {
        program.args(["--mutant", mutant]);
    }
    run(&mut program)
}
