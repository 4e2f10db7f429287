//! Outputs that are due for the adapter: a list of the transports that have some.

use super::{TransportIx, Transports};
use crate::id::ConnId;

/// Outputs for the adapter that are due for a transport.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags {
    /// Whether the transport is in the list of those with outputs.
    listed: bool,
    pub(crate) close: Option<ConnId>,
    pub(crate) connect: bool,
    pub(crate) transmit: bool,
    pub(crate) resume: bool,
}

impl Transports<'_> {
    /// Notes that the transport has records to send.
    pub(crate) fn want_transmit(&mut self, at: TransportIx) {
        if let Some(transport) = self.get_mut(at) {
            transport.flags.transmit = true;
            self.flag(at);
        }
    }

    /// Notes that the transport may be read again.
    pub(crate) fn want_resume(&mut self, at: TransportIx) {
        if let Some(transport) = self.get_mut(at) {
            transport.flags.resume = true;
            self.flag(at);
        }
    }

    /// Appends the transport to the list of those with outputs.
    pub(super) fn flag(&mut self, at: TransportIx) {
        let last = self.last_flagged;
        let Some(transport) = self.get_mut(at) else { return };
        if transport.flags.listed {
            return;
        }
        transport.flags.listed = true;
        transport.next_flagged = None;
        match last.and_then(|last| self.transports.get_mut(usize::from(last))) {
            Some(last) => last.next_flagged = Some(at.0),
            None => self.first_flagged = Some(at.0),
        }
        self.last_flagged = Some(at.0);
    }

    /// Takes the outputs of the next transport that has some.
    pub(crate) fn next_flagged(&mut self) -> Option<(TransportIx, Flags)> {
        let at = self.first_flagged?;
        let transport = self.transports.get_mut(usize::from(at))?;
        let flags = core::mem::take(&mut transport.flags);
        self.first_flagged = transport.next_flagged.take();
        if self.first_flagged.is_none() {
            self.last_flagged = None;
        }
        Some((TransportIx(at), flags))
    }

    /// Puts back what did not fit one output.
    pub(crate) fn put_back(&mut self, at: TransportIx, flags: Flags) {
        if let Some(transport) = self.get_mut(at) {
            let listed = transport.flags.listed;
            transport.flags = Flags { listed, ..flags };
            self.flag(at);
        }
    }
}
