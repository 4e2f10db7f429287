//! Names, links, attributes and xattrs through the client, compared with a mount of the volume.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::SystemTime;

use brickwire_std::{ErrorKind, OpenOptions, SetAttributes};
use brickwire_tests::{TestDir, brickwire, run, site};

fn errno(result: brickwire_std::Result<impl Sized>) -> i32 {
    match result {
        Ok(_) => 0,
        Err(error) => error.errno().unwrap_or_else(|| panic!("{error}")),
    }
}

#[test]
fn names_are_made_renamed_linked_and_removed() {
    let Some(cluster) = site() else { return };
    let place = TestDir::new(&cluster, "single", "names");
    let v = &place.volume;
    v.create_dir_all(place.at("a/b/c"), 0o750).unwrap();
    v.create_dir_all(place.at("a/b/c"), 0o750).unwrap();
    assert_eq!(v.stat(place.at("a/b/c")).unwrap().permissions(), 0o750);
    assert_eq!(errno(v.create_dir(place.at("a"), 0o700)), 17);
    place.file("a/f").write_all_at(b"one", 0).unwrap();
    place.file("a/g").write_all_at(b"second", 0).unwrap();
    v.rename(place.at("a/f"), place.at("a/g")).unwrap();
    assert_eq!(v.stat(place.at("a/g")).unwrap().size(), 3);
    assert_eq!(errno(v.stat(place.at("a/f"))), 2);
    v.link(place.at("a/g"), place.at("a/h")).unwrap();
    assert_eq!(v.stat(place.at("a/h")).unwrap().iatt().nlink, 2);
    assert_eq!(errno(v.remove_dir(place.at("a"))), 39);
    assert_eq!(errno(v.stat(place.at("a/g/x"))), 20);
    assert_eq!(errno(v.stat(place.at(&"n".repeat(256)))), 36);
    v.remove_file(place.at("a/g")).unwrap();
    v.remove_dir_all(place.at("a")).unwrap();
    assert!(!v.exists(place.at("a")).unwrap());
}

#[test]
fn links_lead_where_they_say() {
    let Some(cluster) = site() else { return };
    let place = TestDir::new(&cluster, "single", "links");
    let v = &place.volume;
    v.create_dir(place.at("d"), 0o755).unwrap();
    place.file("d/f").write_all_at(b"here", 0).unwrap();
    v.symlink("d", place.at("relative")).unwrap();
    v.symlink(format!("/{}/d/f", place.dir), place.at("absolute")).unwrap();
    v.symlink("loop", place.at("loop")).unwrap();
    v.symlink("d/new", place.at("dangling")).unwrap();
    for path in ["relative/f", "absolute", "d/../relative/./f", "../../../x/../RELATIVE/f"] {
        let path =
            path.replace("../../../x/../RELATIVE", &format!("../../../{}/relative", place.dir));
        assert_eq!(v.stat(place.at(&path)).unwrap().size(), 4, "{path}");
    }
    assert_eq!(v.read_link(place.at("relative")).unwrap().as_os_str(), "d");
    assert!(v.lstat(place.at("relative")).unwrap().is_symlink());
    assert_eq!(errno(v.stat(place.at("loop"))), 40);
    let options = OpenOptions::new().write(true).create(true);
    v.open_file(place.at("dangling"), &options).unwrap().close().unwrap();
    assert!(v.stat(place.at("d/new")).unwrap().is_file());
    assert_eq!(errno(v.open_file(place.at("d/new"), &options.create_new(true))), 17);
}

#[test]
fn three_thousand_entries_are_listed_each_once() {
    let Some(cluster) = site() else { return };
    let place = TestDir::new(&cluster, "single", "many");
    for n in 0..3000 {
        place.volume.symlink("x", place.at(&format!("entry-number-{n:05}"))).unwrap();
    }
    let mut seen = BTreeSet::new();
    for entry in place.volume.read_dir(&place.dir).unwrap() {
        let entry = entry.unwrap();
        assert!(entry.metadata().is_symlink(), "{}", entry.name_lossy());
        assert!(seen.insert(entry.name().to_vec()), "{} twice", entry.name_lossy());
    }
    assert_eq!(seen.len(), 3000);
}

#[test]
fn extended_attributes_are_kept() {
    let Some(cluster) = site() else { return };
    let place = TestDir::new(&cluster, "single", "xattrs");
    place.file("f").close().unwrap();
    let (v, path) = (&place.volume, place.at("f"));
    let long = brickwire_tests::pattern(2000, 7);
    for (name, value) in [("user.empty", &b""[..]), ("user.odd", b"abc"), ("user.long", &long)] {
        v.set_xattr(&path, name, value).unwrap();
        assert_eq!(v.xattr(&path, name).unwrap().as_deref(), Some(value), "{name}");
    }
    assert_eq!(v.xattr(&path, "user.absent").unwrap(), None);
    let names = v.list_xattrs(&path).unwrap();
    assert!(names.iter().any(|name| name == "user.odd"), "{names:?}");
    v.remove_xattr(&path, "user.odd").unwrap();
    assert_eq!(v.xattr(&path, "user.odd").unwrap(), None);
    assert_eq!(errno(v.remove_xattr(&path, "user.odd")), 61);
}

#[test]
fn a_mount_sees_what_we_made_and_times_move() {
    let Some(cluster) = site() else { return };
    let place = TestDir::new(&cluster, "single", "mount");
    place.volume.create_dir(place.at("ours"), 0o751).unwrap();
    let file = place.file("ours/f");
    file.write_all_at(b"before", 0).unwrap();
    let first = file.metadata().unwrap().modified();
    std::thread::sleep(std::time::Duration::from_millis(20));
    file.write_all_at(b"after", 3).unwrap();
    let second = file.metadata().unwrap().modified();
    assert!(second > first, "times move with writes");
    assert!(SystemTime::now().duration_since(second).unwrap().as_secs() < 60);
    let mount = tempfile::tempdir().unwrap();
    let at = mount.path().to_str().unwrap();
    let port = format!("server-port={}", cluster.port());
    run("mount", &["-t", "glusterfs", "-o", &port, &format!("{}:/single", cluster.host()), at]);
    let seen = std::panic::catch_unwind(|| {
        let dir = mount.path().join(&place.dir).join("ours");
        assert_eq!(std::fs::read(dir.join("f")).unwrap(), b"befafter");
        use std::os::unix::fs::MetadataExt;
        assert_eq!(std::fs::metadata(&dir).unwrap().mode() & 0o7777, 0o751);
        assert_eq!(std::fs::metadata(dir.join("f")).unwrap().modified().unwrap(), second);
        std::fs::write(dir.join("theirs"), b"hello").unwrap();
    });
    run("umount", &[at]);
    seen.unwrap();
    assert_eq!(place.volume.stat(place.at("ours/theirs")).unwrap().size(), 5);
    let layout = run(
        "getfattr",
        &[
            "-n",
            "trusted.glusterfs.dht",
            "-e",
            "hex",
            place.on_brick.join("ours").to_str().unwrap(),
        ],
    );
    assert!(String::from_utf8_lossy(&layout.stdout).contains("0x000000000000000000000000ffffffff"));
}

#[test]
fn attributes_and_space_are_told() {
    let Some(cluster) = site() else { return };
    let place = TestDir::new(&cluster, "single", "attributes");
    place.file("f").close().unwrap();
    let set = SetAttributes {
        mode: Some(0o640),
        uid: Some(1000),
        mtime: Some((1_000_000_000, 5)),
        ..Default::default()
    };
    let now = place.volume.set_attributes(place.at("f"), set).unwrap();
    assert_eq!((now.permissions(), now.iatt().uid, now.iatt().mtime), (0o640, 1000, 1_000_000_000));
    let statfs = place.volume.statfs().unwrap();
    assert!(statfs.total > statfs.available && statfs.available > 0, "{statfs:?}");
    let missing =
        place.volume.open_file(place.at("missing"), &OpenOptions::new().read(true)).unwrap_err();
    assert_eq!((missing.kind(), missing.errno()), (ErrorKind::Errno, Some(2)));
    assert_eq!(
        missing.to_string(),
        format!("{}: no such file or directory (ENOENT)", place.at("missing"))
    );
}

/// Names are bytes, not necessarily UTF-8.
#[test]
fn names_that_are_no_text_are_made_found_moved_and_removed() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let Some(cluster) = site() else { return };
    let place = TestDir::new(&cluster, "single", "bytes");
    let v = &place.volume;
    let dir = Path::new(&place.dir).join(OsStr::from_bytes(b"caf\xe9"));
    v.create_dir_all(dir.join("below"), 0o755).unwrap();
    let file = dir.join(OsStr::from_bytes(b"\xff\xfe"));
    let image = v.open_file(&file, &OpenOptions::new().write(true).create(true)).unwrap();
    image.write_all_at(b"data", 0).unwrap();
    image.close().unwrap();
    let mut names: Vec<Vec<u8>> =
        v.read_dir(&dir).unwrap().map(|entry| entry.unwrap().name().to_vec()).collect();
    names.sort();
    assert_eq!(names, [&b"below"[..], b"\xff\xfe"]);
    v.symlink(OsStr::from_bytes(b"\xff\xfe"), dir.join("link")).unwrap();
    assert_eq!(v.read_link(dir.join("link")).unwrap().as_os_str().as_bytes(), b"\xff\xfe");
    assert_eq!(v.stat(dir.join("link")).unwrap().size(), 4);
    // Our server does not take xattr names that are not UTF-8 yet.
    if matches!(cluster, brickwire_tests::Site::Real(_)) {
        v.set_xattr(&file, OsStr::from_bytes(b"user.\xe9"), b"value").unwrap();
        assert!(v.list_xattrs(&file).unwrap().iter().any(|name| name.as_bytes() == b"user.\xe9"));
    }
    // The same file, opened by its URI.
    let uri = brickwire_tests::uri(&cluster, &format!("{}/caf%E9/%FF%FE", place.path));
    assert_eq!(brickwire(&["cat", &uri]), (0, "data".to_owned(), String::new()));
    v.rename(&file, dir.join(OsStr::from_bytes(b"\xfd"))).unwrap();
    assert!(!v.exists(&file).unwrap());
    v.remove_dir_all(&dir).unwrap();
    assert!(!v.exists(&dir).unwrap());
}
