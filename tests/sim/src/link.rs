//! One connection: both ends, the bytes in transit each way, and the receivers' socket buffers.

use std::collections::VecDeque;

use brickwire_core::ConnId;
use brickwire_core::volume::Closed;

/// A direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// To the server.
    Up,
    /// To the client.
    Down,
}

impl Way {
    /// The other direction.
    pub fn back(self) -> Self {
        match self {
            Self::Up => Self::Down,
            Self::Down => Self::Up,
        }
    }
}

/// A packet in transit.
#[derive(Clone, Debug)]
pub enum Packet {
    /// Bytes of the stream.
    Bytes(Vec<u8>),
    /// The sender has closed; all bytes before it arrive.
    Fin,
    /// The sender knows no such connection; bytes that were not read are lost.
    Reset,
}

/// One direction of a connection.
#[derive(Clone, Debug, Default)]
pub struct Pipe {
    /// Packets with their times of arrival, in order.
    pub transit: VecDeque<(u64, Packet)>,
    /// Bytes in the receiver's socket buffer.
    pub arrived: VecDeque<u8>,
    /// The stream has ended, in this way; the receiver learns it after the bytes.
    pub ended: Option<Closed>,
    /// Bytes that were sent and not read.
    pub unread: usize,
    /// The sender has more to send.
    pub has_more: bool,
    /// The receiver must read, even if no byte has arrived.
    pub must_read: bool,
    /// When the last packet arrives: packets do not overtake each other.
    pub last: u64,
}

/// One connection.
#[derive(Clone, Debug)]
pub struct Link {
    /// The client and its incarnation.
    pub client: usize,
    /// The server process.
    pub process: usize,
    /// The client's end, while it is open.
    pub client_conn: Option<ConnId>,
    /// The server's end, while it is open.
    pub server_conn: Option<ConnId>,
    /// Bytes to the server.
    pub up: Pipe,
    /// Bytes to the client.
    pub down: Pipe,
    /// A host vanished: it does not answer packets for the end that is gone.
    pub silent: bool,
}

impl Link {
    /// A new connection.
    pub fn new(client: usize, client_conn: ConnId, process: usize, server_conn: ConnId) -> Self {
        Self {
            client,
            process,
            client_conn: Some(client_conn),
            server_conn: Some(server_conn),
            up: Pipe::default(),
            down: Pipe::default(),
            silent: false,
        }
    }

    /// The pipe of a direction.
    pub fn pipe(&mut self, way: Way) -> &mut Pipe {
        match way {
            Way::Up => &mut self.up,
            Way::Down => &mut self.down,
        }
    }

    /// Whether the receiving end of a direction is open.
    pub fn has_receiver(&self, way: Way) -> bool {
        match way {
            Way::Up => self.server_conn.is_some(),
            Way::Down => self.client_conn.is_some(),
        }
    }

    /// Whether neither end is open.
    pub fn is_over(&self) -> bool {
        self.client_conn.is_none() && self.server_conn.is_none()
    }
}

impl Pipe {
    /// The receiver reads no more.
    pub fn close_receiver(&mut self) {
        self.unread = self.unread.saturating_sub(self.arrived.len());
        self.arrived.clear();
        self.must_read = false;
    }

    /// The sender is gone without a word: packets in transit are lost.
    pub fn lose_transit(&mut self) {
        self.transit.clear();
        self.unread = self.arrived.len();
        self.has_more = false;
    }
}
