//! Remote fds: the number of an open file on each connection of each brick.
//!
//! A number is valid on the connection that it was returned on, until that connection ends: a
//! restarted brick returns the same small numbers for other files (docs/spec/01-wire.md,
//! "Disconnect and reconnect"). Each entry therefore carries the epoch of its connection, and a
//! number of an older epoch is never sent.

use super::super::context::Context;
use super::super::node::NodeRef;

use crate::fop::FopNumber;
use crate::fop::OpenFlags;
use crate::fop::wire;
use crate::id::{FdId, FileId};
use crate::rpc::transport::{CallError, NewCall, Owner, Purpose, TransportIx};
use crate::rpc::{Cred, Procedure};
use crate::xdr::{Dict, Encode, Errno};

/// The state of a remote fd.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum FdState {
    /// To be opened on the present connection.
    Wanted,
    /// OPEN waits for its answer.
    Opening,
    /// The number is valid in the entry's epoch.
    Open,
    /// The brick refused to open the file again.
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
    /// Next entry of the same file.
    pub(crate) next: Option<FdId>,
}

/// A number that a brick has just returned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opened {
    pub(crate) file: FileId,
    pub(crate) node: NodeRef,
    pub(crate) lane: u8,
    pub(crate) number: i64,
    pub(crate) flags: OpenFlags,
    pub(crate) dir: bool,
}

/// Adds an entry. Returns `false` if the table is full or the file is closed.
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

/// Has a file opened on a brick on which it is not, when the brick comes up next.
pub(crate) fn want_fd(
    context: &mut Context<'_>,
    node: NodeRef,
    file: FileId,
    flags: OpenFlags,
    dir: bool,
) {
    if find(context, file, node, 0).is_some() {
        return;
    }
    // Without room the brick is asked without an fd.
    if register(context, Opened { file, node, lane: 0, number: 0, flags, dir })
        && let Some((id, _)) = find(context, file, node, 0)
        && let Some(fd) = context.fds.get_mut(id)
    {
        fd.state = FdState::Wanted;
    }
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

/// The number of a file on a connection, or the errno of operations on it.
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

/// Opens a file on a further connection too, so that its next reads can use that one.
pub(super) fn open_on(context: &mut Context<'_>, file: FileId, node: NodeRef, lane: u8) {
    let id = match find(context, file, node, lane) {
        Some((id, fd)) if fd.state == FdState::Wanted => id,
        Some(_) => return,
        None => {
            let Some((_, first)) = find(context, file, node, 0) else { return };
            let Some(flags) = context.files.get(file).map(|file| file.flags) else { return };
            // Leaves room for every file to be opened on the first connection, on the next graph
            // too.
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

/// Sends OPEN or OPENDIR for an entry, without the flags that create or truncate
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

/// Releases the numbers of a closed file, at once or when the windows of the connections have room.
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

/// Sends RELEASEs that waited for room in the window.
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
    // Without a connection there is nothing to release: the brick did that when the connection
    // ended.
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

/// Releases a number whose OPEN was abandoned or could not be stored. If the window is full the fd
/// stays open on the brick until the connection ends.
pub(crate) fn release_number(context: &mut Context<'_>, opened: Opened) {
    let transport =
        context.client(opened.node).and_then(|c| c.lanes.get(usize::from(opened.lane))?.transport);
    let gfid = context.files.get(opened.file).map(|file| file.gfid).unwrap_or_default();
    let _ = send_release(context, transport, gfid, opened.number, opened.dir);
}

/// Releases a number of a file that has no handle.
pub(crate) fn release_orphan(
    context: &mut Context<'_>,
    transport: TransportIx,
    number: i64,
    dir: bool,
) {
    let _ = send_release(context, Some(transport), crate::xdr::Gfid::NONE, number, dir);
}

/// Invalidates the numbers of a connection that has ended. They are opened again on the next one if
/// their files are still open.
pub(super) fn invalidate(context: &mut Context<'_>, node: NodeRef, lane: u8) {
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

/// Removes the entries of a graph that ends.
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

/// The next entry of a connection, from slot `from` on, that is to be opened.
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
