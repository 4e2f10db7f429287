//! The bytes that connections receive: where they go, and the processing of complete records.

use super::Volume;
use super::session;
use crate::boundary::Intake;
use crate::id::ConnId;
use crate::rpc::PeerError;
use crate::rpc::transport::{Arrival, Feed, GatherBuffers, Stored, TransportIx};
use crate::time::Instant;

impl Volume<'_> {
    /// The place of the next bytes of a connection. It changes with every byte: ask before
    /// **every** read.
    pub fn intake(&self, conn: ConnId) -> Intake {
        match self.machine.context.transports.find(conn) {
            Some(transport) => self.machine.context.transports.intake(transport),
            None => Intake::Closed,
        }
    }

    /// Takes bytes that a connection has received, in order, and returns how many were taken. Fewer
    /// than all are taken in two cases: a payload begins ([`Intake::Place`]: read the next bytes to
    /// that place and call [`placed`](Self::placed)), or memory is short ([`Intake::Wait`]: offer
    /// the rest again after `Output::Resume`).
    pub fn received(&mut self, conn: ConnId, bytes: &[u8], now: Instant) -> usize {
        self.tick(now);
        let Some(transport) = self.machine.context.transports.find(conn) else {
            return bytes.len();
        };
        self.machine.heard_from(transport);
        let mut used = 0;
        while used < bytes.len() {
            let rest = bytes.get(used..).unwrap_or_default();
            let context = &mut self.machine.context;
            let mut buffers =
                GatherBuffers { records: &mut self.records, volfiles: &mut context.volfiles };
            let step = match context.transports.feed(transport, &mut buffers, rest) {
                Ok(Feed::More { used: taken }) => {
                    used += taken;
                    break;
                }
                Ok(Feed::Stop { used: taken }) => {
                    used += taken;
                    break;
                }
                Ok(Feed::Record { used: taken, arrival }) => {
                    let step = self.record(transport, arrival, rest);
                    used += taken;
                    step
                }
                Ok(Feed::ReadHead { used: taken, arrival, last, left }) => {
                    let step = self.read_head(transport, arrival, rest, last.then_some(left));
                    used += taken;
                    step
                }
                Ok(Feed::TooLong { used: taken, call, len }) => {
                    used += taken;
                    self.machine.too_long(call, len)
                }
                Err(error) => Err(error),
            };
            if let Err(error) = step {
                self.machine.peer_failed(transport, error);
                self.machine.run(None);
            }
            if self.machine.context.transports.find(conn).is_none() {
                used = bytes.len();
                break;
            }
        }
        self.machine.watch_record(transport);
        self.end_step();
        used
    }

    /// The adapter has put `n` bytes of a payload where [`intake`](Self::intake) said, or has
    /// discarded them as it said.
    pub fn placed(&mut self, conn: ConnId, n: usize, now: Instant) {
        self.tick(now);
        let Some(transport) = self.machine.context.transports.find(conn) else { return };
        self.machine.heard_from(transport);
        match self.machine.context.transports.placed(transport, n) {
            Ok(Some(payload)) => self.machine.read_complete(payload),
            Ok(None) => {}
            Err(error) => self.machine.peer_failed(transport, error),
        }
        self.machine.watch_record(transport);
        self.end_step();
    }

    /// Processes a complete record. `rest` is the input that a staged record is part of.
    fn record(
        &mut self,
        transport: TransportIx,
        arrival: Arrival,
        rest: &[u8],
    ) -> Result<(), PeerError> {
        let result = match arrival {
            Arrival::Staged { from, to } => {
                let record = rest.get(from..to).unwrap_or_default();
                self.machine.record(transport, record).and_then(|spec| match spec {
                    Some(spec) => self.machine.spec_arrived(transport, spec, Some(record)),
                    None => {
                        self.keep(record);
                        Ok(())
                    }
                })
            }
            Arrival::Gathered { stored: Stored::Volfile, len } => {
                let record = self
                    .machine
                    .context
                    .volfiles
                    .half(self.machine.context.volfiles.spare)
                    .get(..len)
                    .unwrap_or_default();
                let spec = session::spec_of(record);
                spec.and_then(|spec| self.machine.spec_arrived(transport, spec, None))
            }
            Arrival::Gathered { stored, len } => {
                let record = match stored {
                    Stored::Block(block) => self.records.block(block),
                    _ => self.records.inline_buffer(transport),
                };
                let record = record.get(..len).unwrap_or_default();
                match self.machine.record(transport, record) {
                    Ok(Some(spec)) => self.machine.spec_arrived(transport, spec, Some(record)),
                    Ok(None) => {
                        self.keep_gathered(transport, stored, len);
                        Ok(())
                    }
                    Err(error) => Err(error),
                }
            }
        };
        let context = &mut self.machine.context;
        let mut buffers =
            GatherBuffers { records: &mut self.records, volfiles: &mut context.volfiles };
        context.transports.record_over(transport, &mut buffers);
        result
    }

    /// Processes the head of a READ reply, whose payload follows. `carried` is the length of the
    /// payload if this is the last fragment of the record.
    fn read_head(
        &mut self,
        transport: TransportIx,
        arrival: Arrival,
        rest: &[u8],
        carried: Option<u32>,
    ) -> Result<(), PeerError> {
        let record = match arrival {
            Arrival::Staged { from, to } => rest.get(from..to).unwrap_or_default(),
            Arrival::Gathered { stored: Stored::Block(block), len } => {
                self.records.block(block).get(..len).unwrap_or_default()
            }
            Arrival::Gathered { len, .. } => {
                self.records.inline_buffer(transport).get(..len).unwrap_or_default()
            }
        };
        let result = self.machine.read_head(transport, record, carried);
        let context = &mut self.machine.context;
        let mut buffers =
            GatherBuffers { records: &mut self.records, volfiles: &mut context.volfiles };
        context.transports.record_over(transport, &mut buffers);
        result
    }

    /// Copies the reply to the block of the operation that wants to keep it.
    fn keep(&mut self, record: &[u8]) {
        let Some(id) = self.machine.keep.take() else { return };
        let Some(op) = self.machine.ops.get_mut(id) else { return };
        let kept = op.block.is_some_and(|block| self.records.keep(block, record));
        op.kept(kept, record.len());
    }

    fn keep_gathered(&mut self, transport: TransportIx, stored: Stored, len: usize) {
        let Some(id) = self.machine.keep.take() else { return };
        let Some(op) = self.machine.ops.get_mut(id) else { return };
        let kept = match (stored, op.block) {
            // The operation takes the block that the record was gathered in, and gives its own for
            // it: no copy.
            (Stored::Block(block), Some(own)) => {
                op.block = Some(block);
                self.machine.context.transports.swap_gathered(transport, block, own);
                true
            }
            (_, Some(own)) => self.records.keep_inline(own, transport, len),
            _ => false,
        };
        op.kept(kept, len);
    }

    /// Ends every command and handler: runs what they caused, and hands freed calls and blocks to
    /// the connections that wait for one.
    pub(super) fn end_step(&mut self) {
        self.machine.run(None);
        self.machine.pump_freed();
        while let Some(block) = self.machine.context.transports.take_orphan() {
            self.records.give(block);
        }
        // Connections that found no block for a record read on now.
        if self.records.has_free() {
            self.machine.context.transports.resume_starved();
        }
    }
}
