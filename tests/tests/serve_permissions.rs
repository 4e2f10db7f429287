//! Who may do what: a table of calls, callers and modes on a mount of ours, in the manner of pjdfstest. What a local disk answers, or
//! the real server where its client differs from that, is what ours has to answer.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, chown, lchown, symlink};
use std::path::Path;

use brickwire_tests::steps::{Steps, as_on_a_local_disk};
use rustix::fs::{Access, AtFlags, FileType, Mode, Timespec, Timestamps, XattrFlags};
use rustix::thread::{Gid, Uid, set_thread_groups, set_thread_res_gid, set_thread_res_uid};

/// Something that can be tried, by name.
type Try = (&'static str, fn(&Path) -> String);

/// Who calls: user, group, further groups.
#[derive(Clone, Copy, Debug)]
struct Caller(u32, u32, &'static [u32]);

const ROOT: Caller = Caller(0, 0, &[]);
const OWNER: Caller = Caller(1000, 1000, &[]);
const IN_GROUP: Caller = Caller(2000, 1000, &[]);
const IN_FURTHER_GROUP: Caller = Caller(3000, 3000, &[7, 1000]);
const OTHER: Caller = Caller(4000, 4000, &[8]);

/// Does something as somebody else: credentials are a thread's own.
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

/// Everything that can be tried in a directory, by name; `dir` has a file, a directory and a symlink in it.
const TRIES: &[Try] = &[
    ("create", |d| word(OpenOptions::new().write(true).create_new(true).open(d.join("new")))),
    ("open or create", |d| {
        word(OpenOptions::new().read(true).write(true).create(true).truncate(false).open(d.join("file")))
    }),
    ("mkdir", |d| word(fs::create_dir(d.join("new")))),
    ("symlink", |d| word(symlink("x", d.join("new")))),
    ("mkfifo", |d| word(rustix::fs::mknodat(rustix::fs::CWD, d.join("new"), FileType::Fifo, Mode::RWXU, 0))),
    ("mknod", |d| {
        let null = rustix::fs::makedev(1, 3);
        word(rustix::fs::mknodat(rustix::fs::CWD, d.join("new"), FileType::CharacterDevice, Mode::RWXU, null))
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

/// Everything that can be tried on a file.
const FILE_TRIES: &[Try] = &[
    ("read", |f| word(File::open(f))),
    ("write", |f| word(OpenOptions::new().write(true).open(f))),
    ("read and write", |f| word(OpenOptions::new().read(true).write(true).open(f))),
    ("write bytes", |f| {
        let written = OpenOptions::new().write(true).open(f).and_then(|mut file| file.write_all(b"new"));
        word(written)
    }),
    ("cut an open file", |f| word(OpenOptions::new().write(true).open(f).and_then(|file| file.set_len(3)))),
    ("truncate on open", |f| word(OpenOptions::new().write(true).truncate(true).open(f))),
    ("truncate", |f| {
        // truncate(2), not ftruncate.
        word(
            std::process::Command::new("true").status().and_then(|_| OpenOptions::new().append(true).open(f)),
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
    ("set trusted xattr", |f| word(rustix::fs::setxattr(f, "trusted.x", b"1", XattrFlags::empty()))),
    ("access read", |f| word(rustix::fs::access(f, Access::READ_OK))),
    ("access write", |f| word(rustix::fs::access(f, Access::WRITE_OK))),
    ("access execute", |f| word(rustix::fs::access(f, Access::EXEC_OK))),
];

/// A directory with things in it that belong to [`OWNER`], ready for a try.
fn prepare(top: &Path, dir_mode: u32, file_mode: u32) -> std::path::PathBuf {
    let dir = top.join("dir");
    let _ = fs::remove_dir_all(top);
    fs::create_dir(top).expect("a directory");
    mode(top, 0o777).expect("a mode");
    fs::create_dir(&dir).expect("a directory");
    fs::create_dir(dir.join("sub")).expect("a directory");
    fs::write(dir.join("file"), b"contents").expect("a file");
    rustix::fs::setxattr(dir.join("file"), "user.there", b"1", XattrFlags::empty()).expect("an xattr");
    symlink("file", dir.join("link")).expect("a symlink");
    fs::write(top.join("in"), b"in").expect("a file");
    for path in ["dir", "dir/sub", "dir/file", "dir/link", "in"] {
        lchown(top.join(path), Some(1000), Some(1000)).expect("an owner");
    }
    mode(&dir.join("file"), file_mode).expect("a mode");
    mode(&dir, dir_mode).expect("a mode");
    dir
}

fn state(dir: &Path) -> String {
    let mut names: Vec<String> = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        use std::os::unix::fs::MetadataExt as _;
        let meta = entry.path().symlink_metadata().expect("a look");
        let name = entry.file_name().into_string().expect("a text");
        names.push(format!("{name} {:o} {}:{} {}", meta.mode(), meta.uid(), meta.gid(), meta.nlink()));
    }
    names.sort();
    names.join(", ")
}

fn table(s: &mut Steps<'_>, tries: &[Try], on: &str, dirs: &[u32], files: &[u32]) {
    mode(s.dir, 0o777).expect("a mode");
    let top = s.at("top");
    for caller in [OWNER, IN_GROUP, IN_FURTHER_GROUP, OTHER, ROOT] {
        for dir_mode in dirs {
            for file_mode in files {
                let mut dir = prepare(&top, *dir_mode, *file_mode);
                for (name, attempt) in tries {
                    let (on, before) = (dir.join(on), state(&dir));
                    let said = as_caller(caller, || attempt(&on));
                    let (Caller(uid, ..), left) = (caller, state(&dir));
                    if left != before || said == "ok" {
                        dir = prepare(&top, *dir_mode, *file_mode);
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

#[test]
fn what_is_wrong_with_a_path_is_said_in_the_right_words() {
    as_on_a_local_disk(|s| {
        fs::create_dir(s.at("d")).unwrap();
        fs::write(s.at("f"), b"x").unwrap();
        symlink("loop", s.at("loop")).unwrap();
        symlink("absent", s.at("dangling")).unwrap();
        let long = "n".repeat(256);
        let longer = vec!["x".repeat(200); 25].join("/");
        for path in
            ["absent/x", "f/x", "loop/x", "dangling/x", &long, &longer, "d/", "f/", "", ".", "d/..", "d/."]
        {
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
