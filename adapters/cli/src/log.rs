//! Log lines on standard error: `-v`, `-vv`, `RUST_LOG`.

use std::io::Write as _;

use crate::failure::one_line;

/// `RUST_LOG` selects what is logged; without it the count of `-v` does.
pub(crate) fn start(verbose: u8) {
    let level = match verbose {
        0 => "off",
        1 => "brickwire=info",
        2 => "brickwire=debug",
        _ => "brickwire=trace",
    };
    let environment = env_logger::Env::default().default_filter_or(level);
    let mut logger = env_logger::Builder::from_env(environment);
    logger.format(|out, record| {
        let (time, level) = (out.timestamp_millis(), record.level());
        // The crate says enough: its modules are for RUST_LOG.
        let source = record.target().split("::").next().unwrap_or_default();
        writeln!(out, "{time} {level:<5} {source}: {}", one_line(&record.args().to_string()))
    });
    logger.init();
}
