//! The server is killed repeatedly under clients that write. Everything acknowledged as durable is
//! there, whole, and nothing is left behind. CI runs it for ten seconds; `cargo xtask powercut
//! --seconds N` runs it longer.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use brickwire_tests::serve::{Served, wanted};
use brickwire_tests::{brick, pattern};

/// Pseudo-random numbers of a seed, which a failure prints.
struct Draw(u64);

impl Draw {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// The states that a name may be in: the contents of one of these versions, or absent if `None` is
/// among them. A single state is certain.
type Allowed = Vec<Option<(u64, usize)>>;

struct Writer<'a> {
    dir: &'a Path,
    draw: Draw,
    version: u64,
    names: BTreeMap<String, Allowed>,
}

/// Errors while the server is down. The FUSE client reports them at once and recovers.
fn away(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(107 | 77 | 103 | 104 | 116 | 5 | 2 | 9))
}

impl Writer<'_> {
    fn name(&mut self) -> String {
        format!("file-{}", self.draw.below(12))
    }

    fn sync_dir(&self) -> std::io::Result<()> {
        fs::File::open(self.dir)?.sync_all()
    }

    /// Makes one change. The possible states are recorded before it, the resulting one after it.
    fn step(&mut self) -> std::io::Result<()> {
        let name = self.name();
        let path = self.dir.join(&name);
        match self.draw.below(10) {
            // A new version of a file: written beside it, synced, and renamed over it.
            0..=5 => {
                self.version += 1;
                let (version, len) = (self.version, self.draw.below(200_000) as usize);
                let beside = self.dir.join(format!("new-{name}"));
                self.allow(&format!("new-{name}"), &[]);
                let file =
                    OpenOptions::new().write(true).create(true).truncate(true).open(&beside)?;
                file.write_all_at(&pattern(len, version), 0)?;
                file.sync_all()?;
                self.also(&name, Some((version, len)));
                fs::rename(&beside, &path)?;
                self.sync_dir()?;
                self.now(&name, Some((version, len)));
                self.forget(&format!("new-{name}"));
            }
            6 => {
                self.also(&name, None);
                match fs::remove_file(&path) {
                    Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
                self.sync_dir()?;
                self.now(&name, None);
            }
            // A new hard link.
            7 | 8 => {
                let other = self.name();
                if self.known(&name).is_none_or(|known| known.is_none()) || other == name {
                    return Ok(());
                }
                let known = self.known(&name).flatten();
                if self.known(&other) != Some(None) {
                    return Ok(());
                }
                self.also(&other, known);
                fs::hard_link(&path, self.dir.join(&other))?;
                self.sync_dir()?;
                self.now(&other, known);
            }
            _ => {
                let sub = self.dir.join(format!("dir-{}", self.draw.below(3)));
                let _ = fs::create_dir(&sub);
                let moved = self.dir.join(format!("dir-{}", self.draw.below(3)));
                let _ = fs::rename(&sub, &moved);
                let _ = fs::remove_dir(&moved);
            }
        }
        Ok(())
    }

    /// The state of a name if it is certain; the inner `None` means absent.
    #[allow(clippy::option_option)] // Unknown, known to be nothing, known.
    fn known(&self, name: &str) -> Option<Option<(u64, usize)>> {
        match self.names.get(name) {
            None => Some(None),
            Some(allowed) if allowed.len() == 1 => Some(allowed[0]),
            Some(_) => None,
        }
    }

    fn also(&mut self, name: &str, what: Option<(u64, usize)>) {
        let allowed = self.names.entry(name.to_owned()).or_insert_with(|| vec![None]);
        if !allowed.contains(&what) {
            allowed.push(what);
        }
    }

    fn now(&mut self, name: &str, what: Option<(u64, usize)>) {
        self.names.insert(name.to_owned(), vec![what]);
    }

    fn allow(&mut self, name: &str, what: &[Option<(u64, usize)>]) {
        // An empty list: any state is possible.
        self.names.insert(name.to_owned(), what.to_vec());
    }

    fn forget(&mut self, name: &str) {
        self.names.remove(name);
    }

    fn check(&self, dir: &Path) {
        for (name, allowed) in &self.names {
            if allowed.is_empty() {
                continue;
            }
            let found = fs::read(dir.join(name)).ok();
            let fits = |what: &Option<(u64, usize)>| match (what, &found) {
                (None, None) => true,
                (Some((version, len)), Some(bytes)) => *bytes == pattern(*len, *version),
                _ => false,
            };
            let len = found.as_ref().map(Vec::len);
            assert!(
                allowed.iter().any(fits),
                "{name} in {}: {len:?} bytes, not one of {allowed:?}",
                dir.display()
            );
        }
        for entry in fs::read_dir(dir).expect("a directory") {
            let name = entry.expect("an entry").file_name().into_string().expect("a text");
            let known = self.names.contains_key(&name)
                || name.starts_with("new-")
                || name.starts_with("dir-");
            assert!(known, "{name} in {} came from nowhere", dir.display());
        }
    }
}

fn seconds() -> u64 {
    std::env::var("BRICKWIRE_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(10)
}

#[test]
fn what_was_fsynced_is_there_and_nothing_is_left_over_however_often_the_server_is_killed() {
    if !wanted() {
        return;
    }
    let seed =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos()
            as u64;
    println!("seed {seed}");
    let mut served = Served::one();
    let mut draw = Draw(seed | 1);
    let end = Instant::now() + Duration::from_secs(seconds());
    let mut kills = 0;
    {
        let mount = served.mount("v");
        let (over, broken) = (AtomicBool::new(false), AtomicBool::new(false));
        let dirs: Vec<_> = (0..4).map(|n| mount.at(&format!("writer-{n}"))).collect();
        let mut writers: Vec<Writer<'_>> = Vec::new();
        for (n, dir) in dirs.iter().enumerate() {
            fs::create_dir(dir).unwrap();
            fs::File::open(mount.path()).unwrap().sync_all().unwrap();
            let draw = Draw(seed.wrapping_mul(n as u64 + 3) | 1);
            writers.push(Writer { dir, draw, version: (n as u64) << 32, names: BTreeMap::new() });
        }
        std::thread::scope(|scope| {
            for writer in &mut writers {
                scope.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        if let Err(error) = writer.step() {
                            if !away(&error) {
                                broken.store(true, Ordering::Relaxed);
                                panic!("seed {seed}: {error}");
                            }
                            std::thread::sleep(Duration::from_millis(20));
                        }
                    }
                });
            }
            while Instant::now() < end && !broken.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(300 + draw.below(2000)));
                served.kill();
                served.start();
                kills += 1;
            }
            over.store(true, Ordering::Relaxed);
        });
        served.kill();
        served.start();
        assert_eq!(
            brick::faults(&served.brick()),
            Vec::<String>::new(),
            "seed {seed}, {kills} kills"
        );
        for (n, writer) in writers.iter().enumerate() {
            writer.check(&served.brick().join(format!("writer-{n}")));
            println!("writer {n}: {} versions", writer.version & 0xffff_ffff);
        }
    }
    let again = served.mount("v");
    assert!(fs::read_dir(again.path()).unwrap().count() >= 4);
    println!("{kills} kills");
}

#[test]
fn after_a_crash_of_the_machine_handles_of_nothing_go() {
    if !wanted() {
        return;
    }
    let mut served = Served::one();
    {
        let mount = served.mount("v");
        fs::write(mount.at("file"), b"stays").unwrap();
        fs::write(mount.at("lost"), b"goes").unwrap();
        fs::create_dir_all(mount.at("dir/sub")).unwrap();
        fs::create_dir(mount.at("lost dir")).unwrap();
    }
    served.kill();
    let brick = served.brick();
    fs::remove_file(brick.join("lost")).unwrap();
    fs::remove_dir(brick.join("lost dir")).unwrap();
    assert_eq!(brick::faults(&brick).len(), 2);
    // A killed server on a running machine: these files belong to something else and are kept.
    served.start();
    assert_eq!(brick::faults(&brick).len(), 2);
    served.kill();
    let notes = brick.join(".glusterfs/brickwire");
    let mut bytes = fs::read(&notes).unwrap();
    let at = bytes.windows(5).position(|window| window == b"boot ").unwrap() + 5;
    bytes[at..at + 8].copy_from_slice(b"deadbeef");
    fs::write(&notes, bytes).unwrap();
    served.start();
    let end = Instant::now() + Duration::from_secs(20);
    while !brick::faults(&brick).is_empty() {
        assert!(Instant::now() < end, "{:?}", brick::faults(&brick));
        std::thread::sleep(Duration::from_millis(100));
    }
    let mount = served.mount("v");
    assert_eq!(fs::read(mount.at("file")).unwrap(), b"stays");
    assert!(mount.at("dir/sub").is_dir());
}
