//! `mount -t glusterfs HOST:/VOLUME/sub/dir` of `brickwire serve`, with GlusterFS's FUSE client.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use brickwire_tests::pattern;
use brickwire_tests::serve::{Served, directory, wanted};
use brickwire_tests::tree::{assert_same, listing};
use rustix::fs::XattrFlags;

fn serve(shape: &str, bricks: usize, options: &[&str]) -> Served {
    Served::with(|dir| {
        let dirs: Vec<_> =
            (0..bricks).map(|n| dir.join(format!("b{n}")).display().to_string()).collect();
        let mut args = vec!["--volume".into(), format!("v={shape}{}", dirs.join(","))];
        args.extend(options.iter().flat_map(|option| ["--option".into(), (*option).into()]));
        args
    })
}

/// Makes, changes, renames and removes all kinds of names.
fn work(dir: &Path) {
    let at = |name: &str| dir.join(name);
    for name in ["d", "d/deep", "d/deep/er", "gone"] {
        fs::create_dir(at(name)).unwrap();
    }
    for n in 0..30_usize {
        let name = format!("file-{n}");
        fs::write(at(&name), pattern(n * 997, n as u64)).unwrap();
        fs::hard_link(at(&name), at(&format!("d/link-{n}"))).unwrap();
        fs::rename(at(&name), at(&format!("d/deep/{name}"))).unwrap();
        fs::rename(at(&format!("d/deep/{name}")), at(&format!("renamed-{n}"))).unwrap();
        if n % 3 == 0 {
            fs::remove_file(at(&format!("d/link-{n}"))).unwrap();
        }
    }
    symlink("d/deep", at("symlink")).unwrap();
    fs::rename(at("d/deep"), at("deep")).unwrap();
    fs::remove_dir(at("gone")).unwrap();
    fs::write(at("big"), pattern(9 << 20, 9)).unwrap();
    rustix::fs::setxattr(at("big"), "user.k", b"v", XattrFlags::empty()).unwrap();
    // The root itself.
    rustix::fs::setxattr(dir, "user.root", b"r", XattrFlags::empty()).unwrap();
    fs::set_permissions(dir, fs::Permissions::from_mode(0o750)).unwrap();
}

/// A listing without times of modification.
fn timeless(dir: &Path) -> Vec<String> {
    let without = |line: String| match (line.find(" at "), line.find(" is ")) {
        (Some(at), Some(is)) => format!("{}{}", &line[..at], &line[is..]),
        _ => line,
    };
    listing(dir).into_iter().map(without).collect()
}

#[test]
fn a_mount_of_a_subdirectory_shows_that_directory_and_nothing_else() {
    if !wanted() {
        return;
    }
    for (shape, bricks, options) in [
        ("", 1, &[][..]),
        ("", 3, &[]),
        ("replica:", 3, &[]),
        ("", 1, &["features.shard=on", "features.shard-block-size=4MB"]),
    ] {
        let served = serve(shape, bricks, options);
        let whole = served.mount("v");
        fs::create_dir_all(whole.at("sub/dir")).unwrap();
        fs::write(whole.at("top"), b"top").unwrap();
        let mounted = served.mount("v/sub/dir");
        work(mounted.path());
        let root = fs::metadata(mounted.path()).unwrap();
        assert_eq!((root.ino(), root.mode() & 0o7777), (1, 0o750));
        let local = directory();
        work(local.path());
        let what = format!("{bricks} bricks, {shape:?}, {options:?}");
        assert_same(&what, &timeless(mounted.path()), &timeless(local.path()));
        // Another client, that mounts the volume, sees the same below the directory.
        drop(whole);
        let whole = served.mount("v");
        assert_same(&what, &timeless(&whole.at("sub/dir")), &timeless(mounted.path()));
        let root = fs::metadata(whole.at("sub/dir")).unwrap();
        assert_eq!(root.mode() & 0o7777, 0o750);
        let mut value = [0; 8];
        let len = rustix::fs::getxattr(whole.at("sub/dir"), "user.root", &mut value[..]).unwrap();
        assert_eq!(&value[..len], b"r");
        fs::rename(whole.at("sub"), whole.at("moved")).unwrap();
        fs::write(mounted.at("after"), b"it was moved").unwrap();
        assert_eq!(fs::read(whole.at("moved/dir/after")).unwrap(), b"it was moved");
    }
}

#[test]
fn a_mount_outlives_a_restart_of_the_server_and_ends_with_its_directory() {
    if !wanted() {
        return;
    }
    let mut served = serve("", 1, &[]);
    let whole = served.mount("v");
    fs::create_dir_all(whole.at("sub/dir")).unwrap();
    let mounted = served.mount("v/sub/dir");
    fs::write(mounted.at("f"), b"before").unwrap();
    served.kill();
    served.start();
    // The clients dial again within seconds.
    let deadline = Instant::now() + Duration::from_secs(30);
    for path in [mounted.at("f"), whole.at("sub/dir/f")] {
        while fs::read(&path).is_err() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    fs::write(mounted.at("g"), b"after").unwrap();
    assert_eq!(fs::read(mounted.at("f")).unwrap(), b"before");
    assert_eq!(fs::read(whole.at("sub/dir/g")).unwrap(), b"after");
    fs::remove_dir_all(whole.at("sub/dir")).unwrap();
    fs::create_dir(whole.at("sub/dir")).unwrap();
    // As with GlusterFS: the new directory of that name is another one.
    let error = fs::write(mounted.at("h"), b"").unwrap_err();
    assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::STALE.raw_os_error()));
    assert!(!whole.at("h").exists() && !whole.at("sub/dir/h").exists());
}

/// Runs the FUSE client in the foreground until it ends by itself, which it does when its mount is
/// refused. Returns its log.
fn refused(served: &Served, path: &str) -> String {
    let (dir, log) = (tempfile::tempdir().unwrap(), served.dir().join("refused.log"));
    let _absent = fs::remove_file(&log);
    let mut command = Command::new("timeout");
    command.args(["20", "glusterfs", "-N", "-s", "127.0.0.1", "--volfile-id=v"]);
    command.arg(format!("--volfile-server-port={}", served.port()));
    command.arg(format!("--subdir-mount={path}")).arg("-l").arg(&log).arg(dir.path());
    let status = command.stdout(Stdio::null()).status().unwrap();
    assert_ne!(status.code(), Some(124), "it is mounted, or tries again and again: {path}");
    fs::read_to_string(&log).unwrap()
}

#[test]
fn mounts_of_what_is_no_directory_and_from_elsewhere_are_refused() {
    if !wanted() {
        return;
    }
    let allow = "auth.allow=/(127.0.0.1),/sub/dir(10.*|127.0.0.1),/sub/other(10.0.0.1),/no such(*)";
    let served = serve("", 1, &[allow]);
    let whole = served.mount("v");
    for dir in ["sub/dir/below", "sub/other"] {
        fs::create_dir_all(whole.at(dir)).unwrap();
    }
    fs::write(whole.at("top"), b"").unwrap();
    assert!(served.mount("v/sub/dir/").at("below").is_dir());
    for path in ["/sub", "/sub/other", "/sub/dir/below", "/top", "/sub/dir/../other"] {
        let log = refused(&served, path);
        assert!(log.contains("{remote-error=Authentication failed}, {errno=13}"), "{path} {log}");
    }
    let log = refused(&served, "/no such");
    let says = "{remote-error=subdirectory for mount \"/no such\" is not found}, {errno=2}";
    assert!(log.contains(says), "{log}");
    let reject = serve("", 1, &["auth.reject=/sub(127.0.0.1)"]);
    let whole = reject.mount("v");
    fs::create_dir_all(whole.at("sub/dir")).unwrap();
    assert!(refused(&reject, "//sub/").contains("{errno=13}"), "however the path is spelled");
    fs::write(whole.at("top"), b"").unwrap();
    for path in ["/top", "/nope", "/sub/dir/..", "/.."] {
        assert!(refused(&reject, path).contains("is not found}, {errno=2}"), "{path}");
    }
    assert_eq!(fs::read_dir(reject.mount("v/sub/dir").path()).unwrap().count(), 0);
}
