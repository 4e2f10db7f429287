//! `brickwire volume` and its commands.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};

/// Makes and changes volumes in a state directory. A server with the same --state follows it.
#[derive(Debug, clap::Args)]
pub(crate) struct VolumeArgs {
    /// The state directory [default: /var/lib/brickwire]
    #[arg(long, global = true, value_name = "DIR", env = "BRICKWIRE_STATE")]
    pub(crate) state: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: VolumeCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum VolumeCommand {
    /// Make a volume of directories, devices or files of this host
    Create(VolumeCreate),
    /// Serve a volume
    #[command(after_help = "\
Examples:
  brickwire volume start vms
  brickwire volume start vms --state ./state")]
    Start {
        /// The volume
        name: String,
    },
    /// Serve a volume no more
    #[command(after_help = "\
Examples:
  brickwire volume stop vms
  brickwire volume stop vms --state ./state")]
    Stop {
        /// The volume
        name: String,
    },
    /// Set an option, or a group of options
    #[command(after_help = "\
Examples:
  brickwire volume set vms storage.owner-uid 107
  brickwire volume set vms group virt")]
    Set {
        /// The volume
        name: String,
        /// The option, by the name that `gluster volume set` has for it, or `group`
        key: String,
        /// The option's value, or the group's name
        value: String,
    },
    /// Set an option back to its default
    #[command(after_help = "\
Examples:
  brickwire volume reset vms storage.owner-uid
  brickwire volume reset vms auth.allow --state ./state")]
    Reset {
        /// The volume
        name: String,
        /// The option
        key: String,
    },
    /// Print the names of all volumes
    #[command(after_help = "\
Examples:
  brickwire volume list
  brickwire volume list --json")]
    List,
    /// Print one volume, or all
    #[command(after_help = "\
Examples:
  brickwire volume info
  brickwire volume info vms --json")]
    Info {
        /// The volume; all of them without it
        name: Option<String>,
    },
    /// Forget a stopped volume; its directories stay as they are
    #[command(after_help = "\
Examples:
  brickwire volume delete vms
  brickwire volume delete vms --state ./state")]
    Delete {
        /// The volume
        name: String,
    },
    /// Tell GlusterFS's self-heal daemon to heal a replicated volume now
    #[command(after_help = "\
Examples:
  brickwire volume heal vms
  brickwire volume heal vms --count")]
    Heal {
        /// The volume
        name: String,
        /// Look at every file, not only at those that the bricks list as needing it
        #[arg(long)]
        full: bool,
        /// Heal nothing: print how many entries each brick lists
        #[arg(long, conflicts_with = "full")]
        count: bool,
        /// The daemon's socket, its -S [default: /var/run/gluster/shd-NAME.socket]
        #[arg(long, value_name = "SOCKET")]
        daemon: Option<PathBuf>,
    },
    /// Let an empty directory replace a lost brick; it is then healed from the others
    #[command(after_help = "\
Examples:
  brickwire volume reset-brick vms /srv/b2
  brickwire volume reset-brick vms /srv/b2 --id b1c1824b-8f13-4797-9e40-b565d554911e")]
    ResetBrick {
        /// The volume
        name: String,
        /// The brick's directory; it is made if only its last part is missing
        brick: PathBuf,
        /// The volume's id, for a volume that is not in the state directory
        #[arg(long)]
        id: Option<String>,
    },
}

/// Bricks are paths of this host. The form of `gluster volume create` is understood too:
/// `create NAME [replica N [arbiter 1]] [transport tcp] HOST:/DIR… [force]`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  brickwire volume create vms /srv/bricks/vms
  brickwire volume create vms --shape replica --create /srv/b1 /srv/b2 /srv/b3
  brickwire volume create vms replica 3 node1:/srv/b1 node1:/srv/b2 node1:/srv/b3")]
pub(crate) struct VolumeCreate {
    /// The new volume's name: letters, digits, - and _
    pub(crate) name: String,
    /// How files are placed on the bricks
    #[arg(long, value_enum)]
    pub(crate) shape: Option<VolumeShape>,
    /// Bricks of one replica set, where there is more than one set
    #[arg(long, value_name = "N")]
    pub(crate) replica: Option<u16>,
    /// Where the directories keep the attributes that only a brick may set
    #[arg(long, value_enum, value_name = "FAMILY", default_value_t = VolumeXattrs::Trusted)]
    pub(crate) xattrs: VolumeXattrs,
    /// Make the directories where they do not exist
    #[arg(long)]
    pub(crate) create: bool,
    /// The bricks: directories, or with --shape block [IMAGE=]PATH of devices or files
    #[arg(required = true)]
    pub(crate) bricks: Vec<PathBuf>,
}

/// Where directories keep the attributes that only a brick may set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum VolumeXattrs {
    /// As trusted.*, as GlusterFS does: needs root
    Trusted,
    /// As user.brickwire.*: needs no root, and no other server can read it
    User,
}

/// How files are placed on the bricks of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum VolumeShape {
    /// Each file is on one brick
    Distribute,
    /// Each file is on every brick of a set
    Replica,
    /// As replica, but the last brick of three keeps names and attributes only
    Arbiter,
    /// Each brick is a device or file, [IMAGE=]PATH, and one image of the volume
    Block,
}
