//! Sockets: how a connection is made, and how its bytes go in and out.

mod dial;
mod low_water;
mod poller;
mod resolve;
mod socket;

pub(crate) use dial::{Dial, Progress, reason};
pub(crate) use poller::{Events, Poller, Ready, Waker};
pub(crate) use socket::Socket;
