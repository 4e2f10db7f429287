//! Deadlines: their keys, and when each of them is due.

use super::Down;
use super::context::Context;
use super::node::NodeRef;
use crate::id::TransactionId;
use crate::rpc::transport::{NewCall, Owner, Purpose, TransportIx};
use crate::rpc::{Cred, Procedure};
use crate::time::Instant;

/// The longest time that a call may be unanswered on a connection that is alive, in milliseconds:
/// GlusterFS's frame-timeout. Operations have deadlines of their own; this one is for calls that no
/// operation waits for.
pub(crate) const CALL_MS_MAX: u64 = 1_800_000;

/// The subject of a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimerKey {
    Op(usize),
    Step(TransportIx),
    Ping(TransportIx),
    Exchange,
    Doubt,
    /// The transaction with this index.
    Transaction(usize),
}

impl Context<'_> {
    /// Sets when changes in doubt count as executed, unless an earlier time is set.
    pub(crate) fn arm_doubt(&mut self, until: Instant) {
        let key = self.doubt_key();
        if !self.timers.is_set(key) {
            self.timers.set(key, until);
        }
    }

    pub(crate) fn disarm_doubt(&mut self) {
        self.timers.clear(self.doubt_key());
    }

    /// Sets the deadline of a handshake step, from now on.
    pub(crate) fn arm_step(&mut self, transport: TransportIx) {
        let at = self.now.plus_millis(u64::from(self.config.handshake_timeout_ms.max(1)));
        self.timers.set(self.step_key(transport), at);
    }

    pub(crate) fn disarm_step(&mut self, transport: TransportIx) {
        self.timers.clear(self.step_key(transport));
    }

    /// Sets when a connection is dialled again: after a pause that doubles with each failed
    /// attempt.
    pub(crate) fn arm_reconnect(&mut self, transport: TransportIx, attempts: u32, down: Down) {
        let (first, most) = self.config.reconnect_ms;
        let pause = first.saturating_mul(
            1_u32.checked_shl(attempts.saturating_sub(1).min(16)).unwrap_or(u32::MAX),
        );
        // An answer that will not change soon is not asked for ten times a second.
        let pause = if down.is_final() { most } else { pause.clamp(first, most.max(first)) };
        self.timers.set(self.step_key(transport), self.now.plus_millis(u64::from(pause)));
    }

    /// Sets the deadline for a ping: calls are in flight, so the peer must be heard within the
    /// ping-timeout.
    pub(crate) fn arm_ping(&mut self, transport: TransportIx) {
        let key = self.ping_key(transport);
        if self.timers.is_set(key) {
            return;
        }
        let at = match self.ping_timeout(transport) {
            Some(timeout) => {
                let quiet = self
                    .transports
                    .get(transport)
                    .map_or(self.now, |transport| transport.quiet_since);
                quiet.plus_millis(timeout / 2)
            }
            None => self.now.plus_millis(CALL_MS_MAX),
        };
        self.timers.set(key, at);
    }

    /// Sets the deadline anew if it is set: the ping-timeout may have changed.
    pub(crate) fn rearm_ping(&mut self, transport: TransportIx) {
        if self.timers.is_set(self.ping_key(transport)) {
            self.disarm_ping(transport);
            self.arm_ping(transport);
        }
    }

    pub(super) fn disarm_ping(&mut self, transport: TransportIx) {
        self.timers.clear(self.ping_key(transport));
    }

    /// The silence that ends a connection with calls in flight, in milliseconds; `None` if pings
    /// are off.
    pub(crate) fn ping_timeout(&self, transport: TransportIx) -> Option<u64> {
        let ms = match (self.config.ping_timeout_ms, self.transports.get(transport)?.owner) {
            (Some(ms), _) => ms,
            (None, Owner::Brick { graph, node, .. }) => {
                let at = NodeRef { graph, node };
                let ms = self.client(at)?.ping_timeout_ms;
                match self.config.stall_ms {
                    0 => ms,
                    _ if ms == 0 || !super::can_do_without(self, at) => ms,
                    stall => ms.min(stall),
                }
            }
            (None, _) => 42_000,
        };
        (ms > 0).then_some(u64::from(ms))
    }

    /// Keys of deadlines are dense: operations first, then two for each connection, then these two,
    /// then transactions.
    pub(crate) fn step_key(&self, transport: TransportIx) -> u32 {
        self.ops + 2 * u32::from(transport.0)
    }

    pub(crate) fn ping_key(&self, transport: TransportIx) -> u32 {
        self.step_key(transport) + 1
    }

    /// Key of the exchange of graphs.
    fn exchange_key(&self) -> u32 {
        self.ops + 2 * self.transports.count() as u32
    }

    /// Key of changes in doubt.
    fn doubt_key(&self) -> u32 {
        self.exchange_key() + 1
    }

    /// Key of the first transaction.
    fn transaction_key(&self) -> u32 {
        self.doubt_key() + 1
    }

    /// Sets when a transaction that no fop joins any more is settled, unless an earlier time is
    /// set.
    pub(crate) fn arm_transaction(&mut self, id: TransactionId, at: Instant) {
        let key = self.transaction_key() + id.slot() as u32;
        if !self.timers.is_set(key) {
            self.timers.set(key, at);
        }
    }

    pub(crate) fn disarm_transaction(&mut self, id: TransactionId) {
        self.timers.clear(self.transaction_key() + id.slot() as u32);
    }

    /// Sets when the exchange of graphs is given up, or tried again.
    pub(crate) fn arm_exchange(&mut self, ms: u32) {
        self.timers.set(self.exchange_key(), self.now.plus_millis(u64::from(ms)));
    }

    pub(crate) fn disarm_exchange(&mut self) {
        self.timers.clear(self.exchange_key());
    }

    /// The subject of a key of the table of deadlines.
    pub(crate) fn key(&self, key: u32) -> TimerKey {
        match key.checked_sub(self.ops) {
            None => TimerKey::Op(key as usize),
            Some(_) if key == self.exchange_key() => TimerKey::Exchange,
            Some(_) if key == self.doubt_key() => TimerKey::Doubt,
            Some(_) if key >= self.transaction_key() => {
                TimerKey::Transaction((key - self.transaction_key()) as usize)
            }
            Some(key) if key & 1 == 0 => TimerKey::Step(TransportIx((key / 2) as u16)),
            Some(key) => TimerKey::Ping(TransportIx((key / 2) as u16)),
        }
    }

    /// Pings the peer, unless a ping is unanswered already.
    pub(crate) fn ping(&mut self, transport: TransportIx) {
        let Some(entry) = self.transports.get_mut(transport) else { return };
        if entry.pinging {
            return;
        }
        entry.pinging = true;
        let new = NewCall::plain(Purpose::Ping, Procedure::PING, Cred::bootstrap());
        let now = self.now;
        if self.transports.call(transport, new, now, |_| Ok(())).is_err()
            && let Some(entry) = self.transports.get_mut(transport)
        {
            entry.pinging = false;
        }
    }
}
