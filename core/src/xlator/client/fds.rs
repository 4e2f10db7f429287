//! Remote fds: which number an open file has on which connection of which brick, and since which epoch of it.
//!
//! A number means something on the connection that it was given on, and there only until that connection ends: a
//! brick that was restarted hands the same small numbers out again for other files
//! (docs/spec/01-wire.md, "Disconnect and reconnect"). So each entry
//! carries its connection's epoch, and a number of an older one is never sent.

use super::super::context::Context;
use super::super::node::NodeRef;

use crate::fop::FopNumber;
use crate::fop::OpenFlags;
use crate::fop::wire;
use crate::id::{FdId, FileId};
use crate::rpc::transport::{CallError, NewCall, Owner, Purpose, TransportIx};
use crate::rpc::{Cred, Procedure};
use crate::xdr::{Dict, Encode, Errno};

/// Where a remote fd stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum FdState {
    /// To be opened (again) on the connection as it is now.
    Wanted,
    /// OPEN is on its way.
    Opening,
    /// The number is good, in the entry's epoch.
    Open,
    /// The brick refused to open it again.
    Failed(Errno),
    /// The file is closed; RELEASE is to be sent.
    Releasing,
}

/// One open file on one connection.
#[derive(Clone, Copy, Debug)]
pub struct RemoteFd {
    pub(crate) file: FileId,
    pub(crate) node: NodeRef,
    pub(crate) lane: u8,
    pub(crate) state: FdState,
    pub(crate) number: i64,
    pub(crate) epoch: u32,
    pub(crate) flags: OpenFlags,
    pub(crate) dir: bool,
    /// The next entry of the same file.
    pub(crate) next: Option<FdId>,
}

/// A number that a brick has just given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opened {
    pub(crate) file: FileId,
    pub(crate) node: NodeRef,
    pub(crate) lane: u8,
    pub(crate) number: i64,
    pub(crate) flags: OpenFlags,
    pub(crate) dir: bool,
}

/// Remembers a number. `false` if the table is full or the file is gone.
pub(crate) fn register(context: &mut Context<'_>, opened: Opened) -> bool {
    let Some(epoch) = context
        .client(opened.node)
        .and_then(|c| c.lanes.get(usize::from(opened.lane)))
        .map(|l| l.epoch)
    else {
        return false;
    };
    let Some(file) = context.files.get(opened.file) else { return false };
    let entry = RemoteFd {
        file: opened.file,
        node: opened.node,
        lane: opened.lane,
        state: FdState::Open,
        number: opened.number,
        epoch,
        flags: opened.flags,
        dir: opened.dir,
        next: file.first_fd,
    };
    let Some(id) = context.fds.insert(entry) else { return false };
    if let Some(file) = context.files.get_mut(opened.file) {
        file.first_fd = Some(id);
    }
    true
}

/// The entry of a file on a connection.
fn find(context: &Context<'_>, file: FileId, node: NodeRef, lane: u8) -> Option<(FdId, RemoteFd)> {
    let mut next = context.files.get(file)?.first_fd;
    while let Some(id) = next {
        let fd = context.fds.get(id)?;
        if fd.node == node && fd.lane == lane {
            return Some((id, *fd));
        }
        next = fd.next;
    }
    None
}

fn epoch(context: &Context<'_>, node: NodeRef, lane: u8) -> Option<u32> {
    Some(context.client(node)?.lanes.get(usize::from(lane))?.epoch)
}

pub(super) fn is_open(context: &Context<'_>, file: FileId, node: NodeRef, lane: u8) -> bool {
    find(context, file, node, lane).is_some_and(|(_, fd)| {
        fd.state == FdState::Open && Some(fd.epoch) == epoch(context, node, lane)
    })
}

/// The number to send for a file, or the errno that it is refused with.
pub(super) fn number(
    context: &Context<'_>,
    file: FileId,
    node: NodeRef,
    lane: u8,
) -> Result<i64, Errno> {
    match find(context, file, node, lane) {
        Some((_, fd))
            if fd.state == FdState::Open && Some(fd.epoch) == epoch(context, node, lane) =>
        {
            Ok(fd.number)
        }
        Some((_, RemoteFd { state: FdState::Failed(errno), .. })) => Err(errno),
        _ => Err(Errno::EBADFD),
    }
}

/// Opens a file that is open on the first connection on a further one too; its reads use that from then on.
pub(super) fn open_on(context: &mut Context<'_>, file: FileId, node: NodeRef, lane: u8) {
    let id = match find(context, file, node, lane) {
        Some((id, fd)) if fd.state == FdState::Wanted => id,
        Some(_) => return,
        None => {
            let Some((_, first)) = find(context, file, node, 0) else { return };
            let Some(flags) = context.files.get(file).map(|file| file.flags) else { return };
            // A further connection must not take the places that opening on the first one needs, on the next graph too.
            let (open, places) = (context.files.len(), 2 * context.files.capacity());
            if context.fds.capacity() - context.fds.len() <= places.saturating_sub(open) {
                return;
            }
            let number = first.number;
            if !register(context, Opened { file, node, lane, number, flags, dir: first.dir }) {
                return;
            }
            let Some((id, _)) = find(context, file, node, lane) else { return };
            id
        }
    };
    if let Some(fd) = context.fds.get_mut(id) {
        fd.state = FdState::Wanted;
    }
    let _ = reopen(context, id);
}

/// Sends OPEN or OPENDIR for an entry: flags as at first, but nothing that creates or truncates
/// (docs/spec/01-wire.md, "Disconnect and reconnect").
pub(super) fn reopen(context: &mut Context<'_>, id: FdId) -> Result<(), CallError> {
    let Some(fd) = context.fds.get(id).copied() else { return Ok(()) };
    let Some(gfid) = context.files.get(fd.file).map(|file| file.gfid) else { return Ok(()) };
    let Some(client) = context.client(fd.node).copied() else { return Ok(()) };
    let Some(transport) = client.lanes.get(usize::from(fd.lane)).and_then(|lane| lane.transport)
    else {
        return Err(CallError::Closed);
    };
    let cred = Cred::housekeeping();
    let procedure = |number| Procedure::fop(number);
    let now = context.now;
    let sent = if fd.dir {
        let new = NewCall::plain(Purpose::Reopen(id), procedure(FopNumber::Opendir as u32), cred);
        context
            .transports
            .call(transport, new, now, |w| wire::Opendir { gfid, xdata: Dict::Null }.encode(w))
    } else {
        let mut flags = fd
            .flags
            .without(OpenFlags::CREATE)
            .without(OpenFlags::EXCLUSIVE)
            .without(OpenFlags::TRUNCATE);
        if client.filter_direct {
            flags = flags.without(OpenFlags::DIRECT);
        }
        let new = NewCall::plain(Purpose::Reopen(id), procedure(FopNumber::Open as u32), cred);
        context.transports.call(transport, new, now, |w| {
            wire::Open { gfid, flags: flags.0, xdata: Dict::Null }.encode(w)
        })
    };
    sent?;
    context.arm_ping(transport);
    if let Some(fd) = context.fds.get_mut(id) {
        fd.state = FdState::Opening;
    }
    Ok(())
}

/// The file is closed: frees its numbers, at once or when the connections' windows have room.
pub(crate) fn release_fds(context: &mut Context<'_>, file: FileId) {
    let mut next = context.files.get_mut(file).and_then(|file| file.first_fd.take());
    while let Some(id) = next {
        let Some(fd) = context.fds.get_mut(id) else { return };
        next = fd.next.take();
        let (node, lane, open) = (fd.node, fd.lane, fd.state == FdState::Open);
        fd.state = FdState::Releasing;
        let current = Some(fd.epoch)
            == context.client(node).and_then(|c| c.lanes.get(usize::from(lane))).map(|l| l.epoch);
        if !(open && current) || release(context, id).is_ok() {
            context.fds.remove(id);
        } else {
            context.releasing += 1;
        }
    }
}

/// RELEASEs that had no room before.
pub(super) fn release_more(context: &mut Context<'_>, at: TransportIx) {
    if context.releasing == 0 {
        return;
    }
    let Some(Owner::Brick { graph, node, lane }) =
        context.transports.get(at).map(|transport| transport.owner)
    else {
        return;
    };
    let node = NodeRef { graph, node };
    let mut from = 0;
    while let Some(id) = context.fds.next_from(from) {
        from = id.slot() + 1;
        let Some(fd) = context.fds.get(id) else { continue };
        if fd.state != FdState::Releasing || fd.node != node || fd.lane != lane {
            continue;
        }
        if release(context, id).is_err() {
            return;
        }
        context.fds.remove(id);
        context.releasing -= 1;
    }
}

fn release(context: &mut Context<'_>, id: FdId) -> Result<(), CallError> {
    let Some(fd) = context.fds.get(id).copied() else { return Ok(()) };
    let gfid = context.files.get(fd.file).map(|file| file.gfid).unwrap_or_default();
    let transport =
        context.client(fd.node).and_then(|c| c.lanes.get(usize::from(fd.lane))?.transport);
    send_release(context, transport, gfid, fd.number, fd.dir)
}

fn send_release(
    context: &mut Context<'_>,
    transport: Option<TransportIx>,
    gfid: crate::xdr::Gfid,
    number: i64,
    dir: bool,
) -> Result<(), CallError> {
    // Without a connection there is nothing to free: the brick did that when the connection ended.
    let Some(transport) = transport.filter(|transport| context.transports.is_open(*transport))
    else {
        return Ok(());
    };
    let kind = if dir { FopNumber::Releasedir } else { FopNumber::Release };
    let new = NewCall::plain(Purpose::Release, Procedure::fop(kind as u32), Cred::housekeeping());
    let now = context.now;
    let call = context.transports.call(transport, new, now, |w| {
        wire::Release { gfid, fd: number, xdata: Dict::Null }.encode(w)
    });
    match call {
        Ok(_) => {
            context.arm_ping(transport);
            Ok(())
        }
        Err(CallError::Closed | CallError::HeadTooLong) => Ok(()),
        Err(full) => Err(full),
    }
}

/// Frees a number that nobody can use: its OPEN was given up, or there was no room to remember it. If the window is
/// full just now it stays open on the brick until the connection ends.
pub(crate) fn release_number(context: &mut Context<'_>, opened: Opened) {
    let transport =
        context.client(opened.node).and_then(|c| c.lanes.get(usize::from(opened.lane))?.transport);
    let gfid = context.files.get(opened.file).map(|file| file.gfid).unwrap_or_default();
    let _ = send_release(context, transport, gfid, opened.number, opened.dir);
}

/// The same for a number whose file nobody has opened in the end.
pub(crate) fn release_orphan(
    context: &mut Context<'_>,
    transport: TransportIx,
    number: i64,
    dir: bool,
) {
    let _ = send_release(context, Some(transport), crate::xdr::Gfid::NONE, number, dir);
}

/// The connection of `(node, lane)` is over: its numbers are void, and wanted again if their files are open.
pub(super) fn void(context: &mut Context<'_>, node: NodeRef, lane: u8) {
    let mut from = 0;
    while let Some(id) = context.fds.next_from(from) {
        from = id.slot() + 1;
        let Some(fd) = context.fds.get_mut(id) else { continue };
        if fd.node != node || fd.lane != lane {
            continue;
        }
        if fd.state == FdState::Releasing {
            context.fds.remove(id);
            context.releasing = context.releasing.saturating_sub(1);
        } else {
            fd.state = FdState::Wanted;
        }
    }
}

/// The graph goes: its numbers with it, out of every file's list.
pub(crate) fn forget_fds(context: &mut Context<'_>, graph: u8) {
    let mut from = 0;
    while let Some(file) = context.files.next_from(from) {
        from = file.slot() + 1;
        let mut next = context.files.get_mut(file).and_then(|file| file.first_fd.take());
        while let Some(id) = next {
            let Some(fd) = context.fds.get_mut(id) else { break };
            next = fd.next.take();
            if fd.node.graph == graph {
                context.fds.remove(id);
            } else if let Some(file) = context.files.get_mut(file) {
                fd.next = file.first_fd.replace(id);
            }
        }
    }
    let mut from = 0;
    while let Some(id) = context.fds.next_from(from) {
        from = id.slot() + 1;
        if context.fds.get(id).is_some_and(|fd| fd.node.graph == graph) {
            context.fds.remove(id);
            context.releasing = context.releasing.saturating_sub(1);
        }
    }
}

/// The next entry of `(node, lane)` from slot `from` on that is to be opened again.
pub(super) fn next_wanted(
    context: &Context<'_>,
    node: NodeRef,
    lane: u8,
    from: u32,
) -> Option<FdId> {
    let mut from = from as usize;
    while let Some(id) = context.fds.next_from(from) {
        from = id.slot() + 1;
        if context
            .fds
            .get(id)
            .is_some_and(|fd| fd.node == node && fd.lane == lane && fd.state == FdState::Wanted)
        {
            return Some(id);
        }
    }
    None
}
