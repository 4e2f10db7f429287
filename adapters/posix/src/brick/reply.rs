//! Replies, as every brick of the server makes them.

pub(super) use brickwire_server::reply::{Key, Out, Owned};
