//! Nothing takes more than its limits.

use brickwire_core::Limits;
use brickwire_core::server::{ServerLimits, Usage};
use brickwire_core::volume::InUse;

use super::Violation;

/// Compares a client's tables with its limits.
pub fn client(used: &InUse, limits: &Limits) -> Result<(), Violation> {
    let tables = [
        ("ops", used.ops, limits.ops as usize),
        ("frames", used.frames, limits.frames as usize),
        ("calls", used.calls, limits.calls as usize),
        ("files", used.files, limits.files as usize),
        ("inodes", used.inodes, limits.inodes as usize),
        ("fds", used.fds, limits.fds as usize),
        ("names", used.names, limits.names.into()),
        ("blocks", used.blocks, limits.blocks.into()),
        ("conns", used.conns, limits.conns.into()),
    ];
    compare("a client", &tables)
}

/// Compares a server's tables with its limits.
pub fn server(used: &Usage, limits: &ServerLimits) -> Result<(), Violation> {
    let tables = [
        ("connections", used.connections as usize, limits.connections.into()),
        ("jobs", used.jobs as usize, (limits.jobs + limits.waits) as usize),
        ("files", used.files as usize, limits.files as usize),
        ("locks", (used.locks_held + used.locks_waiting) as usize, limits.locks as usize),
    ];
    compare("a server", &tables)
}

fn compare(who: &str, tables: &[(&str, usize, usize)]) -> Result<(), Violation> {
    for (table, used, limit) in tables {
        if used > limit {
            let message = format!("{who} uses {used} of {limit} in the table `{table}`");
            return Err(Violation::new("limits", message));
        }
    }
    Ok(())
}
