//! Commands that serve.

use std::path::PathBuf;

use super::VolumeXattrs;

/// Makes a volume, copies an image to it, reads it back and compares, then serves the volume.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  brickwire quickstart
  brickwire quickstart --once
  brickwire quickstart --port 24007 ./demo")]
pub(crate) struct Quickstart {
    /// Where to keep the volume; without it in a temporary directory, which is removed at the end
    pub(crate) directory: Option<PathBuf>,
    /// The port on 127.0.0.1; 0 takes a free one, 24007 is where clients look by themselves
    #[arg(long, default_value_t = 0)]
    pub(crate) port: u16,
    /// End after the demonstration
    #[arg(long)]
    pub(crate) once: bool,
}

/// Serves directories, devices and files as GlusterFS volumes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  brickwire serve --volume vms=/srv/bricks/vms
  brickwire serve --volume vms=replica:/srv/b1,/srv/b2,/srv/b3 --option group=virt
  brickwire serve --state /var/lib/brickwire --metrics 127.0.0.1:9436")]
pub(crate) struct Serve {
    /// A volume: NAME=DIR[,DIR…], NAME=replica:DIR1,DIR2,DIR3, NAME=arbiter:DIR1,DIR2,DIR3, or
    /// NAME=block:[IMAGE=]PATH[,…] of devices or files; may be repeated
    #[arg(long, value_name = "NAME=DIR")]
    pub(crate) volume: Vec<String>,
    /// Make the directories of the volumes where they do not exist
    #[arg(long)]
    pub(crate) create: bool,
    /// Where to listen; may be repeated [default: 0.0.0.0:24007]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Vec<String>,
    /// A unix socket that gives volfiles; may be repeated
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: Vec<PathBuf>,
    /// An option of the volumes, by the name that `gluster volume set` has for it; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) option: Vec<String>,
    /// Where the volumes' directories keep the attributes that only a brick may set
    #[arg(long, value_enum, value_name = "FAMILY")]
    pub(crate) xattrs: Option<VolumeXattrs>,
    /// How clients reach this host [default: the address that is listened on, or this host's name]
    #[arg(long)]
    pub(crate) host: Option<String>,
    /// A TOML file with all of this
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// A directory of volumes, as `brickwire volume` makes them
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    /// Where to serve counters over HTTP, in Prometheus' text format
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) metrics: Option<String>,
    /// Threads that wait for disks, at most 64 [default: 8]
    #[arg(long)]
    pub(crate) threads: Option<usize>,
}
