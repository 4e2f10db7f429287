//! Sending records and receiving bytes.

use std::io::{ErrorKind, IoSlice, IoSliceMut};

use brickwire_core::ConnId;
use brickwire_core::volume::{Closed, Intake};

use super::buffers::STAGING_BYTES;
use super::connections::{Conn, Io, Stream};
use super::state::State;
use crate::net::{Poller, reason};

/// Payloads of more than this are received into the caller's buffer; smaller ones are copied there.
pub(super) const LAND: u32 = 16 * 1024;
/// Most pieces of one write.
const PIECES: usize = 64;
/// After a payload of more than this, few bytes are read into staging: probably another such
/// payload follows, which has its own buffer.
const TAIL_FROM: u32 = 64 * 1024;
/// Bytes read into staging after a long payload.
const TAIL: usize = 4 * 1024;

impl State {
    /// Sends the connection's records until the socket is full, several with one call.
    pub(super) fn transmit(&mut self, id: ConnId, poller: &Poller) {
        loop {
            let Some(Some(Conn { id: open, io: Io::Open(stream) })) = self.conns.get(id.slot())
            else {
                return;
            };
            if *open != id {
                return;
            }
            let mut torn = false;
            let mut more = false;
            let (total, written) = {
                let mut pieces: heapless::Vec<IoSlice<'_>, PIECES> = heapless::Vec::new();
                let mut total = 0;
                'records: for record in self.volume.outgoing(id) {
                    // Without its payload a record must not be sent: the next record's bytes would
                    // take its place.
                    let data = match record.data.map(|range| self.buffers.read(range)) {
                        None => Default::default(),
                        Some(Some(data)) => data,
                        Some(None) => {
                            torn = true;
                            break 'records;
                        }
                    };
                    for piece in [record.head, data, record.tail] {
                        if piece.is_empty() {
                            continue;
                        }
                        if pieces.push(IoSlice::new(piece)).is_err() {
                            more = true;
                            break 'records;
                        }
                        total += piece.len();
                    }
                }
                if torn {
                    (0, Err(ErrorKind::InvalidData.into()))
                } else if total == 0 {
                    break;
                } else {
                    (total, stream.socket.write(&pieces))
                }
            };
            match written {
                Ok(sent) => {
                    let now = self.now();
                    self.volume.sent(id, sent, now);
                    if sent < total {
                        return self.wait_to_write(id, true, poller);
                    }
                    if !more {
                        break;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return self.wait_to_write(id, true, poller);
                }
                Err(_) => return self.lost(id, Closed::Reset, poller),
            }
        }
        self.wait_to_write(id, false, poller);
    }

    pub(super) fn wait_to_write(&mut self, id: ConnId, writing: bool, poller: &Poller) {
        let Some(Conn { io: Io::Open(stream), .. }) = self.conn(id) else { return };
        if stream.writing != writing {
            stream.writing = writing;
            let _ = poller.change(&stream.socket, id.slot() as u64, stream.held.is_none(), writing);
        }
    }

    /// Feeds the bytes that the core had no room for before.
    pub(super) fn resume(&mut self, id: ConnId, poller: &Poller) {
        let Some(Conn { io: Io::Open(stream), .. }) = self.conn(id) else { return };
        let Some(held) = stream.held.take() else { return };
        let _ = poller.change(&stream.socket, id.slot() as u64, true, stream.writing);
        self.feed(id, &held, poller);
    }

    /// Reads a socket until it is empty.
    pub(super) fn receive(&mut self, id: ConnId, poller: &Poller) {
        loop {
            let place = match self.volume.intake(id) {
                Intake::Core => None,
                Intake::Place(range) => Some(range),
                Intake::Discard { .. } => None,
                Intake::Wait | Intake::Closed => return,
            };
            if matches!(
                self.conn(id),
                Some(Conn { io: Io::Open(Stream { held: Some(_), .. }), .. })
            ) {
                return;
            }
            let mut staging = self.take_staging();
            let Some(Some(Conn { io: Io::Open(stream), .. })) = self.conns.get(id.slot()) else {
                self.staging = staging;
                return;
            };
            let direct = place.filter(|range| range.len > LAND);
            let (landed, asked, got) = match direct {
                Some(range) => match self.buffers.write(range) {
                    Some(target) => {
                        // The next record's head is read with the same call, but little of a long
                        // payload after it.
                        let tail = if range.len > TAIL_FROM { TAIL } else { staging.len() };
                        let (len, asked) = (target.len(), target.len() + tail);
                        let mut places =
                            [IoSliceMut::new(target), IoSliceMut::new(&mut staging[..tail])];
                        (len, asked, stream.socket.read(&mut places))
                    }
                    None => {
                        self.staging = staging;
                        return self.lost(id, Closed::Reset, poller);
                    }
                },
                None => {
                    let asked = self.first_read(id, staging.len());
                    (0, asked, stream.socket.read(&mut [IoSliceMut::new(&mut staging[..asked])]))
                }
            };
            match got {
                Ok(0) => {
                    self.staging = staging;
                    return self.lost(id, Closed::Eof, poller);
                }
                Ok(got) => {
                    if direct.is_some() {
                        let now = self.now();
                        self.volume.placed(id, got.min(landed), now);
                    }
                    let staged = got.saturating_sub(landed);
                    self.feed(id, &staging[..staged], poller);
                    self.staging = staging;
                    if got < asked {
                        return;
                    }
                }
                Err(error) => {
                    self.staging = staging;
                    self.failed(id, &error, poller);
                    return;
                }
            }
        }
    }

    /// Takes the staging buffer. The caller puts it back; if it is away (after a panic, or with a
    /// waiting leader), a new one is made.
    pub(super) fn take_staging(&mut self) -> Vec<u8> {
        let staging = std::mem::take(&mut self.staging);
        if staging.is_empty() { vec![0; STAGING_BYTES] } else { staging }
    }

    /// How many bytes to read into staging. If the operations in flight are long, payload follows
    /// the first head: reading little of it into staging means copying little.
    pub(super) fn first_read(&self, id: ConnId, most: usize) -> usize {
        let each = self.volume.owed(id) / self.in_flight.max(1) as u64;
        if each > TAIL_FROM.into() { most.min(TAIL) } else { most }
    }

    /// Handles the result of a leader's read of this connection alone: up to `asked` bytes in
    /// `staging`.
    pub(super) fn leader_read(
        &mut self,
        id: ConnId,
        staging: Vec<u8>,
        asked: usize,
        got: std::io::Result<usize>,
        poller: &Poller,
    ) {
        if let Ok(got) = got {
            self.feed(id, &staging[..got], poller);
        }
        let full = got.as_ref().is_ok_and(|got| *got == asked);
        self.staging = staging;
        match got {
            Ok(0) => self.lost(id, Closed::Eof, poller),
            Ok(_) if full => self.receive(id, poller),
            Ok(_) => {}
            Err(error) => self.failed(id, &error, poller),
        }
    }

    /// Closes a connection after a failed read. An empty socket is no failure.
    fn failed(&mut self, id: ConnId, error: &std::io::Error, poller: &Poller) {
        if error.kind() == ErrorKind::WouldBlock {
            return;
        }
        let why = match reason(error) {
            Closed::TimedOut => Closed::TimedOut,
            _ => Closed::Reset,
        };
        self.lost(id, why, poller);
    }

    /// Passes bytes to the core, or copies them where the core wants them.
    pub(super) fn feed(&mut self, id: ConnId, mut bytes: &[u8], poller: &Poller) {
        if let Some(Conn { io: Io::Open(Stream { held: Some(held), .. }), .. }) = self.conn(id) {
            // Held bytes come first, even if the core has room again.
            return held.extend_from_slice(bytes);
        }
        while !bytes.is_empty() {
            let now = self.now();
            let taken = match self.volume.intake(id) {
                Intake::Core => self.volume.received(id, bytes, now),
                Intake::Place(range) => {
                    // A range without a buffer, which the core never asks for, ends the connection
                    // and not the program.
                    let Some(target) = self.buffers.write(range) else {
                        return self.lost(id, Closed::Reset, poller);
                    };
                    let n = target.len().min(bytes.len());
                    target[..n].copy_from_slice(&bytes[..n]);
                    self.volume.placed(id, n, now);
                    n
                }
                Intake::Discard { len } => {
                    let n = (len as usize).min(bytes.len());
                    self.volume.placed(id, n, now);
                    n
                }
                Intake::Wait => {
                    if let Some(Conn { io: Io::Open(stream), .. }) = self.conn(id) {
                        stream.held = Some(bytes.to_vec());
                        let _ =
                            poller.change(&stream.socket, id.slot() as u64, false, stream.writing);
                    }
                    return;
                }
                Intake::Closed => return,
            };
            bytes = &bytes[taken.min(bytes.len())..];
        }
    }
}
