//! One client process: a volume, the buffers of its operations, and its open files.

use std::collections::BTreeMap;

use brickwire_core::volume::{Answer, Config, OpError, Server, Volume};
use brickwire_core::xdr::Iatt;
use brickwire_core::{ConnId, FileId, Instant, Memory, OpId};

use crate::checkers::register::{Author, Span};
use crate::cluster::{GLUSTERD_PORT, host_name};
use crate::dice::Dice;
use crate::scenario::ClientPlan;

/// An open file.
#[derive(Clone, Copy, Debug)]
pub struct Handle {
    /// The file's number.
    pub file: usize,
    /// The client's handle.
    pub id: FileId,
    /// This handle, as the register knows it.
    pub author: Author,
    /// Each of its writes is durable when it is acknowledged.
    pub synced: bool,
    /// Writes were lost: it is to be closed, as soon as nothing else uses it.
    pub spoilt: bool,
}

/// An operation in flight.
#[derive(Clone, Debug)]
pub enum Pending {
    /// The script of a phase waits for it.
    Script,
    /// An open of a file.
    Open {
        /// The file.
        file: usize,
        /// With O_SYNC.
        synced: bool,
    },
    /// A write.
    Write {
        /// Its handle.
        handle: Handle,
        /// Its tag.
        tag: u32,
    },
    /// A read.
    Read {
        /// When it began.
        span: Span,
        /// The first block.
        first: usize,
    },
    /// A flush.
    Flush {
        /// Its handle.
        handle: Handle,
        /// When it began.
        span: Span,
    },
    /// A close.
    Close {
        /// Its handle.
        handle: Handle,
    },
    /// Anything whose answer does not matter.
    Other,
}

/// The end of a script's operation.
#[derive(Clone, Debug)]
pub struct Done {
    /// The count, or the error.
    pub result: Result<u32, OpError>,
    /// The answer, besides the count.
    pub got: Got,
    /// Its buffer.
    pub buffer: Vec<u8>,
}

/// The answer of an operation, besides its count.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)] // They are the variants of `Answer`, owned.
pub enum Got {
    #[default]
    Nothing,
    Opened(FileId),
    Stat(Iatt),
    Link(Vec<u8>),
    Xattrs(BTreeMap<Vec<u8>, Vec<u8>>),
    Entries {
        names: Vec<Vec<u8>>,
        next: Option<u64>,
        last: bool,
    },
}

impl Got {
    /// Copies an answer.
    pub fn of(answer: Answer<'_>) -> Self {
        match answer {
            Answer::Opened { file, .. } => Self::Opened(file),
            Answer::Stat(stat) => Self::Stat(*stat),
            Answer::Link(path) => Self::Link(path.to_vec()),
            Answer::Xattrs(dict) => Self::Xattrs(
                dict.pairs()
                    .filter_map(|(key, value)| Some((key.to_vec(), value.as_bytes()?.to_vec())))
                    .collect(),
            ),
            Answer::Entries { entries, last } => Self::Entries {
                names: entries.iter().map(|entry| entry.name.to_vec()).collect(),
                next: entries.next_cookie(),
                last,
            },
            _ => Self::Nothing,
        }
    }

    /// The handle, if it was an open.
    pub fn opened(&self) -> Option<FileId> {
        match self {
            Self::Opened(file) => Some(*file),
            _ => None,
        }
    }
}

/// A client.
#[derive(Debug)]
pub struct Client {
    /// Its plan.
    pub plan: ClientPlan,
    /// Its volume.
    pub volume: Volume<'static>,
    /// Serial number of the process, among all client processes.
    pub process: u64,
    /// The buffers of operations in flight.
    pub buffers: BTreeMap<OpId, Vec<u8>>,
    /// The operations in flight, and when they began.
    pub pending: BTreeMap<OpId, (u64, Pending)>,
    /// Operations of a script that have ended.
    pub done: BTreeMap<OpId, Done>,
    /// Dials without an answer.
    pub dials: Vec<ConnId>,
    /// Open files.
    pub handles: Vec<Handle>,
    /// Operations that it has yet to begin.
    pub left: usize,
    /// Its next turn is scheduled.
    pub turn_due: bool,
    /// Time that it did not run, in nanoseconds.
    pub slept: u64,
    /// Its decisions.
    pub dice: Dice,
}

impl Client {
    /// Starts a client process.
    pub fn new(
        plan: &ClientPlan,
        volume_name: &str,
        hosts: usize,
        process: u64,
        mut dice: Dice,
        now: Instant,
    ) -> Self {
        let mut config = Config::new();
        config.volume = volume_name.try_into().expect("short");
        // All hosts have a glusterd; the first that answers will do.
        let first = dice.below(hosts);
        for n in 0..hosts {
            let host = host_name((first + n) % hosts);
            let host = host.as_str().try_into().expect("short");
            config.servers.push(Server::Tcp { host, port: GLUSTERD_PORT }).expect("room");
        }
        for byte in &mut config.entropy {
            *byte = dice.between(1, 255) as u8;
        }
        config.process_id = process as u32;
        config.unix_nanos_at_zero = 1_800_000_000_000_000_000;
        config.op_timeout_ms = plan.op_timeout_ms;
        config.connections_per_brick = plan.lanes;
        let volume = Volume::new(config, plan.limits, Memory::on_heap(&plan.limits), now)
            .unwrap_or_else(|error| panic!("{error}: {:?}", plan.limits));
        Self {
            plan: plan.clone(),
            volume,
            process,
            buffers: BTreeMap::new(),
            pending: BTreeMap::new(),
            done: BTreeMap::new(),
            dials: Vec::new(),
            handles: Vec::new(),
            left: 0,
            turn_due: false,
            slept: 0,
            dice,
        }
    }
}
