//! What may be said on the command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};

use crate::size;

/// GlusterFS volumes at a shell.
///
/// URIs are gluster[+tcp|+unix]://[server[:port]]/volume[/path][?socket=path]. Exit status: 0 done, 1 failed, 2 usage.
#[allow(rustdoc::broken_intra_doc_links, reason = "the URI's brackets are text for the terminal")]
#[derive(Debug, Parser)]
#[command(name = "brickwire", version)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Global {
    /// Print facts as JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// The longest that one operation may take, in seconds
    #[arg(long, global = true, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    pub(crate) timeout: Duration,
    /// Connections to each brick
    #[arg(long, global = true, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=2))]
    pub(crate) connections: u8,
    /// Whether source ports below 1024 are used
    #[arg(long, global = true, value_enum, default_value_t = Ports::Auto)]
    pub(crate) privileged_ports: Ports,
    /// A further volfile server, asked when the one of the URI does not answer
    #[arg(long, global = true, value_name = "HOST[:PORT]")]
    pub(crate) server: Vec<String>,
}

/// Whether source ports below 1024 are used.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Ports {
    /// If the process may
    Auto,
    /// Never
    Never,
    /// Always
    Always,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Parse a URI and print its parts
    Uri { uri: String },
    /// Print a volume's volfile
    Volfile { uri: String },
    /// Print a volume's translators
    Graph {
        uri: String,
        #[arg(long, value_enum, default_value_t = GraphFormat::Text)]
        format: GraphFormat,
    },
    /// Print a volume's space, bricks and connections
    Info { uri: String },
    /// List a directory
    Ls {
        uri: String,
        /// With mode, owner, size and time
        #[arg(short, long)]
        long: bool,
    },
    /// Print attributes
    Stat { uri: String },
    /// Print a file
    Cat { uri: String },
    /// Make a directory
    Mkdir {
        uri: String,
        /// And those above it that are missing; it may be there already
        #[arg(short, long)]
        parents: bool,
    },
    /// Remove a file, or an empty directory
    Rm {
        uri: String,
        /// With everything in it
        #[arg(short, long)]
        recursive: bool,
    },
    /// Rename within a volume
    Mv {
        from: String,
        /// A URI of the same volume, or a path on it
        to: OsString,
    },
    /// Set a file's size
    Truncate {
        uri: String,
        #[arg(value_parser = size::parse)]
        size: u64,
    },
    /// Make an image
    Create {
        uri: String,
        /// Bytes, or with a suffix: 512M, 5G, 1.5T
        #[arg(value_parser = size::parse)]
        size: u64,
        #[arg(long, value_enum, default_value_t = Prealloc::Off)]
        prealloc: Prealloc,
    },
    /// Copy a file (or - for standard input, or a pipe) to a volume; holes stay holes
    Import {
        file: PathBuf,
        uri: String,
        /// Read it back and compare
        #[arg(long)]
        verify: bool,
    },
    /// Copy an image from a volume to a file (or - for standard output); holes stay holes
    Export {
        uri: String,
        file: PathBuf,
        /// Read both again and compare
        #[arg(long)]
        verify: bool,
    },
    /// Measure a volume
    Bench(Bench),
    /// Start a volume of one's own, put an image on it, read it back, and serve it until Ctrl-C
    Quickstart(Quickstart),
    /// Serve volumes: a GlusterFS server in this process, until SIGTERM
    Serve(Serve),
    /// Make and change volumes in a state directory; a server with --state follows it
    Volume(VolumeArgs),
    /// Print a completion script
    Completions { shell: clap_complete::Shell },
}

/// A volume of one's own.
#[derive(Debug, clap::Args)]
pub(crate) struct Quickstart {
    /// Where the volume is kept; without it in a temporary directory, which is removed at the end
    pub(crate) directory: Option<PathBuf>,
    /// The port on 127.0.0.1; 0 takes any free one, 24007 is where clients look without being told
    #[arg(long, default_value_t = 0)]
    pub(crate) port: u16,
    /// End after the demonstration
    #[arg(long)]
    pub(crate) once: bool,
}

/// What is served, and where.
#[derive(Debug, clap::Args)]
pub(crate) struct Serve {
    /// NAME=DIR, NAME=replica:DIR1,DIR2,DIR3, NAME=arbiter:DIR1,DIR2,DIR3, or NAME=block:[IMAGE=]PATH,… of devices or files
    #[arg(long, value_name = "NAME=DIR")]
    pub(crate) volume: Vec<String>,
    /// Where to listen [default: 0.0.0.0:24007]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Vec<String>,
    /// A unix socket to listen on
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: Vec<PathBuf>,
    /// An option of the volumes, as `gluster volume set` names it
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) option: Vec<String>,
    /// Where the volumes' directories keep their attributes
    #[arg(long, value_enum, value_name = "FAMILY")]
    pub(crate) xattrs: Option<VolumeXattrs>,
    /// How clients reach this host [default: the address that is listened on, or this host's name]
    #[arg(long)]
    pub(crate) host: Option<String>,
    /// The same in a TOML file
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// A directory of volumes, as `brickwire volume` makes them
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    /// Where to serve counters, as Prometheus' text
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) metrics: Option<String>,
    /// Threads that wait for disks, at most 64 [default: 8]
    #[arg(long)]
    pub(crate) threads: Option<usize>,
}

/// Volumes in a state directory.
#[derive(Debug, clap::Args)]
pub(crate) struct VolumeArgs {
    /// The state directory
    #[arg(long, value_name = "DIR", default_value = "/var/lib/brickwire")]
    pub(crate) state: PathBuf,
    #[command(subcommand)]
    pub(crate) command: VolumeCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum VolumeCommand {
    /// Make a volume of directories
    Create {
        name: String,
        /// What the directories are to each other
        #[arg(long, value_enum, default_value_t = VolumeShape::Distribute)]
        shape: VolumeShape,
        /// Directories of a replica set, if there is more than one set
        #[arg(long)]
        replica: Option<u16>,
        /// Where the directories keep their attributes
        #[arg(long, value_enum, value_name = "FAMILY", default_value_t = VolumeXattrs::Trusted)]
        xattrs: VolumeXattrs,
        #[arg(required = true)]
        bricks: Vec<PathBuf>,
    },
    /// Serve it
    Start { name: String },
    /// Serve it no more
    Stop { name: String },
    /// Set an option, or a group of them: `group virt`
    Set { name: String, key: String, value: String },
    /// Set an option back
    Reset { name: String, key: String },
    /// Print the names of all volumes
    List,
    /// Print a volume, or all
    Info { name: Option<String> },
    /// Forget a stopped volume; its directories stay
    Delete { name: String },
    /// Let the self-heal daemon heal now what is listed to be healed
    Heal {
        name: String,
        /// Look at everything, listed or not
        #[arg(long)]
        full: bool,
        /// Heal nothing: print how much is listed
        #[arg(long, conflicts_with = "full")]
        count: bool,
        /// The daemon's socket, its -S [default: /var/run/gluster/shd-NAME.socket]
        #[arg(long, value_name = "SOCKET")]
        daemon: Option<PathBuf>,
    },
    /// Let an empty directory take the place of a lost brick: it is healed from the others
    ResetBrick {
        name: String,
        brick: PathBuf,
        /// The volume's id, if it is not in the state directory
        #[arg(long)]
        id: Option<String>,
    },
}

/// Where directories keep the attributes that only a brick may set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum VolumeXattrs {
    /// As trusted.*, as GlusterFS does: needs root
    Trusted,
    /// As user.brickwire.*: needs no root, and no other server can read it
    User,
}

impl From<VolumeXattrs> for crate::command::volume_config::Xattrs {
    fn from(xattrs: VolumeXattrs) -> Self {
        match xattrs {
            VolumeXattrs::Trusted => Self::Trusted,
            VolumeXattrs::User => Self::User,
        }
    }
}

/// What the directories of a volume are to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum VolumeShape {
    /// Every file is in one of them
    Distribute,
    /// Every file is in all of a set
    Replica,
    /// Likewise, and the last of three has names only
    Arbiter,
    /// Not directories: each is a device or a file, [IMAGE=]PATH, and an image of the volume
    Block,
}

impl From<VolumeShape> for crate::command::volume_config::Shape {
    fn from(shape: VolumeShape) -> Self {
        match shape {
            VolumeShape::Distribute => Self::Distribute,
            VolumeShape::Replica => Self::Replica,
            VolumeShape::Arbiter => Self::Arbiter,
            VolumeShape::Block => Self::Block,
        }
    }
}

/// How a graph is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum GraphFormat {
    Text,
    Dot,
    Json,
}

/// What is reserved for an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Prealloc {
    /// Nothing
    Off,
    /// Space
    Falloc,
    /// Space, written with zeroes
    Full,
}

/// Measure a volume, in fio's words.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Bench {
    /// The file to use; it is made, and removed at the end, unless it is there already
    pub(crate) uri: String,
    #[arg(long, value_enum, default_value_t = Rw::Randread)]
    pub(crate) rw: Rw,
    /// Bytes of one operation
    #[arg(long, default_value = "4k", value_parser = size::parse)]
    pub(crate) bs: u64,
    /// Operations in flight
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(crate) iodepth: u32,
    /// Seconds
    #[arg(long, default_value = "5", value_parser = seconds)]
    pub(crate) runtime: Duration,
    /// Bytes of the file that are used
    #[arg(long, default_value = "256M", value_parser = size::parse)]
    pub(crate) size: u64,
    /// Flush after so many writes
    #[arg(long, default_value_t = 0)]
    pub(crate) fsync: u64,
    /// Percent of reads, for randrw
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub(crate) rwmixread: u8,
    /// Write patterns that name their place, and check every read and, at the end, every block
    #[arg(long)]
    pub(crate) verify: bool,
    /// Write to a file that is there already: what it holds is lost
    #[arg(long)]
    pub(crate) overwrite: bool,
}

/// What a benchmark does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Rw {
    Read,
    Write,
    Randread,
    Randwrite,
    Randrw,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("{text} is no number of seconds"))?;
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|time| !time.is_zero())
        .ok_or_else(|| format!("{text} is no time"))
}
