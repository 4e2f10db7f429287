//! A change of names takes several steps on disk. The server is killed before each step in turn and
//! restarted: the change is complete or has not happened, and the brick has no faults.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use brickwire_std::{OpenOptions, Options, Result, Volume};
use brickwire_tests::brick;
use brickwire_tests::serve::{Served, wanted};
use brickwire_tests::tree::listing;

/// strace, attached to a server, which it kills at a given system call.
struct Trace(Child);

impl Trace {
    fn attach(pid: u32, call: &str, time: usize) -> Self {
        let inject = format!("inject={call}:signal=KILL:when={time}");
        let mut strace = Command::new("strace");
        strace.args(["-f", "-q", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &inject]);
        let mut child =
            strace.args(["-p", &pid.to_string()]).stderr(Stdio::piped()).spawn().expect("strace");
        // With -q strace prints nothing when it is attached, so `TracerPid` of every thread is
        // read.
        let end = Instant::now() + Duration::from_secs(10);
        while !traced(pid) {
            assert!(
                Instant::now() < end && child.try_wait().expect("a look").is_none(),
                "strace cannot attach"
            );
            std::thread::sleep(Duration::from_millis(2));
        }
        Self(child)
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        // The server continues without strace.
        let _ = self.0.kill();
        let _ = self.0.wait();
        if let Some(errors) = self.0.stderr.take() {
            let lines = BufReader::new(errors).lines().map_while(std::result::Result::ok);
            lines.for_each(|line| println!("strace: {line}"));
        }
    }
}

fn traced(pid: u32) -> bool {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    let is_traced = |path: &Path| {
        let status = std::fs::read_to_string(path.join("status")).unwrap_or_default();
        status.lines().any(|line| line.starts_with("TracerPid:") && !line.ends_with("\t0"))
    };
    tasks.flatten().all(|task| is_traced(&task.path()))
}

type Change = fn(&Volume) -> Result<()>;

fn create(volume: &Volume, path: &str) -> Result<()> {
    volume.open_file(path, &OpenOptions::new().write(true).create_new(true)).map(drop)
}

fn prepare(volume: &Volume) -> Result<()> {
    for dir in ["dir", "dir/sub", "empty", "other"] {
        volume.create_dir(dir, 0o755)?;
    }
    for file in ["one", "two", "twice", "dir/sub/deep"] {
        create(volume, file)?;
    }
    volume.link("twice", "other/again")?;
    volume.symlink("dir", "symlink")
}

/// A change: name, function, and the system calls that it makes.
const CHANGES: &[(&str, Change, &[&str])] = &[
    ("create", |v| create(v, "dir/new"), &["setxattr", "linkat"]),
    (
        "mkdir",
        |v| v.create_dir("dir/new", 0o700),
        &["mkdirat", "setxattr", "symlinkat", "renameat"],
    ),
    ("symlink", |v| v.symlink("one", "dir/new"), &["symlinkat", "setxattr", "linkat"]),
    ("link", |v| v.link("one", "dir/new"), &["linkat", "setxattr"]),
    ("rm", |v| v.remove_file("one"), &["unlinkat"]),
    ("rm one of two", |v| v.remove_file("twice"), &["unlinkat", "removexattr"]),
    ("rm symlink", |v| v.remove_file("symlink"), &["unlinkat"]),
    ("rmdir", |v| v.remove_dir("empty"), &["unlinkat"]),
    ("mv", |v| v.rename("one", "other/new"), &["renameat", "removexattr", "setxattr"]),
    ("mv over", |v| v.rename("one", "two"), &["renameat", "unlinkat", "removexattr", "setxattr"]),
    (
        "mv over one of two",
        |v| v.rename("one", "other/again"),
        &["renameat", "removexattr", "setxattr"],
    ),
    (
        "mv one of two",
        |v| v.rename("twice", "two"),
        &["renameat", "unlinkat", "removexattr", "setxattr"],
    ),
    ("mv directory", |v| v.rename("dir", "other/moved"), &["renameat", "symlinkat"]),
    ("mv directory over", |v| v.rename("dir/sub", "empty"), &["renameat", "unlinkat", "symlinkat"]),
];

fn names(brick: &Path) -> Vec<String> {
    let visible = listing(brick).into_iter().filter(|line| !line.starts_with(".glusterfs"));
    // Compares name, kind and number of links.
    visible.map(|line| line.split(" size ").next().unwrap_or_default().to_owned()).collect()
}

fn interrupted(name: &str, change: Change, calls: &[&str]) {
    let brick = |dir: &Path| format!("v={}", dir.join("brick").display());
    // One server thread, because strace counts calls of each thread.
    let mut served =
        Served::with(|dir| vec!["--threads".into(), "1".into(), "--volume".into(), brick(dir)]);
    let options = Options::new().timeout(Duration::from_secs(30));
    let volume = Volume::open_with(&served.uri("v"), &options).expect("a volume");
    for call in calls {
        let kills = (1..10)
            .take_while(|time| killed(name, &mut served, &volume, change, (call, *time)))
            .count();
        assert!((1..9).contains(&kills), "{name} has {kills} times {call}");
    }
}

/// Makes the change and kills the server at a system call. Returns whether it was killed: otherwise
/// the change makes fewer such calls.
fn killed(
    name: &str,
    served: &mut Served,
    volume: &Volume,
    change: Change,
    at: (&str, usize),
) -> bool {
    // Restores the initial state.
    for entry in std::fs::read_dir(served.brick()).expect("a brick").flatten() {
        if entry.file_name() != ".glusterfs" {
            let name = entry.file_name().into_string().expect("a text");
            let is_dir = entry.file_type().expect("a kind").is_dir();
            if is_dir { volume.remove_dir_all(&name) } else { volume.remove_file(&name) }
                .expect("it goes");
        }
    }
    prepare(volume).expect("files");
    let before = names(&served.brick());
    let trace = Trace::attach(served.pid(), at.0, at.1);
    let result = change(volume);
    drop(trace);
    let end = Instant::now() + Duration::from_secs(5);
    // The process takes a moment to end.
    while result.is_err() && served.runs() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(2));
    }
    if served.runs() {
        result.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_ne!(names(&served.brick()), before, "{name}");
        assert_eq!(brick::faults(&served.brick()), Vec::<String>::new(), "{name}");
        return false;
    }
    served.kill();
    let between = names(&served.brick());
    served.start();
    let faults = brick::faults(&served.brick());
    assert!(faults.is_empty(), "{name}, killed at {at:?}: {faults:?}; {between:?}");
    let after = names(&served.brick());
    let all = [before, complete(served, volume, change)];
    assert!(all.contains(&after), "{name}, killed at {at:?}: {after:?}");
    true
}

/// Completes the change, unless it has happened already, and returns the result.
fn complete(served: &Served, volume: &Volume, change: Change) -> Vec<String> {
    let end = Instant::now() + Duration::from_secs(10);
    while let Err(error) = change(volume) {
        // The change has happened already.
        if error.errno().is_some() {
            break;
        }
        assert!(Instant::now() < end, "{error}");
        std::thread::sleep(Duration::from_millis(20));
    }
    names(&served.brick())
}

#[test]
fn a_change_of_names_that_a_crash_interrupts_has_happened_or_has_not() {
    if !wanted() {
        return;
    }
    std::thread::scope(|scope| {
        for (name, change, calls) in CHANGES {
            scope.spawn(move || interrupted(name, *change, calls));
        }
    });
}
