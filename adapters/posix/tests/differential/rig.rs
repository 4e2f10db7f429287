//! Both storages, and the fops of a program: each is asked of both.

use brickwire_core::fop::wire::*;
use brickwire_core::rpc::{Cred, TimeFlags};
use brickwire_core::server::{
    BrickIx, Call, Counts, HandleId, Payload, Place as Piece, Storage as _, Submitted, Target,
    check_names,
};
use brickwire_core::xdr::{Dict, Gfid, Iatt, Mdata, Pair, Value, Writer};
use brickwire_memory::{MemoryLimits, MemoryStorage, MemoryTables};
use brickwire_posix::{Brick, BrickOptions, XattrNamespace};
use brickwire_server::Backend as _;

use crate::answer::{Answer, answer};
use crate::program::{On, Op, Place, Step};

/// The root, six that can be anything, and none.
pub(crate) const GFIDS: usize = 8;
pub(crate) const SLOTS: usize = 4;
pub(crate) const CALLERS: usize = 4;
pub(crate) const NAMES: usize = 13;
pub(crate) const XATTRS: usize = 24;
pub(crate) const KEYS: usize = 8;

const VOLUME: Gfid = Gfid([7; 16]);
const SPECIAL: u32 = 0o170_000;

fn gfid(number: usize) -> Gfid {
    match number {
        0 => Gfid::ROOT,
        7 => Gfid::NONE,
        n => Gfid::v4([n as u8; 16]),
    }
}

fn name(number: usize) -> Vec<u8> {
    match number {
        0..=3 => vec![b'a' + number as u8],
        4 => vec![b'n'; 255],
        5 => vec![b'n'; 256],
        6 => b".".into(),
        7 => b"..".into(),
        8 => b"".into(),
        9 => b"x/y".into(),
        10 => b".glusterfs".into(),
        11 => b"nul\0".into(),
        _ => "ünïcode".into(),
    }
}

fn xattr(number: usize) -> String {
    let names = [
        "user.a",
        "user.b",
        "trusted.a",
        "trusted.b",
        "security.a",
        "trusted.afr.v-client-0",
        "trusted.afr.dirty",
        "trusted.gfid",
        "trusted.glusterfs.mdata",
        "trusted.glusterfs.volume-id",
        "trusted.gfid2path.0123456789abcdef",
        "user.brickwire.trusted.a",
        "nonsense.a",
        "glusterfs.gfid",
        "glusterfs.gfid.string",
        "glusterfs.gfid2path",
        "trusted.glusterfs.pathinfo",
        "glusterfs.xattrop_index_count",
        "glusterfs.xattrop_index_gfid",
        "user.",
        "",
        "dht-word",
    ];
    match number {
        22 => format!("user.{}", "l".repeat(250)),
        23 => format!("user.{}", "l".repeat(251)),
        n => names[n].into(),
    }
}

/// What is asked for besides.
fn keys(number: usize) -> &'static [(&'static str, Value<'static>)] {
    const ANY: Value<'static> = Value::Int(0);
    match number {
        1 => &[("user.a", ANY), ("trusted.a", ANY)],
        2 => &[("trusted.gfid", ANY), ("trusted.glusterfs.mdata", ANY), ("user.b", ANY)],
        3 => &[("list-xattr", ANY)],
        4 => &[("glusterfs.content", Value::Uint(8192))],
        5 => &[("link-count", ANY), ("trusted.afr.v-client-0", ANY)],
        6 => &[
            ("nonsense.a", ANY),
            ("user.brickwire.trusted.a", ANY),
            ("trusted.gfid2path.0123456789abcdef", ANY),
        ],
        _ => &[],
    }
}

/// An open file.
#[derive(Clone, Copy)]
struct Slot {
    handle: HandleId,
    gfid: Gfid,
}

/// A program that runs.
pub(crate) struct Rig {
    dir: tempfile::TempDir,
    brick: Brick,
    memory: MemoryStorage<'static>,
    space: XattrNamespace,
    timed: bool,
    /// Was FALLOCATE called?
    reserved: bool,
    slots: [Option<Slot>; SLOTS],
    handles: i64,
    now: u64,
}

/// What they do not agree about.
pub(crate) struct Difference {
    /// Steps until then.
    pub(crate) steps: usize,
    pub(crate) text: String,
}

/// In memory, where a brick is made a hundred times faster; or where `BRICKWIRE_ALIKE` says.
fn directory() -> tempfile::TempDir {
    let wanted = std::env::var("BRICKWIRE_ALIKE").unwrap_or_else(|_| "/dev/shm".into());
    tempfile::tempdir_in(wanted).or_else(|_| tempfile::tempdir()).expect("a directory")
}

/// What both are asked.
struct Ask<'a> {
    who: Cred<'a>,
    targets: [Target; 2],
    opens: Option<HandleId>,
    request: Request<'a>,
    payload: &'a [u8],
    /// By the way for what is open that needs no record, if there is one.
    fast: bool,
}

impl Rig {
    /// `None` for who may not have such a brick.
    pub(crate) fn new(space: XattrNamespace, timed: bool) -> Option<Self> {
        let root = rustix::process::geteuid().is_root();
        // Owners are not kept for who is not root.
        if !root {
            return None;
        }
        let dir = directory();
        let options = BrickOptions {
            volume_id: VOLUME,
            shared_by: 1,
            xattrs: space,
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
        Some(Self { dir, brick, memory, space, timed, reserved, slots, handles, now })
    }

    /// Runs a program, until they differ.
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

    /// The root has the file system's times until a client tells some.
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
        // What has none of the times has the file system's, which nobody can foretell.
        let times = if makes { 0x3f } else { step.times };
        cred.with_times(TimeFlags::from_bits(times), (self.now, 5))
    }

    fn on(&self, on: On) -> (Target, Gfid) {
        match on {
            On::Gfid(number) => (Target::Gfid, gfid(number)),
            On::Open(slot) => match self.slots[slot] {
                Some(Slot { handle, gfid }) => (Target::Open(handle), gfid),
                // The anonymous fd.
                None => (Target::Gfid, gfid(slot + 1)),
            },
        }
    }

    /// The gfid of something new. Clients draw them: it is nothing's that is still open.
    fn new_gfid(&self, number: usize) -> Option<Value<'static>> {
        let gfid = gfid(number);
        let open = self.slots.iter().flatten().any(|slot| slot.gfid == gfid);
        (!open).then_some(Value::Gfuuid(gfid))
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        let cred = self.cred(step);
        let mut pairs = Vec::new();
        let none = Dict::Null;
        let asked = |number: usize, pairs: &mut Vec<Pair<'static>>| {
            pairs.extend(
                keys(number).iter().map(|(key, value)| Pair { key: key.as_bytes(), value: *value }),
            );
        };
        match step.op {
            Op::Lookup { at, keys, .. } => {
                asked(keys, &mut pairs);
                let (pargfid, bname) = at_place(at);
                let xdata = Dict::Pairs(&pairs);
                let r = Lookup { gfid: Gfid::NONE, pargfid, flags: 0, bname: &bname, xdata };
                self.ask(cred, Request::Lookup(r))
            }
            Op::LookupGfid { gfid: number, keys } => {
                asked(keys, &mut pairs);
                let xdata = Dict::Pairs(&pairs);
                let r =
                    Lookup { gfid: gfid(number), pargfid: Gfid::NONE, flags: 0, bname: b"", xdata };
                self.ask(cred, Request::Lookup(r))
            }
            Op::Stat { on, keys } => {
                asked(keys, &mut pairs);
                let xdata = Dict::Pairs(&pairs);
                match self.on(on) {
                    (Target::Gfid, gfid) => self.ask(cred, Request::Stat(Stat { gfid, xdata })),
                    (target, gfid) => {
                        self.ask_on(cred, target, Request::Fstat(Fstat { gfid, fd: 0, xdata }))
                    }
                }
            }
            Op::Access { gfid: number, mask } => {
                self.ask(cred, Request::Access(Access { gfid: gfid(number), mask, xdata: none }))
            }
            Op::Mknod { at, gfid: number, mode, umask, internal } => {
                let Some(new) = self.new_gfid(number) else { return Ok(()) };
                if self.space == XattrNamespace::User
                    && !matches!(mode & SPECIAL, 0 | 0o100_000 | 0o040_000)
                {
                    return Ok(());
                }
                pairs.push(Pair { key: b"gfid-req", value: new });
                if internal {
                    pairs.push(Pair { key: b"glusterfs-internal-fop", value: Value::Str(b"yes") });
                }
                let (pargfid, bname) = at_place(at);
                // 1:3, as glibc packs it.
                let dev = 0x103;
                let xdata = Dict::Pairs(&pairs);
                self.ask(
                    cred,
                    Request::Mknod(Mknod { pargfid, dev, mode, umask, bname: &bname, xdata }),
                )
            }
            Op::Mkdir { at, gfid: number, mode, xattr: key } => {
                let Some(new) = self.new_gfid(number) else { return Ok(()) };
                let key = xattr(key);
                let xdata = [
                    Pair { key: b"gfid-req", value: new },
                    Pair { key: key.as_bytes(), value: Value::Ptr(b"born") },
                ];
                let (pargfid, bname) = at_place(at);
                let xdata = Dict::Pairs(&xdata);
                self.ask(
                    cred,
                    Request::Mkdir(Mkdir { pargfid, mode, umask: 0o022, bname: &bname, xdata }),
                )
            }
            Op::Symlink { at, gfid: number, target } => {
                let Some(new) = self.new_gfid(number) else { return Ok(()) };
                if self.space == XattrNamespace::User {
                    return Ok(());
                }
                pairs.push(Pair { key: b"gfid-req", value: new });
                let (pargfid, bname) = at_place(at);
                let long = [b'x'; 4096];
                let linkname: &[u8] = [&b"a/target"[..], b"", &long[..4095], &long][target];
                let xdata = Dict::Pairs(&pairs);
                self.ask(
                    cred,
                    Request::Symlink(Symlink { pargfid, bname: &bname, umask: 0, linkname, xdata }),
                )
            }
            Op::Create { at, gfid: number, flags, mode, xattr: key, slot } => {
                let Some(new) = self.new_gfid(number) else { return Ok(()) };
                let key = xattr(key);
                let xdata = [
                    Pair { key: b"gfid-req", value: new },
                    Pair { key: key.as_bytes(), value: Value::Ptr(b"born") },
                ];
                let (pargfid, bname) = at_place(at);
                let xdata = Dict::Pairs(&xdata);
                let r = Create { pargfid, flags, mode, umask: 0o022, bname: &bname, xdata };
                self.open(cred, slot, Request::Create(r))
            }
            Op::Link { gfid: number, at } => {
                let (newgfid, newbname) = at_place(at);
                let r = Link { oldgfid: gfid(number), newgfid, newbname: &newbname, xdata: none };
                self.ask(cred, Request::Link(r))
            }
            Op::Unlink { at } => {
                let (pargfid, bname) = at_place(at);
                self.ask(
                    cred,
                    Request::Unlink(Unlink { pargfid, bname: &bname, xflags: 0, xdata: none }),
                )
            }
            Op::Rmdir { at, all } => {
                let (pargfid, bname) = at_place(at);
                let r = Rmdir { pargfid, xflags: i32::from(all), bname: &bname, xdata: none };
                self.ask(cred, Request::Rmdir(r))
            }
            Op::Rename { from, to } => {
                let ((oldgfid, oldbname), (newgfid, newbname)) = (at_place(from), at_place(to));
                let r = Rename {
                    oldgfid,
                    newgfid,
                    oldbname: &oldbname,
                    newbname: &newbname,
                    xdata: none,
                };
                self.ask(cred, Request::Rename(r))
            }
            Op::Open { gfid: number, flags, slot } => self.open(
                cred,
                slot,
                Request::Open(Open { gfid: gfid(number), flags, xdata: none }),
            ),
            Op::Opendir { gfid: number, slot } => {
                self.open(cred, slot, Request::Opendir(Opendir { gfid: gfid(number), xdata: none }))
            }
            Op::Close { slot } => {
                self.close(slot);
                Ok(())
            }
            Op::Read { on, offset, size, fast } => {
                let (target, gfid) = self.on(on);
                let r = Read { gfid, fd: 0, offset, size, flag: 0, xdata: none };
                self.both(Ask { fast, ..Ask::of(cred, target, Request::Read(r)) }).map(|_| ())
            }
            Op::Write { on, offset, len, byte, fast } => {
                let (target, gfid) = self.on(on);
                let payload = vec![byte; len];
                if !fast {
                    pairs.push(Pair { key: b"glusterfs.write-is-append", value: Value::Int(1) });
                }
                let xdata = Dict::Pairs(&pairs);
                let r = Write { gfid, fd: 0, offset, size: len as u32, flag: 0, xdata };
                let ask = Ask::of(cred, target, Request::Write(r));
                self.both(Ask { fast, payload: &payload, ..ask }).map(|_| ())
            }
            Op::Truncate { on, size: offset } => match self.on(on) {
                (Target::Gfid, gfid) => {
                    self.ask(cred, Request::Truncate(Truncate { gfid, offset, xdata: none }))
                }
                (target, gfid) => self.ask_on(
                    cred,
                    target,
                    Request::Ftruncate(Ftruncate { gfid, fd: 0, offset, xdata: none }),
                ),
            },
            Op::Fallocate { on, flags, offset, size } => {
                self.reserved = true;
                let (target, gfid) = self.on(on);
                let r = Fallocate { gfid, fd: 0, flags, offset, size, xdata: none };
                self.ask_on(cred, target, Request::Fallocate(r))
            }
            Op::Discard { on, offset, size } => {
                let (target, gfid) = self.on(on);
                self.ask_on(
                    cred,
                    target,
                    Request::Discard(Discard { gfid, fd: 0, offset, size, xdata: none }),
                )
            }
            Op::Zerofill { on, offset, size } => {
                let (target, gfid) = self.on(on);
                self.ask_on(
                    cred,
                    target,
                    Request::Zerofill(Zerofill { gfid, fd: 0, offset, size, xdata: none }),
                )
            }
            Op::Seek { on, offset, what } => {
                // Whether room that was only reserved is data is the file system's affair.
                if self.reserved {
                    return Ok(());
                }
                let (target, gfid) = self.on(on);
                self.ask_on(
                    cred,
                    target,
                    Request::Seek(Seek { gfid, fd: 0, offset, what, xdata: none }),
                )
            }
            Op::Rchecksum { on, offset, len } => {
                let (target, gfid) = self.on(on);
                let r = Rchecksum { gfid, fd: 0, offset, len, flags: 0, xdata: none };
                self.ask_on(cred, target, Request::Rchecksum(r))
            }
            Op::Copy { from, to, off_in, off_out, size } => {
                let ((first, source), (second, destination)) = (self.on(from), self.on(to));
                let r = CopyFileRange {
                    source,
                    destination,
                    fd_in: 0,
                    fd_out: 0,
                    off_in,
                    off_out,
                    size,
                    flag: 0,
                    xdata: none,
                };
                let ask = Ask::of(cred, first, Request::CopyFileRange(r));
                self.both(Ask { targets: [first, second], ..ask }).map(|_| ())
            }
            Op::Fsync { on } => {
                let (target, gfid) = self.on(on);
                self.ask_on(
                    cred,
                    target,
                    Request::Fsync(Fsync { gfid, fd: 0, data: 1, xdata: none }),
                )
            }
            Op::Fsyncdir { on } => {
                let (target, gfid) = self.on(on);
                self.ask_on(
                    cred,
                    target,
                    Request::Fsyncdir(Fsyncdir { gfid, fd: 0, data: 0, xdata: none }),
                )
            }
            Op::Setattr { on, valid, mode, uid, gid, time } => {
                let stbuf = Iatt {
                    mode,
                    uid,
                    gid,
                    atime: time,
                    atime_nsec: 1,
                    mtime: time + 1,
                    mtime_nsec: 2,
                    ctime: time + 2,
                    ctime_nsec: 3,
                    ..Iatt::default()
                };
                match self.on(on) {
                    (Target::Gfid, gfid) => self
                        .ask(cred, Request::Setattr(Setattr { gfid, stbuf, valid, xdata: none })),
                    (target, gfid) => {
                        let r = Fsetattr { gfid, fd: 0, stbuf, valid, xdata: none };
                        self.ask_on(cred, target, Request::Fsetattr(r))
                    }
                }
            }
            Op::Readlink { gfid: number, size } => self
                .ask(cred, Request::Readlink(Readlink { gfid: gfid(number), size, xdata: none })),
            Op::Setxattr { on, xattr: key, len, flags } => {
                let (key, value) = (xattr(key), vec![len as u8; len]);
                let pair = [Pair { key: key.as_bytes(), value: Value::Ptr(&value) }];
                let dict = Dict::Pairs(&pair);
                match self.on(on) {
                    (Target::Gfid, gfid) => self
                        .ask(cred, Request::Setxattr(Setxattr { gfid, flags, dict, xdata: none })),
                    (target, gfid) => {
                        let r = Fsetxattr { gfid, fd: 0, flags, dict, xdata: none };
                        self.ask_on(cred, target, Request::Fsetxattr(r))
                    }
                }
            }
            Op::Getxattr { on, xattr: key } => {
                let key = xattr(key);
                let (name, namelen) = (key.as_bytes(), key.len() as u32);
                if self.has_more_names(on)
                    && matches!(name, b"glusterfs.gfid2path" | b"trusted.glusterfs.pathinfo")
                {
                    // Each of them is right.
                    return Ok(());
                }
                match self.on(on) {
                    (Target::Gfid, gfid) => self.ask(
                        cred,
                        Request::Getxattr(Getxattr { gfid, namelen, name, xdata: none }),
                    ),
                    (target, gfid) => {
                        let r = Fgetxattr { gfid, fd: 0, namelen, name, xdata: none };
                        self.ask_on(cred, target, Request::Fgetxattr(r))
                    }
                }
            }
            Op::Removexattr { on, xattr: key } => {
                let key = xattr(key);
                self.remove(cred, on, key.as_bytes(), none)
            }
            Op::RemoveMany { on, keys } => {
                asked(keys, &mut pairs);
                self.remove(cred, on, b"", Dict::Pairs(&pairs))
            }
            Op::Xattrop { on, xattr: key, op, by, words } => {
                let key = xattr(key);
                let by = [0, 1, u32::MAX][by].to_be_bytes().repeat(words);
                let pair = [Pair { key: key.as_bytes(), value: Value::Ptr(&by) }];
                let dict = Dict::Pairs(&pair);
                match self.on(on) {
                    (Target::Gfid, gfid) => self.ask(
                        cred,
                        Request::Xattrop(Xattrop { gfid, flags: op, dict, xdata: none }),
                    ),
                    (target, gfid) => {
                        let r = Fxattrop { gfid, fd: 0, flags: op, dict, xdata: none };
                        self.ask_on(cred, target, Request::Fxattrop(r))
                    }
                }
            }
            Op::List { on, size, plus, keys } => {
                asked(keys, &mut pairs);
                let (target, gfid) = self.on(on);
                self.list(cred, target, gfid, size, plus.then_some(Dict::Pairs(&pairs)))
            }
        }
    }

    fn has_more_names(&mut self, on: On) -> bool {
        let gfid = self.on(on).1;
        let stat = Request::Stat(Stat { gfid, xdata: Dict::Null });
        let answer = self.of_memory(&Ask::of(Cred::v3(1, 0, 0), Target::Gfid, stat));
        answer.attrs.iter().any(|attrs| attrs.nlink > 1 && !attrs.is_dir())
    }

    fn remove(
        &mut self,
        cred: Cred<'_>,
        on: On,
        name: &[u8],
        xdata: Dict<'_>,
    ) -> Result<(), String> {
        match self.on(on) {
            (Target::Gfid, gfid) => {
                self.ask(cred, Request::Removexattr(Removexattr { gfid, name, xdata }))
            }
            (target, gfid) => {
                let r = Fremovexattr { gfid, fd: 0, name, xdata };
                self.ask_on(cred, target, Request::Fremovexattr(r))
            }
        }
    }

    fn close(&mut self, slot: usize) {
        if let Some(Slot { handle, .. }) = self.slots[slot].take() {
            self.memory.close(BrickIx(0), handle);
            self.brick.close(handle, false);
        }
    }

    /// OPEN, OPENDIR and CREATE.
    fn open(&mut self, cred: Cred<'_>, slot: usize, request: Request<'_>) -> Result<(), String> {
        self.close(slot);
        self.handles += 1;
        let handle = HandleId::from_wire(self.handles).expect("the number of a handle");
        let ask = Ask { opens: Some(handle), ..Ask::of(cred, Target::Gfid, request) };
        let answer = self.both(ask)?;
        if let Some(answer) = answer.filter(|answer| answer.ret >= 0) {
            let gfid = match request {
                Request::Open(r) => r.gfid,
                Request::Opendir(r) => r.gfid,
                _ => answer.attrs[0].gfid,
            };
            self.slots[slot] = Some(Slot { handle, gfid });
        }
        Ok(())
    }

    /// All pages of a directory: each has something in it, and what fits.
    fn list(
        &mut self,
        cred: Cred<'_>,
        target: Target,
        gfid: Gfid,
        size: u32,
        plus: Option<Dict<'_>>,
    ) -> Result<(), String> {
        let request = |offset| match plus {
            Some(xdata) => Request::Readdirp(Readdirp { gfid, fd: 0, offset, size, xdata }),
            None => Request::Readdir(Readdir { gfid, fd: 0, offset, size, xdata: Dict::Null }),
        };
        let mut all = |ask: &mut dyn FnMut(&mut Self, &Ask<'_>) -> Answer| {
            let mut whole = Answer::default();
            let mut offset = 0;
            // More than all names there are.
            for _ in 0..100 {
                let page = ask(self, &Ask::of(cred, target, request(offset)));
                if page.ret <= 0 {
                    whole.ret = page.ret.min(0);
                    // What READDIR says at the end is 2, or nothing.
                    whole.errno = if page.ret < 0 { page.errno } else { 0 };
                    return Ok(whole);
                }
                if page.page.bytes > size as usize && page.ret > 1 {
                    return Err(format!(
                        "{} bytes of entries, and {size} were asked for",
                        page.page.bytes
                    ));
                }
                let end = page.errno == 2;
                offset = page.page.last;
                for (name, entry) in page.entries {
                    if whole.entries.insert(name, entry).is_some() {
                        return Err("an entry comes on two pages".to_owned());
                    }
                }
                if end {
                    return Ok(whole);
                }
            }
            Err("a directory without an end".to_owned())
        };
        let disk = all(&mut |rig, ask| rig.of_disk(ask))?;
        let memory = all(&mut |rig, ask| rig.of_memory(ask))?;
        compare(&disk, &memory)
    }

    fn ask(&mut self, cred: Cred<'_>, request: Request<'_>) -> Result<(), String> {
        self.ask_on(cred, Target::Gfid, request)
    }

    fn ask_on(
        &mut self,
        cred: Cred<'_>,
        target: Target,
        request: Request<'_>,
    ) -> Result<(), String> {
        self.both(Ask::of(cred, target, request)).map(|_| ())
    }

    /// Asks both, and compares. `None`: it is no request that a server lets through.
    fn both(&mut self, ask: Ask<'_>) -> Result<Option<Answer>, String> {
        let Ok(request) = check_names(ask.request) else { return Ok(None) };
        let ask = Ask { request, ..ask };
        let (disk, memory) = (self.of_disk(&ask), self.of_memory(&ask));
        compare(&disk, &memory)?;
        Ok(Some(disk))
    }

    fn of_disk(&mut self, ask: &Ask<'_>) -> Answer {
        if let (true, Target::Open(handle)) = (ask.fast, ask.targets[0]) {
            let timed = self.timed;
            match &ask.request {
                Request::Read(r) => {
                    let mut room = vec![0; r.size as usize];
                    let outcome = self.brick.read(handle, &ask.who, r.offset, &mut room, false);
                    return match outcome.expect("it may wait") {
                        Ok(outcome) => Answer::read(
                            &room[..outcome.len as usize],
                            &outcome.stat,
                            outcome.eof,
                            timed,
                        ),
                        Err(errno) => Answer::failed(errno),
                    };
                }
                Request::Write(r) => {
                    let outcome = self.brick.write(handle, &ask.who, r.offset, ask.payload, false);
                    return match outcome.expect("it may wait") {
                        Ok(outcome) => {
                            Answer::wrote(outcome.len, &outcome.before, &outcome.after, timed)
                        }
                        Err(errno) => Answer::failed(errno),
                    };
                }
                _ => {}
            }
        }
        let mut reply = Vec::new();
        self.brick.execute(&ask.call(), ask.payload, &mut reply);
        let place = self.dir.path().to_string_lossy().into_owned();
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        answer(ask.request.number(), &reply, self.timed).placed(&place, &host)
    }

    fn of_memory(&mut self, ask: &Ask<'_>) -> Answer {
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
        answer(ask.request.number(), &room, self.timed).placed("memory-0", "memory")
    }
}

impl<'a> Ask<'a> {
    fn of(who: Cred<'a>, target: Target, request: Request<'a>) -> Self {
        let targets = [target, Target::Gfid];
        Self { who, targets, opens: None, request, payload: &[], fast: false }
    }

    fn call(&self) -> Call<'a> {
        Call {
            brick: BrickIx(0),
            cred: self.who,
            request: self.request,
            target: self.targets[0],
            second: self.targets[1],
            opens: self.opens,
            payload: Payload::Bytes(self.payload),
            counts: Counts::default(),
        }
    }
}

fn at_place((directory, number): Place) -> (Gfid, Vec<u8>) {
    (gfid(directory), name(number))
}

/// What differs, line by line.
fn compare(disk: &Answer, memory: &Answer) -> Result<(), String> {
    if disk == memory {
        return Ok(());
    }
    if (disk.ret < 0) != (memory.ret < 0) {
        let told = |of: &Answer| format!("{}, errno {}", of.ret, of.errno);
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
