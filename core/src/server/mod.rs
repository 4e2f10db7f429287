//! The server's side: what clients of GlusterFS find behind a volume's ports.

mod exports;
mod storage;

pub use exports::{Brick, Exports, Login};
pub use storage::{
    BrickIx, BufferId, Call, Completion, Counts, HandleId, JobId, Payload, Place, Storage, Submitted, Target,
    answer,
};
