//! A slow disk delays the requests that need it, and no others.

use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::time::{Duration, Instant};

use brickwire_core::fop::wire::Request;
use brickwire_core::rpc::Cred;
use brickwire_core::server::{Call, HandleId};
use brickwire_core::xdr::Errno;
use brickwire_posix::Brick;
use brickwire_server::{Backend, ReadOutcome, WriteOutcome};
use brickwire_std::OpenOptions;
use brickwire_tests::in_process::InProcess;
use brickwire_tests::serve;

/// Blocks fops until the test opens it.
#[derive(Default)]
struct Gate {
    state: Mutex<(usize, bool)>,
    changed: Condvar,
}

impl Gate {
    fn wait(&self) {
        let mut state = self.state.lock().unwrap();
        state.0 += 1;
        self.changed.notify_all();
        drop(self.changed.wait_while(state, |(_, open)| !*open));
    }

    fn open(&self) {
        self.state.lock().unwrap().1 = true;
        self.changed.notify_all();
    }

    /// Waits until `count` fops are held back; returns their number.
    fn waiting(&self, count: usize) -> usize {
        let state = self.state.lock().unwrap();
        let limit = Duration::from_secs(10);
        self.changed.wait_timeout_while(state, limit, |(waiting, _)| *waiting < count).unwrap().0.0
    }
}

/// Opens a gate when dropped, since the server waits for its threads even if the test fails.
struct Opens(Arc<Gate>);

impl Drop for Opens {
    fn drop(&mut self) {
        self.0.open();
    }
}

/// A brick whose fsyncs and closes are held back, and which has nothing in the page cache.
struct Slow {
    brick: Brick,
    fsyncs: Arc<Gate>,
    closes: Arc<Gate>,
}

impl Slow {
    fn serve(fsyncs: &Arc<Gate>, closes: &Arc<Gate>) -> Option<InProcess> {
        let (fsyncs, closes) = (Arc::clone(fsyncs), Arc::clone(closes));
        InProcess::with(serve::directory(), |brick| Arc::new(Self { brick, fsyncs, closes }))
    }
}

impl Backend for Slow {
    fn execute(&self, call: &Call<'_>, payload: &[u8], reply: &mut Vec<u8>) -> bool {
        if matches!(call.request, Request::Fsync(_)) {
            self.fsyncs.wait();
        }
        self.brick.execute(call, payload, reply)
    }

    fn read(
        &self,
        handle: HandleId,
        cred: &Cred<'_>,
        offset: u64,
        room: &mut [u8],
        now: bool,
    ) -> Option<Result<ReadOutcome, Errno>> {
        if now { None } else { self.brick.read(handle, cred, offset, room, false) }
    }

    fn write(
        &self,
        handle: HandleId,
        cred: &Cred<'_>,
        offset: u64,
        data: &[u8],
        now: bool,
    ) -> Option<Result<WriteOutcome, Errno>> {
        self.brick.write(handle, cred, offset, data, now)
    }

    fn close(&self, handle: HandleId, now: bool) -> bool {
        if !now {
            self.closes.wait();
        }
        self.brick.close(handle, now)
    }
}

fn options() -> OpenOptions {
    OpenOptions::new().read(true).write(true).create(true)
}

#[test]
fn a_read_does_not_wait_for_the_fsyncs_of_others() {
    let (gate, closes) = (Arc::new(Gate::default()), Arc::new(Gate::default()));
    closes.open();
    let Some(server) = Slow::serve(&gate, &closes) else { return };
    let _at_last = Opens(Arc::clone(&gate));
    let options = options();
    let (reader, writer) = (server.volume(), server.volume());
    let file = reader.open_file("read", &options).unwrap();
    file.write_all_at(&[7; 4096], 0).unwrap();
    let files: Vec<_> =
        (0..20).map(|n| writer.open_file(format!("f{n}"), &options).unwrap()).collect();
    let flushes: Vec<_> = files
        .iter()
        .map(|file| {
            file.write_all_at(&[1; 4096], 0).unwrap();
            file.flush_async()
        })
        .collect();
    let waiting = gate.waiting(6);

    let (told, read) = mpsc::channel();
    let began = Instant::now();
    let look = std::thread::spawn(move || {
        let mut block = [0; 4096];
        file.read_exact_at(&mut block, 0).unwrap();
        let _ = told.send((block[4095], file.metadata().unwrap().size()));
    });
    let seen = read.recv_timeout(Duration::from_secs(10));
    let still = gate.waiting(0);
    gate.open();
    look.join().unwrap();
    flushes.into_iter().for_each(|flush| flush.wait().unwrap());
    assert_eq!((waiting, still, seen), (6, 6, Ok((7, 4096))), "after {:?}", began.elapsed());
}

#[test]
fn nobody_waits_for_what_a_close_writes_or_frees() {
    let (fsyncs, gate) = (Arc::new(Gate::default()), Arc::new(Gate::default()));
    fsyncs.open();
    let Some(server) = Slow::serve(&fsyncs, &gate) else { return };
    let _at_last = Opens(Arc::clone(&gate));
    let (one, other) = (server.volume(), server.volume());
    for name in ["written", "quiet", "unlinked"] {
        // Closed by a thread, which may block.
        let file = one.open_file(name, &options()).unwrap();
        // A file that was only read has no times to write.
        if name != "quiet" {
            file.write_all_at(&[7; 4096], 0).unwrap();
        }
        file.close().unwrap();
    }
    assert_eq!(gate.waiting(3), 3, "what was written");
    let read = OpenOptions::new().read(true);
    one.open_file("quiet", &read).unwrap().close().unwrap();
    let unlinked = one.open_file("unlinked", &read).unwrap();
    one.remove_file("unlinked").unwrap();
    unlinked.close().unwrap();
    assert_eq!(gate.waiting(4), 4, "what was unlinked, and not what was only read");
    // The loop is not blocked.
    let mut block = [0; 4096];
    let file = other.open_file("written", &read).unwrap();
    file.read_exact_at(&mut block, 0).unwrap();
    assert_eq!((block[4095], gate.waiting(0)), (7, 4));
    let parked = server.path().join(".glusterfs/unlink");
    let left = || std::fs::read_dir(&parked).map_or(0, |all| all.count());
    assert_eq!(left(), 1);
    gate.open();
    drop((file, one, other));
    let until = Instant::now() + Duration::from_secs(10);
    while left() > 0 && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(left(), 0, "it went with the last close");
}
