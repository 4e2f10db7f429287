//! The exports of a server: volumes by the key of their volfile, bricks by their name.

use super::BrickIx;
use crate::xdr::Gfid;

/// A brick, as SETVOLUME finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Brick<'a> {
    /// The index under which the storage knows it.
    pub index: BrickIx,
    /// The volume's id; a client that names another one is refused.
    pub volume_id: Gfid,
    /// Whether clients must come from a port below 1024 (`server.allow-insecure off`).
    pub privileged_ports_only: bool,
    /// Whether changes are refused (`features.read-only`).
    pub read_only: bool,
    /// Accepted users and passwords (`auth.login.BRICK.allow`). If empty, the address decides.
    pub logins: &'a [Login<'a>],
}

/// A user name and its password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Login<'a> {
    /// User name.
    pub user: &'a [u8],
    /// Password.
    pub password: &'a [u8],
}

/// The volumes and bricks that are served. Asked when a client connects or fetches a volfile, never
/// for a fop.
pub trait Exports {
    /// The volfile for a key: a volume's name, with or without a leading slash.
    fn volfile(&self, key: &[u8]) -> Option<&[u8]>;

    /// The brick of a `remote-subvolume` name, compared byte for byte.
    fn brick(&self, name: &[u8]) -> Option<Brick<'_>>;

    /// The TCP port on which the brick is served.
    fn port(&self, name: &[u8]) -> Option<u16>;

    /// Whether a client at this address (as text) may use the brick (`auth.allow`, `auth.reject`).
    /// `subdirectory` is the path that it wants to mount, as it sent it (see
    /// [`subdirectory_names`](super::subdirectory_names)); empty for the root.
    fn admits(&self, brick: BrickIx, address: &[u8], subdirectory: &[u8]) -> bool;

    /// The id of a volume, by its name.
    fn volume_id(&self, volume: &[u8]) -> Option<Gfid>;
}
