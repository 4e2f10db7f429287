//! Encodes a fop as a call: its arguments, its credential, and the place of its payload.

use core::fmt::Write as _;

use super::super::context::Context;
use super::super::fop::{Attrs, Fop, InodeRef, LockCommand};
use super::super::node::NodeRef;
use super::super::replicate::changelog::Values;
use super::super::replicate::operands;
use super::super::xdata::{self, Texts, Xdata};
use super::{Client, fds};
use crate::boundary::Range;

use crate::fop::FopNumber;
use crate::fop::OpenFlags;
use crate::fop::wire;
use crate::id::{CallId, FileId, FrameId};
use crate::names::Name;
use crate::rpc::handshake::{Opaque, Setvolume};
use crate::rpc::transport::{CallError, NewCall, Purpose, TransportIx};
use crate::rpc::{Cred, Procedure, TimeFlags};
use crate::time::Instant;
use crate::xdr::{Dict, Encode, Errno, Flock, Gfid, Iatt, NoRoom, Writer};

/// The reason why a fop was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Call(CallError),
    /// The file is not open on this connection, for this reason.
    Fd(Errno),
}

/// Encodes the call of a frame and queues it on the connection.
pub(super) fn call(
    context: &mut Context<'_>,
    transport: TransportIx,
    lane: u8,
    id: FrameId,
) -> Result<CallId, Refused> {
    let Some(frame) = context.frames.table.get(id) else {
        return Err(Refused::Call(CallError::Closed));
    };
    let (node, fop) = (frame.node, frame.fop);
    let Some(client) = context.client(node) else { return Err(Refused::Call(CallError::Closed)) };
    let (filter_direct, sent_times) = (client.filter_direct, client.sent_times);
    let groups = if client.sends_groups { &context.groups[..] } else { &[] };
    let fd = fd_of(context, node, lane, &fop)?;
    let mut keys = Xdata::default();
    let volfile = context.volfiles.half(node.graph);
    let texts = Texts { nodes: &context.nodes, volfile, names: &context.names };
    xdata::gather(texts, node, &fop, &mut keys);
    if keys.overflowed() {
        return Err(Refused::Call(CallError::HeadTooLong));
    }
    let flags = times_of(&fop, sent_times);
    let caller = context.config.process_id.to_le_bytes();
    // A translator's own fops have no fd that the caller has opened.
    let internal = if fop.fd().is_some() { None } else { fop.owner() };
    let internal = internal.map(|owner| owner.0.to_le_bytes());
    let owner = internal.as_ref().map_or(&caller[..], |owner| &owner[..]);
    let cred = Cred::v3(
        context.config.process_id as i32,
        context.config.identity.uid,
        context.config.identity.gid,
    )
    .with_times(flags, context.wall.at(context.now))
    .with_groups(groups)
    .with_owner(owner);
    let (data, into, tail) = payload(&fop);
    let new = NewCall {
        purpose: Purpose::Frame(id),
        procedure: Procedure::fop(number(&fop, fd) as u32),
        cred,
        data,
        into,
        tail,
    };
    let above = context.nodes.get(node).and_then(|node| node.parent);
    let above = NodeRef { graph: node.graph, node: above.unwrap_or_default() };
    let args = Args { fop: &fop, fd, filter_direct, xdata: keys.dict(), texts, above };
    context.transports.call(transport, new, context.now, |w| args.encode(w)).map_err(Refused::Call)
}

/// The number of a fop's open file on this connection; `None` if the fop names the inode by its
/// gfid.
#[inline(always)]
fn fd_of(
    context: &Context<'_>,
    node: NodeRef,
    lane: u8,
    fop: &Fop,
) -> Result<Option<i64>, Refused> {
    let Some(fd) = fop.fd() else {
        let (file, without) = match *fop {
            Fop::InodeLock { on, .. } | Fop::Changelog { on, .. } => (on.file, None),
            Fop::SyncBatch { on, .. } => (on.file, Some(ANONYMOUS_FD)),
            _ => return Ok(None),
        };
        let number = file.and_then(|file| fds::number(context, file, node, lane).ok());
        return Ok(number.or(without));
    };
    match fds::number(context, fd.file, node, lane) {
        Ok(number) => Ok(Some(number)),
        Err(errno) => without_fd(context, node, fop, fd.file, errno),
    }
}

/// The fd for a file that is not open on this connection. A brick of a replica set that was away
/// when the file was opened is asked all the same: the others would accuse it otherwise.
#[cold]
fn without_fd(
    context: &Context<'_>,
    node: NodeRef,
    fop: &Fop,
    file: FileId,
    errno: Errno,
) -> Result<Option<i64>, Refused> {
    let replicated = context.nodes.get(node).is_some_and(|node| node.pending_key.len > 0);
    let file = context.files.get(file);
    let appends = file.is_none_or(|file| file.dir || file.flags.has(OpenFlags::APPEND));
    if !replicated || appends || matches!(fop, Fop::Flush { .. }) {
        return Err(Refused::Fd(errno));
    }
    Ok(Some(ANONYMOUS_FD))
}

/// The number of an fd that stands for any: the brick opens the file for this call.
const ANONYMOUS_FD: i64 = -2;

/// The number of the fop on the wire.
fn number(fop: &Fop, fd: Option<i64>) -> FopNumber {
    match (fop.number(), fd) {
        (FopNumber::Inodelk, Some(_)) => FopNumber::Finodelk,
        (FopNumber::Xattrop, Some(_)) => FopNumber::Fxattrop,
        (number, _) => number,
    }
}

/// The payload of a call, the place of its reply's payload, and the bytes that follow the payload
/// in the record.
fn payload(fop: &Fop) -> (Option<Range>, Option<Range>, &'static [u8]) {
    /// Padding to a multiple of four and a NULL dict: what follows an xattr's value in SETXATTR.
    const TAIL: [u8; 15] = [0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
    match *fop {
        Fop::Write { data, .. } => (Some(data), None, &[]),
        // An arbiter counts a byte of any value.
        Fop::WriteWitness { .. } => (None, None, &[0xff]),
        Fop::Read { into, .. } => (None, Some(into), &[]),
        Fop::SetXattr { value, .. } => {
            let pad = (4 - value.len as usize % 4) % 4;
            (Some(value), None, TAIL.get(3 - pad..).unwrap_or_default())
        }
        _ => (None, None, &[]),
    }
}

/// The timestamps that calls name in their credential, by the `features/utime` above a brick
/// (docs/spec/30-client-stack.md, "features/utime").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SentTimes {
    /// None: the volume has no such translator.
    #[default]
    None,
    /// The times of changes: `noatime on`, the default.
    Changes,
    /// The times of changes, and the access time of reads and opens: `noatime off`.
    WithAccess,
}

impl SentTimes {
    /// By the translator's option `noatime`.
    pub(crate) fn of(noatime: bool) -> Self {
        if noatime { Self::Changes } else { Self::WithAccess }
    }
}

/// The timestamps that a fop sets (docs/spec/01-wire.md, "Timestamps and the v3 flags/ctime").
fn times_of(fop: &Fop, sent: SentTimes) -> TimeFlags {
    if sent == SentTimes::None {
        return TimeFlags::NONE;
    }
    TimeFlags::from_bits(match fop {
        Fop::Open { .. } | Fop::OpenDir { .. } | Fop::Read { .. }
            if sent == SentTimes::WithAccess =>
        {
            0x04
        }
        Fop::Create { .. } | Fop::Mkdir { .. } | Fop::Symlink { .. } => 0x1f,
        Fop::Link { .. } | Fop::Unlink { .. } | Fop::Rename { .. } | Fop::Rmdir { .. } => 0x19,
        Fop::Write { .. }
        | Fop::WriteWitness { .. }
        | Fop::Truncate { .. }
        | Fop::Ftruncate { .. } => 0x03,
        Fop::Fallocate { .. } | Fop::Zerofill { .. } => 0x06,
        Fop::SetXattr { .. } | Fop::RemoveXattr { .. } => 0x01,
        Fop::SetAttr { attrs, .. } => u32::from(attrs.valid & 0x7 != 0),
        _ => 0,
    })
}

/// A fop, and the values that its encoding needs.
struct Args<'a, 'm> {
    fop: &'a Fop,
    fd: Option<i64>,
    filter_direct: bool,
    xdata: Dict<'a>,
    texts: Texts<'a, 'm>,
    /// The translator above the brick.
    above: NodeRef,
}

impl Args<'_, '_> {
    fn name(&self, name: Name) -> &[u8] {
        self.texts.names.get(name)
    }

    fn flags(&self, flags: OpenFlags) -> u32 {
        if self.filter_direct { flags.without(OpenFlags::DIRECT).0 } else { flags.0 }
    }

    fn encode(&self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
        let (xdata, fd) = (self.xdata, self.fd.unwrap_or(0));
        match *self.fop {
            Fop::Read { fd: f, offset, into } => {
                wire::Read { gfid: f.gfid, fd, offset, size: into.len, flag: 0, xdata }.encode(w)
            }
            Fop::Write { fd: f, offset, data } => {
                wire::Write { gfid: f.gfid, fd, offset, size: data.len, flag: 0, xdata }.encode(w)
            }
            Fop::Lookup { at, .. } => {
                let bname = self.name(at.name);
                wire::Lookup { gfid: Gfid::NONE, pargfid: at.parent, flags: 0, bname, xdata }
                    .encode(w)
            }
            Fop::LookupGfid { gfid } => {
                wire::Lookup { gfid, pargfid: Gfid::NONE, flags: 0, bname: b"", xdata }.encode(w)
            }
            Fop::SetAttr { gfid, attrs } => {
                let stbuf = iatt_of(&attrs);
                wire::Setattr { gfid, stbuf, valid: attrs.valid as i32, xdata }.encode(w)
            }
            Fop::Readlink { gfid } => wire::Readlink { gfid, size: 4096, xdata }.encode(w),
            Fop::Mkdir { at, mode, .. } => {
                let bname = self.name(at.name);
                wire::Mkdir { pargfid: at.parent, mode, umask: 0, bname, xdata }.encode(w)
            }
            Fop::Rmdir { at } => {
                wire::Rmdir { pargfid: at.parent, xflags: 0, bname: self.name(at.name), xdata }
                    .encode(w)
            }
            Fop::Unlink { at } => {
                wire::Unlink { pargfid: at.parent, bname: self.name(at.name), xflags: 0, xdata }
                    .encode(w)
            }
            Fop::Symlink { at, target, .. } => {
                let (bname, linkname) = (self.name(at.name), self.name(target));
                wire::Symlink { pargfid: at.parent, bname, umask: 0, linkname, xdata }.encode(w)
            }
            Fop::Rename { from, to } => {
                let (oldbname, newbname) = (self.name(from.name), self.name(to.name));
                wire::Rename { oldgfid: from.parent, newgfid: to.parent, oldbname, newbname, xdata }
                    .encode(w)
            }
            Fop::Link { gfid, to } => {
                let newbname = self.name(to.name);
                wire::Link { oldgfid: gfid, newgfid: to.parent, newbname, xdata }.encode(w)
            }
            Fop::Truncate { gfid, size } => wire::Truncate { gfid, offset: size, xdata }.encode(w),
            Fop::Open { fd: f, flags } => {
                wire::Open { gfid: f.gfid, flags: self.flags(flags), xdata }.encode(w)
            }
            Fop::OpenDir { fd: f } => wire::Opendir { gfid: f.gfid, xdata }.encode(w),
            Fop::Create { at, flags, mode, .. } => {
                let (flags, bname) = (self.flags(flags), self.name(at.name));
                wire::Create { pargfid: at.parent, flags, mode, umask: 0, bname, xdata }.encode(w)
            }
            Fop::Flush { fd: f } => wire::Flush { gfid: f.gfid, fd, xdata }.encode(w),
            Fop::Fsync { fd: f, data_only, .. } => {
                wire::Fsync { gfid: f.gfid, fd, data: u32::from(data_only), xdata }.encode(w)
            }
            Fop::Ftruncate { fd: f, size } => {
                wire::Ftruncate { gfid: f.gfid, fd, offset: size, xdata }.encode(w)
            }
            Fop::Discard { fd: f, offset, len } => {
                wire::Discard { gfid: f.gfid, fd, offset, size: len, xdata }.encode(w)
            }
            Fop::Zerofill { fd: f, offset, len } => {
                wire::Zerofill { gfid: f.gfid, fd, offset, size: len, xdata }.encode(w)
            }
            Fop::Fallocate { fd: f, offset, len, keep_size } => wire::Fallocate {
                gfid: f.gfid,
                fd,
                flags: u32::from(keep_size),
                offset,
                size: len,
                xdata,
            }
            .encode(w),
            Fop::Fstat { fd: f } => wire::Fstat { gfid: f.gfid, fd, xdata }.encode(w),
            Fop::Seek { fd: f, offset, hole } => {
                wire::Seek { gfid: f.gfid, fd, offset, what: i32::from(hole), xdata }.encode(w)
            }
            Fop::Readdirp { fd: f, offset, size } => {
                wire::Readdirp { gfid: f.gfid, fd, offset, size, xdata }.encode(w)
            }
            Fop::Statfs { gfid } => wire::Statfs { gfid, xdata }.encode(w),
            Fop::GetXattr { gfid, name } => {
                let text = name.map_or(&b""[..], |name| self.name(name));
                wire::Getxattr { gfid, namelen: u32::from(name.is_some()), name: text, xdata }
                    .encode(w)
            }
            Fop::SetXattr { gfid, name, value, flags } => {
                self.set_xattr(w, gfid, name, value, flags)
            }
            Fop::RemoveXattr { gfid, name } => {
                wire::Removexattr { gfid, name: self.name(name), xdata }.encode(w)
            }
            Fop::WriteWitness { fd: f, offset } => {
                wire::Write { gfid: f.gfid, fd, offset, size: 1, flag: 0, xdata }.encode(w)
            }
            Fop::SyncBatch { on, .. } => {
                wire::Fsync { gfid: on.gfid, fd, data: 1, xdata }.encode(w)
            }
            Fop::InodeLock { .. } | Fop::EntryLock { .. } | Fop::Changelog { .. } => {
                self.transaction(w)
            }
        }
    }

    /// Encodes a lock, or a change of counters (docs/spec/10-replicate.md, "Terms").
    // Not inlined: its operands would be on the stack of every call.
    #[inline(never)]
    fn transaction(&self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
        let (xdata, texts) = (self.xdata, self.texts);
        // The domain of a translator's locks is its name.
        let above = texts.nodes.get(self.above);
        let volume = above.map(|node| node.name.of(texts.volfile)).unwrap_or_default();
        match *self.fop {
            Fop::InodeLock { on: InodeRef { gfid, .. }, start, command, .. } => {
                let (cmd, kind) = match command {
                    LockCommand::Try => (1, 1),
                    LockCommand::Wait => (2, 1),
                    LockCommand::Release => (1, 2),
                };
                let flock = Flock { kind, start, ..Flock::default() };
                match self.fd {
                    Some(fd) => {
                        wire::Finodelk { gfid, fd, cmd, kind, flock, volume, xdata }.encode(w)
                    }
                    None => wire::Inodelk { gfid, cmd, kind, flock, volume, xdata }.encode(w),
                }
            }
            Fop::EntryLock { dir: gfid, name, command, .. } => {
                let cmd = match command {
                    LockCommand::Wait => 0,
                    LockCommand::Release => 1,
                    LockCommand::Try => 2,
                };
                let (namelen, name) = match name {
                    Some(name) => (1, self.name(name)),
                    None => (0, &b""[..]),
                };
                wire::Entrylk { gfid, cmd, kind: 1, namelen, name, volume, xdata }.encode(w)
            }
            Fop::Changelog { on: InodeRef { gfid, .. }, delta, .. } => {
                let values = Values::of(&delta);
                let pairs = operands(texts.nodes, self.above, texts.volfile, &delta, &values);
                let dict = Dict::Pairs(&pairs);
                match self.fd {
                    Some(fd) => wire::Fxattrop { gfid, fd, flags: 0, dict, xdata }.encode(w),
                    None => wire::Xattrop { gfid, flags: 0, dict, xdata }.encode(w),
                }
            }
            _ => Ok(()),
        }
    }

    /// Encodes SETXATTR up to its value. The value is payload and is sent from the caller's buffer;
    /// the size of the dictionary includes it.
    fn set_xattr(
        &self,
        w: &mut Writer<'_>,
        gfid: Gfid,
        name: Name,
        value: Range,
        flags: u32,
    ) -> Result<(), NoRoom> {
        let name = self.name(name);
        let key_len = name.len() + 1;
        let padded = |len: usize| len.div_ceil(4) * 4;
        let pair = 4 + padded(key_len) + 4 + 4 + padded(value.len as usize);
        w.fixed(&gfid.0)?;
        w.u32(flags)?;
        w.u32(pair as u32)?;
        w.u32(1)?;
        w.u32(1)?;
        w.u32(key_len as u32)?;
        w.raw(name)?;
        w.raw([0; 4].get(..padded(key_len) - name.len()).unwrap_or_default())?;
        // The value is raw bytes: PTR.
        w.u32(6)?;
        w.u32(value.len)
    }
}

fn iatt_of(attrs: &Attrs) -> Iatt {
    Iatt {
        mode: attrs.mode,
        uid: attrs.uid,
        gid: attrs.gid,
        atime: attrs.atime.0,
        atime_nsec: attrs.atime.1,
        mtime: attrs.mtime.0,
        mtime_nsec: attrs.mtime.1,
        ..Iatt::default()
    }
}

/// Sends SETVOLUME: it names the brick and this client (docs/spec/01-wire.md, "SETVOLUME").
pub(super) fn set_volume(
    context: &mut Context<'_>,
    at: NodeRef,
    client: &Client,
    transport: TransportIx,
    lane: u8,
    count: u32,
    now: Instant,
) -> Result<(), CallError> {
    let mut uuid: heapless::String<512> = heapless::String::new();
    let text = context.volfiles.half(at.graph);
    let name = context.nodes.get(at).map(|node| node.name.of(text)).unwrap_or_default();
    let name = core::str::from_utf8(name).unwrap_or("client");
    // Unique for each connection, because locks and fds belong to it.
    let written = write!(
        uuid,
        "CTX_ID:{}-GRAPH_ID:{}-PID:{}-HOST:{}-PC_NAME:{}-LANE:{}-RECON_NO:-{}",
        context.ctx_id,
        context.serials[usize::from(at.graph & 1)],
        context.config.process_id,
        context.config.host_name,
        name,
        lane,
        count
    );
    if written.is_err() {
        return Err(CallError::HeadTooLong);
    }
    let subvolume = client.subvolume.of(text);
    let pairs = [
        ("remote-subvolume", Some(subvolume)),
        ("process-uuid", Some(uuid.as_bytes())),
        ("process-name", Some(context.config.process_name.as_bytes())),
        ("fops-version", Some(&b"1298437"[..])),
        ("client-version", Some(crate::config::CLIENT_VERSION.as_bytes())),
        ("volfile-key", Some(context.config.volume.as_bytes())),
        ("volfile-checksum", Some(&b"0"[..])),
        ("clnt-lk-version", Some(&b"1"[..])),
        ("opversion", Some(&b"100000"[..])),
        ("volume-id", Some(&context.volume_id[..]).filter(|id| !id.is_empty())),
        ("username", client.username.map(|span| span.of(text))),
        ("password", client.password.map(|span| span.of(text))),
    ];
    // The brick has named the fop program, so its credential with timestamps may be used from now
    // on.
    let new = NewCall::plain(Purpose::Step, Procedure::SETVOLUME, Cred::v3(0, 0, 0));
    let request = Setvolume { dict: Opaque::Texts(&pairs) };
    context.transports.call(transport, new, now, |w| request.encode(w)).map(|_| ())
}
