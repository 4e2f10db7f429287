//! Reads and writes allocate nothing after start-up, as counted by the global allocator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

use brickwire_tests::{TestDir, site};

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

#[test]
fn reads_and_writes_allocate_nothing() {
    let Some(cluster) = site() else { return };
    let place = TestDir::new(&cluster, "single", "allocations");
    let file = place.file("f");
    let mut block = vec![7; 4096];
    for n in 0..64 {
        file.write_all_at(&block, n * 4096).unwrap();
        file.read_exact_at(&mut block, n * 4096).unwrap();
    }
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    for n in 0..2000_u64 {
        file.write_all_at(&block, n % 64 * 4096).unwrap();
        file.read_exact_at(&mut block, n % 64 * 4096).unwrap();
    }
    assert_eq!(ALLOCATIONS.load(Ordering::Relaxed) - before, 0, "one at a time");

    let mut queue = file.queue(32);
    let mut spare: Vec<Vec<u8>> = (0..32).map(|_| vec![1; 4096]).collect();
    let mut before = 0;
    for n in 0..4000_u64 {
        if n == 1000 {
            before = ALLOCATIONS.load(Ordering::Relaxed);
        }
        let buffer = match spare.pop() {
            Some(buffer) => buffer,
            None => queue.wait().unwrap().unwrap().buffer,
        };
        if n % 2 == 0 {
            queue.read(n, buffer, n % 64 * 4096)
        } else {
            queue.write(n, buffer, n % 64 * 4096)
        }
        .unwrap();
    }
    assert_eq!(ALLOCATIONS.load(Ordering::Relaxed) - before, 0, "many in flight");
}
