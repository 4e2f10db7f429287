//! What a server asks of its storage: fops in, answers out, now or later.
//!
//! The server checks who calls, knows open files and locks, and does not touch a disk. A fop comes to the storage as a
//! [`Call`] that borrows from the record it stood in. What can be answered at once is written where the reply is sent from
//! ([`Submitted::Done`]); what has to wait for a disk is taken along ([`Submitted::Pending`]) and reported with
//! [`Server::completed`](super::Server::completed) from the adapter's loop.

use crate::fop::wire::{Reply, Request};
use crate::id::RawId;
pub use crate::id::{HandleId, JobId};
use crate::rpc::Cred;
use crate::xdr::{Encode, Writer};

/// Which brick of the server: the number that [`Exports::brick`](super::Exports::brick) gave. One that is served anew has another
/// one, for as long as anybody may remember the old: what is still under way, and comes late, finds nobody else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BrickIx(pub u64);

/// One buffer of the storage's pool: its number is the storage's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BufferId(pub u32);

/// These bytes of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// Whose bytes.
    pub buffer: BufferId,
    /// The first.
    pub at: u32,
    /// How many.
    pub len: u32,
}

/// What the fd of a request means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// Nothing was opened: by gfid (or by name). Also what fd -2, the anonymous one, asks for.
    Gfid,
    /// An open file or directory.
    Open(HandleId),
}

impl Target {
    /// The open file, if it is one.
    pub(super) fn handle(self) -> Option<HandleId> {
        match self {
            Self::Gfid => None,
            Self::Open(handle) => Some(handle),
        }
    }
}

/// The payload of WRITE and PUT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload<'a> {
    /// It stands beside the request.
    Bytes(&'a [u8]),
    /// It was received into a buffer, which is the storage's again with this call.
    Buffer(Place),
}

/// Counts that a client asked for and only the server knows; each goes into the reply's xdata if it is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Counts {
    /// `glusterfs.inodelk-count`
    pub inodelk: Option<i64>,
    /// `glusterfs.posixlk-count`
    pub posixlk: Option<i64>,
    /// `glusterfs.entrylk-count`
    pub entrylk: Option<i64>,
    /// `glusterfs.parent-entrylk`
    pub parent_entrylk: Option<i64>,
    /// `glusterfs.open-fd-count`
    pub open_fd: Option<u64>,
    /// `glusterfs.open-active-fd-count`
    pub open_active_fd: Option<u64>,
}

/// One fop for the storage. Names in it are checked: no slash, no NUL, neither `.` nor `..`, not empty, at most 255 bytes.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// On which brick.
    pub brick: BrickIx,
    /// Who calls.
    pub cred: Cred<'a>,
    /// What.
    pub request: Request<'a>,
    /// The open file that the request's fd names (the first one's, if it has two).
    pub target: Target,
    /// The open file of COPY_FILE_RANGE's destination.
    pub second: Target,
    /// Whether the calling client has open what the request names by gfid. Another client's inode
    /// that is open but has no name any more does not exist for this caller: answer ESTALE, so that
    /// a client that still has it in a cache looks the name up again.
    pub opened: bool,
    /// OPEN, OPENDIR and CREATE: the name that what is opened shall have. It is closed with [`Storage::close`], also if the
    /// client has gone meanwhile; if the call fails it means nothing. The reply's `fd` is [`HandleId::wire`].
    pub opens: Option<HandleId>,
    /// WRITE and PUT: the data.
    pub payload: Payload<'a>,
    /// To be put into the reply's xdata.
    pub counts: Counts,
}

/// What came of a submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// Answered: the reply's body is in the writer.
    Done {
        /// Is `op_ret` negative?
        failed: bool,
        /// What follows the body in the record: the data of a READ, or (with nothing in the writer) the whole body.
        data: Option<Place>,
    },
    /// The answer comes later; everything that is needed of the call was copied.
    Pending,
    /// No room now: the same call is submitted again when something was completed or a buffer was released.
    Busy,
}

/// The answer to a pending call, to be reported to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completion {
    /// Is `op_ret` negative?
    pub failed: bool,
    /// The encoded body of the reply, with the data of a READ behind it. The buffer is the server's until it releases it.
    pub body: Place,
}

impl Payload<'_> {
    /// Bytes.
    pub fn len(&self) -> u32 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u32,
            Self::Buffer(place) => place.len,
        }
    }

    /// Is it none?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One fop that is over: its reply was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finished {
    /// On which brick.
    pub brick: BrickIx,
    /// Which.
    pub fop: crate::fop::FopNumber,
    /// Was it answered with an error?
    pub failed: bool,
    /// Payload of a READ's reply, or of a WRITE.
    pub bytes: u32,
    /// From when the call was read until its reply was sent.
    pub nanos: u64,
}

/// A pattern: the requests that no storage is asked, as the server answers them itself, or nobody does. What a storage dispatches is
/// all the others.
#[macro_export]
macro_rules! answered_by_the_server {
    () => {
        $crate::fop::wire::Request::Lk(_)
            | $crate::fop::wire::Request::Inodelk(_)
            | $crate::fop::wire::Request::Finodelk(_)
            | $crate::fop::wire::Request::Entrylk(_)
            | $crate::fop::wire::Request::Fentrylk(_)
            | $crate::fop::wire::Request::Flush(_)
            | $crate::fop::wire::Request::Release(_)
            | $crate::fop::wire::Request::Releasedir(_)
            | $crate::fop::wire::Request::Ipc(_)
            | $crate::fop::wire::Request::Lease(_)
            | $crate::fop::wire::Request::Getactivelk(_)
            | $crate::fop::wire::Request::Setactivelk(_)
            | $crate::fop::wire::Request::Icreate(_)
            | $crate::fop::wire::Request::Namelink(_)
    };
}

/// Storage: a directory, a device, memory. It never waits in these functions longer than it would take to hand over to
/// somebody who can.
pub trait Storage {
    /// Starts a fop. `job` is the name under which a pending one is completed; `reply` is where the body of an
    /// immediate answer is encoded (see [`answer`]).
    fn submit(&mut self, job: JobId, call: &Call<'_>, reply: &mut Writer<'_>) -> Submitted;

    /// Closes what an OPEN, OPENDIR or CREATE opened under this name. No call with it is pending.
    fn close(&mut self, brick: BrickIx, handle: HandleId);

    /// A buffer of at least `len` bytes: for the payload of a WRITE that is being received, or for a long reply. `None` if
    /// there is none now.
    fn reserve(&mut self, len: u32) -> Option<BufferId>;

    /// The bytes of a reserved buffer.
    fn bytes_mut(&mut self, buffer: BufferId) -> &mut [u8];

    /// The server is done with a buffer.
    fn release(&mut self, buffer: BufferId);

    /// A fop is over, whoever answered it. For whoever counts; the others need do nothing.
    fn finished(&mut self, fop: &Finished) {
        let _ = fop;
    }
}

impl HandleId {
    /// The fd number that clients know it by.
    pub fn wire(self) -> i64 {
        i64::from(self.0.word())
    }

    /// From a client's fd number; `None` for one that no handle has.
    pub fn from_wire(fd: i64) -> Option<Self> {
        RawId::from_word(u32::try_from(fd).ok()?).map(Self)
    }
}

/// Encodes an immediate answer: into `reply`, or, if it is longer than the room there, into a buffer.
pub fn answer<S: Storage + ?Sized>(
    storage: &mut S,
    call: &Call<'_>,
    answer: &Reply<'_>,
    data: Option<Place>,
    reply: &mut Writer<'_>,
) -> Submitted {
    let number = call.request.number();
    let failed = answer.op_ret < 0;
    if answer.encode(number, reply).is_ok() {
        return Submitted::Done { failed, data };
    }
    // READ's body is short, so nothing that brings data comes here.
    if let Some(data) = data {
        storage.release(data.buffer);
    }
    reply.rewind();
    let len = Body { answer, number }.encoded_len() as u32;
    let Some(buffer) = storage.reserve(len) else { return Submitted::Busy };
    let mut w = Writer::new(storage.bytes_mut(buffer));
    match answer.encode(number, &mut w) {
        Ok(()) => Submitted::Done { failed, data: Some(Place { buffer, at: 0, len }) },
        Err(_) => {
            storage.release(buffer);
            Submitted::Busy
        }
    }
}

/// A reply's body, to be measured.
struct Body<'a, 'b> {
    answer: &'a Reply<'b>,
    number: crate::fop::FopNumber,
}

impl Encode for Body<'_, '_> {
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), crate::xdr::NoRoom> {
        self.answer.encode(self.number, w)
    }
}
