//! Allocations, times and recovery of a server that runs in the test's process: reads and writes
//! allocate nothing, times reach the disk as promised, and leftovers of a crash are repaired.

use std::alloc::{GlobalAlloc, Layout, System};
use std::os::unix::fs::MetadataExt as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use brickwire_std::{File, OpenOptions, Queue, Volume};
use brickwire_tests::in_process::InProcess;
use brickwire_tests::{brick, serve};

/// Counts allocations and passes them to the system's allocator.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is passed on unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract, which is the system allocator's as well.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract, which is the system allocator's as well.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The whole process's allocations are counted, so the tests run one at a time.
static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());

const MDATA: &str = "trusted.glusterfs.mdata";

fn file(volume: &Volume, options: OpenOptions) -> File {
    volume.open_file("f", &options.read(true).write(true).create(true)).unwrap()
}

/// Alternates reads and writes of a file.
fn turns(file: &File, block: &mut [u8], turns: u64) {
    for n in 0..turns {
        let offset = n % 16 * block.len() as u64;
        file.write_all_at(block, offset).unwrap();
        file.read_exact_at(block, offset).unwrap();
    }
}

/// Keeps one operation in flight for each buffer, and waits for all at the end.
fn deep(queue: &mut Queue<'_>, spare: &mut Vec<Vec<u8>>, count: u64) {
    for n in 0..count {
        let buffer = spare.pop().unwrap_or_else(|| queue.wait().unwrap().unwrap().buffer);
        let offset = n % 16 * buffer.len() as u64;
        if n % 2 == 0 { queue.read(n, buffer, offset) } else { queue.write(n, buffer, offset) }
            .unwrap();
    }
    while let Some(done) = queue.wait().unwrap() {
        spare.push(done.buffer);
    }
}

fn allocated(what: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    what();
    ALLOCATIONS.load(Ordering::Relaxed) - before
}

#[test]
fn a_server_that_is_warm_allocates_nothing_for_reads_and_writes() {
    let _one_at_a_time = ONE_AT_A_TIME.lock();
    let Some(server) = InProcess::at(serve::directory()) else { return };
    let volume = server.volume();
    let plain = file(&volume, OpenOptions::new());
    // With O_SYNC these are done by a thread.
    let synced = file(&volume, OpenOptions::new().sync(true));
    let direct = file(&volume, OpenOptions::new().direct(true));
    let mut small = vec![7; 4096];
    let mut large = vec![9; 256 * 1024];
    let mut spare: Vec<Vec<u8>> = (0..32).map(|_| vec![1; 4096]).collect();
    let mut spare_large: Vec<Vec<u8>> = (0..4).map(|_| vec![1; 256 * 1024]).collect();
    let mut queues = (plain.queue(32), synced.queue(32), synced.queue(4), direct.queue(4));
    // Warm-up covers the writing of times, which happens once a second, and both ways that a
    // request can take: on the loop and, when the disk is busy, on every thread.
    for _ in 0..3 {
        turns(&plain, &mut small, 64);
        turns(&plain, &mut large, 32);
        turns(&synced, &mut small, 16);
        turns(&synced, &mut large, 8);
        turns(&direct, &mut large, 8);
        deep(&mut queues.0, &mut spare, 700);
        deep(&mut queues.1, &mut spare, 100);
        deep(&mut queues.2, &mut spare_large, 20);
        deep(&mut queues.3, &mut spare_large, 50);
        std::thread::sleep(Duration::from_millis(1100));
    }
    assert_eq!(allocated(|| drop(std::hint::black_box(vec![1_u8; 100]))), 1, "it counts");
    assert_eq!(allocated(|| turns(&plain, &mut small, 2000)), 0, "small ones");
    assert_eq!(allocated(|| turns(&plain, &mut large, 64)), 0, "large ones");
    assert_eq!(allocated(|| turns(&synced, &mut small, 32)), 0, "those of threads");
    assert_eq!(allocated(|| turns(&direct, &mut large, 32)), 0, "those past the page cache");

    assert_eq!(allocated(|| deep(&mut queues.0, &mut spare, 3000)), 0, "many in flight");
}

#[test]
fn times_of_a_single_write_are_on_disk_within_seconds_although_nobody_closes_the_file() {
    let _one_at_a_time = ONE_AT_A_TIME.lock();
    let Some(server) = InProcess::at(serve::directory()) else { return };
    let volume = server.volume();
    let file = file(&volume, OpenOptions::new());
    let on_disk = || brick::xattr(&server.path().join("f"), MDATA);
    let mtime = |bytes: Vec<u8>| i128::from_be_bytes(bytes[25..41].try_into().unwrap());
    let before = on_disk().map(mtime);
    std::thread::sleep(Duration::from_millis(20));
    file.write_all_at(b"once", 0).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while on_disk().map(mtime) <= before {
        assert!(Instant::now() < deadline, "they are still old");
        std::thread::sleep(Duration::from_millis(50));
    }
    let said = volume.stat("f").unwrap().modified();
    let bytes = on_disk().unwrap();
    let seconds = u64::from_be_bytes(bytes[25..33].try_into().unwrap());
    assert_eq!(said.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs(), seconds);
}

#[test]
fn times_are_on_disk_when_a_flush_has_returned() {
    let _one_at_a_time = ONE_AT_A_TIME.lock();
    let Some(server) = InProcess::at(serve::directory()) else { return };
    let volume = server.volume();
    let file = file(&volume, OpenOptions::new());
    for round in 0..3 {
        file.write_all_at(b"again", round).unwrap();
        file.flush().unwrap();
        let bytes = brick::xattr(&server.path().join("f"), MDATA).unwrap();
        let said =
            volume.stat("f").unwrap().modified().duration_since(std::time::UNIX_EPOCH).unwrap();
        let word = |at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap());
        assert_eq!((word(25), word(33)), (said.as_secs(), said.subsec_nanos().into()));
    }
}

#[test]
fn a_file_whose_handle_a_crash_left_out_is_opened_all_the_same() {
    let _one_at_a_time = ONE_AT_A_TIME.lock();
    let Some(server) = InProcess::at(serve::directory()) else { return };
    let volume = server.volume();
    file(&volume, OpenOptions::new()).write_all_at(b"there", 0).unwrap();
    let gfid = brick::gfid(&server.path().join("f")).unwrap();
    let handle = brick::handle(server.path(), &gfid);
    std::fs::remove_file(&handle).unwrap();
    let mut bytes = [0; 5];
    server
        .volume()
        .open_file("f", &OpenOptions::new().read(true))
        .unwrap()
        .read_exact_at(&mut bytes, 0)
        .unwrap();
    assert_eq!(&bytes, b"there");
    assert_eq!(handle.metadata().unwrap().nlink(), 2);
}

#[test]
fn a_directory_whose_handle_leads_to_its_old_place_is_found_again() {
    let _one_at_a_time = ONE_AT_A_TIME.lock();
    let Some(server) = InProcess::at(serve::directory()) else { return };
    let volume = server.volume();
    volume.create_dir("old", 0o755).unwrap();
    volume.create_dir("old/inside", 0o755).unwrap();
    // The state after a crash between renaming a directory and its handle.
    std::fs::rename(server.path().join("old"), server.path().join("new")).unwrap();
    let volume = server.volume();
    assert!(volume.exists("new/inside").unwrap());
    let gfid = brick::gfid(&server.path().join("new")).unwrap();
    let target = std::fs::read_link(brick::handle(server.path(), &gfid)).unwrap();
    assert!(target.ends_with("00000000-0000-0000-0000-000000000001/new"), "{}", target.display());
}

#[test]
fn a_brick_whose_file_system_orders_no_names_works_too() {
    let _one_at_a_time = ONE_AT_A_TIME.lock();
    // On tmpfs each name is synced when it is created.
    let Ok(dir) = tempfile::tempdir_in("/dev/shm") else { return };
    let Some(server) = InProcess::at(dir) else { return };
    let volume = server.volume();
    volume.create_dir("d", 0o755).unwrap();
    let options = OpenOptions::new().write(true).create_new(true);
    volume.open_file("d/f", &options).unwrap().write_all_at(b"x", 0).unwrap();
    volume.rename("d/f", "g").unwrap();
    volume.rename("d", "e").unwrap();
    assert_eq!(volume.stat("g").unwrap().size(), 1);
    assert!(volume.stat("e").unwrap().is_dir() && !volume.exists("d").unwrap());
}

#[test]
fn a_server_at_rest_has_little_memory_of_its_own() {
    if !serve::wanted() {
        return;
    }
    let served = serve::Served::one();
    let status = std::fs::read_to_string(format!("/proc/{}/status", served.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().unwrap();
    assert!(
        kib < 3 * 1024,
        "{kib} KiB for 4,096 connections, 65,536 files and 32,768 locks that nobody has"
    );
}
