//! A thousand connections and ten thousand open files, for a long time: the server needs as much
//! memory at the end as at the beginning, and no state is left when the clients have disconnected.
//! CI runs it for some seconds; `cargo xtask soak-serve --seconds N` runs it longer.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use brickwire_std::{File, OpenOptions, Options, Privileged, Volume};
use brickwire_tests::pattern;
use brickwire_tests::serve::{Served, wanted};

/// Clients; each has a connection for volfiles and one to the brick.
const VOLUMES: usize = 500;
/// Open files of each client.
const FILES: usize = 20;
/// Threads that drive the clients.
const DRIVERS: usize = 4;
/// Bytes of a block, and blocks of a file.
const BLOCK: usize = 4096;
const BLOCKS: u64 = 16;
/// Allowed growth of memory between the end of the warm-up and the end.
const DRIFT_KIB: u64 = 3 * 1024;

/// Pseudo-random numbers.
struct Draw(u64);

impl Draw {
    fn below(&mut self, end: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// Opens a volume from an unprivileged port: a thousand connections would use up the ports below
/// 1024.
fn connect(uri: &str) -> Volume {
    Volume::open_with(uri, &Options::new().privileged_ports(Privileged::Never)).expect("a volume")
}

/// A client: its volume, its open files, and the version of each block that it wrote last.
struct Client {
    uri: String,
    number: usize,
    volume: Volume,
    files: Vec<File>,
    versions: Vec<[u64; BLOCKS as usize]>,
}

impl Client {
    fn path(&self, file: usize) -> String {
        format!("d{}/f{file}", self.number)
    }

    fn new(uri: &str, number: usize) -> Self {
        let volume = connect(uri);
        volume.create_dir_all(format!("d{number}"), 0o755).expect("a directory");
        let versions = vec![[0; BLOCKS as usize]; FILES];
        let mut client = Self { uri: uri.into(), number, volume, files: Vec::new(), versions };
        client.open_all();
        client
    }

    fn open_all(&mut self) {
        let options = OpenOptions::new().read(true).write(true).create(true);
        let open = |file| self.volume.open_file(self.path(file), &options).expect("a file");
        self.files = (0..FILES).map(open).collect();
    }

    fn block(&self, file: usize, at: u64, version: u64) -> Vec<u8> {
        pattern(BLOCK, ((self.number * FILES + file) as u64) << 32 | at << 24 | version)
    }

    /// One random action of a client.
    fn step(&mut self, draw: &mut Draw) {
        let (file, at) = (draw.below(FILES as u64) as usize, draw.below(BLOCKS));
        let version = self.versions[file][at as usize];
        match draw.below(100) {
            0..45 => {
                let bytes = self.block(file, at, version + 1);
                self.files[file].write_all_at(&bytes, at * BLOCK as u64).expect("a write");
                self.versions[file][at as usize] = version + 1;
            }
            45..85 => {
                let mut bytes = vec![0; BLOCK];
                let n = self.files[file].read_at(&mut bytes, at * BLOCK as u64).expect("a read");
                if version > 0 {
                    assert!(
                        n == BLOCK && bytes == self.block(file, at, version),
                        "{}",
                        self.path(file)
                    );
                }
            }
            85..88 => self.files[file].flush().expect("a flush"),
            88..91 => {
                let options = OpenOptions::new().read(true).write(true);
                self.files[file] =
                    self.volume.open_file(self.path(file), &options).expect("a file");
            }
            91..93 => {
                let names =
                    self.volume.read_dir(format!("d{}", self.number)).expect("a directory").count();
                assert!(names >= FILES, "{names} names");
            }
            93..96 => {
                let (one, other) = (format!("d{}/t", self.number), format!("d{}/u", self.number));
                let options = OpenOptions::new().write(true).create(true);
                let file = self.volume.open_file(&one, &options).expect("a file");
                file.write_all_at(b"for a moment", 0).expect("a write");
                self.volume.rename(&one, &other).expect("another name");
                self.volume.remove_file(&other).expect("it goes while it is open");
            }
            96..98 => {
                let path = self.path(file);
                self.volume
                    .set_xattr(&path, "user.soak", &version.to_be_bytes())
                    .expect("an xattr");
                let value = self.volume.xattr(&path, "user.soak").expect("an xattr");
                assert_eq!(value.as_deref(), Some(&version.to_be_bytes()[..]));
            }
            98 => {
                let stat = self.volume.stat(self.path(file)).expect("attributes");
                assert!(stat.size() <= BLOCKS * BLOCK as u64);
            }
            _ => {
                // The client disconnects without closing its files, and connects again.
                self.files.clear();
                self.volume = connect(&self.uri);
                self.open_all();
            }
        }
    }
}

/// Memory, threads and descriptors of the server.
#[derive(Clone, Copy, Debug)]
struct Sample {
    resident_kib: u64,
    private_kib: u64,
    threads: u64,
    descriptors: u64,
}

fn sample(pid: u32) -> Sample {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the server runs");
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    };
    Sample {
        resident_kib: field("VmRSS:"),
        private_kib: field("RssAnon:"),
        threads: field("Threads:"),
        descriptors: fs::read_dir(format!("/proc/{pid}/fd")).expect("the server runs").count()
            as u64,
    }
}

/// A counter from the server's status page.
fn counter(address: &str, name: &str) -> u64 {
    let mut stream = TcpStream::connect(address).expect("the status page");
    write!(stream, "GET /metrics HTTP/1.0\r\n\r\n").expect("a request");
    let mut page = String::new();
    stream.read_to_string(&mut page).expect("a page");
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|value| value.trim().parse::<f64>().ok()).expect(name) as u64
}

#[test]
fn a_server_of_a_thousand_connections_needs_no_more_memory_after_a_while() {
    if !wanted() {
        return;
    }
    let seconds =
        std::env::var("BRICKWIRE_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(15);
    let page = TcpListener::bind("127.0.0.1:0")
        .and_then(|free| free.local_addr())
        .expect("a port")
        .to_string();
    let server = Served::with(|dir| {
        let volume = format!("v={}", dir.join("brick").display());
        ["--metrics", &page, "--volume", &volume].map(String::from).into()
    });
    let (pid, uri) = (server.pid(), server.uri("v"));
    let (stop, steps, ready) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let start = Instant::now();
    println!(
        "| s | connections | open files | operations | resident KiB | private KiB | threads | \
         descriptors |"
    );
    println!("|---:|---:|---:|---:|---:|---:|---:|---:|");
    thread::scope(|scope| {
        for driver in 0..DRIVERS {
            let (stop, steps, ready, uri) = (&stop, &steps, &ready, &uri);
            scope.spawn(move || {
                let mut draw = Draw(driver as u64 + 1);
                let numbers = (0..VOLUMES).filter(|number| number % DRIVERS == driver);
                let mut clients: Vec<Client> =
                    numbers.map(|number| Client::new(uri, number)).collect();
                ready.fetch_add(1, Ordering::SeqCst);
                while !stop.load(Ordering::SeqCst) {
                    let which = draw.below(clients.len() as u64) as usize;
                    clients[which].step(&mut draw);
                    steps.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let tell = |sample: &Sample| {
            println!(
                "| {} | {} | {} | {} | {} | {} | {} | {} |",
                start.elapsed().as_secs(),
                counter(&page, "brickwire_connections"),
                counter(&page, "brickwire_open_files"),
                steps.load(Ordering::Relaxed),
                sample.resident_kib,
                sample.private_kib,
                sample.threads,
                sample.descriptors
            );
        };
        // A failure must end the threads of the clients, too.
        let watched = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            while ready.load(Ordering::SeqCst) < DRIVERS as u64 {
                assert!(start.elapsed() < Duration::from_secs(120), "a driver does not get ready");
                thread::sleep(Duration::from_millis(20));
            }
            tell(&sample(pid));
            // By now every table and buffer has been in use.
            thread::sleep(Duration::from_secs((seconds / 5).clamp(3, 60)));
            assert!(
                counter(&page, "brickwire_connections") >= 2 * VOLUMES as u64 - 2 * DRIVERS as u64
            );
            assert!(counter(&page, "brickwire_open_files") >= ((VOLUMES - DRIVERS) * FILES) as u64);
            let warm = sample(pid);
            tell(&warm);
            let end = Instant::now() + Duration::from_secs(seconds);
            let mut last = warm;
            while Instant::now() < end {
                thread::sleep(Duration::from_secs((seconds / 10).clamp(1, 60)));
                last = sample(pid);
                tell(&last);
            }
            assert!(
                last.resident_kib <= warm.resident_kib + DRIFT_KIB,
                "memory grew from {warm:?} to {last:?} in {seconds} s"
            );
            assert!(last.threads <= warm.threads + 2, "threads: {warm:?} to {last:?}");
        }));
        stop.store(true, Ordering::SeqCst);
        if let Err(failure) = watched {
            std::panic::resume_unwind(failure);
        }
    });
    // All clients have disconnected: no state of theirs is left.
    let end = Instant::now() + Duration::from_secs(20);
    let left = || {
        ["brickwire_connections", "brickwire_open_files", "brickwire_jobs"]
            .map(|name| counter(&page, name))
    };
    while left() != [0; 3] {
        assert!(Instant::now() < end, "connections, files, jobs: {:?}", left());
        thread::sleep(Duration::from_millis(50));
    }
    let descriptors = sample(pid).descriptors;
    assert!(descriptors < 64, "{descriptors} descriptors without any client");
}
