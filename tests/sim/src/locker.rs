//! A client that takes and releases locks on a brick, and sometimes leaves without releasing them.
//! Our client takes no locks on volumes of one brick, so it speaks the protocol by hand, over a
//! connection without delay.

use brickwire_core::fop::wire::{Inodelk, Request};
use brickwire_core::rpc::handshake::{Opaque, Setvolume};
use brickwire_core::rpc::{CallHeader, Cred, Procedure, RecordMark};
use brickwire_core::server::{Intake, Peer};
use brickwire_core::xdr::{Dict, Encode, Flock, Gfid, Writer};
use brickwire_core::{ConnId, Instant};

use crate::cluster::{Cluster, View};
use crate::dice::Dice;
use crate::mutant::Mutant;
use crate::process::Process;

/// Sets a lock if it can be had at once.
const TRY: u32 = 1;
const WRITE_LOCK: u32 = 1;
const UNLOCK: u32 = 2;
const OWNERS: [&[u8]; 2] = [b"locker-a", b"locker-b"];

/// The locker of one brick.
#[derive(Clone, Debug)]
pub struct Locker {
    conn: Option<ConnId>,
    /// The process's number of starts when it connected.
    starts: u32,
    next_xid: u32,
    dice: Dice,
}

impl Locker {
    /// A locker that is not connected.
    pub fn new(dice: Dice) -> Self {
        Self { conn: None, starts: 0, next_xid: 1, dice }
    }

    /// Connects, takes a lock, releases one, or leaves.
    pub fn turn(&mut self, process: &mut Process, cluster: &Cluster, now: Instant) {
        if self.starts != process.starts || process.server.is_none() {
            self.conn = None;
        }
        let Some(conn) = self.conn else { return self.connect(process, cluster, now) };
        let range = (self.dice.below(4) as u64 * 100, 100);
        let owner = self.dice.pick(&OWNERS);
        match self.dice.below(10) {
            0 => self.leave(process, now),
            1..=5 => self.lock(conn, owner, WRITE_LOCK, range, process, cluster, now),
            _ => self.lock(conn, owner, UNLOCK, range, process, cluster, now),
        }
    }

    /// Leaves; a server whose client has left keeps none of its locks. A mutant stays.
    pub fn leave(&mut self, process: &mut Process, now: Instant) {
        let kept = process.disk.mutant == Some(Mutant::LockKept);
        let Some(conn) = self.conn.filter(|_| !kept) else { return };
        self.conn = None;
        if let Some(server) = process.server.as_mut().filter(|_| self.starts == process.starts) {
            server.closed(conn, now, &mut process.disk);
        }
    }

    fn connect(&mut self, process: &mut Process, cluster: &Cluster, now: Instant) {
        let (Some(server), Some(brick)) = (&mut process.server, process.brick) else { return };
        let peer = Peer { address: "10.0.0.9".try_into().expect("short"), privileged: true };
        let Some(conn) = server.accepted(peer, now) else { return };
        (self.conn, self.starts) = (Some(conn), process.starts);
        let pairs = [
            ("remote-subvolume", Some(cluster.bricks[brick].path.as_bytes())),
            ("process-uuid", Some(&b"the locker"[..])),
            ("fops-version", Some(b"1298437")),
        ];
        let login = Setvolume { dict: Opaque::Texts(&pairs) };
        self.call(conn, OWNERS[0], (Procedure::SETVOLUME, &login), process, cluster, now);
    }

    #[expect(clippy::too_many_arguments, reason = "the world is passed in parts")]
    fn lock(
        &mut self,
        conn: ConnId,
        owner: &[u8],
        kind: u32,
        (start, len): (u64, u64),
        process: &mut Process,
        cluster: &Cluster,
        now: Instant,
    ) {
        let flock = Flock { kind, whence: 0, start, len, pid: 9, lk_owner: owner };
        let (gfid, volume, xdata) = (Gfid::ROOT, &b"locker"[..], Dict::Null);
        let request = Request::Inodelk(Inodelk { gfid, cmd: TRY, kind, flock, volume, xdata });
        let procedure = Procedure::fop(request.number() as u32);
        self.call(conn, owner, (procedure, &request), process, cluster, now);
    }

    /// Sends a call and drops the answer. If the server does not take all of it now, the locker
    /// leaves.
    fn call(
        &mut self,
        conn: ConnId,
        owner: &[u8],
        (procedure, arguments): (Procedure, &dyn Encode),
        process: &mut Process,
        cluster: &Cluster,
        now: Instant,
    ) {
        self.next_xid += 1;
        let cred = Cred::v3(9, 0, 0).with_owner(owner);
        let header = CallHeader { xid: self.next_xid, procedure, cred };
        let mut record = vec![0; 1024];
        let mut w = Writer::new(&mut record);
        w.u32(0).expect("room");
        header.encode(&mut w).expect("room");
        arguments.encode(&mut w).expect("room");
        let len = w.position();
        record.truncate(len);
        record[..4].copy_from_slice(&RecordMark::last((len - 4) as u32).to_be_bytes());
        let exports = View { cluster, host: process.host, brick: process.brick };
        let Some(server) = &mut process.server else { return };
        let mut taken = 0;
        if server.intake(conn) == Intake::Core {
            taken = server.received(conn, &record, now, &exports, &mut process.disk);
        }
        self.drain(process, now);
        if taken < record.len() {
            self.leave(process, now);
        }
    }

    /// Drops all answers.
    pub fn drain(&mut self, process: &mut Process, now: Instant) {
        let (Some(conn), Some(server)) = (self.conn, process.server.as_mut()) else { return };
        let answered: usize = server
            .outgoing(conn)
            .map(|piece| piece.head.len() + piece.data.map_or(0, |data| data.len as usize))
            .sum();
        if answered > 0 {
            server.sent(conn, answered, now, &mut process.disk);
        }
    }
}
