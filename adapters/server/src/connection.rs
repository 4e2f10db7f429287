//! The socket of one connection: reads until the core takes no more, sends until the socket is
//! full.

use std::io::{self, IoSlice, IoSliceMut};

use brickwire_core::server::{Intake, Server as Core, Storage as _};
use brickwire_core::{ConnId, Instant};
use brickwire_std::net::Socket;

use crate::storage::BrickStorage;
use crate::volumes::Volumes;

/// Slices in one sendmsg().
const PIECES_MAX: usize = 128;
/// Spare vectors kept for the unread bytes of paused connections.
const SPARES_MAX: usize = 16;
/// Bytes read from one connection before the loop turns to the others.
const TURN_BYTES: usize = 4 << 20;

/// State of a connection outside the core.
pub(crate) struct Connection {
    pub(crate) conn: ConnId,
    pub(crate) socket: Socket,
    /// Bytes that were read and that the core has not taken yet.
    left: Vec<u8>,
    /// Interest (readable, writable) that the poller was told last.
    pub(crate) told: (bool, bool),
    pub(crate) reading: bool,
    pub(crate) writing: bool,
    /// The core has records to send, and the connection is in the list of dirty ones.
    pub(crate) dirty: bool,
}

/// State that all connections share.
pub(crate) struct Context {
    pub(crate) core: Core<'static>,
    pub(crate) storage: BrickStorage,
    pub(crate) volumes: Volumes,
    pub(crate) staging: Vec<u8>,
    /// Empty vectors for [`Connection::left`], kept to avoid allocating.
    pub(crate) spares: Vec<Vec<u8>>,
}

/// How the loop goes on with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Wait for the socket.
    Read,
    /// Read more after the other connections had their turn.
    Again,
    /// Do not read until the core says `Resume`.
    Pause,
    /// Close it.
    Over,
}

impl Connection {
    pub(crate) fn new(conn: ConnId, socket: Socket) -> Self {
        Self {
            conn,
            socket,
            left: Vec::new(),
            told: (true, false),
            reading: true,
            writing: false,
            dirty: false,
        }
    }

    /// Reads until the socket is empty or the core takes no more.
    pub(crate) fn read(&mut self, context: &mut Context, now: Instant) -> Next {
        if !self.left.is_empty() || context.core.intake(self.conn) == Intake::Core {
            // After a pause the left-over bytes come first. They may be none: the core then goes on
            // with what it holds.
            let mut left = std::mem::take(&mut self.left);
            self.take(context, &left, now);
            left.clear();
            if left.capacity() > 0 && context.spares.len() < SPARES_MAX {
                context.spares.push(left);
            }
        }
        let mut turn = 0;
        loop {
            let (result, asked) = match context.core.intake(self.conn) {
                Intake::Closed => return Next::Over,
                Intake::Wait => return Next::Pause,
                Intake::Core => {
                    let mut staging = std::mem::take(&mut context.staging);
                    let result = self.socket.read(&mut [IoSliceMut::new(&mut staging)]);
                    if let Ok(n) = result {
                        self.take(context, staging.get(..n).unwrap_or_default(), now);
                    }
                    let asked = staging.len();
                    context.staging = staging;
                    (result, asked)
                }
                Intake::Place(place) => {
                    let end = place.at as usize + place.len as usize;
                    let bytes = context.storage.bytes_mut(place.buffer);
                    let room = bytes.get_mut(place.at as usize..end).unwrap_or_default();
                    let result = self.socket.read(&mut [IoSliceMut::new(room)]);
                    if let Ok(n) = result {
                        context.core.placed(
                            self.conn,
                            n,
                            now,
                            &context.volumes,
                            &mut context.storage,
                        );
                    }
                    (result, place.len as usize)
                }
            };
            match result {
                Ok(0) => return Next::Over,
                // A short read: the socket is empty or nearly so.
                Ok(n) if n < asked => return self.paused(context),
                Ok(n) => turn += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return self.paused(context);
                }
                Err(_) => return Next::Over,
            }
            if turn >= TURN_BYTES {
                return Next::Again;
            }
        }
    }

    fn paused(&self, context: &Context) -> Next {
        match context.core.intake(self.conn) {
            Intake::Closed => Next::Over,
            Intake::Wait => Next::Pause,
            Intake::Core | Intake::Place(_) => Next::Read,
        }
    }

    /// Hands bytes to the core and keeps what it does not take now.
    fn take(&mut self, context: &mut Context, mut bytes: &[u8], now: Instant) {
        loop {
            match context.core.intake(self.conn) {
                Intake::Closed => return,
                Intake::Wait => break,
                Intake::Core => {
                    let used = context.core.received(
                        self.conn,
                        bytes,
                        now,
                        &context.volumes,
                        &mut context.storage,
                    );
                    bytes = bytes.get(used..).unwrap_or_default();
                }
                Intake::Place(place) => {
                    let n = bytes.len().min(place.len as usize);
                    let at = place.at as usize;
                    if let (Some(room), Some(piece)) = (
                        context.storage.bytes_mut(place.buffer).get_mut(at..at + n),
                        bytes.get(..n),
                    ) {
                        room.copy_from_slice(piece);
                    }
                    bytes = bytes.get(n..).unwrap_or_default();
                    context.core.placed(self.conn, n, now, &context.volumes, &mut context.storage);
                }
            }
            if bytes.is_empty() {
                return;
            }
        }
        if self.left.capacity() == 0 {
            self.left = context.spares.pop().unwrap_or_default();
        }
        self.left.extend_from_slice(bytes);
    }

    /// Sends until nothing is left or the socket is full. Returns whether the connection is alive.
    pub(crate) fn write(&mut self, context: &mut Context, now: Instant) -> bool {
        self.dirty = false;
        loop {
            let (result, asked) = {
                let mut pieces = [IoSlice::new(&[]); PIECES_MAX];
                let (mut count, mut asked) = (0, 0);
                for record in context.core.outgoing(self.conn) {
                    let data = record.data.map(|data| {
                        let end = data.at as usize + data.len as usize;
                        context
                            .storage
                            .buffers
                            .get(data.buffer)
                            .get(data.at as usize..end)
                            .unwrap_or_default()
                    });
                    for piece in [Some(record.head), data].into_iter().flatten() {
                        if let Some(place) = pieces.get_mut(count) {
                            *place = IoSlice::new(piece);
                            (count, asked) = (count + 1, asked + piece.len());
                        }
                    }
                    if count + 2 > PIECES_MAX {
                        break;
                    }
                }
                if asked == 0 {
                    self.writing = false;
                    return true;
                }
                (self.socket.write(pieces.get(..count).unwrap_or_default()), asked)
            };
            match result {
                Ok(n) => {
                    context.core.sent(self.conn, n, now, &mut context.storage);
                    if n < asked {
                        self.writing = true;
                        return true;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.writing = true;
                    return true;
                }
                Err(_) => return false,
            }
        }
    }
}
