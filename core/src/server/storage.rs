//! Interface between the server and its storage: fops in, answers out, now or later.
//!
//! The server checks credentials, knows open files and locks, and does not touch a disk. A fop
//! comes to the storage as a [`Call`] that borrows from the received record. An answer that is
//! available at once is encoded where the reply is sent from ([`Submitted::Done`]). For work that
//! waits for a disk the storage copies what it needs ([`Submitted::Pending`]) and reports the
//! answer later with [`Server::completed`](super::Server::completed).

use crate::fop::wire::{Reply, Request};
use crate::id::RawId;
pub use crate::id::{HandleId, JobId};
use crate::rpc::Cred;
use crate::xdr::{Encode, Writer};

/// Index of a brick, from [`Exports::brick`](super::Exports::brick). A brick that is stopped and
/// served again gets a new index, so that a late completion of the old one cannot reach the new
/// one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BrickIx(pub u64);

/// One buffer of the storage's pool; the storage chooses the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BufferId(pub u32);

/// A range of bytes in a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The buffer.
    pub buffer: BufferId,
    /// Offset of the first byte.
    pub at: u32,
    /// Number of bytes.
    pub len: u32,
}

/// Meaning of a request's fd.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// No fd, or the anonymous fd -2: the request's gfid or name says which inode.
    Gfid,
    /// An open file or directory.
    Open(HandleId),
}

impl Target {
    /// The handle of an open file.
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
    /// In the received record.
    Bytes(&'a [u8]),
    /// In a buffer, which belongs to the storage again with this call, unless it answers
    /// [`Submitted::Busy`].
    Buffer(Place),
}

/// Counts that a client asked for and only the server knows. The storage puts each that is set into
/// the reply's xdata.
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

/// One fop for the storage. Names are checked: 1 to 255 bytes, without slash or NUL, and neither
/// `.` nor `..`.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The brick.
    pub brick: BrickIx,
    /// The caller's credential.
    pub cred: Cred<'a>,
    /// The request.
    pub request: Request<'a>,
    /// The open file of the request's fd; of COPY_FILE_RANGE the source.
    pub target: Target,
    /// The open file of COPY_FILE_RANGE's destination.
    pub second: Target,
    /// Whether the calling client has open what the request names by gfid. Another client's inode
    /// that is open but has no name any more does not exist for this caller: answer ESTALE, so that
    /// a client that still has it in a cache looks the name up again.
    pub opened: bool,
    /// OPEN, OPENDIR and CREATE: the handle to open under. If the call succeeds the handle is
    /// closed with [`Storage::close`], even if the client is gone; if it fails the handle means
    /// nothing. The reply's `fd` is [`HandleId::wire`].
    pub opens: Option<HandleId>,
    /// WRITE and PUT: the data.
    pub payload: Payload<'a>,
    /// Counts for the reply's xdata.
    pub counts: Counts,
}

/// Result of a submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// Answered: the reply's body is in the writer.
    Done {
        /// Whether `op_ret` is negative.
        failed: bool,
        /// Bytes that follow the body in the record: the data of a READ, or, with nothing in the
        /// writer, the whole body.
        data: Option<Place>,
    },
    /// The answer comes later. The storage has copied everything that it needs of the call.
    Pending,
    /// No room now. The same call is submitted again after a completion or a released buffer.
    Busy,
}

/// The answer to a pending call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completion {
    /// Whether `op_ret` is negative.
    pub failed: bool,
    /// The encoded body of the reply, followed by the data of a READ. The buffer belongs to the
    /// server until it releases it.
    pub body: Place,
}

impl Payload<'_> {
    /// Number of bytes.
    pub fn len(&self) -> u32 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u32,
            Self::Buffer(place) => place.len,
        }
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A fop whose reply was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finished {
    /// The brick.
    pub brick: BrickIx,
    /// The fop.
    pub fop: crate::fop::FopNumber,
    /// Whether it was answered with an error.
    pub failed: bool,
    /// Bytes of a READ's reply or of a WRITE's payload.
    pub bytes: u32,
    /// Nanoseconds from reading the call to sending its reply.
    pub nanos: u64,
}

/// Pattern of the requests that never reach a storage, because the server answers or refuses them.
/// A storage must handle all others.
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

/// A storage: a directory, a device, memory. Its functions return at once; work that waits for a
/// disk is done elsewhere.
pub trait Storage {
    /// Starts a fop. A pending one is completed under the name `job`. The body of an immediate
    /// answer is encoded into `reply` (see [`answer`]).
    fn submit(&mut self, job: JobId, call: &Call<'_>, reply: &mut Writer<'_>) -> Submitted;

    /// Closes what an OPEN, OPENDIR or CREATE opened under this handle. No call that uses it is
    /// pending.
    fn close(&mut self, brick: BrickIx, handle: HandleId);

    /// Reserves a buffer of at least `len` bytes, for the payload of a WRITE or for a long reply.
    /// `None` if there is none now.
    fn reserve(&mut self, len: u32) -> Option<BufferId>;

    /// The bytes of a reserved buffer.
    fn bytes_mut(&mut self, buffer: BufferId) -> &mut [u8];

    /// The server does not need the buffer any more.
    fn release(&mut self, buffer: BufferId);

    /// A fop is over, whether or not the storage answered it. For statistics.
    fn finished(&mut self, fop: &Finished) {
        let _ = fop;
    }
}

impl HandleId {
    /// The fd number that clients use for it.
    pub fn wire(self) -> i64 {
        i64::from(self.0.word())
    }

    /// The handle of a client's fd number; `None` for a number that no handle can have.
    pub fn from_wire(fd: i64) -> Option<Self> {
        RawId::from_word(u32::try_from(fd).ok()?).map(Self)
    }
}

/// Encodes an immediate answer: into `reply`, or into a buffer if it does not fit there.
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
    // READ's body always fits, so an answer with data does not come here.
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

/// A reply's body, to compute its length.
struct Body<'a, 'b> {
    answer: &'a Reply<'b>,
    number: crate::fop::FopNumber,
}

impl Encode for Body<'_, '_> {
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), crate::xdr::NoRoom> {
        self.answer.encode(self.number, w)
    }
}
