//! Writes the graph of a volume, from the bricks upwards.

use core::fmt::{self, Write};

use super::non_volfile::ADDRESS_FAMILY;
use super::table::{
    COUNT_FOP_HITS, GLOBAL_THREADING, LATENCY_MEASUREMENT, PARALLEL_READDIR, PING_TIMEOUT,
};
use super::table::{LINES, Line, RDA_CACHE_LIMIT, SELF_HEAL_DAEMON, SHD_ONLY, SWITCHES};
use super::volume_spec::{BrickSpec, Family, Shape, VolgenError, VolumeSpec};
use crate::volfile::Token;
use crate::volfile::TranslatorKind::{self, *};

/// Writes the volfile that clients of the volume fetch.
///
/// # Errors
///
/// [`VolumeSpec::check`]'s, before anything is written; [`VolgenError::Write`] if `out` fails,
/// which leaves a part of the text in it.
pub fn write_client<'a>(spec: &VolumeSpec<'a>, out: &mut dyn Write) -> Result<(), VolgenError<'a>> {
    spec.check()?;
    Generator { spec, out, role: Role::Client, began: false }
        .client_graph()
        .map_err(|_| VolgenError::Write)
}

/// Writes the volfile that the volume's self-heal daemon fetches by the key `shd/VOLUME`.
///
/// # Errors
///
/// As [`write_client`]; besides, [`VolgenError::NotReplicated`].
pub fn write_shd<'a>(spec: &VolumeSpec<'a>, out: &mut dyn Write) -> Result<(), VolgenError<'a>> {
    spec.check()?;
    let Shape::Replicate { replica, arbiter } = spec.shape else {
        return Err(VolgenError::NotReplicated);
    };
    Generator { spec, out, role: Role::SelfHealDaemon, began: false }
        .shd_graph(replica, arbiter)
        .map_err(|_| VolgenError::Write)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Client,
    SelfHealDaemon,
}

struct Generator<'s, 'a> {
    spec: &'s VolumeSpec<'a>,
    out: &'s mut dyn Write,
    role: Role,
    began: bool,
}

/// The topmost layer written so far below distribute: `len` volumes called NAME-suffix-0 and so on.
#[derive(Clone, Copy)]
struct Row {
    suffix: &'static str,
    len: usize,
}

impl Generator<'_, '_> {
    fn client_graph(mut self) -> fmt::Result {
        let mut row = self.bricks()?;
        if let Shape::Replicate { replica, arbiter } = self.spec.shape {
            row = self.replicas(row, replica, arbiter)?;
        }
        let parallel = self.has(ReaddirAhead) && self.spec.is_on(PARALLEL_READDIR, false);
        if parallel {
            row = self.readdir_aheads(row)?;
        }
        self.begin("dht", None, Distribute)?;
        self.lines(Distribute)?;
        self.children(row, 0, row.len)?;

        let mut below = "dht";
        for (translator, suffix) in STACK {
            if !self.has(*translator) || parallel && *translator == ReaddirAhead {
                continue;
            }
            self.begin(suffix, None, *translator)?;
            self.lines(*translator)?;
            write!(self.out, "    subvolumes {}-{below}\nend-volume\n", self.spec.name)?;
            below = suffix;
        }
        self.top()?;
        write!(self.out, "    subvolumes {}-{below}\nend-volume\n", self.spec.name)
    }

    fn shd_graph(mut self, replica: u16, arbiter: bool) -> fmt::Result {
        let row = self.bricks()?;
        let row = self.replicas(row, replica, arbiter)?;
        self.top()?;
        self.children(row, 0, row.len)
    }

    fn bricks(&mut self) -> Result<Row, fmt::Error> {
        for (at, brick) in self.spec.bricks.iter().enumerate() {
            self.begin("client", Some(at), Client)?;
            if self.role == Role::Client {
                // This server does not look up a user's groups (`server.manage-gids`).
                self.out.write_str("    option send-gids true\n")?;
            }
            self.brick(brick)?;
            self.end()?;
        }
        Ok(Row { suffix: "client", len: self.spec.bricks.len() })
    }

    /// The options of a protocol/client, without user name and password.
    fn brick(&mut self, brick: &BrickSpec<'_>) -> fmt::Result {
        for line in
            LINES.iter().filter(|line| line.translator == Client && line.key != PING_TIMEOUT)
        {
            self.line(line)?;
        }
        let family = self.spec.option(ADDRESS_FAMILY).or(match self.spec.family {
            Family::Inet => Some("inet"),
            Family::Inet6 => Some("inet6"),
            Family::Any => None,
        });
        if let Some(family) = family {
            writeln!(self.out, "    option transport.address-family {family}")?;
        }
        self.out.write_str("    option transport-type tcp\n")?;
        writeln!(self.out, "    option remote-subvolume {}", brick.path)?;
        writeln!(self.out, "    option remote-host {}", brick.host)?;
        if let Some(port) = brick.port {
            writeln!(self.out, "    option remote-port {port}")?;
        }
        LINES.iter().filter(|line| line.key == PING_TIMEOUT).try_for_each(|line| self.line(line))
    }

    fn replicas(&mut self, row: Row, replica: u16, arbiter: bool) -> Result<Row, fmt::Error> {
        let replica = usize::from(replica).max(1);
        let sets = row.len / replica;
        for set in 0..sets {
            self.begin("replicate", Some(set), Replicate)?;
            if self.role == Role::SelfHealDaemon {
                self.out.write_str("    option iam-self-heal-daemon yes\n")?;
            }
            self.lines(Replicate)?;
            if arbiter {
                self.out.write_str("    option arbiter-count 1\n")?;
            }
            writeln!(self.out, "    option volume-id {}", self.spec.volume_id)?;
            let bricks = set * replica..(set + 1) * replica;
            for at in bricks.clone() {
                let before = if at == bricks.start { "    option afr-pending-xattr " } else { "," };
                write!(self.out, "{before}{}-client-{at}", self.spec.name)?;
            }
            self.out.write_str("\n")?;
            self.children(row, bricks.start, bricks.end)?;
        }
        Ok(Row { suffix: "replicate", len: sets })
    }

    /// With `performance.parallel-readdir`: one readdir-ahead below distribute for each of its
    /// children, which share the cache's size.
    fn readdir_aheads(&mut self, row: Row) -> Result<Row, fmt::Error> {
        for at in 0..row.len {
            self.begin("readdir-ahead", Some(at), ReaddirAhead)?;
            for line in LINES.iter().filter(|line| line.translator == ReaddirAhead) {
                let limit = self.spec.option(line.key).or(line.default).map(Token::from);
                match limit.and_then(|limit| limit.to_size().ok()) {
                    Some(limit) if line.key == RDA_CACHE_LIMIT && row.len > 1 => {
                        let share = limit / u64::try_from(row.len).unwrap_or(1);
                        writeln!(self.out, "    option {} {share}B", line.option)?;
                    }
                    _ => self.line(line)?,
                }
            }
            self.out.write_str("    option performance.readdir-ahead on\n")?;
            self.children(row, at, at + 1)?;
        }
        Ok(Row { suffix: "readdir-ahead", len: row.len })
    }

    fn top(&mut self) -> fmt::Result {
        self.blank_line()?;
        writeln!(self.out, "volume {}\n    type {}", self.spec.name, IoStats.name())?;
        self.lines(IoStats)
    }

    /// Whether the translator is in the graph.
    fn has(&self, translator: TranslatorKind) -> bool {
        // glusterd turns io-threads off when it creates a replicated volume.
        let off = translator == IoThreads && self.spec.shape != Shape::Distribute;
        SWITCHES
            .iter()
            .find(|(_, switched, _)| *switched == translator)
            .is_some_and(|(key, _, default)| self.spec.is_on(key, *default && !off))
    }

    fn lines(&mut self, translator: TranslatorKind) -> fmt::Result {
        LINES
            .iter()
            .filter(|line| line.translator == translator)
            .try_for_each(|line| self.line(line))
    }

    fn line(&mut self, line: &Line) -> fmt::Result {
        let default = match self.role {
            Role::Client if SHD_ONLY.contains(&line.key) => return Ok(()),
            Role::Client => line.default,
            Role::SelfHealDaemon => healing_default(line),
        };
        // Some options have two names. The one that the table has first wins, as it does for
        // glusterd.
        let again =
            |other: &&Line| other.translator == line.translator && other.option == line.option;
        let first = LINES.iter().filter(again).find(|line| self.spec.option(line.key).is_some());
        if first.is_some_and(|first| first.key != line.key) {
            return Ok(());
        }
        match self.spec.option(line.key).or(default) {
            Some(value) => writeln!(self.out, "    option {} {value}", line.option),
            None => Ok(()),
        }
    }

    fn blank_line(&mut self) -> fmt::Result {
        if self.began {
            self.out.write_str("\n")?;
        }
        self.began = true;
        Ok(())
    }

    fn begin(
        &mut self,
        suffix: &str,
        number: Option<usize>,
        translator: TranslatorKind,
    ) -> fmt::Result {
        self.blank_line()?;
        write!(self.out, "volume {}-{suffix}", self.spec.name)?;
        if let Some(number) = number {
            write!(self.out, "-{number}")?;
        }
        writeln!(self.out, "\n    type {}", translator.name())
    }

    /// The last lines of a volume whose children are the volumes `from..to` of a row.
    fn children(&mut self, row: Row, from: usize, to: usize) -> fmt::Result {
        self.out.write_str("    subvolumes")?;
        for at in from..to {
            write!(self.out, " {}-{}-{at}", self.spec.name, row.suffix)?;
        }
        self.out.write_str("\n")?;
        self.end()
    }

    fn end(&mut self) -> fmt::Result {
        self.out.write_str("end-volume\n")
    }
}

/// A self-heal daemon heals on demand, and its io-stats counts nothing.
fn healing_default(line: &Line) -> Option<&'static str> {
    match line.key {
        SELF_HEAL_DAEMON => Some("enable"),
        "cluster.entry-self-heal" | "cluster.data-self-heal" | "cluster.metadata-self-heal" => {
            Some("on")
        }
        "cluster.background-self-heal-count" => Some("0"),
        GLOBAL_THREADING | COUNT_FOP_HITS | LATENCY_MEASUREMENT => None,
        _ => line.default,
    }
}

/// The translators between distribute and io-stats, from the bottom (docs/spec/02-volfile.md,
/// "Which translators appear in client volfiles").
const STACK: &[(TranslatorKind, &str)] = &[
    (Shard, "shard"),
    (Utime, "utime"),
    (WriteBehind, "write-behind"),
    (ReadAhead, "read-ahead"),
    (ReaddirAhead, "readdir-ahead"),
    (IoCache, "io-cache"),
    (OpenBehind, "open-behind"),
    (QuickRead, "quick-read"),
    (MdCache, "md-cache"),
    (IoThreads, "io-threads"),
];
