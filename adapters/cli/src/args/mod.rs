//! The command line: commands, arguments and their help. The man pages are made from it too.

mod bench;
mod files;
mod serve;
mod volume;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};

pub(crate) use bench::{Bench, Rw};
pub(crate) use files::{
    CopyOptions, Create, Export, Import, Ls, Mkdir, Mv, Prealloc, Rm, Truncate,
};
pub(crate) use serve::{Quickstart, Serve};
pub(crate) use volume::{VolumeArgs, VolumeCommand, VolumeCreate, VolumeShape, VolumeXattrs};

/// Work with GlusterFS volumes from a shell: list, copy, create, measure, serve
///
/// URIs are gluster[+tcp|+unix]://[HOST[:PORT]]/VOLUME[/PATH][?socket=PATH]. HOST is a GlusterFS
/// server or a host that runs `brickwire serve`; without one it is this host.
#[allow(rustdoc::broken_intra_doc_links, reason = "the URI's brackets are text for the terminal")]
#[derive(Debug, Parser)]
#[command(name = "brickwire", version, after_help = AFTER_HELP, max_term_width = 100)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const AFTER_HELP: &str = "\
Examples:
  brickwire quickstart                    a volume to try things on, until Ctrl-C
  brickwire import disk.img gluster://node1/vms/disk.img
  brickwire serve --volume vms=/srv/bricks/vms

Exit status: 0 done, 1 failed, 2 wrong usage, 128 + N ended by signal N.
Settings for every command: ~/.config/brickwire/config.toml, /etc/brickwire/config.toml.";

/// Options of every command.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Common {
    /// Print results, and the error if there is one, as JSON
    #[arg(long, global = true, display_order = 900)]
    pub(crate) json: bool,
    /// Log connections and retries on standard error; twice (-vv) for every step. RUST_LOG selects
    /// more finely
    #[arg(short, long, global = true, display_order = 901, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// How a command reaches a volume.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Connection options")]
pub(crate) struct Connection {
    /// The longest time that one operation may take, in seconds [default: 60]
    #[arg(long, value_name = "SECONDS", value_parser = seconds, env = "BRICKWIRE_TIMEOUT")]
    pub(crate) timeout: Option<Duration>,
    /// Connections to each brick, 1 or 2; reads use both [default: 1]
    #[arg(long, value_name = "N", value_parser = connections, env = "BRICKWIRE_CONNECTIONS")]
    pub(crate) connections: Option<u8>,
    /// Whether to connect from source ports below 1024 [default: auto]
    #[arg(long, value_name = "WHEN", value_enum, env = "BRICKWIRE_PRIVILEGED_PORTS")]
    pub(crate) privileged_ports: Option<Ports>,
    /// A further volfile server, asked when the one of the URI does not answer; may be repeated
    #[arg(long, value_name = "HOST[:PORT]", env = "BRICKWIRE_SERVER", value_delimiter = ',')]
    pub(crate) server: Vec<String>,
}

/// Whether source ports below 1024 are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Ports {
    /// If this process may bind them
    #[default]
    Auto,
    /// Never
    Never,
    /// Always
    Always,
}

/// A command on one URI.
#[derive(Debug, clap::Args)]
pub(crate) struct OnUri {
    /// The volume, as gluster://HOST/VOLUME[/PATH]
    pub(crate) uri: String,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Parse a URI and print its parts; nothing is connected to
    #[command(after_help = "\
Examples:
  brickwire uri gluster://node1:24007/vms/a.img
  brickwire uri --json 'gluster+unix:///vms?socket=/run/glusterd.socket'")]
    Uri {
        /// The URI to parse
        uri: String,
    },
    /// Print a volume's client volfile
    #[command(after_help = "\
Examples:
  brickwire volfile gluster://node1/vms
  brickwire volfile --server node2 --server node3 gluster://node1/vms")]
    Volfile(OnUri),
    /// Print the translators of a volume's client graph
    #[command(after_help = "\
Examples:
  brickwire graph gluster://node1/vms
  brickwire graph --format dot gluster://node1/vms | dot -Tsvg >vms.svg")]
    Graph {
        #[command(flatten)]
        on: OnUri,
        /// The form to print the graph in
        #[arg(long, value_enum, default_value_t = GraphFormat::Text)]
        format: GraphFormat,
    },
    /// Print a volume's space, bricks and connections, or, with a path, what is known of a file
    #[command(after_help = "\
Examples:
  brickwire info gluster://node1/vms
  brickwire info gluster://node1/vms/images/a.img")]
    Info(OnUri),
    /// List a directory
    Ls(Ls),
    /// Print the attributes of a file or directory
    #[command(after_help = "\
Examples:
  brickwire stat gluster://node1/vms/images/a.img
  brickwire stat --json gluster://node1/vms/images")]
    Stat(OnUri),
    /// Print a file's contents
    #[command(after_help = "\
Examples:
  brickwire cat gluster://node1/vms/notes.txt
  brickwire cat gluster://node1/vms/a.img | sha256sum")]
    Cat(OnUri),
    /// Make a directory
    Mkdir(Mkdir),
    /// Remove a file, or an empty directory
    Rm(Rm),
    /// Rename within a volume
    Mv(Mv),
    /// Set the size of a file
    Truncate(Truncate),
    /// Make an image: a new file of a given size
    Create(Create),
    /// Copy a local file, a pipe, or standard input to a volume; holes stay holes
    Import(Import),
    /// Copy a file of a volume to a local file, a pipe, or standard output; holes stay holes
    Export(Export),
    /// Measure reads and writes on a volume
    Bench(Bench),
    /// Serve a demonstration volume, copy an image to it, read it back, and go on until Ctrl-C
    Quickstart(Quickstart),
    /// Serve volumes from this process, as a GlusterFS server, until SIGTERM or Ctrl-C
    Serve(Serve),
    /// Make and change volumes in a state directory, which `brickwire serve --state` serves
    Volume(VolumeArgs),
    /// Print a completion script for a shell
    #[command(after_help = "\
Examples:
  brickwire completions bash >/etc/bash_completion.d/brickwire
  source <(brickwire completions zsh)")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the man page, or write the pages of all commands to a directory
    #[command(after_help = "\
Examples:
  brickwire man | man -l -
  brickwire man /usr/local/share/man/man1")]
    Man {
        /// The directory to write brickwire.1, brickwire-import.1, … to
        directory: Option<PathBuf>,
    },
}

/// How a graph is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum GraphFormat {
    /// An indented tree
    Text,
    /// Graphviz
    Dot,
    /// An object with all options
    Json,
}

impl Command {
    /// The connection options of the command, where it has some.
    pub(crate) fn connection(&self) -> Option<&Connection> {
        match self {
            Self::Volfile(on) | Self::Info(on) | Self::Stat(on) | Self::Cat(on) => {
                Some(&on.connection)
            }
            Self::Graph { on, .. } => Some(&on.connection),
            Self::Ls(args) => Some(&args.connection),
            Self::Mkdir(args) => Some(&args.connection),
            Self::Rm(args) => Some(&args.connection),
            Self::Mv(args) => Some(&args.connection),
            Self::Truncate(args) => Some(&args.connection),
            Self::Create(args) => Some(&args.connection),
            Self::Import(args) => Some(&args.connection),
            Self::Export(args) => Some(&args.connection),
            Self::Bench(args) => Some(&args.connection),
            Self::Uri { .. }
            | Self::Quickstart(_)
            | Self::Serve(_)
            | Self::Volume(_)
            | Self::Completions { .. }
            | Self::Man { .. } => None,
        }
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    text.parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|time| !time.is_zero())
        .ok_or_else(|| "expected a number of seconds above 0".to_owned())
}

fn connections(text: &str) -> Result<u8, String> {
    match text {
        "1" => Ok(1),
        "2" => Ok(2),
        _ => Err("expected 1 or 2".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    fn each(command: &clap::Command, look: &mut impl FnMut(&clap::Command)) {
        look(command);
        for sub in command.get_subcommands() {
            each(sub, look);
        }
    }

    #[test]
    fn every_argument_and_value_is_described_and_every_page_has_examples() {
        Args::command().debug_assert();
        each(&Args::command(), &mut |command| {
            let name = command.get_name();
            assert!(command.get_about().is_some(), "{name}");
            for arg in command.get_arguments() {
                let described = arg.get_help().is_some() || arg.get_long_help().is_some();
                assert!(described, "{name} {}", arg.get_id());
                // The shells' names need no words.
                for value in arg.get_possible_values().iter().filter(|_| name != "completions") {
                    let value_name = value.get_name();
                    let needs_none = matches!(value_name, "true" | "false");
                    assert!(
                        needs_none || value.get_help().is_some(),
                        "{name} {} {value_name}",
                        arg.get_id()
                    );
                }
            }
            if command.get_subcommands().next().is_none() {
                let examples = command.get_after_help().map(ToString::to_string);
                let examples = examples.unwrap_or_default();
                let count = examples.lines().filter(|line| line.starts_with("  ")).count();
                assert!(examples.starts_with("Examples:\n") && count >= 2, "{name}: {examples}");
            }
        });
    }
}
