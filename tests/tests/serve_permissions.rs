//! Permission checks: a table of calls, callers and modes on a mount of `brickwire serve`. The
//! expected results are those of a local disk, or of glusterfsd where its client differs from a
//! local disk.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, chown, lchown, symlink};
use std::path::Path;

use brickwire_tests::steps::{Steps, as_on_a_local_disk, mounted_with};
use rustix::fs::{Access, AtFlags, FileType, Mode, Timespec, Timestamps, XattrFlags};
use rustix::thread::{Gid, Uid, set_thread_groups, set_thread_res_gid, set_thread_res_uid};

/// A named attempt.
type Try = (&'static str, fn(&Path) -> String);

/// Credentials of a caller: user, group, further groups.
#[derive(Clone, Copy, Debug)]
struct Caller(u32, u32, &'static [u32]);

const ROOT: Caller = Caller(0, 0, &[]);
const OWNER: Caller = Caller(1000, 1000, &[]);
const IN_GROUP: Caller = Caller(2000, 1000, &[]);
const IN_FURTHER_GROUP: Caller = Caller(3000, 3000, &[7, 1000]);
const OTHER: Caller = Caller(4000, 4000, &[8]);
/// User and group that ACLs name.
const NAMED: Caller = Caller(5000, 5000, &[]);
const IN_NAMED_GROUP: Caller = Caller(6000, 6000, &[77]);

/// Runs something with other credentials, on a thread, because Linux keeps credentials for each
/// thread.
fn as_caller<T: Send>(caller: Caller, what: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            let Caller(uid, gid, groups) = caller;
            let groups: Vec<_> = groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
            set_thread_groups(&groups).expect("groups");
            let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
            set_thread_res_gid(gid, gid, gid).expect("a group");
            set_thread_res_uid(uid, uid, uid).expect("a user");
            what()
        });
        thread.join().expect("no panic")
    })
}

fn word<T, E: Into<std::io::Error>>(result: Result<T, E>) -> String {
    match result {
        Ok(_) => "ok".into(),
        Err(error) => {
            let error: std::io::Error = error.into();
            error.raw_os_error().map_or_else(|| error.to_string(), |errno| format!("errno {errno}"))
        }
    }
}

fn mode(path: &Path, mode: u32) -> std::io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

fn now() -> Timestamps {
    let now = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW };
    Timestamps { last_access: now, last_modification: now }
}

fn then() -> Timestamps {
    let then = Timespec { tv_sec: 1_000_000_000, tv_nsec: 1 };
    Timestamps { last_access: then, last_modification: then }
}

/// All attempts in a directory, by name; `dir` has a file, a directory and a symlink.
const TRIES: &[Try] = &[
    ("create", |d| word(OpenOptions::new().write(true).create_new(true).open(d.join("new")))),
    ("open or create", |d| {
        word(
            OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(d.join("file")),
        )
    }),
    ("mkdir", |d| word(fs::create_dir(d.join("new")))),
    ("symlink", |d| word(symlink("x", d.join("new")))),
    ("mkfifo", |d| {
        word(rustix::fs::mknodat(rustix::fs::CWD, d.join("new"), FileType::Fifo, Mode::RWXU, 0))
    }),
    ("mknod", |d| {
        let null = rustix::fs::makedev(1, 3);
        word(rustix::fs::mknodat(
            rustix::fs::CWD,
            d.join("new"),
            FileType::CharacterDevice,
            Mode::RWXU,
            null,
        ))
    }),
    ("link", |d| word(fs::hard_link(d.join("file"), d.join("new")))),
    ("unlink", |d| word(fs::remove_file(d.join("file")))),
    ("unlink directory", |d| word(fs::remove_file(d.join("sub")))),
    ("rmdir", |d| word(fs::remove_dir(d.join("sub")))),
    ("rmdir file", |d| word(fs::remove_dir(d.join("file")))),
    ("rename", |d| word(fs::rename(d.join("file"), d.join("new")))),
    ("rename directory", |d| word(fs::rename(d.join("sub"), d.join("new")))),
    ("rename out", |d| word(fs::rename(d.join("file"), d.with_file_name("out")))),
    ("rename in", |d| word(fs::rename(d.with_file_name("in"), d.join("new")))),
    ("rename over", |d| word(fs::rename(d.with_file_name("in"), d.join("file")))),
    ("stat", |d| word(d.join("file").symlink_metadata())),
    ("stat absent", |d| word(d.join("absent").symlink_metadata())),
    ("list", |d| word(fs::read_dir(d).map(Iterator::count))),
    ("readlink", |d| word(fs::read_link(d.join("link")))),
    ("chmod directory", |d| word(mode(d, 0o2777))),
];

/// All attempts on a file.
const FILE_TRIES: &[Try] = &[
    ("read", |f| word(File::open(f))),
    ("contents", |f| word(fs::read(f))),
    ("list xattrs", |f| word(rustix::fs::listxattr(f, &mut [0; 999]))),
    ("write", |f| word(OpenOptions::new().write(true).open(f))),
    ("read and write", |f| word(OpenOptions::new().read(true).write(true).open(f))),
    ("write bytes", |f| {
        let written =
            OpenOptions::new().write(true).open(f).and_then(|mut file| file.write_all(b"new"));
        word(written)
    }),
    ("cut an open file", |f| {
        word(OpenOptions::new().write(true).open(f).and_then(|file| file.set_len(3)))
    }),
    ("truncate on open", |f| word(OpenOptions::new().write(true).truncate(true).open(f))),
    ("truncate", |f| {
        // truncate(2) rather than ftruncate(2).
        word(
            std::process::Command::new("true")
                .status()
                .and_then(|_| OpenOptions::new().append(true).open(f)),
        )
    }),
    ("chmod", |f| word(mode(f, 0o604))),
    ("chmod set-group-id", |f| word(mode(f, 0o2755))),
    ("chown to other", |f| word(chown(f, Some(4000), None))),
    ("chown to self", |f| word(chown(f, Some(1000), None))),
    ("chgrp to own", |f| word(chown(f, None, Some(1000)))),
    ("chgrp to further", |f| word(chown(f, None, Some(7)))),
    ("chgrp to other", |f| word(chown(f, None, Some(4000)))),
    ("chown of symlink", |f| word(lchown(f.with_file_name("link"), Some(4000), Some(4000)))),
    ("touch", |f| word(rustix::fs::utimensat(rustix::fs::CWD, f, &now(), AtFlags::empty()))),
    ("set times", |f| word(rustix::fs::utimensat(rustix::fs::CWD, f, &then(), AtFlags::empty()))),
    ("set user xattr", |f| word(rustix::fs::setxattr(f, "user.x", b"1", XattrFlags::empty()))),
    ("get user xattr", |f| word(rustix::fs::getxattr(f, "user.there", &mut [0; 9]))),
    ("remove user xattr", |f| word(rustix::fs::removexattr(f, "user.there"))),
    ("set trusted xattr", |f| {
        word(rustix::fs::setxattr(f, "trusted.x", b"1", XattrFlags::empty()))
    }),
    ("access read", |f| word(rustix::fs::access(f, Access::READ_OK))),
    ("access write", |f| word(rustix::fs::access(f, Access::WRITE_OK))),
    ("access execute", |f| word(rustix::fs::access(f, Access::EXEC_OK))),
];

/// An entry of an ACL (acl(5)): tag, permissions, id.
type Entry = (u16, u16, u32);

const USER: u16 = 2;
const GROUP: u16 = 8;

/// The value of an ACL's xattr. A mode gives the permissions of owner, owning group, mask and
/// others.
fn acl(mode: u32, named: &[Entry]) -> Vec<u8> {
    let perm = |shift: u32| (mode >> shift & 7) as u16;
    let mut entries = vec![(1, perm(6), u32::MAX), (4, 5, u32::MAX), (0x20, perm(0), u32::MAX)];
    entries.push((0x10, perm(3), u32::MAX));
    entries.extend(named);
    entries.sort_by_key(|(tag, _, id)| (*tag, *id));
    let bytes = |(tag, perm, id): Entry| {
        let ([a, b], [c, d], [e, f, g, h]) =
            (tag.to_le_bytes(), perm.to_le_bytes(), id.to_le_bytes());
        [a, b, c, d, e, f, g, h]
    };
    [2, 0, 0, 0].into_iter().chain(entries.into_iter().flat_map(bytes)).collect()
}

const ACCESS_ACL: &str = "system.posix_acl_access";
const DEFAULT_ACL: &str = "system.posix_acl_default";

fn set_acl(path: &Path, key: &str, value: &[u8]) -> String {
    word(rustix::fs::setxattr(path, key, value, XattrFlags::empty()))
}

/// Makes a directory with objects that belong to [`OWNER`]. With named entries the modes become
/// ACLs.
fn prepare(top: &Path, dir_mode: u32, file_mode: u32, named: &[Entry]) -> std::path::PathBuf {
    let dir = top.join("dir");
    let _ = fs::remove_dir_all(top);
    fs::create_dir(top).expect("a directory");
    mode(top, 0o777).expect("a mode");
    fs::create_dir(&dir).expect("a directory");
    fs::create_dir(dir.join("sub")).expect("a directory");
    fs::write(dir.join("file"), b"contents").expect("a file");
    rustix::fs::setxattr(dir.join("file"), "user.there", b"1", XattrFlags::empty())
        .expect("an xattr");
    symlink("file", dir.join("link")).expect("a symlink");
    fs::write(top.join("in"), b"in").expect("a file");
    for path in ["dir", "dir/sub", "dir/file", "dir/link", "in"] {
        lchown(top.join(path), Some(1000), Some(1000)).expect("an owner");
    }
    mode(&dir.join("file"), file_mode).expect("a mode");
    mode(&dir, dir_mode).expect("a mode");
    if !named.is_empty() {
        for (path, mode) in [(&dir.join("file"), file_mode), (&dir, dir_mode)] {
            assert_eq!(set_acl(path, ACCESS_ACL, &acl(mode, named)), "ok");
        }
    }
    dir
}

fn state(dir: &Path) -> String {
    let mut names: Vec<String> = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        use std::os::unix::fs::MetadataExt as _;
        let meta = entry.path().symlink_metadata().expect("a look");
        let name = entry.file_name().into_string().expect("a text");
        names.push(format!(
            "{name} {:o} {}:{} {}",
            meta.mode(),
            meta.uid(),
            meta.gid(),
            meta.nlink()
        ));
    }
    names.sort();
    names.join(", ")
}

fn table(s: &mut Steps<'_>, tries: &[Try], on: &str, dirs: &[u32], files: &[u32]) {
    table_of(s, tries, on, (dirs, files), &[OWNER, IN_GROUP, IN_FURTHER_GROUP, OTHER, ROOT], &[]);
}

fn table_of(
    s: &mut Steps<'_>,
    tries: &[Try],
    on: &str,
    (dirs, files): (&[u32], &[u32]),
    callers: &[Caller],
    named: &[Entry],
) {
    mode(s.dir, 0o777).expect("a mode");
    let top = s.at("top");
    for caller in callers.iter().copied() {
        for dir_mode in dirs {
            for file_mode in files {
                let mut dir = prepare(&top, *dir_mode, *file_mode, named);
                for (name, attempt) in tries {
                    let (on, before) = (dir.join(on), state(&dir));
                    let said = as_caller(caller, || attempt(&on));
                    let (Caller(uid, ..), left) = (caller, state(&dir));
                    if left != before || said == "ok" {
                        dir = prepare(&top, *dir_mode, *file_mode, named);
                    }
                    s.log.push(format!("{uid} {dir_mode:o} {file_mode:o} {name}: {said}; {left}"));
                }
            }
        }
    }
    let _ = fs::remove_dir_all(&top);
}

#[test]
fn directories_admit_whom_their_modes_admit() {
    as_on_a_local_disk(|s| table(s, TRIES, "", &[0o750, 0o1777, 0o111], &[0o644]));
}

#[test]
fn files_admit_whom_their_modes_admit() {
    as_on_a_local_disk(|s| table(s, FILE_TRIES, "file", &[0o755], &[0o640, 0o4711, 0o6777]));
}

/// Named entries, and their permissions after the masks of the modes below.
const NAMING: [Entry; 3] = [(USER, 6, NAMED.0), (GROUP, 4, 77), (GROUP, 3, 1000)];
const CALLERS: [Caller; 6] = [OWNER, IN_GROUP, NAMED, IN_NAMED_GROUP, OTHER, ROOT];

/// With this mount option the client checks ACLs as well and asks the brick regardless of the mode.
const ACL: &str = "acl";

#[test]
fn directories_admit_whom_their_acls_admit() {
    mounted_with(ACL, |s| table_of(s, TRIES, "", (&[0o770, 0o757], &[0o644]), &CALLERS, &NAMING));
}

#[test]
fn files_admit_whom_their_acls_admit() {
    mounted_with(ACL, |s| {
        table_of(s, FILE_TRIES, "file", (&[0o775], &[0o660, 0o646, 0o600]), &CALLERS, &NAMING);
    });
}

#[test]
fn acls_are_set_told_and_inherited() {
    mounted_with(ACL, |s| {
        fs::write(s.at("f"), b"x").unwrap();
        for (name, what) in [("d", 0o755), ("d/sub", 0o755)] {
            s.note("mkdir", fs::create_dir(s.at(name)));
            s.note("mode", mode(&s.at(name), what));
        }
        lchown(s.at("f"), Some(1000), Some(1000)).unwrap();
        let get = |path: &Path, log: &mut Vec<String>| {
            for key in [ACCESS_ACL, DEFAULT_ACL] {
                let mut room = [0; 256];
                let got = rustix::fs::lgetxattr(path, key, &mut room);
                log.push(format!("{key} {:?}", got.map(|len| room[..len].to_vec())));
            }
        };
        let with = acl(0o650, &NAMING);
        for caller in [OWNER, NAMED, OTHER, ROOT] {
            let at = s.at("f");
            let said = as_caller(caller, || set_acl(&at, ACCESS_ACL, &with));
            s.log.push(format!("{caller:?} sets {said}"));
        }
        get(&s.at("f"), &mut s.log);
        s.attributes("f");
        s.note("chmod", mode(&s.at("f"), 0o604));
        get(&s.at("f"), &mut s.log);
        for (what, bad) in [
            ("short", &b"x"[..]),
            ("of another version", &[1, 0, 0, 0]),
            ("without a mask", &with[..12]),
            ("empty", &[2, 0, 0, 0]),
        ] {
            s.log.push(format!("{what}: {}", set_acl(&s.at("f"), ACCESS_ACL, bad)));
            get(&s.at("f"), &mut s.log);
        }
        s.log.push(format!("a file's default: {}", set_acl(&s.at("f"), DEFAULT_ACL, &with)));
        s.log.push(set_acl(&s.at("d"), DEFAULT_ACL, &acl(0o770, &NAMING)));
        let here = rustix::fs::CWD;
        s.note("file", fs::write(s.at("d/file"), b"x"));
        s.note("mkdir", fs::create_dir(s.at("d/dir")));
        s.note(
            "fifo",
            rustix::fs::mknodat(here, s.at("d/fifo"), FileType::Fifo, Mode::from(0o644), 0),
        );
        s.note("below", fs::write(s.at("d/dir/file"), b"x"));
        s.note(
            "run",
            OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o711)
                .open(s.at("d/run"))
                .map(drop),
        );
        s.note("ln -s", symlink("file", s.at("d/link")));
        s.note("mv", fs::rename(s.at("f"), s.at("d/moved")));
        for name in
            ["d/file", "d/dir", "d/fifo", "d/dir/file", "d/run", "d/link", "d/moved", "d/sub", "d"]
        {
            s.attributes(name);
            get(&s.at(name), &mut s.log);
        }
        s.note("remove", rustix::fs::removexattr(s.at("d"), DEFAULT_ACL));
        s.note("remove", rustix::fs::removexattr(s.at("d/file"), ACCESS_ACL));
        s.note("after", fs::write(s.at("d/after"), b"x"));
        for name in ["d/after", "d/file", "d"] {
            s.attributes(name);
            get(&s.at(name), &mut s.log);
        }
    });
}

#[test]
fn what_is_wrong_with_a_path_is_said_in_the_right_words() {
    as_on_a_local_disk(|s| {
        fs::create_dir(s.at("d")).unwrap();
        fs::write(s.at("f"), b"x").unwrap();
        symlink("loop", s.at("loop")).unwrap();
        symlink("absent", s.at("dangling")).unwrap();
        let long = "n".repeat(256);
        let longer = vec!["x".repeat(200); 25].join("/");
        for path in [
            "absent/x",
            "f/x",
            "loop/x",
            "dangling/x",
            &long,
            &longer,
            "d/",
            "f/",
            "",
            ".",
            "d/..",
            "d/.",
        ] {
            let at = if path.is_empty() { Path::new("").to_owned() } else { s.dir.join(path) };
            let shown = &path[..path.len().min(20)];
            let here = rustix::fs::CWD;
            s.log.push(format!("{shown} stat {}", word(at.symlink_metadata())));
            s.log.push(format!("{shown} open {}", word(File::open(&at))));
            s.log.push(format!(
                "{shown} create {}",
                word(OpenOptions::new().write(true).create_new(true).open(&at))
            ));
            s.log.push(format!("{shown} mkdir {}", word(fs::create_dir(&at))));
            s.log.push(format!(
                "{shown} mkfifo {}",
                word(rustix::fs::mknodat(here, &at, FileType::Fifo, Mode::RWXU, 0))
            ));
            s.log.push(format!("{shown} symlink {}", word(symlink("t", &at))));
            s.log.push(format!("{shown} link from {}", word(fs::hard_link(&at, s.at("new")))));
            s.log.push(format!("{shown} link to {}", word(fs::hard_link(s.at("f"), &at))));
            s.log.push(format!("{shown} rename from {}", word(fs::rename(&at, s.at("new2")))));
            s.log.push(format!("{shown} rename to {}", word(fs::rename(s.at("f"), &at))));
            s.log.push(format!("{shown} unlink {}", word(fs::remove_file(&at))));
            s.log.push(format!("{shown} rmdir {}", word(fs::remove_dir(&at))));
            s.log.push(format!("{shown} chmod {}", word(mode(&at, 0o700))));
            s.log.push(format!("{shown} readlink {}", word(fs::read_link(&at))));
            for name in ["new", "new2"] {
                let _ = fs::remove_file(s.at(name));
                let _ = fs::remove_dir(s.at(name));
            }
            let _ = fs::create_dir(s.at("d"));
            let _ = fs::write(s.at("f"), b"x");
        }
    });
}
