//! The parts that the programs measured by `cargo xtask bench` have in common, so that the benches
//! compare libraries and not programs: the words of the command line ([`args`]), the order in
//! which blocks are visited ([`offsets`]), the clocks and the histogram ([`measure`]), and the JSON
//! line of results ([`report`]).
//!
//! `bench/gfapi/gfapi_bench.c` has the same command line, workload and JSON in C.
//!
//! Nothing here depends on brickwire's codec: a mistake in it must not shift the reference, too.

pub mod args;
pub mod measure;
pub mod offsets;
pub mod report;

use std::process::ExitCode;

/// One line for a person: what failed, and where.
pub type Failure = String;

/// Runs one of the programs: prints the line that `run` returns, or its error with exit status 1;
/// a wrong command line is reported with its usage and exit status 2.
pub fn main<A>(
    program: &str,
    usage: &str,
    parse: impl FnOnce(&mut dyn Iterator<Item = String>) -> Result<A, Failure>,
    run: impl FnOnce(&A) -> Result<String, Failure>,
) -> ExitCode {
    let args = match parse(&mut std::env::args().skip(1)) {
        Ok(args) => args,
        Err(why) => {
            eprintln!("{program}: {why}\n{usage}");
            return ExitCode::from(2);
        }
    };
    match run(&args) {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("{program}: {why}");
            ExitCode::FAILURE
        }
    }
}
