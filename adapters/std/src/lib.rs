//! GlusterFS volumes for ordinary programs.
//!
//! ```no_run
//! use brickwire_std::{OpenOptions, Volume};
//!
//! let volume = Volume::open("gluster://node1/vms")?;
//! let image = volume.open_file("images/a.img", &OpenOptions::new().read(true).write(true).create(true))?;
//! image.write_all_at(b"hello", 4096)?;
//! image.flush()?;
//! let mut back = [0; 5];
//! image.read_exact_at(&mut back, 4096)?;
//! assert_eq!(&back, b"hello");
//! # Ok::<(), brickwire_std::Error>(())
//! ```
//!
//! A blocking call drives the loop itself: nothing is handed to another thread. For many operations in flight from one
//! thread there is [`Queue`]; for callbacks and futures, [`File::read_async`] and its kin.

mod config;
mod engine;
mod error;
mod file;
mod metadata;
pub mod net;
mod open;
mod options;
mod pending;
mod queue;
mod status;
mod volume;

pub use brickwire_core as core;
pub use brickwire_core::volume::SetAttributes;
pub use brickwire_core::xdr::{FileType, Gfid};

pub use error::{Error, ErrorKind};
pub use file::File;
pub use metadata::{DirEntry, Metadata, Statfs};
pub use open::OpenOptions;
pub use options::{Options, Privileged};
pub use pending::Pending;
pub use queue::{Completion, Queue};
pub use status::{Brick, State, Status};
pub use volume::{ReadDir, Volume};

/// What may go wrong, as a result.
pub type Result<T, E = Error> = std::result::Result<T, E>;
