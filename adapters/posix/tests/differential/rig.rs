//! Runs a program on both storages.

use brickwire_core::fop::wire::*;
use brickwire_core::rpc::{Cred, TimeFlags};
use brickwire_core::server::{
    BrickIx, Call, Counts, HandleId, Payload, Place as Piece, Storage as _, Submitted, Target,
    check_names,
};
use brickwire_core::xdr::{Dict, Gfid, Mdata, Pair, Value, Writer};
use brickwire_memory::{MemoryLimits, MemoryStorage, MemoryTables};
use brickwire_posix::{Brick, BrickOptions, XattrNamespace};
use brickwire_server::Backend as _;

use crate::outcome::{Outcome, decode};
use crate::program::{On, Op, Step};
use crate::tables::{SLOTS, VOLUME, gfid};

/// An open file.
#[derive(Clone, Copy)]
pub(crate) struct Slot {
    pub(crate) handle: HandleId,
    pub(crate) gfid: Gfid,
}

/// A program that runs.
pub(crate) struct Rig {
    dir: tempfile::TempDir,
    pub(crate) brick: Brick,
    pub(crate) memory: MemoryStorage<'static>,
    pub(crate) namespace: XattrNamespace,
    timed: bool,
    /// FALLOCATE was called.
    pub(crate) reserved: bool,
    pub(crate) slots: [Option<Slot>; SLOTS],
    pub(crate) handles: i64,
    now: u64,
}

/// A difference between the storages.
pub(crate) struct Difference {
    /// Number of steps until it appeared.
    pub(crate) steps: usize,
    pub(crate) text: String,
}

/// Directory for bricks on disk: `BRICKWIRE_DIFFERENTIAL`, else a memory file system, which is much
/// faster.
fn directory() -> tempfile::TempDir {
    let wanted = std::env::var("BRICKWIRE_DIFFERENTIAL").unwrap_or_else(|_| "/dev/shm".into());
    tempfile::tempdir_in(wanted).or_else(|_| tempfile::tempdir()).expect("a directory")
}

/// A question for both storages.
pub(crate) struct Ask<'a> {
    pub(crate) who: Cred<'a>,
    pub(crate) targets: [Target; 2],
    pub(crate) opens: Option<HandleId>,
    pub(crate) request: Request<'a>,
    pub(crate) payload: &'a [u8],
    /// Call the backend's `read` or `write` directly where the fop and target permit.
    pub(crate) fast: bool,
}

impl Rig {
    /// `None` without the privilege to set trusted xattrs.
    pub(crate) fn new(namespace: XattrNamespace, timed: bool) -> Option<Self> {
        let root = rustix::process::geteuid().is_root();
        // Without root, owners are not kept.
        if !root {
            return None;
        }
        let dir = directory();
        let options = BrickOptions {
            volume_id: VOLUME,
            shared_by: 1,
            xattrs: namespace,
            ..BrickOptions::default()
        };
        let brick = Brick::open(dir.path(), options).expect("a brick");
        let mut memory =
            MemoryStorage::new(&MemoryLimits::SMALL, MemoryTables::on_heap(&MemoryLimits::SMALL))
                .expect("tables of these limits");
        memory.set_time(1_800_000_000, 0);
        memory.add_brick(VOLUME).expect("a brick");
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(dir.path(), permissions).expect("a mode");
        let slots = [None; SLOTS];
        let (reserved, handles, now) = (false, 1 << 20, 1000);
        Some(Self { dir, brick, memory, namespace, timed, reserved, slots, handles, now })
    }

    /// Runs a program until the storages differ.
    pub(crate) fn run(&mut self, program: &[Step]) -> Result<(), Difference> {
        if self.timed {
            self.first_times().map_err(|text| Difference { steps: 0, text })?;
        }
        self.steps(program)
    }

    pub(crate) fn steps(&mut self, program: &[Step]) -> Result<(), Difference> {
        for (at, step) in program.iter().enumerate() {
            let in_order =
                |rig: &Self| rig.memory.verify().map_err(|what| format!("the memory's {what}\n"));
            let result = self.step(step).and_then(|()| in_order(self));
            result.map_err(|text| Difference { steps: at + 1, text })?;
        }
        Ok(())
    }

    /// The root has the file system's times until a client sets some.
    fn first_times(&mut self) -> Result<(), String> {
        let times = Mdata { atime: (900, 0), mtime: (901, 0), ctime: (902, 0) };
        let pair = [Pair { key: b"set-ctime-mdata", value: Value::Mdata(times) }];
        let r =
            Setxattr { gfid: Gfid::ROOT, flags: 0, dict: Dict::Pairs(&pair), xdata: Dict::Null };
        self.ask(Cred::v3(10, 0, 0), Request::Setxattr(r))
    }

    fn cred(&mut self, step: &Step) -> Cred<'static> {
        const IN_77: [u8; 4] = 77_u32.to_be_bytes();
        let cred = match step.who {
            0 => Cred::v3(10, 0, 0),
            1 => Cred::v3(11, 1000, 1000).with_groups(&IN_77),
            2 => Cred::v3(12, 2000, 1000),
            _ => Cred::v3(-6, 0, 0),
        };
        self.now += 1;
        if !self.timed {
            return cred;
        }
        let makes = matches!(
            step.op,
            Op::Mknod { .. } | Op::Mkdir { .. } | Op::Symlink { .. } | Op::Create { .. }
        );
        // An inode without its own times shows the file system's, which are unpredictable.
        let times = if makes { 0x3f } else { step.times };
        cred.with_times(TimeFlags::from_bits(times), (self.now, 5))
    }

    pub(crate) fn on(&self, on: On) -> (Target, Gfid) {
        match on {
            On::Gfid(number) => (Target::Gfid, gfid(number)),
            On::Open(slot) => match self.slots[slot] {
                Some(Slot { handle, gfid }) => (Target::Open(handle), gfid),
                // The anonymous fd.
                None => (Target::Gfid, gfid(slot + 1)),
            },
        }
    }

    /// Gfid for a new inode that no open inode has.
    pub(crate) fn new_gfid(&self, number: usize) -> Option<Value<'static>> {
        let gfid = gfid(number);
        let open = self.slots.iter().flatten().any(|slot| slot.gfid == gfid);
        (!open).then_some(Value::Gfuuid(gfid))
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        let cred = self.cred(step);
        match step.op {
            Op::Mknod { .. }
            | Op::Mkdir { .. }
            | Op::Symlink { .. }
            | Op::Create { .. }
            | Op::Link { .. }
            | Op::Unlink { .. }
            | Op::Rmdir { .. }
            | Op::Rename { .. } => self.names(cred, step.op),
            Op::Open { .. }
            | Op::Opendir { .. }
            | Op::Close { .. }
            | Op::Read { .. }
            | Op::Write { .. }
            | Op::Truncate { .. }
            | Op::Fallocate { .. }
            | Op::Discard { .. }
            | Op::Zerofill { .. }
            | Op::Seek { .. }
            | Op::Rchecksum { .. }
            | Op::Copy { .. }
            | Op::Fsync { .. }
            | Op::Fsyncdir { .. } => self.data(cred, step.op),
            Op::Lookup { .. }
            | Op::LookupGfid { .. }
            | Op::Stat { .. }
            | Op::Access { .. }
            | Op::Setattr { .. }
            | Op::Readlink { .. }
            | Op::List { .. } => self.attrs(cred, step.op),
            Op::Setxattr { .. }
            | Op::Getxattr { .. }
            | Op::Removexattr { .. }
            | Op::RemoveMany { .. }
            | Op::Xattrop { .. } => self.xattrs(cred, step.op),
        }
    }

    pub(crate) fn ask(&mut self, cred: Cred<'_>, request: Request<'_>) -> Result<(), String> {
        self.ask_on(cred, Target::Gfid, request)
    }

    pub(crate) fn ask_on(
        &mut self,
        cred: Cred<'_>,
        target: Target,
        request: Request<'_>,
    ) -> Result<(), String> {
        self.both(Ask::of(cred, target, request)).map(|_| ())
    }

    /// Executes a call on both and compares. `None` if a server would reject the request.
    pub(crate) fn both(&mut self, ask: Ask<'_>) -> Result<Option<Outcome>, String> {
        let Ok(request) = check_names(ask.request) else { return Ok(None) };
        let ask = Ask { request, ..ask };
        let (disk, memory) = (self.of_disk(&ask), self.of_memory(&ask));
        compare(&disk, &memory)?;
        Ok(Some(disk))
    }

    pub(crate) fn of_disk(&mut self, ask: &Ask<'_>) -> Outcome {
        if let (true, Target::Open(handle)) = (ask.fast, ask.targets[0]) {
            let timed = self.timed;
            match &ask.request {
                Request::Read(r) => {
                    let mut room = vec![0; r.size as usize];
                    let outcome = self.brick.read(handle, &ask.who, r.offset, &mut room, false);
                    return match outcome.expect("it may wait") {
                        Ok(outcome) => Outcome::read(
                            &room[..outcome.len as usize],
                            &outcome.stat,
                            outcome.eof,
                            timed,
                        ),
                        Err(errno) => Outcome::failed(errno),
                    };
                }
                Request::Write(r) => {
                    let outcome = self.brick.write(handle, &ask.who, r.offset, ask.payload, false);
                    return match outcome.expect("it may wait") {
                        Ok(outcome) => {
                            Outcome::wrote(outcome.len, &outcome.before, &outcome.after, timed)
                        }
                        Err(errno) => Outcome::failed(errno),
                    };
                }
                _ => {}
            }
        }
        let mut reply = Vec::new();
        self.brick.execute(&ask.call(), ask.payload, &mut reply);
        let place = self.dir.path().to_string_lossy().into_owned();
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        decode(ask.request.number(), &reply, self.timed).placed(&place, &host)
    }

    pub(crate) fn of_memory(&mut self, ask: &Ask<'_>) -> Outcome {
        let mut room = vec![0; 8192];
        let mut reply = Writer::new(&mut room);
        let Submitted::Done { data, .. } = self.memory.execute(&ask.call(), &mut reply) else {
            panic!("a memory that waits");
        };
        let len = reply.position();
        room.truncate(len);
        if let Some(Piece { buffer, at, len }) = data {
            let (at, len) = (at as usize, len as usize);
            room.extend_from_slice(&self.memory.bytes_mut(buffer)[at..at + len]);
            self.memory.release(buffer);
        }
        decode(ask.request.number(), &room, self.timed).placed("memory-0", "memory")
    }
}

impl<'a> Ask<'a> {
    pub(crate) fn of(who: Cred<'a>, target: Target, request: Request<'a>) -> Self {
        let targets = [target, Target::Gfid];
        Self { who, targets, opens: None, request, payload: &[], fast: false }
    }

    pub(crate) fn call(&self) -> Call<'a> {
        Call {
            brick: BrickIx(0),
            cred: self.who,
            request: self.request,
            target: self.targets[0],
            second: self.targets[1],
            // User 2000 stands for a client without open files.
            opened: self.who.uid != 2000,
            opens: self.opens,
            payload: Payload::Bytes(self.payload),
            counts: Counts::default(),
        }
    }
}

/// The differences, line by line.
pub(crate) fn compare(disk: &Outcome, memory: &Outcome) -> Result<(), String> {
    if disk == memory {
        return Ok(());
    }
    if (disk.ret < 0) != (memory.ret < 0) {
        let told = |of: &Outcome| format!("{}, errno {}", of.ret, of.errno);
        return Err(format!("    disk {}\n    memory {}\n", told(disk), told(memory)));
    }
    let (disk, memory) = (format!("{disk:#?}"), format!("{memory:#?}"));
    if disk.lines().count() != memory.lines().count() {
        return Err(format!("disk {disk}\nmemory {memory}"));
    }
    let lines = disk.lines().zip(memory.lines()).filter(|(disk, memory)| disk != memory);
    Err(lines
        .map(|(disk, memory)| format!("    disk {}  memory {}\n", disk.trim(), memory.trim()))
        .collect())
}
