//! Repairs of a replica by an administrator, with GlusterFS's own self-heal daemon, `glfsheal` and
//! mounts: a lost brick is replaced, a missing name is created, split-brains are resolved.

use std::fs;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use brickwire_core::xdr::Gfid;
use brickwire_tests::brick::xattr;
use brickwire_tests::serve::{HealDaemon, Served, wanted};
use brickwire_tests::tree::{assert_same, listing};
use brickwire_tests::{brickwire, copies, pattern, run};
use rustix::fs::{XattrFlags, lsetxattr};

fn bricks(dir: &Path) -> [PathBuf; 3] {
    ["b1", "b2", "b3"].map(|name| dir.join(name))
}

fn replica(options: &[&str]) -> Served {
    Served::with(|dir| {
        let names = bricks(dir).map(|brick| brick.display().to_string());
        let mut args = vec!["--volume".into(), format!("v=replica:{}", names.join(","))];
        options.iter().for_each(|option| args.extend(["--option".into(), (*option).into()]));
        args
    })
}

fn gfid_of(path: &Path) -> Gfid {
    Gfid(xattr(path, "trusted.gfid").expect("a gfid").try_into().expect("16 bytes"))
}

fn until(what: &str, seconds: u64, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(seconds);
    while !so() {
        assert!(Instant::now() < end, "not within {seconds} s: {what}");
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// Creates nested directories with objects of every kind.
fn make_tree(dir: &Path) {
    fs::create_dir_all(dir.join("a/b/c/d")).unwrap();
    for (n, deep) in [".", "a", "a/b", "a/b/c", "a/b/c/d"].into_iter().enumerate() {
        fs::write(dir.join(deep).join("f"), pattern(40_000 * n, n as u64)).unwrap();
        fs::write(dir.join(deep).join("small"), b"x").unwrap();
    }
    let sparse = fs::File::create(dir.join("a/b/sparse")).unwrap();
    sparse.write_all_at(&pattern(65_536, 9), 5 << 20).unwrap();
    sparse.set_len(16 << 20).unwrap();
    symlink("../f", dir.join("a/b/soft")).unwrap();
    fs::hard_link(dir.join("a/f"), dir.join("a/b/c/hard")).unwrap();
    fs::set_permissions(dir.join("a/b"), fs::Permissions::from_mode(0o2750)).unwrap();
    std::os::unix::fs::chown(dir.join("a/b/f"), Some(1234), Some(4321)).unwrap();
    fs::set_permissions(dir.join("a/b/small"), fs::Permissions::from_mode(0o4711)).unwrap();
    for (name, key) in [("a/b/c", "user.dir"), ("a/b/c/d/f", "user.file"), ("a", "trusted.mine")] {
        lsetxattr(dir.join(name), key, b"value", XattrFlags::empty()).unwrap();
    }
    run("mkfifo", &[dir.join("a/b/c/fifo").to_str().unwrap()]);
    run("mknod", &[dir.join("a/b/c/d/null").to_str().unwrap(), "c", "1", "3"]);
    run("touch", &["-d", "2001-01-01", dir.join("a/b/c/d/small").to_str().unwrap()]);
}

#[test]
fn an_empty_directory_in_the_place_of_a_lost_brick_is_filled_at_every_depth_once_that_is_said() {
    if !wanted() {
        return;
    }
    let mut served = replica(&[]);
    let bricks = bricks(served.dir());
    {
        let mount = served.mount("v");
        make_tree(mount.path());
        copies::wait_for(&bricks, false, Duration::from_secs(10));
    }
    served.stop();
    fs::rename(&bricks[2], served.dir().join("lost")).unwrap();
    fs::create_dir(&bricks[2]).unwrap();
    served.start();
    let (mount, daemon) = (served.mount("v"), HealDaemon::new(&served, "v"));
    fs::write(mount.at("a/b/meanwhile"), b"with two").unwrap();
    assert_eq!(
        fs::read_dir(&bricks[2]).unwrap().count(),
        0,
        "it may be what a disk was mounted on"
    );
    let (name, socket) = (bricks[2].to_str().unwrap(), daemon.socket().display().to_string());
    let id = Gfid(xattr(&bricks[0], "trusted.glusterfs.volume-id").unwrap().try_into().unwrap())
        .to_string();
    let reset = ["volume", "reset-brick", "v", name, "--id", &id];
    fs::write(bricks[2].join("somebody's"), b"").unwrap();
    assert!(brickwire(&reset).2.contains("not empty"));
    fs::remove_file(bricks[2].join("somebody's")).unwrap();
    assert_eq!(brickwire(&reset).0, 0);
    let heal = |how: &str| brickwire(&["--json", "volume", "heal", "v", "--daemon", &socket, how]);
    until("every copy is whole", 90, || {
        // Two threads of the daemon heal the root at the same time and block each other; then it
        // may need another full crawl.
        heal("--full");
        copies::faults(&bricks, false).is_empty()
    });
    let (status, counts, errors) = heal("--count");
    assert_eq!((status, counts.matches(": 0").count()), (0, 3), "{counts}{errors}");
    assert_eq!(xattr(&bricks[2], "trusted.brickwire.reset"), None);
    let sparse = bricks[2].join("a/b/sparse").metadata().unwrap();
    assert!(sparse.size() == 16 << 20 && sparse.blocks() < 2 << 11, "{} blocks", sparse.blocks());
    let seen = listing(&mount.at("a"));
    drop((mount, daemon));
    served.stop();
    // The new copy alone has all files.
    bricks[..2].iter().for_each(|brick| fs::remove_dir_all(brick).unwrap());
    let alone = Served::with(|_| vec!["--volume".into(), format!("v={name}")]);
    assert_same("the new brick alone", &seen, &listing(&alone.mount("v").at("a")));
}

/// Removes a name and its handle from a brick that is not served.
fn remove_name(brick: &Path, name: &str) {
    let (path, gfid) = (brick.join(name), gfid_of(&brick.join(name)).to_string());
    let handle = brick.join(".glusterfs").join(&gfid[..2]).join(&gfid[2..4]).join(&gfid);
    if path.symlink_metadata().unwrap().is_dir() {
        fs::remove_dir(&path).unwrap();
    } else {
        fs::remove_file(&path).unwrap();
    }
    // The handle stays while the file has other names.
    if fs::symlink_metadata(&handle).is_ok_and(|left| !left.is_file() || left.nlink() == 1) {
        fs::remove_file(&handle).unwrap();
    }
}

#[test]
fn a_lookup_makes_a_name_that_one_brick_lacks() {
    if !wanted() {
        return;
    }
    let mut served = replica(&[]);
    let bricks = bricks(served.dir());
    let names = ["dir/f", "dir/soft", "dir/second", "dir/fifo", "dir/empty"];
    {
        let mount = served.mount("v");
        fs::create_dir_all(mount.at("dir/empty")).unwrap();
        fs::write(mount.at("dir/f"), pattern(30_000, 1)).unwrap();
        fs::write(mount.at("dir/first"), b"one").unwrap();
        fs::hard_link(mount.at("dir/first"), mount.at("dir/second")).unwrap();
        symlink("f", mount.at("dir/soft")).unwrap();
        run("mkfifo", &[mount.at("dir/fifo").to_str().unwrap()]);
        copies::wait_for(&bricks, false, Duration::from_secs(10));
    }
    served.stop();
    names.iter().for_each(|name| remove_name(&bricks[2], name));
    served.start();
    let mount = served.mount("v");
    for name in names {
        mount.at(name).symlink_metadata().unwrap();
        assert!(bricks[2].join(name).symlink_metadata().is_ok(), "{name}");
    }
    // Only the name is created; the missing contents are marked on the other bricks for the daemon.
    let accused = xattr(&bricks[0].join("dir/f"), "trusted.afr.v-client-2").unwrap();
    assert_eq!(accused, [0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0]);
    let _daemon = HealDaemon::new(&served, "v");
    copies::wait_for(&bricks, false, Duration::from_secs(60));
}

/// Makes the bricks accuse each other (split-brain).
fn split(bricks: &[PathBuf; 3], name: &str, pending: [u8; 12]) {
    for (at, brick) in bricks.iter().enumerate() {
        let path = brick.join(name);
        for other in (0..3).filter(|other| *other != at) {
            lsetxattr(
                &path,
                format!("trusted.afr.v-client-{other}"),
                &pending,
                XattrFlags::empty(),
            )
            .unwrap();
        }
        let volume = Gfid(xattr(brick, "trusted.glusterfs.volume-id").unwrap().try_into().unwrap());
        let index = brick.join(".glusterfs/indices/xattrop");
        let base = index.join(format!("xattrop-{volume}"));
        fs::File::options().create(true).append(true).open(&base).unwrap();
        fs::hard_link(base, index.join(gfid_of(&path).to_string())).unwrap();
    }
}

fn glfsheal(served: &Served, args: &[&str]) -> String {
    let places =
        ["/usr/lib/x86_64-linux-gnu/glusterfs/glfsheal", "/usr/libexec/glusterfs/glfsheal"];
    let program =
        places.into_iter().find(|place| Path::new(place).exists()).expect("glfsheal is installed");
    let mut command = Command::new(program);
    command.arg("v").args(args).arg("glusterd-sock").arg(served.socket());
    String::from_utf8_lossy(&command.output().unwrap().stdout).into_owned()
}

#[test]
fn a_file_that_is_being_written_is_not_listed_as_one_to_be_healed() {
    if !wanted() {
        return;
    }
    let served = replica(&[]);
    let mount = served.mount("v");
    let (file, over) = (fs::File::create(mount.at("busy")).unwrap(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                file.write_all_at(&[1; 8192], 0).unwrap();
            }
        });
        std::thread::sleep(Duration::from_millis(300));
        let infos = [(); 3].map(|()| glfsheal(&served, &[]));
        over.store(true, Ordering::Relaxed);
        let marked = xattr(&bricks(served.dir())[0].join("busy"), "trusted.afr.dirty").unwrap();
        assert!(marked.iter().any(|byte| *byte != 0), "it was being written");
        for info in infos {
            assert_eq!(info.matches("Number of entries: 0\n").count(), 3, "{info}");
        }
    });
}

#[test]
fn split_brains_are_seen_chosen_from_and_resolved() {
    if !wanted() {
        return;
    }
    let mut served = replica(&["cluster.quorum-type=none"]);
    let bricks = bricks(served.dir());
    {
        let mount = served.mount("v");
        for name in ["bigger", "source", "left", "mode"] {
            fs::write(mount.at(name), b"same").unwrap();
        }
        copies::wait_for(&bricks, false, Duration::from_secs(10));
    }
    served.stop();
    for name in ["bigger", "source", "left"] {
        for (at, brick) in bricks.iter().enumerate() {
            let file = fs::File::create(brick.join(name)).unwrap();
            file.write_all_at(&[b'1' + at as u8].repeat(at + 1), 0).unwrap();
        }
        split(&bricks, name, [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    }
    for (at, brick) in bricks.iter().enumerate() {
        let mode = fs::Permissions::from_mode(0o600 + at as u32 * 8);
        fs::set_permissions(brick.join("mode"), mode).unwrap();
    }
    split(&bricks, "mode", [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]);
    served.start();

    let info = glfsheal(&served, &[]);
    assert_eq!(info.matches(" - Is in split-brain\n").count(), 12, "{info}");
    assert_eq!(info.matches("Number of entries: 4\n").count(), 3, "{info}");
    let summary = glfsheal(&served, &["info-summary"]);
    assert_eq!(summary.matches("Number of entries in split-brain: 4\n").count(), 3, "{summary}");

    let mount = served.mount("v");
    let read =
        |name: &str| fs::read_to_string(mount.at(name)).map_err(|error| error.raw_os_error());
    assert_eq!(read("bigger"), Err(Some(5)));
    for (choice, text) in [("v-client-0", "1"), ("v-client-2", "333"), ("v-client-1", "22")] {
        let path = mount.at("bigger");
        lsetxattr(&path, "replica.split-brain-choice", choice.as_bytes(), XattrFlags::empty())
            .unwrap();
        assert_eq!(read("bigger").as_deref(), Ok(text), "{choice}");
    }

    let second = format!("127.0.0.1:{}", bricks[1].display());
    let healed = |args: &[&str]| {
        let said = glfsheal(&served, args);
        assert!(said.starts_with("Healed /"), "{args:?}: {said}");
    };
    healed(&["bigger-file", "/bigger"]);
    healed(&["source-brick", &second, "/source"]);
    healed(&["source-brick", &second, "/mode"]);
    assert!(glfsheal(&served, &["bigger-file", "/mode"]).contains("File not in split-brain"));
    // The times that clients set are equal on all bricks.
    assert!(glfsheal(&served, &["latest-mtime", "/left"]).contains("No difference in mtime"));
    let left = gfid_of(&bricks[0].join("left"));
    let said = glfsheal(&served, &["source-brick", &second]);
    assert!(said.starts_with(&format!("Healed gfid:{left}.")), "{said}");
    assert!(!said.contains("failed"), "nothing else is listed: {said}");
    copies::wait_for(&bricks, false, Duration::from_secs(10));
    drop(mount);
    let again = served.mount("v");
    let texts =
        ["bigger", "source", "left"].map(|name| fs::read_to_string(again.at(name)).unwrap());
    assert_eq!(texts, ["333", "22", "22"]);
    assert_eq!(again.at("mode").metadata().unwrap().mode() & 0o777, 0o610);
    assert_eq!(glfsheal(&served, &[]).matches("Number of entries: 0\n").count(), 3);
}
