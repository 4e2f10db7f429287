//! Commands on files and directories of a volume.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::ValueEnum;

use super::Connection;
use crate::size;

#[derive(Debug, clap::Args)]
#[command(
    disable_help_flag = true,
    after_help = "\
Examples:
  brickwire ls gluster://node1/vms/images
  brickwire ls -lh gluster://node1/vms/images"
)]
pub(crate) struct Ls {
    /// The directory, as gluster://HOST/VOLUME[/PATH]; a file is listed alone
    pub(crate) uri: String,
    /// With mode, links, owner, group, size and time
    #[arg(short, long)]
    pub(crate) long: bool,
    /// With -l, sizes as 4.0K, 1.5G
    #[arg(short = 'h', long)]
    pub(crate) human_readable: bool,
    /// Print help
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  brickwire mkdir gluster://node1/vms/images
  brickwire mkdir -p gluster://node1/vms/images/2026/old")]
pub(crate) struct Mkdir {
    /// The directory to make
    pub(crate) uri: String,
    /// Make missing parents too; it is no error if the directory exists
    #[arg(short, long)]
    pub(crate) parents: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  brickwire rm gluster://node1/vms/a.img
  brickwire rm -r gluster://node1/vms/images")]
pub(crate) struct Rm {
    /// The file or directory to remove
    pub(crate) uri: String,
    /// Remove a directory with everything in it
    #[arg(short, long)]
    pub(crate) recursive: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// As mv(1), but a file that exists is an error unless -f or -n is given.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  brickwire mv gluster://node1/vms/a.img b.img
  brickwire mv -f gluster://node1/vms/new.img gluster://node1/vms/images/a.img")]
pub(crate) struct Mv {
    /// The file or directory to rename
    pub(crate) from: String,
    /// The new name: a path on the same volume, or a URI of it; a directory is moved into
    pub(crate) to: OsString,
    /// Replace a file that has the new name
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Do nothing, successfully, if a file has the new name
    #[arg(short, long, conflicts_with = "force")]
    pub(crate) no_clobber: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  brickwire truncate gluster://node1/vms/a.img 40G
  brickwire truncate gluster://node1/vms/log 0")]
pub(crate) struct Truncate {
    /// The file
    pub(crate) uri: String,
    /// The new size: bytes, or as 512M, 10GiB, 1.5T. Data beyond it is lost
    #[arg(value_parser = size::parse)]
    pub(crate) size: u64,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// The parent directories are made where they are missing. If anything fails, nothing is left.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  brickwire create gluster://node1/vms/a.img 20G
  brickwire create --prealloc falloc gluster://node1/vms/images/a.img 10GiB")]
pub(crate) struct Create {
    /// The image to make
    pub(crate) uri: String,
    /// Its size: bytes, or as 512M, 10GiB, 1.5T
    #[arg(value_parser = size::parse)]
    pub(crate) size: u64,
    /// The space to reserve for it
    #[arg(long, value_enum, default_value_t = Prealloc::Off)]
    pub(crate) prealloc: Prealloc,
    /// Replace a file that exists
    #[arg(short, long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// The space that is reserved for an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Prealloc {
    /// Nothing
    Off,
    /// Space
    Falloc,
    /// Space, written with zeroes
    Full,
}

/// Options that import and export share.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub(crate) struct CopyOptions {
    /// Read both sides again and compare them before the copy gets its name
    #[arg(long)]
    pub(crate) verify: bool,
    /// Replace a file that exists, or write to a device
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Go on with a copy that was interrupted, from where it was last flushed
    #[arg(long)]
    pub(crate) resume: bool,
    /// Print no progress and no summary
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// The copy is written to a hidden file beside its name and renamed at the end, so that a file of
/// that name is always whole. Missing parent directories are made.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  brickwire import --verify disk.img gluster://node1/vms/disk.img
  xz -dc disk.img.xz | brickwire import - gluster://node1/vms/disk.img
  brickwire import --resume disk.img gluster://node1/vms/disk.img")]
pub(crate) struct Import {
    /// The local file, device or pipe; - is standard input
    pub(crate) file: PathBuf,
    /// The file to make on the volume
    pub(crate) uri: String,
    #[command(flatten)]
    pub(crate) copy: CopyOptions,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// The copy is written to a hidden file beside its name and renamed at the end, so that a file of
/// that name is always whole.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  brickwire export --verify gluster://node1/vms/disk.img disk.img
  brickwire export gluster://node1/vms/disk.img - | xz >disk.img.xz")]
pub(crate) struct Export {
    /// The file on the volume
    pub(crate) uri: String,
    /// The local file to make, or a device or pipe to write to; - is standard output
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) copy: CopyOptions,
    #[command(flatten)]
    pub(crate) connection: Connection,
}
