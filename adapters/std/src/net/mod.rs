//! Sockets: how a connection is made, and how its bytes go in and out.
//!
//! What is public here is for further adapters of hosts, which have loops of their own.

mod dial;
mod low_water;
mod poller;
mod resolve;
mod socket;

pub(crate) use dial::{Dial, Progress, reason};
pub use poller::{Events, Poller, Ready, Waker};
pub use socket::Socket;
pub(crate) use socket::Waiting;
