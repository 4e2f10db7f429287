//! RPC: records, call and reply headers, credentials, the programs of the handshake, and
//! connections.

pub mod brick_op;
pub mod callback;
mod cred;
pub mod dump;
pub mod handshake;
mod message;
mod peer_error;
pub mod portmap;
mod procedure;
mod read_head;
mod record;
pub(crate) mod transport;

pub use cred::{Cred, CredVersion, TimeFlags};
pub use message::{CallHeader, MessageType, ReplyHeader, ReplyStatus};
pub use peer_error::PeerError;
pub use procedure::{Procedure, program};
pub(crate) use read_head::READ_DECIDES_AT;
pub use read_head::read_head_len;
pub use record::RecordMark;
pub use transport::{Call, Transport};
