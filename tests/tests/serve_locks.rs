//! flock(2) and fcntl(2) locks through two mounts of GlusterFS's own client on `brickwire serve`:
//! as on a local disk, they exclude other owners, wake waiters, and end with their holder.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use brickwire_tests::brickwire;
use brickwire_tests::serve::{Mount, Served, wanted};

/// A request without an answer after this time is waiting.
const WAITS: Duration = Duration::from_millis(200);
/// A lock that is free is granted within this time.
const GRANTED: Duration = Duration::from_secs(10);

/// A process that locks on request, see `src/bin/locker.rs`.
struct Locker {
    child: Child,
    requests: ChildStdin,
    answers: Receiver<String>,
}

impl Locker {
    fn new(file: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_locker"));
        let mut child =
            command.arg(file).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (requests, lines) =
            (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let (sender, answers) = channel();
        std::thread::spawn(move || {
            lines.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        let locker = Self { child, requests, answers };
        assert_eq!(locker.answer("open"), "ok");
        locker
    }

    fn answer(&self, request: &str) -> String {
        self.answers.recv_timeout(GRANTED).unwrap_or_else(|error| panic!("{request}: {error}"))
    }

    /// Sends a request and returns its answer.
    #[track_caller]
    fn says(&mut self, request: &str, answer: &str) {
        writeln!(self.requests, "{request}").unwrap();
        assert_eq!(self.answer(request), answer, "{request}");
    }

    /// Sends a request that must wait.
    #[track_caller]
    fn waits(&mut self, request: &str) {
        writeln!(self.requests, "{request}").unwrap();
        let said = self.answers.recv_timeout(WAITS);
        assert!(said.is_err(), "{request} was to wait: {said:?}");
    }

    /// The answer to the request that waited.
    #[track_caller]
    fn ends(&mut self, answer: &str) {
        assert_eq!(self.answer("what waited"), answer);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    fn interrupt(&self) {
        self.signal(rustix::process::Signal::USR1);
    }
}

impl Drop for Locker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Requests that lock and unlock the whole file, with flock and with fcntl.
const WAYS: [(&str, &str); 2] = [("flock ex", "flock un"), ("fcntl w 0 0", "fcntl un 0 0")];

/// Runs a test with two mounts of the volume.
fn twice(served: &Served, test: impl Fn(&Mount, &Mount)) {
    let (one, other) = (served.mount("v"), served.mount("v"));
    std::fs::write(one.at("f"), [7; 1000]).unwrap();
    test(&one, &other);
}

fn on_two_mounts(test: impl Fn(&Mount, &Mount)) {
    on_both_volumes(|served| twice(served, &test));
}

/// Runs a test on a volume of one brick and on a replica of three.
fn on_both_volumes(test: impl Fn(&Served)) {
    if !wanted() {
        return;
    }
    let replica = |dir: &Path| {
        let bricks = [1, 2, 3].map(|n| dir.join(format!("b{n}")).display().to_string());
        vec!["--volume".into(), format!("v=replica:{}", bricks.join(","))]
    };
    for served in [Served::one(), Served::with(replica)] {
        test(&served);
    }
}

/// A locker on each mount.
fn lockers(one: &Mount, other: &Mount) -> (Locker, Locker) {
    (Locker::new(&one.at("f")), Locker::new(&other.at("f")))
}

#[test]
fn who_locks_through_one_mount_keeps_others_out_at_the_other() {
    on_two_mounts(|one, other| {
        let (mut a, mut b) = lockers(one, other);
        let mut next = Locker::new(&one.at("f"));
        for (lock, unlock) in WAYS {
            a.says(lock, "ok");
            for locker in [&mut b, &mut next] {
                locker.says(&format!("{lock} now"), "EAGAIN");
            }
            a.says(unlock, "ok");
            b.says(&format!("{lock} now"), "ok");
            a.says(&format!("{lock} now"), "EAGAIN");
            b.says(unlock, "ok");
        }
        // Readers share the lock, and a writer waits for both.
        for (read, write, unlock) in
            [("flock sh", "flock ex", "flock un"), ("fcntl r 0 0", "fcntl w 0 0", "fcntl un 0 0")]
        {
            a.says(read, "ok");
            b.says(&format!("{read} now"), "ok");
            next.says(&format!("{write} now"), "EAGAIN");
            a.says(unlock, "ok");
            next.says(&format!("{write} now"), "EAGAIN");
            b.says(unlock, "ok");
            next.says(&format!("{write} now"), "ok");
            next.says(unlock, "ok");
        }
    });
}

#[test]
fn ranges_conflict_where_they_overlap() {
    on_two_mounts(|one, other| {
        let (mut a, mut b) = lockers(one, other);
        a.says("fcntl w 100 100", "ok");
        b.says("fcntl w 0 100 now", "ok");
        b.says("fcntl w 200 0 now", "ok");
        b.says("fcntl r 199 1 now", "EAGAIN");
        b.says("test 0 0", "taken 100 100");
        a.says("test 50 100", "taken 0 100");
        a.says("test 150 100", "taken 200 0");
        // The middle is unlocked, which leaves two locks.
        a.says("fcntl un 140 20", "ok");
        b.says("fcntl w 140 20 now", "ok");
        b.says("fcntl w 139 1 now", "EAGAIN");
        b.says("fcntl w 160 1 now", "EAGAIN");
        b.waits("fcntl w 120 100");
        a.says("fcntl un 160 40", "ok");
        assert!(b.answers.recv_timeout(WAITS).is_err(), "a part of it is still taken");
        a.says("fcntl un 100 40", "ok");
        b.ends("ok");
        a.says("fcntl w 100 20 now", "ok");
        // Adjacent locks are merged.
        a.says("test 100 50", "taken 120 0");
    });
}

#[test]
fn who_waits_has_the_lock_when_its_holder_lets_go_or_is_killed() {
    on_two_mounts(|one, other| {
        for (lock, unlock) in WAYS {
            let (mut a, mut b) = lockers(one, other);
            a.says(lock, "ok");
            b.waits(lock);
            a.says(unlock, "ok");
            b.ends("ok");
            a.waits(lock);
            b.signal(rustix::process::Signal::KILL);
            a.ends("ok");
        }
    });
}

#[test]
fn who_waits_has_the_lock_when_the_mount_of_its_holder_is_gone() {
    on_both_volumes(|served| {
        let other = served.mount("v");
        std::fs::write(other.at("f"), b"x").unwrap();
        for (lock, _) in WAYS {
            let lost = served.mount("v");
            let (mut a, mut b) = lockers(&lost, &other);
            a.says(lock, "ok");
            b.waits(lock);
            lost.kill();
            b.ends("ok");
            Locker::new(&other.at("f")).says(&format!("{lock} now"), "EAGAIN");
        }
    });
}

#[test]
fn an_interrupted_wait_leaves_nothing_behind() {
    if !wanted() {
        return;
    }
    // Not on a replica: after EINTR from the first brick a client of 10.3 asks the second one, and
    // that wait is not interrupted.
    twice(&Served::one(), |one, other| {
        for (lock, unlock) in WAYS {
            let (mut a, mut b) = lockers(one, other);
            a.says(lock, "ok");
            b.waits(lock);
            b.interrupt();
            b.ends("EINTR");
            // Another waiter is not affected, and the interrupted process can wait again.
            let mut next = Locker::new(&one.at("f"));
            next.waits(lock);
            b.waits(lock);
            b.interrupt();
            b.ends("EINTR");
            a.says(unlock, "ok");
            next.ends("ok");
            b.says(&format!("{lock} now"), "EAGAIN");
            next.says(unlock, "ok");
            a.says("test 0 0", "free");
            a.says(&format!("{lock} now"), "ok");
        }
    });
}

#[test]
fn what_a_closed_file_had_locked_is_free() {
    on_two_mounts(|one, other| {
        for (lock, _) in WAYS {
            let (mut a, mut b) = lockers(one, other);
            a.says(lock, "ok");
            b.says(&format!("{lock} now"), "EAGAIN");
            b.waits(lock);
            a.says("close", "ok");
            b.ends("ok");
        }
        // A process's fcntl locks end when it closes any descriptor of the file; its flock locks
        // end with the last descriptor of that open.
        let (mut a, mut b) = lockers(one, other);
        a.says("flock ex", "ok");
        a.says("look", "ok");
        b.says("flock ex now", "EAGAIN");
        a.says("flock un", "ok");
        a.says("fcntl w 10 5", "ok");
        b.says("fcntl w 0 0 now", "EAGAIN");
        a.says("look", "ok");
        b.says("fcntl w 0 0 now", "ok");
    });
}

/// The directory of the graph that a mount uses.
fn graph(mount: &Mount) -> std::path::PathBuf {
    std::fs::read_link(mount.at(".meta/graphs/active")).unwrap()
}

#[test]
fn locks_are_kept_when_a_mount_changes_its_graph() {
    if !wanted() {
        return;
    }
    let volume = |dir: &Path, args: &[&str]| {
        let dir = dir.to_str().unwrap();
        let state = format!("{dir}/state");
        let (status, said, why) = brickwire(&[&["volume", "--state", &state], args].concat());
        assert_eq!(status, 0, "{args:?}: {said}{why}");
        vec!["--state".into(), state]
    };
    let served = Served::with(|dir| {
        volume(dir, &["create", "--create", "v", dir.join("brick").to_str().unwrap()]);
        volume(dir, &["start", "v"])
    });
    let (one, other) = (served.mount("v"), served.mount("v"));
    std::fs::write(one.at("f"), [7; 1000]).unwrap();
    let (mut a, mut b) = lockers(&one, &other);
    a.says("fcntl w 0 10", "ok");
    a.says("fcntl r 50 10", "ok");
    let before = graph(&one);
    volume(served.dir(), &["set", "v", "performance.quick-read", "off"]);
    let end = std::time::Instant::now() + GRANTED;
    while graph(&one) == before {
        assert!(std::time::Instant::now() < end, "the graph is the same");
        let _ = std::fs::read_dir(one.path()).map(Iterator::count);
        std::thread::sleep(WAITS);
    }
    // The old graph is disconnected some time after the exchange.
    std::thread::sleep(Duration::from_secs(2));
    b.says("fcntl r 0 1 now", "EAGAIN");
    b.says("fcntl w 50 1 now", "EAGAIN");
    b.says("fcntl r 50 1 now", "ok");
    b.says("fcntl un 0 0", "ok");
    b.waits("fcntl w 0 10");
    a.says("fcntl un 0 0", "ok");
    b.ends("ok");
}
