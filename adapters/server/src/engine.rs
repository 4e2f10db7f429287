//! The loop: accept, read, let the core work, send what it answered, wait.

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

/// Tokens of listeners begin here; those of connections are their slots.
const LISTENERS: u64 = 1 << 32;
/// How long nobody is let in when the system has no descriptor for them.
const FULL_FOR: Duration = Duration::from_millis(100);
/// Bytes that are read at once.
const STAGING: usize = 128 * 1024;

/// How a server is set up.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Where to listen. The first TCP address is what portmap answers with.
    pub listen: Vec<Listen>,
    /// Threads that wait for disks.
    pub threads: usize,
    /// Sizes of tables.
    pub limits: ServerLimits,
}

impl Default for ServerOptions {
    fn default() -> Self {
        let any = SocketAddr::from(([0, 0, 0, 0], 24007));
        Self { listen: vec![Listen::Tcp(any)], threads: 8, limits: ServerLimits::HOST }
    }
}

/// What the server has done so far.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections that were accepted.
    pub accepted: AtomicU64,
    /// Connections that are open.
    pub connections: AtomicU64,
    /// Connections that were closed for what they sent, or did not take.
    pub disconnected: AtomicU64,
    /// Connections that were closed at once: there were as many as there may be.
    pub refused: AtomicU64,
}

/// What other threads may say to a running server.
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
    /// Asks the server to stop: connections are closed, what is under way is finished.
    pub fn stop(&self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.shared.waker.wake();
    }

    /// What the server has done so far.
    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// How the server stands: asks the loop, and waits for its answer. `None` if it does not answer.
    pub fn report(&self) -> Option<Report> {
        self.shared.reports.ask(|| self.shared.waker.wake())
    }

    /// Serves these volumes from now on. Clients of volumes that are not among them are disconnected; those of others are
    /// told if a volfile has changed.
    pub fn set_volumes(&self, volumes: Vec<Volume>) {
        *self.shared.changes.lock().unwrap_or_else(PoisonError::into_inner) = Some(volumes);
        self.shared.waker.wake();
    }
}

/// A server that is ready to run.
pub struct Server {
    context: Context,
    poller: Poller,
    listeners: Vec<Listener>,
    connections: Vec<Option<Connection>>,
    /// Connections with something to send, or to be read again.
    dirty: Vec<usize>,
    again: Vec<usize>,
    /// When listeners are looked at again, if they are not now.
    full_until: Option<Instant>,
    start: std::time::Instant,
    shared: Arc<Shared>,
}

impl Server {
    /// Binds the addresses. Nothing is served before [`Server::run`].
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
        let mut entropy = [0; 16];
        getrandom::fill(&mut entropy).map_err(|error| io::Error::other(error.to_string()))?;
        let mut config = ServerConfig::default();
        // A gfid's text fits.
        let _ = std::fmt::write(&mut config.process_uuid, format_args!("{}", Gfid::v4(entropy)));
        let memory = ServerMemory::on_heap(&options.limits);
        // The memory was made of these limits.
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

    /// The TCP addresses that were bound.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(Listener::address).collect()
    }

    /// What other threads talk to it through.
    pub fn handle(&self) -> Handle {
        Handle { shared: Arc::clone(&self.shared) }
    }

    /// Serves these volumes.
    pub fn set_volumes(&mut self, volumes: Vec<Volume>) {
        let now = self.now();
        let names: Vec<&str> = volumes.iter().map(|volume| volume.name.as_str()).collect();
        log::info!("volumes that are served: {}", names.join(", "));
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

    /// Serves until it is told to stop.
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

    /// Drains the core's news and sends what there is, until neither has anything.
    fn settle(&mut self) {
        loop {
            while let Some(output) = self.context.core.poll() {
                match output {
                    Output::Transmit { conn } => self.make_dirty(conn.slot()),
                    Output::Resume { conn } => self.resume(conn),
                    Output::Close { conn, why } => {
                        log::info!("connection {} is ended: {why:?}", conn.slot());
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

    /// Tells the poller what is waited for, if that has changed.
    fn interest(&mut self, slot: usize, reading: bool) {
        let Some(Some(connection)) = self.connections.get_mut(slot) else { return };
        let told = connection.told;
        connection.reading = reading;
        let wanted = (reading, connection.writing);
        if told != wanted {
            connection.told = wanted;
            // It fails only for a socket that is not there.
            let _ = self.poller.change(&connection.socket, slot as u64, wanted.0, wanted.1);
        }
    }

    fn let_in_again(&mut self) {
        if self.full_until.is_some_and(|until| until <= self.now()) {
            self.full_until = None;
            self.listen(true);
        }
    }

    /// Are listeners looked at? One with somebody at the door would not let the loop sleep.
    fn listen(&self, looking: bool) {
        for (at, listener) in self.listeners.iter().enumerate() {
            // It fails only for a socket that is not there.
            let _ = self.poller.change(listener, LISTENERS + at as u64, looking, false);
        }
    }

    fn accept(&mut self, listener: usize) {
        loop {
            let accepted = match self.listeners.get(listener).map(Listener::accept) {
                Some(Ok(Some(accepted))) => accepted,
                // Out of descriptors, for one: whoever waits goes on waiting, and whoever is there is served meanwhile.
                Some(Err(_)) => {
                    self.full_until = Some(self.now() + FULL_FOR);
                    return self.listen(false);
                }
                _ => return,
            };
            let (socket, peer) = accepted;
            let now = self.now();
            log::debug!("a connection from {} is accepted", peer_name(&peer));
            let Some(conn) = self.context.core.accepted(peer, now) else {
                self.shared.counters.refused.fetch_add(1, Ordering::Relaxed);
                log::warn!("a connection is refused: there are as many as there may be");
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
        log::debug!("connection {slot} is closed");
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

    /// Everything that was taken is carried out; then files are closed.
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

/// Is every IPv4 address asked for with the same port as every IPv6 address? Then they are two sockets.
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
