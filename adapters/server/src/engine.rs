//! The server's loop: accept, read, run the core, send replies, wait.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use brickwire_core::server::{
    Output, Peer, Server as Core, ServerConfig, ServerLimits, ServerMemory,
};
use brickwire_core::xdr::Gfid;
use brickwire_core::{ConnId, Instant};
use brickwire_std::net::{Events, Poller, Waker};

use crate::connection::{Connection, Context, Next};
use crate::listener::{Listen, Listener};
use crate::stats::{BrickReport, ClientReport, Report, ReportMailbox};
use crate::storage::BrickStorage;
use crate::volumes::{Volume, Volumes};

/// Poller tokens: a connection's is its slot, a listener's is its position plus this.
const LISTENERS: u64 = 1 << 32;
/// Pause in accepting connections after accept() fails, for example for want of descriptors.
const FULL_FOR: Duration = Duration::from_millis(100);
/// Size in bytes of the staging buffer, and so of one read.
const STAGING: usize = 128 * 1024;

/// Options of a server.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Addresses to listen on. Portmap replies name the port of the first TCP address.
    pub listen: Vec<Listen>,
    /// Most threads that execute fops which may block on a disk.
    pub threads: usize,
    /// Sizes of the core's tables.
    pub limits: ServerLimits,
}

impl Default for ServerOptions {
    fn default() -> Self {
        let any = SocketAddr::from(([0, 0, 0, 0], 24007));
        Self { listen: vec![Listen::Tcp(any)], threads: 8, limits: ServerLimits::HOST }
    }
}

/// Counters of connections.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections that were accepted.
    pub accepted: AtomicU64,
    /// Connections that are open.
    pub connections: AtomicU64,
    /// Connections that the server closed: for a protocol violation or for not taking replies.
    pub disconnected: AtomicU64,
    /// Connections that were closed at once because the table was full.
    pub refused: AtomicU64,
}

/// Controls a running server from other threads.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

struct Shared {
    waker: Waker,
    stop: AtomicBool,
    changes: Mutex<Option<Vec<Volume>>>,
    counters: Counters,
    reports: ReportMailbox,
}

impl Handle {
    /// Stops the server: it finishes the calls that it has taken and closes the connections.
    pub fn stop(&self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.shared.waker.wake();
    }

    /// Counters of connections.
    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// Asks the loop for a report and waits for it. `None` if the loop does not answer within 5 s.
    pub fn report(&self) -> Option<Report> {
        self.shared.reports.ask(|| self.shared.waker.wake())
    }

    /// Replaces the served volumes. Clients of bricks that are not among them are disconnected; the
    /// others are notified if a volfile has changed.
    pub fn set_volumes(&self, volumes: Vec<Volume>) {
        *self.shared.changes.lock().unwrap_or_else(PoisonError::into_inner) = Some(volumes);
        self.shared.waker.wake();
    }
}

/// A server whose addresses are bound.
pub struct Server {
    context: Context,
    poller: Poller,
    listeners: Vec<Listener>,
    connections: Vec<Option<Connection>>,
    /// Slots of connections with records to send, and of those to read without waiting.
    dirty: Vec<usize>,
    again: Vec<usize>,
    /// End of a pause in accepting connections.
    full_until: Option<Instant>,
    start: std::time::Instant,
    shared: Arc<Shared>,
}

impl Server {
    /// Binds the addresses. Connections are accepted from [`Server::run`] on.
    pub fn bind(options: &ServerOptions) -> io::Result<Self> {
        let poller = Poller::new()?;
        let mut listeners = Vec::new();
        for listen in &options.listen {
            let named = |error: io::Error| {
                let what = match listen {
                    Listen::Tcp(address) => address.to_string(),
                    Listen::Unix(path) => path.display().to_string(),
                };
                io::Error::new(error.kind(), format!("cannot listen on {what}: {error}"))
            };
            let listener =
                Listener::bind(listen, has_ipv4_beside(listen, &options.listen)).map_err(named)?;
            poller.add(&listener, LISTENERS + listeners.len() as u64, false)?;
            listeners.push(listener);
        }
        let port = listeners.iter().find_map(Listener::address).map_or(0, |address| address.port());
        let (mut entropy, mut secret) = ([0; 16], [0; 8]);
        for bytes in [&mut entropy[..], &mut secret[..]] {
            getrandom::fill(bytes).map_err(|error| io::Error::other(error.to_string()))?;
        }
        let mut config =
            ServerConfig { hash_seed: u64::from_be_bytes(secret), ..ServerConfig::default() };
        // The buffer holds the text of a gfid.
        let _ = std::fmt::write(&mut config.process_uuid, format_args!("{}", Gfid::v4(entropy)));
        let memory = ServerMemory::on_heap(&options.limits);
        // Cannot fail: the memory was sized by the same limits.
        let core = Core::new(config, &options.limits, memory)
            .map_err(|small| io::Error::other(format!("table {} is too small", small.table)))?;
        let waker = poller.waker();
        let shared = Shared {
            waker: waker.clone(),
            stop: AtomicBool::new(false),
            changes: Mutex::default(),
            counters: Counters::default(),
            reports: ReportMailbox::default(),
        };
        let context = Context {
            core,
            storage: BrickStorage::new(options.threads, waker),
            volumes: Volumes::new(port),
            staging: vec![0; STAGING],
            spares: Vec::new(),
        };
        Ok(Self {
            context,
            poller,
            listeners,
            connections: Vec::new(),
            dirty: Vec::new(),
            again: Vec::new(),
            full_until: None,
            start: std::time::Instant::now(),
            shared: Arc::new(shared),
        })
    }

    /// Bound TCP addresses.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(Listener::address).collect()
    }

    /// Handle for other threads.
    pub fn handle(&self) -> Handle {
        Handle { shared: Arc::clone(&self.shared) }
    }

    /// Replaces the served volumes: see [`Handle::set_volumes`].
    pub fn set_volumes(&mut self, volumes: Vec<Volume>) {
        let now = self.now();
        let names: Vec<&str> = volumes.iter().map(|volume| volume.name.as_str()).collect();
        log::info!("serving volumes: {}", names.join(", "));
        let changes = self.context.volumes.set(volumes);
        for (index, backend) in changes.bricks {
            if backend.is_none() {
                self.context.core.brick_gone(index, now, &mut self.context.storage);
            }
            self.context.storage.set_brick(index, backend);
            if let Some(read_only) = self.context.volumes.read_only(index) {
                self.context.core.set_read_only(index, read_only);
            }
        }
        if changes.changed {
            self.context.core.volfile_changed(now);
        }
    }

    /// Serves until [`Handle::stop`]. Fails only if the poller does.
    pub fn run(mut self) -> io::Result<()> {
        let mut events = Events::default();
        while !self.shared.stop.load(Ordering::SeqCst) {
            self.settle();
            let now = self.now();
            let deadline = self.context.core.deadline();
            let timeout = match deadline.into_iter().chain(self.full_until).min() {
                _ if !self.again.is_empty() => Some(Duration::ZERO),
                Some(deadline) => Some(deadline.since(now)),
                None => None,
            };
            let timeout =
                if self.context.storage.about_to_sleep() { timeout } else { Some(Duration::ZERO) };
            self.poller.wait(&mut events, timeout)?;
            self.context.storage.awake();
            self.poller.settle(&events);
            self.let_in_again();
            for each in std::mem::take(&mut self.again) {
                self.read(each);
            }
            for ready in &events.ready {
                match ready.token.checked_sub(LISTENERS) {
                    Some(listener) => self.accept(listener as usize),
                    None => {
                        let slot = ready.token as usize;
                        if ready.writable {
                            self.make_dirty(slot);
                        }
                        if ready.readable {
                            self.read(slot);
                        }
                    }
                }
            }
            self.finish_done();
            self.take_changes();
            self.shared.reports.answer(|| self.report());
            let now = self.now();
            if self.context.core.deadline().is_some_and(|deadline| deadline <= now) {
                self.context.core.elapsed(now, &mut self.context.storage);
            }
        }
        self.shut_down();
        Ok(())
    }

    fn now(&self) -> Instant {
        Instant::from_nanos(self.start.elapsed().as_nanos() as u64)
    }

    /// Drains the core's outputs and sends records until both are exhausted.
    fn settle(&mut self) {
        loop {
            while let Some(output) = self.context.core.poll() {
                match output {
                    Output::Transmit { conn } => self.make_dirty(conn.slot()),
                    Output::Resume { conn } => self.resume(conn),
                    Output::Close { conn, why } => {
                        log::info!("connection {}: closed by the server: {why:?}", conn.slot());
                        self.shared.counters.disconnected.fetch_add(1, Ordering::Relaxed);
                        self.drop_connection(conn.slot());
                    }
                }
            }
            let Some(slot) = self.dirty.pop() else { break };
            self.write(slot);
        }
    }

    fn make_dirty(&mut self, slot: usize) {
        if let Some(Some(connection)) = self.connections.get_mut(slot)
            && !connection.dirty
        {
            connection.dirty = true;
            self.dirty.push(slot);
        }
    }

    fn resume(&mut self, conn: ConnId) {
        if let Some(Some(connection)) = self.connections.get_mut(conn.slot())
            && connection.conn == conn
        {
            self.again.push(conn.slot());
        }
    }

    fn read(&mut self, slot: usize) {
        let now = self.now();
        let Some(Some(connection)) = self.connections.get_mut(slot) else { return };
        let next = connection.read(&mut self.context, now);
        match next {
            Next::Over => {
                let conn = connection.conn;
                self.context.core.closed(conn, now, &mut self.context.storage);
                self.drop_connection(slot);
            }
            Next::Again => self.again.push(slot),
            Next::Read | Next::Pause => self.interest(slot, next == Next::Read),
        }
    }

    fn write(&mut self, slot: usize) {
        let now = self.now();
        let Some(Some(connection)) = self.connections.get_mut(slot) else { return };
        if connection.write(&mut self.context, now) {
            let reading = connection.reading;
            self.interest(slot, reading);
        } else {
            let conn = connection.conn;
            self.context.core.closed(conn, now, &mut self.context.storage);
            self.drop_connection(slot);
        }
    }

    /// Updates the poller's interest in a connection if it has changed.
    fn interest(&mut self, slot: usize, reading: bool) {
        let Some(Some(connection)) = self.connections.get_mut(slot) else { return };
        let told = connection.told;
        connection.reading = reading;
        let wanted = (reading, connection.writing);
        if told != wanted {
            connection.told = wanted;
            // Fails only for a socket that is not registered.
            let _ = self.poller.change(&connection.socket, slot as u64, wanted.0, wanted.1);
        }
    }

    fn let_in_again(&mut self) {
        if self.full_until.is_some_and(|until| until <= self.now()) {
            self.full_until = None;
            self.listen(true);
        }
    }

    /// Turns polling of the listeners on or off. While accept() fails it must be off: a pending
    /// connection would keep the loop from sleeping.
    fn listen(&self, looking: bool) {
        for (at, listener) in self.listeners.iter().enumerate() {
            // Fails only for a socket that is not registered.
            let _ = self.poller.change(listener, LISTENERS + at as u64, looking, false);
        }
    }

    fn accept(&mut self, listener: usize) {
        loop {
            let accepted = match self.listeners.get(listener).map(Listener::accept) {
                Some(Ok(Some(accepted))) => accepted,
                // Out of descriptors, for one. Pending connections wait; established ones are
                // served.
                Some(Err(_)) => {
                    self.full_until = Some(self.now() + FULL_FOR);
                    return self.listen(false);
                }
                _ => return,
            };
            let (socket, peer) = accepted;
            let now = self.now();
            log::debug!("connection accepted from {}", peer_name(&peer));
            let Some(conn) = self.context.core.accepted(peer, now) else {
                self.shared.counters.refused.fetch_add(1, Ordering::Relaxed);
                log::warn!("connection refused: the table of connections is full");
                continue;
            };
            let slot = conn.slot();
            if self.poller.add(socket.as_fd(), slot as u64, false).is_err() {
                self.context.core.closed(conn, now, &mut self.context.storage);
                continue;
            }
            if self.connections.len() <= slot {
                self.connections.resize_with(slot + 1, || None);
            }
            self.connections[slot] = Some(Connection::new(conn, socket));
            self.shared.counters.accepted.fetch_add(1, Ordering::Relaxed);
            self.shared.counters.connections.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn drop_connection(&mut self, slot: usize) {
        log::debug!("connection {slot}: closed");
        if let Some(connection) = self.connections.get_mut(slot).and_then(Option::take) {
            self.poller.remove(&connection.socket);
            self.shared.counters.connections.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn finish_done(&mut self) {
        let now = self.now();
        while let Some((job, completion)) = self.context.storage.next_done() {
            self.context.core.completed(job, completion, now, &mut self.context.storage);
        }
    }

    fn report(&self) -> Report {
        let Context { core, storage, volumes, .. } = &self.context;
        let (buffers_lent_bytes, buffers_kept_bytes) = storage.buffers.bytes();
        let mut clients: Vec<ClientReport> = Vec::new();
        for each in core.connected() {
            let brick = each.brick.and_then(|index| volumes.names(index));
            let same =
                |other: &&mut ClientReport| other.address == each.address && other.brick == brick;
            match clients.iter_mut().find(same) {
                Some(client) => {
                    client.connections += 1;
                    client.outstanding += each.outstanding;
                }
                None => clients.push(ClientReport {
                    address: each.address.to_owned(),
                    brick,
                    connections: 1,
                    outstanding: each.outstanding,
                }),
            }
        }
        let bricks = volumes.all().map(|(index, volume, brick)| BrickReport {
            volume: volume.to_owned(),
            brick: brick.to_owned(),
            stats: storage.stats.of(index),
        });
        Report {
            uptime: self.start.elapsed(),
            usage: core.usage(),
            buffers_lent_bytes,
            buffers_kept_bytes,
            bricks: bricks.collect(),
            clients,
        }
    }

    fn take_changes(&mut self) {
        let changes = self.shared.changes.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(volumes) = changes {
            self.set_volumes(volumes);
        }
    }

    /// Executes all calls that were taken, sends the replies, then closes all files.
    fn shut_down(&mut self) {
        let now = self.now();
        self.listeners.clear();
        self.context.storage.finish();
        self.finish_done();
        self.settle();
        self.context.core.stop(now, &mut self.context.storage);
        self.settle();
    }
}

/// Says whether `listen` is `[::]` and `0.0.0.0` is listed with the same port. Both can only be
/// bound if the IPv6 socket takes no IPv4 connections.
fn has_ipv4_beside(listen: &Listen, all: &[Listen]) -> bool {
    let Listen::Tcp(SocketAddr::V6(v6)) = listen else { return false };
    let beside =
        |other: &Listen| matches!(other, Listen::Tcp(SocketAddr::V4(v4)) if v4.port() == v6.port());
    v6.ip().is_unspecified() && all.iter().any(beside)
}

fn peer_name(peer: &Peer) -> &str {
    match peer.address.as_str() {
        "" => "a unix socket",
        address => address,
    }
}
