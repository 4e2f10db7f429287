//! Nothing is left: no lock, no call, no open file, no buffer, and no connection of a client that
//! is gone.

use brickwire_core::server::Usage;
use brickwire_core::volume::InUse;

use super::Violation;
use crate::disk::Disk;

/// After everything was closed a client's tables hold connections only.
pub fn client(number: usize, used: &InUse) -> Result<(), Violation> {
    let left = InUse { conns: 0, deadlines: 0, ..*used };
    if left == InUse::default() {
        return Ok(());
    }
    Err(Violation::new("leftovers", format!("client {number} has closed everything: {used:?}")))
}

/// After all clients have closed their files a server holds no call, file or lock.
pub fn server(number: usize, used: &Usage, disk: &Disk) -> Result<(), Violation> {
    let left = Usage { connections: 0, ..*used };
    let storage = (disk.waiting(), disk.buffers(), disk.files());
    if left != Usage::default() || storage != (0, 0, 0) {
        return Err(Violation::new(
            "leftovers",
            format!(
                "server {number} has {used:?}, its storage {} calls, {} buffers, {} files",
                storage.0, storage.1, storage.2
            ),
        ));
    }
    disk.verify().map_err(|broken| {
        Violation::new("leftovers", format!("the storage of server {number}: {broken}"))
    })
}

/// After all clients are gone a server has no connection.
pub fn connections(number: usize, used: &Usage) -> Result<(), Violation> {
    if used.connections == 0 {
        return Ok(());
    }
    let message = format!("all clients are gone, and server {number} has {used:?}");
    Err(Violation::new("leftovers", message))
}
