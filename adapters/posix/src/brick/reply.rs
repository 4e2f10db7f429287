//! Encoding of replies, which all bricks of the server share.

pub(super) use brickwire_server::reply::{Key, Out, Owned};
