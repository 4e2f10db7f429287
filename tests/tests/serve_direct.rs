//! O_DIRECT and O_SYNC on `brickwire serve`: which bytes bypass the page cache, which requests are
//! refused, and what is on disk when a call returns.

use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use brickwire_block::{ImageSpec, Images, ImagesOptions};
use brickwire_core::fop::wire::{Read, Reply, Request, Write};
use brickwire_core::rpc::Cred;
use brickwire_core::server::{BrickIx, Call, Counts, Payload, Target};
use brickwire_core::xdr::{Dict, Reader};
use brickwire_server::Backend;
use brickwire_std::{File, Gfid, OpenOptions, Volume};
use brickwire_tests::in_process::InProcess;
use brickwire_tests::pages::{Pages, pages};
use brickwire_tests::{pattern, serve};

const O_DIRECT: u32 = 0o40_000;
const O_DSYNC: u32 = 0o10_000;
const O_SYNC: u32 = 0o4_010_000;
const EINVAL: i32 = 22;

/// A server, its backend, and the file `f`, open with and without O_DIRECT.
struct Setup {
    // Fields are dropped in order: the files before the server.
    direct: File,
    cached: File,
    volume: Volume,
    backend: Arc<dyn Backend>,
    path: PathBuf,
    server: InProcess,
}

fn options() -> OpenOptions {
    OpenOptions::new().read(true).write(true).create(true)
}

impl Setup {
    fn new(server: InProcess, backend: Arc<dyn Backend>, path: PathBuf) -> Self {
        let volume = server.volume();
        let direct = volume.open_file("f", &options().direct(true)).unwrap();
        let cached = volume.open_file("f", &options()).unwrap();
        Self { direct, cached, volume, backend, path, server }
    }

    /// With a directory as the brick.
    fn directory() -> Option<Self> {
        let kept: Arc<OnceLock<Arc<dyn Backend>>> = Arc::default();
        let its = Arc::clone(&kept);
        let server = InProcess::with(serve::directory(), move |brick| {
            let brick: Arc<dyn Backend> = Arc::new(brick);
            Arc::clone(its.get_or_init(|| brick))
        })?;
        let path = server.path().join("f");
        Some(Self::new(server, Arc::clone(kept.get()?), path))
    }

    /// With an image file as the brick.
    fn image() -> Self {
        let dir = serve::directory();
        let path = dir.path().join("image");
        std::fs::File::create(&path).unwrap();
        let id = Gfid([9; 16]);
        let options = ImagesOptions { volume_id: id, ..ImagesOptions::default() };
        let spec = ImageSpec { name: "f".into(), path: path.clone() };
        let backend: Arc<dyn Backend> = Arc::new(Images::open(&[spec], &options).unwrap());
        Self::new(InProcess::serving(dir, id, Arc::clone(&backend)), backend, path)
    }

    /// Both kinds of brick; nothing if the disk has no O_DIRECT or does not enforce its alignment.
    fn both() -> impl Iterator<Item = Self> {
        let both = || Self::directory().into_iter().chain([Self::image()]);
        disk_is_strict().then(both).into_iter().flatten()
    }

    fn pages(&self) -> Option<Pages> {
        pages(&self.path)
    }

    /// Sends one fop; returns its result or errno, and its payload.
    fn ask(&self, request: Request<'_>, payload: &[u8]) -> (Result<i32, i32>, Vec<u8>) {
        let number = request.number();
        let call = Call {
            brick: BrickIx(0),
            cred: Cred::v3(1, 0, 0),
            request,
            target: Target::Gfid,
            second: Target::Gfid,
            opened: false,
            opens: None,
            payload: Payload::Bytes(payload),
            counts: Counts::default(),
        };
        let mut bytes = Vec::new();
        self.backend.execute(&call, payload, &mut bytes);
        let mut r = Reader::new(&bytes);
        let reply = Reply::decode(number, &mut r).unwrap();
        let result = if reply.op_ret < 0 { Err(reply.op_errno) } else { Ok(reply.op_ret) };
        let data = reply.op_ret.max(0) as usize;
        let data = if matches!(call.request, Request::Read(_)) {
            &bytes[bytes.len() - data..]
        } else {
            &[]
        };
        (result, data.to_vec())
    }

    fn gfid(&self) -> Gfid {
        self.volume.stat("f").unwrap().gfid()
    }

    fn write(&self, flag: u32, offset: u64, data: &[u8]) -> Result<i32, i32> {
        let (gfid, size) = (self.gfid(), data.len() as u32);
        self.ask(
            Request::Write(Write { gfid, fd: -2, offset, size, flag, xdata: Dict::Null }),
            data,
        )
        .0
    }

    fn read(&self, flag: u32, offset: u64, size: u32) -> (Result<i32, i32>, Vec<u8>) {
        let gfid = self.gfid();
        self.ask(Request::Read(Read { gfid, fd: -2, offset, size, flag, xdata: Dict::Null }), &[])
    }
}

fn disk_is_strict() -> bool {
    let dir = serve::directory();
    let mut how = std::fs::OpenOptions::new();
    how.write(true).create(true).custom_flags(O_DIRECT as i32);
    let refused = |file: std::fs::File| {
        file.write_at(&[0; 100], 0).is_err_and(|e| e.raw_os_error() == Some(EINVAL))
    };
    let strict = how.open(dir.path().join("probe")).is_ok_and(refused);
    if !strict {
        println!("skipped: the file system does not do O_DIRECT as most do");
    }
    strict
}

/// The page size, a multiple of every disk's block size.
const PAGE: usize = 4096;

fn errno<T>(result: brickwire_std::Result<T>) -> Option<i32> {
    result.err().and_then(|error| error.errno())
}

#[test]
fn what_is_written_and_read_directly_is_not_in_the_page_cache() {
    for rig in Setup::both() {
        let data = pattern(3 << 20, 1);
        rig.direct.write_all_at(&data, 0).unwrap();
        assert!(rig.pages().is_none_or(|pages| pages.cached == 0), "written: {:?}", rig.pages());
        let mut back = vec![0; data.len()];
        rig.direct.read_exact_at(&mut back, 0).unwrap();
        assert!(
            back == data && rig.pages().is_none_or(|pages| pages.cached == 0),
            "read: {:?}",
            rig.pages()
        );
        assert!(std::fs::read(&rig.path).unwrap() == data);
        assert!(rig.pages().is_none_or(|pages| pages.cached > 0), "now it is: {:?}", rig.pages());
    }
}

#[test]
fn by_gfid_the_calls_own_flags_say_whether_it_goes_past_the_page_cache() {
    for rig in Setup::both() {
        // More than one piece of the server's buffers.
        let data = pattern(3 << 20, 2);
        assert_eq!(rig.write(O_DIRECT, 0, &data), Ok(3 << 20));
        assert_eq!(rig.read(O_DIRECT, 0, 3 << 20), (Ok(3 << 20), data.clone()));
        assert!(rig.pages().is_none_or(|pages| pages.cached == 0), "{:?}", rig.pages());
        for (offset, len) in [(5, 100), (0, 100), (100, 512)] {
            assert_eq!(rig.write(O_DIRECT, offset, &data[..len]), Err(EINVAL), "{offset} {len}");
            assert_eq!(rig.read(O_DIRECT, offset, len as u32).0, Err(EINVAL), "{offset} {len}");
            assert_eq!(rig.write(0, offset, &data[offset as usize..][..len]), Ok(len as i32));
        }
        assert_eq!(rig.read(0, 0, 3 << 20).1, data);
        assert!(rig.pages().is_none_or(|pages| pages.cached > 0), "{:?}", rig.pages());
    }
}

#[test]
fn what_does_not_fit_the_disk_is_refused_and_changes_nothing() {
    for rig in Setup::both() {
        let data = pattern(2 << 20, 3);
        rig.direct.write_all_at(&data, 0).unwrap();
        let other = pattern((2 << 20) - 100, 4);
        for (offset, len) in [(0, 100), (100, 512), (13_000, PAGE)] {
            assert_eq!(
                errno(rig.direct.write_at(&other[..len], offset)),
                Some(EINVAL),
                "{offset} {len}"
            );
        }
        assert_eq!(rig.write(O_DIRECT, 0, &other), Err(EINVAL), "not a part of it");
        for (offset, len) in [(0, 100), (50, PAGE)] {
            assert_eq!(
                errno(rig.direct.read_at(&mut vec![0; len], offset)),
                Some(EINVAL),
                "{offset} {len}"
            );
        }
        assert!(std::fs::read(&rig.path).unwrap() == data);
    }
}

#[test]
fn a_file_is_read_to_its_odd_end() {
    for rig in Setup::both() {
        let data = pattern(10_001, 5);
        rig.cached.write_all_at(&data, 0).unwrap();
        let mut room = vec![0; 1 << 20];
        // A short read at the end of the file is not repeated, and one beyond the end returns
        // nothing.
        assert_eq!(rig.direct.read_at(&mut room, 0).unwrap(), 10_001);
        assert!(room[..10_001] == data);
        assert_eq!(rig.direct.read_at(&mut room[..PAGE], 8192).unwrap(), 1809);
        assert!(room[..1809] == data[8192..]);
        assert_eq!(rig.direct.read_at(&mut room[..PAGE], 12_288).unwrap(), 0);
    }
}

#[test]
fn both_ways_see_the_same_bytes() {
    for rig in Setup::both() {
        let mut want = vec![0; 64 * PAGE];
        let mut room = vec![0; want.len()];
        rig.cached.write_all_at(&want, 0).unwrap();
        for turn in 0..200_usize {
            let (at, len) = ((turn * 37) % 60 * PAGE, (turn % 4 + 1) * PAGE);
            let data = pattern(len, turn as u64);
            want[at..at + len].copy_from_slice(&data);
            let (writer, reader) =
                if turn % 2 == 0 { (&rig.direct, &rig.cached) } else { (&rig.cached, &rig.direct) };
            writer.write_all_at(&data, at as u64).unwrap();
            reader.read_exact_at(&mut room, 0).unwrap();
            assert!(room == want, "turn {turn}");
            // Without O_DIRECT any offset and length is allowed.
            want[at + 7] = turn as u8;
            rig.cached.write_all_at(&[turn as u8], at as u64 + 7).unwrap();
        }
        rig.direct.read_exact_at(&mut room, 0).unwrap();
        assert!(room == want);
        let local = std::fs::File::open(&rig.path).unwrap();
        local.read_exact_at(&mut room, 0).unwrap();
        assert!(room == want);
    }
}

#[test]
fn a_file_that_is_open_directly_takes_every_other_call() {
    for rig in Setup::both() {
        rig.direct.write_all_at(&pattern(16 * PAGE, 1), 0).unwrap();
        rig.direct.write_zeroes(100, 5000).unwrap();
        rig.direct.discard(3 * PAGE as u64, 2 * PAGE as u64).unwrap();
        rig.direct.allocate(0, 20 * PAGE as u64, false).unwrap();
        rig.direct.set_len(70_001).unwrap();
        rig.direct.flush().unwrap();
        let mut want = pattern(16 * PAGE, 1);
        want[100..5100].fill(0);
        want[3 * PAGE..5 * PAGE].fill(0);
        want.resize(70_001, 0);
        assert!(std::fs::read(&rig.path).unwrap() == want);
    }
}

#[test]
fn a_file_system_that_cannot_go_past_its_page_cache_says_so_when_a_file_is_opened() {
    let path = PathBuf::from("/proc/version");
    if std::fs::read(&path).is_err() {
        return;
    }
    let id = Gfid([9; 16]);
    let options = ImagesOptions { volume_id: id, ..ImagesOptions::default() };
    let Ok(images) = Images::open(&[ImageSpec { name: "f".into(), path }], &options) else {
        return;
    };
    let server = InProcess::serving(serve::directory(), id, Arc::new(images));
    let volume = server.volume();
    let only = OpenOptions::new().read(true);
    volume.open_file("f", &only.clone()).unwrap();
    assert_eq!(errno(volume.open_file("f", &only.direct(true))), Some(EINVAL));
}

#[test]
fn what_asks_for_it_is_on_disk_when_it_is_answered() {
    for rig in Setup::both() {
        let data = pattern(64 << 10, 6);
        let on_disk = || {
            rig.pages().is_none_or(|pages| pages.cached > 0 && pages.dirty + pages.writeback == 0)
        };
        let synced = rig.volume.open_file("f", &options().sync(true)).unwrap();
        synced.write_all_at(&data, 0).unwrap();
        assert!(on_disk(), "a file's: {:?}", rig.pages());
        for flag in [O_DSYNC, O_SYNC] {
            rig.cached.write_all_at(&data, 0).unwrap();
            assert!(rig.pages().is_none_or(|pages| pages.dirty > 0), "not yet: {:?}", rig.pages());
            assert_eq!(rig.write(flag, 0, &data), Ok(64 << 10));
            assert!(on_disk(), "a call's: {:?}", rig.pages());
        }
        rig.cached.write_all_at(&data, 0).unwrap();
        rig.cached.flush_data().unwrap();
        assert!(on_disk(), "an FSYNC's: {:?}", rig.pages());
    }
}

#[test]
fn the_descriptors_are_what_clients_asked_for() {
    let Some(rig) = Setup::both().next().filter(|rig| rig.path == rig.server.path().join("f"))
    else {
        return;
    };
    let names = [
        ("s", options().sync(true)),
        ("ds", options().sync(true).direct(true)),
        ("plain", options()),
    ];
    let files: Vec<_> =
        names.iter().map(|(name, how)| rig.volume.open_file(name, how).unwrap()).collect();
    let flags = |name: &str| {
        let path = rig.server.path().join(name);
        let fds = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
        let mut fds = fds.filter(|fd| std::fs::read_link(fd.path()).is_ok_and(|to| to == path));
        let fd = fds.next().expect("it is open").file_name().into_string().unwrap();
        let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap();
        let flags =
            info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap().trim().to_owned();
        u32::from_str_radix(&flags, 8).unwrap() & (O_SYNC | O_DIRECT)
    };
    assert_eq!([flags("s"), flags("ds"), flags("plain")], [O_SYNC, O_SYNC | O_DIRECT, 0]);
    drop(files);
}
