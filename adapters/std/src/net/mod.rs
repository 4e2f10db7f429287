//! Sockets: connecting, waiting, reading and writing.
//!
//! The public items are for other adapters on hosts, which have event loops of their own.

mod dial;
mod low_water;
mod poller;
mod resolve;
mod socket;

pub(crate) use dial::{Dial, Progress, reason};
pub use poller::{Events, Poller, Ready, Waker};
pub use socket::Socket;
pub(crate) use socket::Waiting;
