//! A server over bricks in memory, and arbitrary clients, driven by the fuzzer's program: valid and
//! invalid calls in pieces; late answers of the storage in another order; clients that do not read,
//! or disconnect; time that jumps.
//!
//! A program consists of actions: a byte that selects the action, a byte of choice, and further
//! bytes for some. Calls have their arguments in the program ([`Session::fop`]: number, length, the
//! arguments as in `seeds/requests`), or use existing gfids and fds ([`Session::known`]), or are
//! whole captured records.
//!
//! Invariants: nothing panics; no call is answered twice, or with another call's answer; the
//! bricks' tables are consistent; and when all clients have gone, nothing of them is left.

use std::collections::BTreeMap;

use brickwire_core::ConnId;
use brickwire_core::fop::FopNumber;
use brickwire_core::fop::wire::{
    Body, CopyFileRange, Discard, Entrylk, Fallocate, Fgetxattr, Finodelk, Fsetattr, Fsetxattr,
    Fsync, Ftruncate, Fxattrop, Getxattr, Inodelk, Lk, Mknod, Opendir, Put, Rchecksum, Read,
    Readdir, Readdirp, Readlink, Releasedir, Removexattr, Reply, Request, Rmdir, Seek, Statfs,
    Symlink, Zerofill,
};
use brickwire_core::rpc::dump::DumpArgs;
use brickwire_core::rpc::handshake::{Getspec, Opaque, Setvolume};
use brickwire_core::rpc::{Cred, Procedure, ReplyStatus, TimeFlags};
use brickwire_core::server::{BrickIx, Peer, ServerLimits};
use brickwire_core::xdr::{Dict, Encode, Flock, Gfid, Iatt, NoRoom, Pair, Reader, Value, Writer};
use brickwire_memory::MemoryLimits;

use crate::server_harness::{self, Harness, login_pairs};

const SERVER: ServerLimits = ServerLimits {
    connections: 4,
    jobs: 10,
    jobs_per_connection: 6,
    files: 6,
    locks: 12,
    locks_per_connection: 6,
    locks_per_inode: 6,
    waits: 4,
    waits_per_connection: 2,
    head_bytes: 4096,
    blocks: 2,
    block_bytes: 1024,
    transfer_bytes: 4096,
    ..ServerLimits::SMALL
};

const MEMORY: MemoryLimits = MemoryLimits {
    bricks: 1,
    inodes: 20,
    entries: 20,
    xattrs: 10,
    files: 6,
    pages: 24,
    page_bytes: 256,
    buffers: 6,
    buffer_bytes: 12 * 1024,
    reply_bytes: 4 * 1024,
};

/// Calls of a client that are not answered yet.
#[derive(Default)]
struct Asked {
    numbers: BTreeMap<u32, FopNumber>,
    others: Vec<u32>,
    /// The client sent raw bytes, so its calls are unknown.
    wild: bool,
}

struct Session<'p> {
    harness: Harness,
    program: std::slice::Iter<'p, u8>,
    clients: Vec<ConnId>,
    asked: BTreeMap<ConnId, Asked>,
    fds: Vec<(ConnId, Gfid, i64)>,
    next_xid: u32,
}

/// Runs a program.
pub fn run(program: &[u8]) {
    let mut session = Session {
        harness: Harness::with(SERVER, MEMORY),
        program: program.iter(),
        clients: Vec::new(),
        asked: BTreeMap::new(),
        fds: Vec::new(),
        next_xid: 1,
    };
    while let Some(action) = session.byte() {
        session.step(action);
    }
    session.end();
}

/// The gfid of object `n`. There are few, so that programs use the same ones.
fn gfid(n: u8) -> Gfid {
    if n.is_multiple_of(8) { Gfid::ROOT } else { Gfid([n % 8; 16]) }
}

fn name(n: u8) -> &'static [u8] {
    const LONG: [u8; 255] = [b'n'; 255];
    match n % 6 {
        0 => b"a",
        1 => b"b",
        2 => b"c",
        3 => b"dd",
        4 => &LONG,
        _ => b".glusterfs",
    }
}

/// Raw bytes in place of encoded arguments.
struct Raw<'b>(&'b [u8]);

impl Encode for Raw<'_> {
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
        w.raw(self.0)
    }
}

impl Session<'_> {
    fn byte(&mut self) -> Option<u8> {
        self.program.next().copied()
    }

    fn word(&mut self) -> u16 {
        u16::from_le_bytes([self.byte().unwrap_or(0), self.byte().unwrap_or(0)])
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map_while(|_| self.byte()).collect()
    }

    fn client(&self, choice: u8) -> Option<ConnId> {
        self.clients.get(usize::from(choice) % self.clients.len().max(1)).copied()
    }

    fn step(&mut self, action: u8) {
        let argument = self.byte().unwrap_or(0);
        match action % 16 {
            0 => self.connect(argument),
            1..=5 => self.known(argument),
            6..=7 => self.fop(argument),
            8 => self.record(argument),
            9 => self.small(argument),
            10 => self.hold(argument),
            11 => self.listen(argument),
            12 => self.pass_time(argument),
            13 => self.close(argument),
            14 => self.lack(argument),
            _ => self.host(argument),
        }
        self.hear();
    }

    fn connect(&mut self, choice: u8) {
        let peer =
            Peer { address: "10.0.0.1".try_into().expect("short"), privileged: choice & 1 == 0 };
        let Some(conn) = self.harness.connect_from(peer) else { return };
        self.clients.push(conn);
        self.asked.insert(conn, Asked::default());
        if choice & 2 == 0 {
            self.login(conn, choice);
        }
    }

    fn login(&mut self, conn: ConnId, choice: u8) {
        let mut pairs = login_pairs();
        if choice & 0xf0 == 0xf0 {
            pairs[usize::from(choice) % 4].1 = Some(b"something else");
        }
        self.call(
            conn,
            Procedure::SETVOLUME,
            &Setvolume { dict: Opaque::Texts(&pairs) },
            &[],
            choice,
        );
    }

    fn send(&mut self, conn: ConnId, bytes: &[u8], choice: u8) {
        self.harness.cut =
            if choice & 0x80 == 0 { usize::MAX } else { usize::from(choice & 0x7f) + 1 };
        self.harness.send(conn, bytes);
    }

    fn call(
        &mut self,
        conn: ConnId,
        procedure: Procedure,
        arguments: &dyn Encode,
        payload: &[u8],
        choice: u8,
    ) {
        let xid = self.next_xid;
        self.next_xid += 1;
        let times = TimeFlags::from_bits(u32::from(choice & 0x3f));
        let uid = if choice & 0x40 == 0 { 0 } else { 1000 };
        let cred = Cred::v3(7, uid, uid)
            .with_owner(&[1; 8])
            .with_times(times, (1_000 + u64::from(choice), 0));
        let record = server_harness::record(xid, procedure, &cred, arguments, payload);
        let asked = self.asked.entry(conn).or_default();
        match (
            procedure.program == brickwire_core::rpc::program::FOP,
            FopNumber::from_u32(procedure.number),
        ) {
            (true, Some(number)) => drop(asked.numbers.insert(xid, number)),
            _ => asked.others.push(xid),
        }
        self.send(conn, &record, choice);
    }

    /// A fop with arguments from the program: number, length, bytes, and some payload.
    fn fop(&mut self, choice: u8) {
        let (number, len) = (self.byte().unwrap_or(0), self.word() % 2048);
        let arguments = self.bytes(usize::from(len));
        let payload = vec![0x5a; if choice & 1 == 0 { 0 } else { usize::from(choice) * 8 }];
        let Some(conn) = self.client(choice) else { return };
        self.call(conn, Procedure::fop(number.into()), &Raw(&arguments), &payload, choice);
    }

    /// Sends raw bytes of the program.
    fn record(&mut self, choice: u8) {
        let len = self.word() % 4096;
        let bytes = self.bytes(usize::from(len));
        let Some(conn) = self.client(choice) else { return };
        self.asked.entry(conn).or_default().wild = true;
        self.send(conn, &bytes, choice);
    }

    /// Sends a fop that is valid in most cases.
    fn known(&mut self, which: u8) {
        let (a, b, c) =
            (self.byte().unwrap_or(0), self.byte().unwrap_or(0), self.byte().unwrap_or(0));
        let Some(conn) = self.client(c) else { return };
        let own = self.fds.iter().filter(|(owner, ..)| *owner == conn || a & 0xf0 == 0xf0);
        let own: Vec<(Gfid, i64)> = own.map(|(_, gfid, fd)| (*gfid, *fd)).collect();
        let (file, fd) = match own.get(usize::from(a) % own.len().max(1)) {
            Some(known) if a & 8 == 0 => *known,
            _ => (gfid(a), -2),
        };
        let (object, other, wanted) = (gfid(a), gfid(b), [server_harness::gfid_req(gfid(b))]);
        let (offset, len) = (u64::from(b) * 37, u32::from(c) * 29);
        let data = vec![c; len as usize];
        let value = vec![b; usize::from(c) * 3];
        let xattrs: [&[u8]; 4] =
            [b"user.a", b"trusted.afr.v-client-0", b"trusted.gfid", b"trusted.\xff"];
        let xattr = xattrs[usize::from(b) % 4];
        let pairs = [Pair { key: xattr, value: Value::Ptr(&value) }];
        let asked = [
            Pair { key: b"glusterfs.content", value: Value::Uint(4096) },
            Pair { key: b"list-xattr", value: Value::Int(1) },
            Pair { key: b"glusterfs.open-fd-count", value: Value::Uint(1) },
        ];
        let pending = [
            Pair { key: b"glusterfs.xattrop-entry-create", value: Value::Str(name(c)) },
            Pair { key: b"glusterfs.xattrop-purge-index", value: Value::Int(i64::from(c & 1)) },
        ];
        let dict = Dict::Pairs(&pairs);
        let xdata = if c & 1 == 0 { Dict::Null } else { Dict::Pairs(&asked) };
        let (bname, mode, flags) =
            (name(b), u32::from(c) | 0o100_600, u32::from(c & 7) << 6 | u32::from(c & 3));
        let made = Dict::Pairs(&wanted);
        let (cmd, kind, domain) =
            (u32::from(b & 7), u32::from(c % 4), [&b"x"[..], b"y"][usize::from(c >> 2 & 1)]);
        let (start, owner) = (u64::from(b & 0x0f), [c & 3; 8]);
        let flock =
            Flock { kind, whence: 0, start, len: u64::from(c >> 4), pid: 7, lk_owner: &owner };
        let request = match which % 44 {
            0..=3 => Request::Create(brickwire_core::fop::wire::Create {
                pargfid: object,
                flags,
                mode,
                umask: 0,
                bname,
                xdata: made,
            }),
            4 => server_harness::mkdir(object, ["a", "b", "c", "dd"][usize::from(b) % 4], &wanted),
            5 => Request::Symlink(Symlink {
                pargfid: object,
                bname,
                umask: 0,
                linkname: &data,
                xdata: made,
            }),
            6 => Request::Mknod(Mknod {
                pargfid: object,
                dev: 7,
                mode: u32::from(c) << 8,
                umask: 0,
                bname,
                xdata: made,
            }),
            7 => Request::Unlink(brickwire_core::fop::wire::Unlink {
                pargfid: object,
                bname,
                xflags: 0,
                xdata: Dict::Null,
            }),
            8 => Request::Rmdir(Rmdir {
                pargfid: object,
                xflags: i32::from(c & 1),
                bname,
                xdata: Dict::Null,
            }),
            9..=10 => Request::Rename(brickwire_core::fop::wire::Rename {
                oldgfid: object,
                newgfid: other,
                oldbname: bname,
                newbname: name(c),
                xdata: Dict::Null,
            }),
            11 => Request::Link(brickwire_core::fop::wire::Link {
                oldgfid: object,
                newgfid: other,
                newbname: name(c),
                xdata: Dict::Null,
            }),
            12 => server_harness::open(object, flags),
            13 => Request::Opendir(Opendir { gfid: object, xdata }),
            14..=16 => {
                let write = server_harness::write(file, fd, offset, data.len());
                return self.call(conn, Procedure::fop(13), &write, &data, c);
            }
            17..=18 => Request::Read(Read { gfid: file, fd, offset, size: len, flag: 0, xdata }),
            19 => Request::Ftruncate(Ftruncate { gfid: file, fd, offset, xdata }),
            20 => Request::Discard(Discard { gfid: file, fd, offset, size: len.into(), xdata }),
            21 => Request::Zerofill(Zerofill { gfid: file, fd, offset, size: len.into(), xdata }),
            22 => Request::Fallocate(Fallocate {
                gfid: file,
                fd,
                flags: u32::from(c & 1),
                offset,
                size: len.into(),
                xdata,
            }),
            23 => Request::Seek(Seek { gfid: file, fd, offset, what: i32::from(c & 1), xdata }),
            24 => Request::Fsync(Fsync { gfid: file, fd, data: 0, xdata }),
            25 => server_harness::flush(file, fd),
            26 => server_harness::release(file, fd),
            27 => Request::Releasedir(Releasedir { gfid: file, fd, xdata }),
            28 => Request::Readdir(Readdir {
                gfid: file,
                fd,
                offset: u64::from(b % 16),
                size: len,
                xdata,
            }),
            29 => Request::Readdirp(Readdirp {
                gfid: file,
                fd,
                offset: u64::from(b % 16),
                size: len,
                xdata,
            }),
            30 => Request::Fsetxattr(Fsetxattr {
                gfid: file,
                fd,
                flags: u32::from(c & 3),
                dict,
                xdata,
            }),
            31 => Request::Fgetxattr(Fgetxattr { gfid: file, fd, namelen: 1, name: xattr, xdata }),
            32 => Request::Getxattr(Getxattr { gfid: object, namelen: 0, name: b"", xdata }),
            33 => Request::Removexattr(Removexattr { gfid: object, name: xattr, xdata }),
            34 => {
                let xdata = if c & 2 == 0 { xdata } else { Dict::Pairs(&pending) };
                Request::Fxattrop(Fxattrop { gfid: file, fd, flags: u32::from(c % 7), dict, xdata })
            }
            35 => {
                let stbuf =
                    Iatt { mode: c.into(), uid: b.into(), mtime: i64::from(c), ..Iatt::default() };
                Request::Fsetattr(Fsetattr { gfid: file, fd, stbuf, valid: i32::from(b), xdata })
            }
            36 => {
                let (size, xattr) = (data.len() as u32, dict);
                let put = Request::Put(Put {
                    pargfid: object,
                    bname,
                    mode,
                    umask: 0,
                    flag: 0,
                    offset,
                    size,
                    xattr,
                    xdata: made,
                });
                return self.call(conn, Procedure::fop(55), &put, &data, c);
            }
            37 => Request::CopyFileRange(CopyFileRange {
                source: file,
                destination: other,
                fd_in: fd,
                fd_out: -2,
                off_in: offset,
                off_out: len.into(),
                size: len * 3,
                flag: 0,
                xdata,
            }),
            38 => match c % 3 {
                0 => Request::Rchecksum(Rchecksum { gfid: file, fd, offset, len, flags: 0, xdata }),
                1 => Request::Readlink(Readlink { gfid: object, size: len, xdata }),
                _ => Request::Statfs(Statfs { gfid: object, xdata }),
            },
            39 => Request::Lk(Lk {
                gfid: file,
                fd,
                cmd: u32::from(b % 8),
                kind: u32::from(c % 4),
                flock,
                xdata,
            }),
            40 => {
                Request::Inodelk(Inodelk { gfid: object, cmd, kind, flock, volume: domain, xdata })
            }
            41 => Request::Finodelk(Finodelk {
                gfid: file,
                fd,
                cmd,
                kind,
                flock,
                volume: domain,
                xdata,
            }),
            42 => Request::Entrylk(Entrylk {
                gfid: object,
                cmd,
                kind,
                namelen: 1,
                name: bname,
                volume: domain,
                xdata,
            }),
            _ => {
                server_harness::lookup(object, other, if c & 2 == 0 { b"" } else { bname }, &asked)
            }
        };
        self.call(conn, Procedure::fop(request.number() as u32), &request, &[], c);
    }

    fn small(&mut self, choice: u8) {
        let Some(conn) = self.client(choice) else { return };
        match choice % 4 {
            0 => self.call(conn, Procedure::DUMP, &DumpArgs::CLIENT, &[], choice),
            1 => self.call(conn, Procedure::PING, &DumpArgs::CLIENT, &[], choice),
            2 => self.call(conn, Procedure::GETSPEC, &Getspec::for_client(b"v"), &[], choice),
            _ => self.login(conn, choice),
        }
    }

    fn hold(&mut self, choice: u8) {
        if choice & 1 == 0 {
            self.harness.storage.hold = choice & 2 == 0;
        } else if self.harness.storage.held() > 0 {
            self.harness.finish(usize::from(choice) % self.harness.storage.held());
        }
    }

    fn listen(&mut self, choice: u8) {
        let Some(conn) = self.client(choice >> 1) else { return };
        self.harness.deafen(conn, choice & 1 == 0);
    }

    fn pass_time(&mut self, choice: u8) {
        self.harness.pass(u64::from(choice) * 300);
    }

    fn close(&mut self, choice: u8) {
        let Some(conn) = self.client(choice) else { return };
        self.forget(conn);
        self.harness.close(conn);
    }

    fn lack(&mut self, choice: u8) {
        self.harness.storage.no_buffers = choice & 1 == 1;
        self.harness.storage.busy = choice & 2 == 2;
    }

    fn host(&mut self, choice: u8) {
        let now = self.harness.now;
        match choice % 8 {
            0 => self.harness.server.brick_gone(BrickIx(0), now, &mut self.harness.storage),
            1 => self.harness.server.stop(now, &mut self.harness.storage),
            _ => self.harness.server.volfile_changed(now),
        }
        self.harness.pump();
    }

    fn forget(&mut self, conn: ConnId) {
        self.clients.retain(|other| *other != conn);
        self.asked.remove(&conn);
        self.fds.retain(|(owner, ..)| *owner != conn);
    }

    /// Checks everything that the server has sent.
    fn hear(&mut self) {
        for (conn, _) in std::mem::take(&mut self.harness.closed) {
            self.forget(conn);
        }
        for conn in self.clients.clone() {
            for (xid, answer) in self.harness.replies(conn) {
                let Some(asked) = self.asked.get_mut(&conn) else { continue };
                let Some(number) = asked.numbers.remove(&xid) else {
                    let known = asked.others.iter().position(|other| *other == xid);
                    assert!(known.is_some() || asked.wild, "a reply without a call");
                    known.map(|at| asked.others.swap_remove(at));
                    continue;
                };
                if answer.status != ReplyStatus::Success || asked.wild {
                    continue;
                }
                let mut r = Reader::new(&answer.body);
                let reply = Reply::decode(number, &mut r);
                let reply =
                    reply.unwrap_or_else(|error| panic!("{number:?} is answered with {error:?}"));
                match reply.body {
                    Body::Open { fd } if reply.op_ret == 0 => self.fds.push((conn, Gfid::NONE, fd)),
                    Body::Create { stat, fd, .. } if reply.op_ret == 0 => {
                        self.fds.push((conn, stat.gfid, fd as i64));
                    }
                    Body::Read { size, .. } if reply.op_ret >= 0 => {
                        assert_eq!((r.left(), reply.op_ret), (size as usize, size as i32));
                    }
                    _ => {}
                }
            }
        }
        let usage = self.harness.server.usage();
        assert!(usage.connections <= 4 && usage.jobs <= 14 && usage.files <= 6);
    }

    /// Disconnects all clients and checks that no state is left.
    fn end(&mut self) {
        self.harness.storage.memory.verify().unwrap_or_else(|broken| panic!("{broken}"));
        (self.harness.storage.hold, self.harness.storage.busy) = (false, false);
        for conn in std::mem::take(&mut self.clients) {
            self.harness.close(conn);
        }
        while self.harness.storage.held() > 0 {
            self.harness.finish(0);
        }
        let memory = self.harness.storage.memory.usage();
        assert_eq!(
            self.harness.server.usage(),
            Default::default(),
            "state of a connection is left"
        );
        assert_eq!(
            (self.harness.storage.buffers(), memory.files),
            (0, 0),
            "buffers or open files are left"
        );
        self.harness.storage.memory.verify().unwrap_or_else(|broken| panic!("{broken}"));
    }
}
