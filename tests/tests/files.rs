//! Reading and writing files through every form of the client's API.

use brickwire_std::{OpenOptions, Options, Volume};
use brickwire_tests::{TestDir, pattern, site, uri};

#[test]
fn what_is_written_at_odd_offsets_is_read_back_and_is_on_the_brick() {
    let Some(cluster) = site() else { return };
    let place = TestDir::new(&cluster, "single", "odd");
    let file = place.file("f");
    let mut image = vec![0; 3 << 20];
    for (n, (offset, len)) in
        [(0, 1), (4095, 2), (511, 4097), (1 << 20, 1 << 20), (2_999_999, 7)].into_iter().enumerate()
    {
        let data = pattern(len, n as u64);
        file.write_all_at(&data, offset as u64).unwrap();
        image[offset..offset + len].copy_from_slice(&data);
    }
    let size = file.metadata().unwrap().size() as usize;
    assert_eq!(size, 3_000_006);
    image.truncate(size);
    let mut back = vec![1; size];
    file.read_exact_at(&mut back, 0).unwrap();
    assert!(back == image);
    file.flush().unwrap();
    assert!(std::fs::read(place.on_brick.join("f")).unwrap() == image);
    let mut tail = [9; 100];
    assert_eq!(file.read_at(&mut tail, size as u64 - 10).unwrap(), 10);
    assert_eq!(file.read_at(&mut tail, size as u64).unwrap(), 0);
    assert_eq!(file.read_at(&mut tail, size as u64 + 1000).unwrap(), 0);
    file.close().unwrap();
}

#[test]
fn holes_zeroes_and_sizes_are_what_they_are_on_a_local_file() {
    let Some(cluster) = site() else { return };
    let place = TestDir::new(&cluster, "single", "holes");
    let file = place.file("f");
    file.write_all_at(&pattern(1 << 20, 3), 0).unwrap();
    file.discard(64 << 10, 64 << 10).unwrap();
    file.write_zeroes(256 << 10, 4096).unwrap();
    let mut back = vec![1; 64 << 10];
    file.read_exact_at(&mut back, 64 << 10).unwrap();
    assert!(back.iter().all(|byte| *byte == 0));
    file.read_exact_at(&mut back[..4096], 256 << 10).unwrap();
    assert!(back[..4096].iter().all(|byte| *byte == 0));
    assert_eq!(file.seek_hole(0).unwrap(), Some(64 << 10));
    assert_eq!(file.seek_data(64 << 10).unwrap(), Some(128 << 10));
    file.set_len(8 << 20).unwrap();
    assert_eq!(file.metadata().unwrap().size(), 8 << 20);
    assert_eq!(file.seek_data(4 << 20).unwrap(), None);
    file.allocate(4 << 20, 1 << 20, true).unwrap();
    assert!(file.metadata().unwrap().allocated() >= 1 << 20);
    file.set_len(100).unwrap();
    assert_eq!(file.read_at(&mut back, 0).unwrap(), 100);
    file.flush_data().unwrap();
}

#[test]
fn many_operations_in_flight_each_come_back_with_their_own_bytes() {
    let Some(cluster) = site() else { return };
    for connections in [1, 2] {
        let place = TestDir::new(&cluster, "single", "queue");
        let options = Options::new().connections_per_brick(connections);
        let volume = Volume::open_with(&uri(&cluster, "single"), &options).unwrap();
        let create = OpenOptions::new().read(true).write(true).create(true);
        let file = volume.open_file(place.at("f"), &create).unwrap();
        let mut queue = file.queue(32);
        for n in 0..500_u64 {
            if queue.room() == 0 {
                assert_eq!(queue.wait().unwrap().unwrap().result.unwrap(), 4096);
            }
            queue.write(n, pattern(4096, n), n * 4096).unwrap();
        }
        queue.wait().unwrap().unwrap().result.unwrap();
        queue.flush(u64::MAX).unwrap();
        while let Some(done) = queue.wait().unwrap() {
            done.result.unwrap();
        }
        for round in 0..3 {
            let mut next = 0;
            loop {
                while queue.room() > 0 && next < 500 {
                    queue.read(next, vec![0; 4096], next * 4096).unwrap();
                    next += 1;
                }
                let Some(done) = queue.wait().unwrap() else { break };
                assert_eq!(done.result.unwrap(), 4096);
                assert!(
                    done.buffer == pattern(4096, done.token),
                    "block {} in round {round}",
                    done.token
                );
            }
        }
    }
}

#[test]
fn futures_and_callbacks_need_nobody_who_waits_when_a_thread_drives() {
    let Some(cluster) = site() else { return };
    let place = TestDir::new(&cluster, "single", "async");
    let volume =
        Volume::open_with(&uri(&cluster, "single"), &Options::new().background(true)).unwrap();
    let create = OpenOptions::new().read(true).write(true).create(true);
    let file = volume.open_file(place.at("f"), &create).unwrap();
    let writes: Vec<_> = (0..50).map(|n| file.write_async(pattern(512, n), n * 512)).collect();
    for write in writes {
        assert_eq!(write.wait().unwrap().1, 512);
    }
    file.flush_async().wait().unwrap();
    let (send, receive) = std::sync::mpsc::channel();
    for n in 0..50_u64 {
        let send = send.clone();
        file.read_with(vec![0; 512], n * 512, move |result, buffer| {
            send.send((n, result.unwrap(), buffer)).unwrap();
        })
        .unwrap();
    }
    for _ in 0..50 {
        let (n, got, buffer) = receive.recv_timeout(std::time::Duration::from_secs(10)).unwrap();
        assert_eq!(got, 512);
        assert!(buffer == pattern(512, n));
    }
}

#[test]
fn threads_share_a_volume_and_each_gets_its_own_answers() {
    let Some(cluster) = site() else { return };
    let place = TestDir::new(&cluster, "single", "threads");
    let file = place.file("f");
    std::thread::scope(|scope| {
        for thread in 0..6_u64 {
            let file = &file;
            scope.spawn(move || {
                for n in 0..200 {
                    let at = (n * 6 + thread) * 1000;
                    file.write_all_at(&pattern(1000, at), at).unwrap();
                    let mut back = vec![0; 1000];
                    file.read_exact_at(&mut back, at).unwrap();
                    assert!(back == pattern(1000, at));
                }
            });
        }
    });
}
