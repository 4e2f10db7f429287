//! Several threads on one volume: the lead, parked threads, callbacks, futures. Needs a real
//! volume: `BRICKWIRE_TEST_URI=gluster://HOST/VOLUME`. Without it these tests do nothing.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use brickwire_std::{File, OpenOptions, Options, Volume};

const BLOCK: usize = 4096;
const BLOCKS: u64 = 64;

/// A file in which each block is filled with its number.
fn numbered(name: &str, options: &Options) -> Option<(Volume, File)> {
    let uri = std::env::var("BRICKWIRE_TEST_URI").ok()?;
    let volume = Volume::open_with(&uri, options).expect("the volume opens");
    let file = volume
        .open_file(name, &OpenOptions::new().read(true).write(true).create(true))
        .expect("the file opens");
    for block in 0..BLOCKS {
        file.write_all_at(&[block as u8; BLOCK], block * BLOCK as u64)
            .expect("the file is written");
    }
    Some((volume, file))
}

/// Runs `test` and fails if it hangs.
fn bounded(test: impl FnOnce() + Send + 'static) {
    let (done, wait) = channel();
    let thread = std::thread::spawn(move || {
        test();
        let _ = done.send(());
    });
    match wait.recv_timeout(Duration::from_secs(20)) {
        Ok(()) => thread.join().expect("it ends"),
        Err(RecvTimeoutError::Disconnected) => thread.join().expect("it does not panic"),
        Err(RecvTimeoutError::Timeout) => panic!("hangs"),
    }
}

#[test]
fn threads_that_read_at_the_same_time_get_each_its_own_answer() {
    bounded(|| {
        let Some((_volume, file)) = numbered("handoff-threads", &Options::new()) else { return };
        std::thread::scope(|scope| {
            for thread in 0..4_u64 {
                let file = &file;
                scope.spawn(move || {
                    let mut buffer = [0; BLOCK];
                    for turn in 0..500_u64 {
                        let block = (thread * 17 + turn) % BLOCKS;
                        buffer.fill(0xee);
                        file.read_exact_at(&mut buffer, block * BLOCK as u64).expect("it reads");
                        assert!(buffer.iter().all(|byte| *byte == block as u8), "block {block}");
                    }
                });
            }
        });
    });
}

#[test]
fn a_pending_operation_can_be_waited_for_while_the_background_thread_drives() {
    bounded(|| {
        let Some((_volume, file)) = numbered("handoff-pending", &Options::new().background(true))
        else {
            return;
        };
        for block in 0..BLOCKS {
            let (buffer, n) =
                file.read_async(vec![0; BLOCK], block * BLOCK as u64).wait().expect("it reads");
            assert!(n == BLOCK && buffer.iter().all(|byte| *byte == block as u8));
        }
    });
}

#[test]
fn threads_that_read_while_the_background_thread_drives_get_each_its_own_answer() {
    bounded(|| {
        let Some((_volume, file)) =
            numbered("handoff-background", &Options::new().background(true))
        else {
            return;
        };
        std::thread::scope(|scope| {
            for thread in 0..3_u64 {
                let file = &file;
                scope.spawn(move || {
                    let mut buffer = [0; BLOCK];
                    for turn in 0..300_u64 {
                        let block = (thread * 17 + turn) % BLOCKS;
                        file.read_exact_at(&mut buffer, block * BLOCK as u64).expect("it reads");
                        assert!(buffer.iter().all(|byte| *byte == block as u8), "block {block}");
                    }
                });
            }
        });
    });
}

#[test]
fn a_callback_that_panics_does_not_end_the_wait_of_whoever_drives() {
    bounded(|| {
        let Some((_volume, file)) = numbered("handoff-panic", &Options::new()) else { return };
        file.read_with(vec![0; BLOCK], 0, |_, _| panic!("a callback's own fault, on purpose"))
            .expect("it is taken");
        let mut buffer = [0; BLOCK];
        for block in 0..BLOCKS {
            file.read_exact_at(&mut buffer, block * BLOCK as u64).expect("it reads");
            assert!(buffer.iter().all(|byte| *byte == block as u8));
        }
    });
}

#[test]
fn a_callback_is_not_called_from_inside_of_a_submission() {
    bounded(|| {
        let Some((_volume, file)) = numbered("handoff-locked", &Options::new()) else { return };
        let seen = Arc::new(Mutex::new(0));
        for turn in 0..100_u64 {
            // A caller may hold a lock that its callbacks take.
            let held = seen.lock().unwrap();
            for _ in 0..3 {
                let seen = seen.clone();
                let call = move |_, _| *seen.lock().unwrap() += 1;
                file.read_with(vec![0; BLOCK], (turn % BLOCKS) * BLOCK as u64, call)
                    .expect("it is taken");
            }
            drop(held);
            let mut buffer = [0; BLOCK];
            file.read_exact_at(&mut buffer, 0).expect("it reads");
        }
        while *seen.lock().unwrap() < 300 {
            file.metadata().expect("it answers");
        }
    });
}

#[test]
fn a_callback_may_submit_again_and_nobody_need_wait_for_it() {
    fn chain(file: Arc<File>, left: u32, done: std::sync::mpsc::Sender<()>) {
        if left == 0 {
            done.send(()).unwrap();
            return;
        }
        let next = file.clone();
        file.read_with(vec![0; BLOCK], 0, move |result, _| {
            assert_eq!(result.unwrap(), BLOCK);
            chain(next, left - 1, done);
        })
        .unwrap();
    }
    bounded(|| {
        let Some((_volume, file)) = numbered("handoff-chain", &Options::new().background(true))
        else {
            return;
        };
        let (done, wait) = channel();
        chain(Arc::new(file), 200, done);
        wait.recv().unwrap();
    });
}

#[test]
fn more_operations_than_the_volume_has_room_for_wait_for_their_turn() {
    bounded(|| {
        let mut limits = brickwire_std::core::Limits::HOST;
        limits.ops = 2;
        for background in [false, true] {
            let options = Options::new().limits(limits).background(background);
            let Some((_volume, file)) = numbered("handoff-busy", &options) else { return };
            std::thread::scope(|scope| {
                for _ in 0..8_u64 {
                    let file = &file;
                    scope.spawn(move || {
                        let mut buffer = [0; BLOCK];
                        for turn in 0..100_u64 {
                            let block = turn % BLOCKS;
                            file.read_exact_at(&mut buffer, block * BLOCK as u64)
                                .expect("it reads");
                            assert!(
                                buffer.iter().all(|byte| *byte == block as u8),
                                "block {block}"
                            );
                        }
                    });
                }
            });
        }
    });
}

#[test]
fn a_queue_keeps_many_in_flight_and_gives_each_buffer_back_with_its_token() {
    bounded(|| {
        let Some((_volume, file)) = numbered("handoff-queue", &Options::new()) else { return };
        let mut queue = file.queue(32);
        let mut buffers: Vec<Vec<u8>> = (0..32).map(|_| vec![0; BLOCK]).collect();
        let (mut sent, mut done) = (0_u64, 0);
        while done < 2000 {
            while sent < 2000
                && let Some(buffer) = buffers.pop()
            {
                queue
                    .read(sent % BLOCKS, buffer, sent % BLOCKS * BLOCK as u64)
                    .expect("it is taken");
                sent += 1;
            }
            let completion = queue.wait().expect("it waits").expect("one is in flight");
            assert_eq!(completion.result.expect("it reads"), BLOCK);
            assert!(completion.buffer.iter().all(|byte| u64::from(*byte) == completion.token));
            buffers.push(completion.buffer);
            done += 1;
        }
    });
}

#[test]
fn a_callback_of_one_volume_may_submit_to_another_one() {
    bounded(|| {
        let options = Options::new().background(true);
        let Some((_from, source)) = numbered("handoff-from", &options) else { return };
        let Some((_to, target)) = numbered("handoff-to", &options) else { return };
        let (done, wait) = channel();
        let (source, target) = (Arc::new(source), Arc::new(target));
        for block in 0..BLOCKS {
            let (target, done) = (target.clone(), done.clone());
            let copy = move |result: brickwire_std::Result<usize>, buffer| {
                assert_eq!(result.unwrap(), BLOCK);
                target
                    .write_with(buffer, block * BLOCK as u64, move |_, _| done.send(()).unwrap())
                    .unwrap();
            };
            source.read_with(vec![0; BLOCK], block * BLOCK as u64, copy).unwrap();
        }
        (0..BLOCKS).for_each(|_| wait.recv().unwrap());
    });
}

/// Reads one block after the other until an error. After 100 ms such a thread waits in the read of
/// its socket alone.
fn read_until_it_fails(file: &File, begun: &std::sync::mpsc::Sender<()>) {
    let mut buffer = [0; BLOCK];
    for turn in 0_u64.. {
        let block = turn % BLOCKS;
        match file.read_exact_at(&mut buffer, block * BLOCK as u64) {
            Ok(()) => assert!(buffer.iter().all(|byte| *byte == block as u8), "block {block}"),
            Err(_) => return,
        }
        let _ = begun.send(());
    }
}

#[test]
fn threads_that_join_one_that_worked_alone_are_served_and_it_goes_on() {
    bounded(|| {
        let Some((volume, file)) = numbered("handoff-alone", &Options::new()) else { return };
        let (begun, beginning) = channel();
        std::thread::scope(|scope| {
            let file = &file;
            scope.spawn(move || read_until_it_fails(file, &begun));
            for _ in 0..3 {
                std::thread::sleep(Duration::from_millis(200));
                let mut buffer = [0; BLOCK];
                for block in 0..BLOCKS {
                    file.read_exact_at(&mut buffer, block * BLOCK as u64).expect("it reads");
                    assert!(buffer.iter().all(|byte| *byte == block as u8), "block {block}");
                }
                // The first thread has read on meanwhile.
                while beginning.try_recv().is_ok() {}
                beginning.recv().expect("it goes on");
            }
            let begin = std::time::Instant::now();
            volume.clone().close();
            assert!(begin.elapsed() < Duration::from_secs(1), "closing took {:?}", begin.elapsed());
        });
    });
}

struct Unpark(std::thread::Thread);

impl std::task::Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// An executor that only waits for wakers: it calls nothing that could drive a volume.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    let waker = std::task::Waker::from(Arc::new(Unpark(std::thread::current())));
    loop {
        let mut context = std::task::Context::from_waker(&waker);
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(output) => return output,
            std::task::Poll::Pending => std::thread::park(),
        }
    }
}

#[test]
fn futures_are_driven_without_a_background_thread_that_was_asked_for() {
    bounded(|| {
        let Some((_volume, file)) = numbered("handoff-async", &Options::new()) else { return };
        block_on(async {
            for block in 0..BLOCKS {
                let (buffer, n) = file.read_async(vec![0; BLOCK], block * BLOCK as u64).await?;
                assert!(n == BLOCK && buffer.iter().all(|byte| *byte == block as u8));
                file.write_async(buffer, block * BLOCK as u64).await?;
            }
            file.flush_async().await
        })
        .expect("each operation succeeds");
    });
}

#[test]
fn callbacks_are_called_without_a_background_thread_that_was_asked_for() {
    bounded(|| {
        let Some((_volume, file)) = numbered("handoff-call", &Options::new()) else { return };
        let (done, wait) = channel();
        for block in 0..BLOCKS {
            let done = done.clone();
            let call = move |result: brickwire_std::Result<usize>, _| done.send(result).unwrap();
            file.read_with(vec![0; BLOCK], block * BLOCK as u64, call).expect("it is taken");
        }
        (0..BLOCKS).for_each(|_| assert_eq!(wait.recv().unwrap().expect("it reads"), BLOCK));
    });
}
