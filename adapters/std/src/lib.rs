//! GlusterFS volumes for ordinary programs: the sockets and the event loop around `brickwire-core`.
//!
//! ```no_run
//! use brickwire_std::{OpenOptions, Volume};
//!
//! let volume = Volume::open("gluster://node1/vms")?;
//! let options = OpenOptions::new().read(true).write(true).create(true);
//! let image = volume.open_file("images/a.img", &options)?;
//! image.write_all_at(b"hello", 4096)?;
//! image.flush()?;
//! let mut back = [0; 5];
//! image.read_exact_at(&mut back, 4096)?;
//! assert_eq!(&back, b"hello");
//! # Ok::<(), brickwire_std::Error>(())
//! ```
//!
//! # Threads
//!
//! A blocking call drives the loop on the calling thread: it sends, waits for the sockets and
//! receives. No other thread takes part.
//!
//! * [`Queue`] keeps many operations of one thread in flight, without allocating for each.
//! * [`File::read_async`], [`File::write_async`] and [`File::flush_async`] return a [`Pending`],
//!   which is a future for any executor and can also be waited for by blocking.
//! * [`File::read_with`] and [`File::write_with`] call a function when the operation is over.
//!
//! An executor does not drive a volume. The first future that is polled before its result is there,
//! and the first call of a `…_with` method, therefore start one thread for the volume. It drives
//! the loop while no blocking caller does and ends with the volume. [`Options::background`] starts
//! it when the volume is opened.
//!
//! ```no_run
//! # async fn copy() -> brickwire_std::Result<()> {
//! use brickwire_std::{OpenOptions, Volume};
//!
//! let volume = Volume::open("gluster://node1/vms")?;
//! let image = volume.open_file("a.img", &OpenOptions::new().read(true).write(true))?;
//! let (block, read) = image.read_async(vec![0; 4096], 0).await?;
//! assert_eq!(read, 4096);
//! image.write_async(block, 8192).await?;
//! image.flush_async().await?;
//! # Ok(()) }
//! ```

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
mod read_dir;
mod shared;
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
pub use read_dir::ReadDir;
pub use status::{Brick, State, Status};
pub use volume::Volume;

/// The result of a call to this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
