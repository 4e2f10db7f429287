//! GlusterFS's FUSE client on `brickwire serve`: programs get the same results as on a local disk,
//! and the brick has no faults afterwards.
//!
//! With `BRICKWIRE_FULL=1` the listed directory has 10,000 entries instead of 2,000, and the source
//! tree is all of `/usr/include`, which takes some minutes.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{
    FileExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, symlink,
};
use std::path::Path;
use std::process::Command;

use brickwire_tests::serve::{Mount, Served, full, wanted};
use brickwire_tests::steps::as_on_a_local_disk;
use brickwire_tests::tree::assert_same;
use brickwire_tests::{brick, pattern, run};
use rustix::fs::{AtFlags, FallocateFlags, FileType, Mode, Timespec, Timestamps, XattrFlags};

#[test]
fn names_of_every_kind_are_kept() {
    as_on_a_local_disk(|s| {
        let mut odd: Vec<Vec<u8>> =
            vec![b"-rf".into(), b" ".into(), b"...".into(), b"a\nb".into(), b"\\".into()];
        odd.push(vec![b'x'; 255]);
        odd.push("\u{fc}nic\u{f6}de \u{1f9f1}".into());
        let all: Vec<u8> = (1..=255).filter(|byte| *byte != b'/').collect();
        odd.extend(all.chunks(100).map(<[u8]>::to_vec));
        for name in &odd {
            let path = s.at(std::ffi::OsStr::from_bytes(name));
            s.note("write", fs::write(&path, name));
            s.note("read", fs::read(&path));
        }
        let long = "y".repeat(256);
        s.note("too long", fs::write(s.at(&long), b""));
        s.note("too long dir", fs::create_dir(s.at(&long)));
        s.note("too long look", s.at(&long).symlink_metadata());
        let found = fs::read_dir(s.dir).map(|entries| {
            let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        });
        s.note("list", found);
        s.note("hidden", s.at(".glusterfs-not").symlink_metadata());
    });
}

#[test]
fn a_path_of_a_hundred_directories_leads_to_its_file() {
    as_on_a_local_disk(|s| {
        let mut path = s.dir.to_owned();
        for n in 0..100 {
            path.push(format!("directory-{n:03}"));
            s.note("mkdir", fs::create_dir(&path));
        }
        s.note("write", fs::write(path.join("f"), b"deep"));
        // A parent directory is renamed, and everything below it stays reachable.
        s.note("mv", fs::rename(s.at("directory-000"), s.at("moved")));
        let path = s.at("moved").join(path.strip_prefix(s.at("directory-000")).unwrap());
        s.note("read", fs::read(path.join("f")));
        s.note("mkdir", fs::create_dir(path.join("more")));
        s.note("old", s.at("directory-000").symlink_metadata().map(|_| ()));
    });
}

#[test]
fn hard_links_count_and_symlinks_say_what_they_were_told() {
    as_on_a_local_disk(|s| {
        s.note("write", fs::write(s.at("f"), b"linked"));
        s.note("mkdir", fs::create_dir(s.at("d")));
        for n in 0..40 {
            s.note("ln", fs::hard_link(s.at("f"), s.at(format!("d/name-{n}"))));
        }
        s.attributes("f");
        for n in 0..20 {
            s.note("rm", fs::remove_file(s.at(format!("d/name-{n}"))));
        }
        s.attributes("d/name-30");
        s.note("ln over", fs::hard_link(s.at("f"), s.at("d/name-30")));
        s.note("ln dir", fs::hard_link(s.at("d"), s.at("d2")));
        s.note("ln absent", fs::hard_link(s.at("absent"), s.at("g")));
        s.note("mv onto itself", fs::rename(s.at("f"), s.at("d/name-30")));
        s.attributes("f");
        s.note("rm first", fs::remove_file(s.at("f")));
        s.note("read", fs::read(s.at("d/name-39")));
        for target in ["d", "/absolute/nowhere", "d/name-39", "../../..", &"t".repeat(3000)] {
            let name = format!("s{}", target.len());
            s.note("ln -s", symlink(target, s.at(&name)));
            s.note("readlink", fs::read_link(s.at(&name)));
            s.attributes(&name);
        }
        s.note("through", fs::read(s.at("s9")));
        s.note("ln -s over", symlink("x", s.at("d")));
        let target = s.at("s1");
        s.note(
            "ln to symlink",
            rustix::fs::linkat(
                rustix::fs::CWD,
                &target,
                rustix::fs::CWD,
                s.at("s1b"),
                AtFlags::empty(),
            ),
        );
        s.note("mv symlink", fs::rename(s.at("s1b"), s.at("d/s1c")));
        s.note("readlink", fs::read_link(s.at("d/s1c")));
        s.note("loop", symlink("loop", s.at("loop")));
        s.note("loop", fs::read(s.at("loop")));
    });
}

#[test]
fn renames_replace_what_may_be_replaced() {
    as_on_a_local_disk(|s| {
        for dir in ["d1", "d2", "d1/sub", "full", "full/x", "empty"] {
            s.note("mkdir", fs::create_dir(s.at(dir)));
        }
        for file in ["a", "b", "d1/c", "full/y"] {
            s.note("write", fs::write(s.at(file), file));
        }
        for (from, to) in [
            ("a", "a2"),
            ("a2", "b"),
            ("b", "d2/b"),
            ("d2/b", "d1/c"),
            ("d1/c", "empty"),
            ("empty", "d1/c"),
            ("d1", "d1/sub/d1"),
            ("d1/sub", "empty"),
            ("empty", "full"),
            ("full", "empty"),
            ("empty", "d2/deep"),
            ("d2/deep", "d2"),
            ("absent", "x"),
            ("d1/c", "d1/c"),
            ("d1", "d1"),
            ("d1", "no/where"),
        ] {
            s.note(&format!("{from} -> {to}"), fs::rename(s.at(from), s.at(to)));
        }
        s.note("rmdir full", fs::remove_dir(s.at("d2")));
        s.note("rmdir file", fs::remove_dir(s.at("d1/c")));
        s.note("rm dir", fs::remove_file(s.at("d1")));
        // Replaces an open file, and one with another name.
        s.note("write", fs::write(s.at("new"), b"new"));
        s.note("write", fs::write(s.at("old"), b"old"));
        s.note("ln", fs::hard_link(s.at("old"), s.at("old2")));
        let mut open = File::open(s.at("old")).unwrap();
        s.note("mv", fs::rename(s.at("new"), s.at("old")));
        let mut text = String::new();
        s.note("read", open.read_to_string(&mut text));
        s.note("text", Ok::<_, std::io::Error>(text));
        s.attributes("old2");
        s.attributes("old");
    });
}

#[test]
fn attributes_owners_and_times_are_set_and_kept() {
    as_on_a_local_disk(|s| {
        s.note("write", fs::write(s.at("f"), b"x"));
        s.note("mkdir", fs::create_dir(s.at("d")));
        s.note("ln -s", symlink("f", s.at("l")));
        for mode in [0o0, 0o7777, 0o4755, 0o2755, 0o1777, 0o640] {
            s.note("chmod", fs::set_permissions(s.at("f"), fs::Permissions::from_mode(mode)));
            s.attributes("f");
            s.note("chmod", fs::set_permissions(s.at("d"), fs::Permissions::from_mode(mode)));
            s.attributes("d");
        }
        for (uid, gid) in [
            (Some(1000), Some(2000)),
            (Some(0), None),
            (None, Some(77)),
            (Some(u32::MAX - 1), Some(5)),
        ] {
            for name in ["f", "d", "l"] {
                s.note("chown", std::os::unix::fs::lchown(s.at(name), uid, gid));
                s.attributes(name);
            }
        }
        s.note("chmod", fs::set_permissions(s.at("f"), fs::Permissions::from_mode(0o6755)));
        s.note("chown", std::os::unix::fs::chown(s.at("f"), Some(12), Some(13)));
        s.attributes("f");
        let spec = |tv_sec, tv_nsec| Timespec { tv_sec, tv_nsec };
        for (atime, mtime) in [
            (spec(1_000_000_000, 1), spec(1_100_000_000, 999_999_999)),
            (spec(-5, 0), spec(0, 0)),
            (spec(4_000_000_000, 7), spec(0, rustix::fs::UTIME_OMIT)),
            (spec(0, rustix::fs::UTIME_OMIT), spec(1_200_000_000, 0)),
        ] {
            let times = Timestamps { last_access: atime, last_modification: mtime };
            for name in ["f", "d", "l"] {
                let flags = AtFlags::SYMLINK_NOFOLLOW;
                s.note(
                    "utimens",
                    rustix::fs::utimensat(rustix::fs::CWD, s.at(name), &times, flags),
                );
                let meta = s.at(name).symlink_metadata();
                s.note(name, meta.map(|m| (m.atime(), m.atime_nsec(), m.mtime(), m.mtime_nsec())));
            }
        }
        // Times that were set survive a close; a write changes them.
        let file = OpenOptions::new().write(true).open(s.at("f")).unwrap();
        s.note("write", file.write_at(b"y", 0));
        drop(file);
        let moved =
            s.at("f").metadata().map(|m| m.mtime() > 1_600_000_000 && m.ctime() > 1_600_000_000);
        s.note("moved", moved);
        s.note("set-group-id", fs::set_permissions(s.at("d"), fs::Permissions::from_mode(0o2775)));
        s.note("mkdir", fs::create_dir(s.at("d/sub")));
        s.note("write", fs::write(s.at("d/file"), b""));
        s.attributes("d/sub");
        s.attributes("d/file");
    });
}

/// Xattr names that are not UTF-8, and one beyond ASCII.
const ODD: [&[u8]; 5] = [
    b"user.\xff\xfe",
    b"user.caf\xe9",
    b"trusted.\x80",
    b"user.\x01 \n=",
    "user.\u{fc}\u{1f9f1}".as_bytes(),
];

#[test]
fn extended_attributes_are_set_listed_and_removed() {
    as_on_a_local_disk(|s| {
        s.note("write", fs::write(s.at("f"), b"x"));
        s.note("mkdir", fs::create_dir(s.at("d")));
        s.note("ln -s", symlink("f", s.at("l")));
        let big = pattern(3000, 1);
        for name in ["f", "d"] {
            let path = s.at(name);
            for (key, value, flags) in [
                ("user.one", &b"1"[..], XattrFlags::CREATE),
                ("user.one", b"2", XattrFlags::CREATE),
                ("user.one", b"3", XattrFlags::REPLACE),
                ("user.two", b"\0\xff\n", XattrFlags::REPLACE),
                ("user.two", b"\0\xff\n", XattrFlags::empty()),
                ("user.empty", b"", XattrFlags::empty()),
                ("user.big", &big, XattrFlags::empty()),
                ("trusted.mine", b"root's", XattrFlags::empty()),
                ("security.mine", b"s", XattrFlags::empty()),
                ("nonsense", b"x", XattrFlags::empty()),
            ] {
                s.note(key, rustix::fs::setxattr(&path, key, value, flags));
            }
            for key in ODD {
                s.note("set odd", rustix::fs::setxattr(&path, key, key, XattrFlags::CREATE));
                s.note("set odd", rustix::fs::setxattr(&path, key, b"2", XattrFlags::CREATE));
            }
            let mut room = [0; 4096];
            for key in
                ["user.one", "user.two", "user.empty", "user.big", "trusted.mine", "user.absent"]
            {
                let got =
                    rustix::fs::getxattr(&path, key, &mut room).map(|len| room[..len].to_vec());
                s.note(key, got);
                s.note("size", rustix::fs::getxattr(&path, key, &mut [] as &mut [u8]));
            }
            for key in ODD {
                let got =
                    rustix::fs::getxattr(&path, key, &mut room).map(|len| room[..len].to_vec());
                s.note("get odd", got);
            }
            s.note("range", rustix::fs::getxattr(&path, "user.big", &mut [0; 10]));
            let mut names = brick::xattr_names(&path);
            names.retain(|name| name.starts_with(b"user.") || name == b"trusted.mine");
            names.sort();
            s.note("list", Ok::<_, std::io::Error>(names));
            for key in ["user.one", "user.one", "user.absent", "trusted.mine"] {
                s.note("remove", rustix::fs::removexattr(&path, key));
            }
            s.note("remove odd", rustix::fs::removexattr(&path, ODD[0]));
            s.note("remove odd", rustix::fs::removexattr(&path, ODD[0]));
        }
        s.note("symlink", rustix::fs::lsetxattr(s.at("l"), "user.x", b"", XattrFlags::empty()));
        s.note("trusted", rustix::fs::lsetxattr(s.at("l"), "trusted.x", b"", XattrFlags::empty()));
        s.note("mv", fs::rename(s.at("f"), s.at("d/f")));
        s.note("kept", Ok::<_, std::io::Error>(brick::xattr(&s.at("d/f"), "user.two")));
    });
}

#[test]
fn pipes_sockets_and_devices_are_made() {
    as_on_a_local_disk(|s| {
        let here = rustix::fs::CWD;
        let mode = Mode::from_raw_mode(0o640);
        for (name, kind, dev) in [
            ("pipe", FileType::Fifo, 0),
            ("socket", FileType::Socket, 0),
            ("null", FileType::CharacterDevice, rustix::fs::makedev(1, 3)),
            ("block", FileType::BlockDevice, rustix::fs::makedev(7, 300)),
            ("regular", FileType::RegularFile, 0),
        ] {
            s.note(name, rustix::fs::mknodat(here, s.at(name), kind, mode, dev));
            s.attributes(name);
            s.note("again", rustix::fs::mknodat(here, s.at(name), kind, mode, dev));
        }
        let pipe = s.at("pipe");
        let reader = std::thread::spawn(move || fs::read(pipe));
        s.note("write", fs::write(s.at("pipe"), b"through the pipe"));
        s.note("read", reader.join().unwrap());
        s.note("bind", std::os::unix::net::UnixListener::bind(s.at("bound")).map(|_| ()));
        s.note("mv", fs::rename(s.at("pipe"), s.at("pipe2")));
        s.note("ln", fs::hard_link(s.at("pipe2"), s.at("pipe3")));
        s.note("rm", fs::remove_file(s.at("null")));
    });
}

#[test]
fn files_grow_shrink_have_holes_and_keep_what_was_written() {
    as_on_a_local_disk(|s| {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(s.at("f"))
            .unwrap();
        s.note("far", file.write_all_at(b"far", 3 << 30));
        s.note("near", file.write_all_at(b"near", 5000));
        let small = s.at("f").metadata().map(|meta| (meta.len(), meta.blocks() < 1000));
        s.note("size", small);
        s.note("truncate", file.set_len(5002));
        s.note("grow", file.set_len(20_000));
        let mut bytes = vec![1; 20_000];
        s.note("read", file.read_exact_at(&mut bytes, 0));
        s.note(
            "tail",
            Ok::<_, std::io::Error>(bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>()),
        );
        let keep = FallocateFlags::KEEP_SIZE;
        for (what, flags, at, len) in [
            ("allocate", FallocateFlags::empty(), 100_000, 50_000),
            ("keep size", keep, 1 << 20, 4096),
            ("punch", keep | FallocateFlags::PUNCH_HOLE, 4096, 4096),
            ("zero", FallocateFlags::ZERO_RANGE, 0, 100),
            ("nothing", FallocateFlags::empty(), 0, 0),
        ] {
            s.note(what, rustix::fs::fallocate(&file, flags, at, len));
            s.note("size", file.metadata().map(|meta| meta.len()));
        }
        s.note(
            "read",
            fs::read(s.at("f")).map(|bytes| bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>()),
        );
        // Two processes append at the same time.
        let add = |path| OpenOptions::new().append(true).create(true).open(path).unwrap();
        let (mut one, mut two) = (add(s.at("log")), add(s.at("log")));
        for n in 0..50 {
            s.note("append", one.write_all(format!("one {n}\n").as_bytes()));
            s.note("append", two.write_all(format!("two {n}\n").as_bytes()));
        }
        s.note(
            "exclusive",
            OpenOptions::new().write(true).create_new(true).open(s.at("log")).map(|_| ()),
        );
        s.note(
            "as a directory",
            OpenOptions::new().read(true).custom_flags(0o200_000).open(s.at("log")).map(|_| ()),
        );
        s.note("directory", OpenOptions::new().write(true).open(s.dir).map(|_| ()));
        s.note("overwrite", fs::write(s.at("log"), b"short"));
        s.note("copy", fs::copy(s.at("log"), s.at("copy")));
        s.note("read only", File::open(s.at("log")).unwrap().write(b"x"));
    });
}

#[test]
fn a_file_without_a_name_lives_until_it_is_closed() {
    as_on_a_local_disk(|s| {
        let path = s.at("f");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .unwrap();
        s.note("write", file.write_all(b"before"));
        let second = File::open(&path).unwrap();
        s.note("rm", fs::remove_file(&path));
        s.note("gone", path.symlink_metadata().map(|_| ()));
        s.note("write", file.write_all(b" and after"));
        s.note("links", file.metadata().map(|meta| (meta.nlink(), meta.len())));
        s.note("sync", file.sync_all());
        s.note("again", fs::write(&path, b"another"));
        s.note("seek", file.seek(SeekFrom::Start(0)));
        let mut text = String::new();
        s.note("read", file.read_to_string(&mut text));
        s.note("text", Ok::<_, std::io::Error>(text));
        let mut bytes = [0; 6];
        s.note("other", second.read_exact_at(&mut bytes, 0));
        s.note("truncate", file.set_len(3));
        s.note("chmod", file.set_permissions(fs::Permissions::from_mode(0o600)));
        drop((file, second));
        s.note("rm dir", fs::create_dir(s.at("d")));
        let dir = File::open(s.at("d")).unwrap();
        s.note("rmdir", fs::remove_dir(s.at("d")));
        s.note("links", dir.metadata().map(|meta| meta.is_dir()));
    });
}

#[test]
fn thousands_of_entries_are_listed_each_once_and_removed() {
    if !wanted() {
        return;
    }
    // Enough entries for several pages of a listing.
    let count = if full() { 10_000 } else { 2000 };
    let served = Served::one();
    {
        let mount = served.mount("v");
        let dir = mount.at("big");
        fs::create_dir(&dir).unwrap();
        for n in 0..count {
            File::create(dir.join(format!("entry-{n:05}"))).unwrap();
        }
        let mut names: Vec<_> = fs::read_dir(&dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names.len(), count);
        assert!(names.iter().enumerate().all(|(n, name)| *name == format!("entry-{n:05}")));
        // Listed by a second client with empty caches while the first removes every second entry.
        let other = Mount::new("127.0.0.1", served.port(), "v", &served.dir().join("other.log"));
        let mut seen = 0;
        for (n, entry) in fs::read_dir(other.at("big")).unwrap().enumerate() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if n < count / 2 {
                fs::remove_file(dir.join(format!("entry-{:05}", n * 2))).unwrap();
            }
            seen += usize::from(name.as_bytes()[10] % 2 == 1);
        }
        assert_eq!(seen, count / 2, "what stayed was seen once");
        run("rm", &["-rf", dir.to_str().unwrap()]);
        assert!(!dir.exists());
    }
    assert_eq!(brick::faults(&served.brick()), Vec::<String>::new());
}

#[test]
fn pages_of_files_that_are_mapped_and_direct_io_verify() {
    if !wanted() {
        return;
    }
    let served = Served::one();
    {
        let mount = served.mount("v");
        for (name, engine) in [("mapped", "mmap"), ("direct", "psync")] {
            let mut fio = Command::new("fio");
            fio.args(["--name", name, "--ioengine", engine, "--rw=randrw", "--bs=4k", "--size=8m"]);
            fio.args(["--verify=crc32c", "--fsync=100", "--randrepeat=0"]);
            fio.args([&format!("--direct={}", u8::from(name == "direct"))]);
            // fsx writes a log into its working directory.
            fio.current_dir(served.dir());
            let output = fio.arg("--directory").arg(mount.path()).output().unwrap();
            assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        }
        let space = rustix::fs::statvfs(mount.path()).unwrap();
        let disk = rustix::fs::statvfs(served.brick()).unwrap();
        assert_eq!(
            (space.f_blocks * space.f_frsize, space.f_namemax),
            (disk.f_blocks * disk.f_frsize, 255)
        );
        assert!(space.f_bavail > 0 && space.f_files > 0 && space.f_ffree > 0);
    }
    assert_eq!(brick::faults(&served.brick()), Vec::<String>::new());
}

/// A source tree: some thousand headers of the system's compiler, or some hundred of them, and
/// symlinks.
fn sources(dir: &Path) -> String {
    if full() {
        return "/usr/include".into();
    }
    let source = dir.join("sources").display().to_string();
    run("cp", &["-a", "/usr/include/linux", &source]);
    for (target, name) in
        [("fs.h", "to-a-file"), ("netfilter", "to-a-directory"), ("nowhere/at/all", "dangling")]
    {
        symlink(target, Path::new(&source).join(name)).unwrap();
    }
    source
}

#[test]
fn a_tree_of_sources_is_unpacked_compared_moved_copied_and_removed() {
    if !wanted() {
        return;
    }
    let served = Served::one();
    let source = sources(served.dir());
    {
        let mount = served.mount("v");
        let shell = |text: &str| {
            let mut script = Command::new("sh");
            let output = script.args(["-ec", text]).current_dir(mount.path()).output().unwrap();
            let errors = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success() && errors.is_empty(), "{text}: {errors}");
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        shell(&format!("mkdir tree; tar --format=posix -cf - -C {source} . | tar -xpf - -C tree"));
        // Compares times, owners, modes, links and sizes.
        let list = "ls -lR --time-style=full-iso | grep -v ^total | sed -e 's/^\\(d[^ ]* *[0-9]* \
            [^ ]* [^ ]*\\) *[0-9]*/\\1/' -e 's/  */ /g'";
        let theirs = shell(&format!("cd {source}; {list}"));
        let ours = shell(&format!("cd tree; {list}"));
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        assert!(lines(&ours).len() > 700, "{} lines", lines(&ours).len());
        assert_same("ls -lR", &lines(&theirs), &lines(&ours));
        shell(&format!("diff -r --no-dereference {source} tree"));
        shell(
            "mkdir moved; mv tree moved/here; cp -al moved/here linked; find linked -type f | \
             xargs chmod o+r",
        );
        shell(&format!("diff -r --no-dereference {source} moved/here"));
        let changed = if full() { 500 } else { 100 };
        shell(&format!(
            "find linked -name '*.h' | head -{changed} | xargs -n1 sed -i -e '1s/^/changed /'"
        ));
        shell(&format!("diff -r --no-dereference {source} moved/here"));
        shell("rm -rf moved");
        assert_eq!(shell("find linked -type f -links +1 | head; ls -A"), "linked\n");
        shell("rm -rf linked");
    }
    assert_eq!(brick::faults(&served.brick()), Vec::<String>::new());
}
