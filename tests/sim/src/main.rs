//! Runs seeds of the simulated world: `cargo xtask sim` builds and starts this.

use std::process::ExitCode;
use std::time::Instant;

use brickwire_sim::mutant::Mutant;
use brickwire_sim::run::{Options, run};

const USAGE: &str = "brickwire-sim FIRST COUNT [--trace] [--mutant NAME]";

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let number = |word: Option<String>| word.and_then(|word| word.parse::<u64>().ok());
    let (Some(first), Some(count)) = (number(words.next()), number(words.next())) else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    let mut options = Options::default();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--trace" => options.trace = true,
            "--mutant" => {
                options.mutant = words.next().and_then(|name| Mutant::named(&name));
                if options.mutant.is_none() {
                    eprintln!("mutants: {:?}", Mutant::ALL.map(|(name, _)| name));
                    return ExitCode::FAILURE;
                }
            }
            _ => {
                eprintln!("{USAGE}");
                return ExitCode::FAILURE;
            }
        }
    }
    if !options.trace {
        // A panic is reported with its seed.
        std::panic::set_hook(Box::new(|_| {}));
    }
    simulate(first, count, options)
}

fn simulate(first: u64, count: u64, options: Options) -> ExitCode {
    let start = Instant::now();
    let (mut simulated, mut steps, mut ended, mut failed) = (0, 0, (0, 0), 0);
    let (mut compared, mut told) = (0, 0);
    for seed in first..first + count {
        let report = run(seed, options);
        simulated += report.virtual_nanos;
        steps += report.steps;
        ended = (ended.0 + report.ended.0, ended.1 + report.ended.1);
        (compared, told) = (compared + report.compared, told + report.told);
        if count == 1 {
            println!("trace {:016x}", report.hash);
        }
        if let Some(violation) = report.violation {
            failed += 1;
            println!("seed {seed} fails: {violation}");
        }
    }
    let real = start.elapsed().as_secs_f64();
    println!(
        "{count} seeds in {real:.1} s: {:.0} a second; {:.0} s of virtual time, {:.0} times real \
         time; {steps} events; {} of {} operations succeeded; {compared} blocks compared; {told} \
         losses reported; {failed} failed",
        count as f64 / real,
        simulated as f64 / 1e9,
        simulated as f64 / 1e9 / real,
        ended.0,
        ended.1
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
