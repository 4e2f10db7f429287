//! `brickwire completions`: completion scripts for shells.

use clap::CommandFactory;

use crate::args::Args;
use crate::failure::Failure;

pub(crate) fn run(shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "brickwire", &mut script);
    crate::output::line(String::from_utf8_lossy(&script))
}
