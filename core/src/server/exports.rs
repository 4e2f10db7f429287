//! What a server offers: volumes by the name of their volfile, bricks by their path.

use super::BrickIx;
use crate::xdr::Gfid;

/// A brick, as SETVOLUME asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Brick<'a> {
    /// By which index fops reach it.
    pub index: BrickIx,
    /// The volume's id; clients that name another one are refused.
    pub volume_id: Gfid,
    /// Must clients come from a port below 1024? (`server.allow-insecure off`)
    pub privileged_ports_only: bool,
    /// Are changes refused? (`features.read-only`)
    pub read_only: bool,
    /// Who may log in (`auth.login.BRICK.allow` and the passwords): none leaves it to the address.
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

/// What there is to be served. Asked when a client connects or fetches a volfile, never for a fop.
pub trait Exports {
    /// The volfile that `key` (a volume's name, with or without a leading slash) stands for.
    fn volfile(&self, key: &[u8]) -> Option<&[u8]>;

    /// The brick that `name` (a `remote-subvolume`, byte for byte) stands for.
    fn brick(&self, name: &[u8]) -> Option<Brick<'_>>;

    /// The TCP port under which the brick is served.
    fn port(&self, name: &[u8]) -> Option<u16>;

    /// May a client at this address (as text) use the brick? (`auth.allow`, `auth.reject`)
    fn admits(&self, brick: BrickIx, address: &[u8]) -> bool;

    /// The id of a volume, by its name.
    fn volume_id(&self, volume: &[u8]) -> Option<Gfid>;
}
