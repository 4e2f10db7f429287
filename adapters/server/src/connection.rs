//! One connection's socket: bytes in until nothing more can be taken, bytes out until the socket is full.

use std::io::{self, IoSlice, IoSliceMut};

use brickwire_core::server::{Intake, Server as Core, Storage as _};
use brickwire_core::{ConnId, Instant};
use brickwire_std::net::Socket;

use crate::storage::BrickStorage;
use crate::volumes::Volumes;

/// Pieces that one system call sends.
const PIECES_MAX: usize = 128;
/// Connections that can pause without allocating.
const SPARES_MAX: usize = 16;
/// Bytes that one connection may bring before others have their turn.
const TURN_BYTES: usize = 4 << 20;

/// A connection, seen from the transport.
pub(crate) struct Connection {
    pub(crate) conn: ConnId,
    pub(crate) socket: Socket,
    /// Bytes that were read and could not be taken yet.
    left: Vec<u8>,
    /// What the poller was told last.
    pub(crate) told: (bool, bool),
    pub(crate) reading: bool,
    pub(crate) writing: bool,
    /// There is something to send.
    pub(crate) dirty: bool,
}

/// What everybody has in common.
pub(crate) struct Context {
    pub(crate) core: Core<'static>,
    pub(crate) storage: BrickStorage,
    pub(crate) volumes: Volumes,
    pub(crate) staging: Vec<u8>,
    /// Memory for what connections could not take, while none of them needs it.
    pub(crate) spares: Vec<Vec<u8>>,
}

/// What is to be done with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// It waits for the socket.
    Read,
    /// It has more to read, but others have their turn.
    Again,
    /// It is not read until the core says so.
    Pause,
    /// It is over.
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

    /// Reads as much as there is and the core takes.
    pub(crate) fn read(&mut self, context: &mut Context, now: Instant) -> Next {
        if !self.left.is_empty() || context.core.intake(self.conn) == Intake::Core {
            // After a pause: what was left comes first, and be it nothing.
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
                // A short read: the socket is empty, or nearly.
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

    /// Hands bytes over; what cannot be taken now is kept.
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

    /// Sends what there is. Says whether the connection lives.
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
