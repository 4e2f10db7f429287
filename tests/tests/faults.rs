//! Clients while bricks and glusterd die, freeze and come back.

use std::time::{Duration, Instant};

use brickwire_std::{ErrorKind, OpenOptions, Options, Volume};
use brickwire_tests::{TestDir, brickwire, cluster, pattern, run, site, uri};

#[test]
fn an_import_survives_the_death_of_its_brick_or_says_that_it_did_not() {
    let Some(mut cluster) = site() else { return };
    let place = TestDir::new(&cluster, "quick", "kill-import");
    let dir = tempfile::tempdir().unwrap();
    let disk = dir.path().join("disk.img").to_str().unwrap().to_owned();
    std::fs::write(&disk, pattern(700 << 20, 1)).unwrap();
    let image = uri(&cluster, &format!("{}/d.img", place.path));
    // Built before the time is measured.
    brickwire_tests::program();
    let import = std::thread::spawn({
        let (disk, image) = (disk.clone(), image.clone());
        move || brickwire(&["import", &disk, &image])
    });
    // The brick is killed when an eighth of the image has arrived, however long that takes.
    let end = Instant::now() + Duration::from_secs(60);
    let begun = || {
        place
            .volume
            .stat(place.at(".d.img.brickwire-part"))
            .is_ok_and(|image| image.allocated() > 88 << 20)
    };
    while !begun() && !import.is_finished() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(2));
    }
    let under_way = !import.is_finished();
    cluster.kill_brick("quick");
    std::thread::sleep(Duration::from_millis(500));
    cluster.start_brick("quick");
    let (status, _, errors) = import.join().unwrap();
    assert!(under_way, "the brick was killed too late to be missed");
    assert_eq!(status, 0, "{errors}");
    run("qemu-img", &["compare", "-f", "raw", "-F", "raw", &disk, &image]);
}

#[test]
fn io_goes_on_while_glusterd_is_dead_and_its_announcements_are_heard_again() {
    let Some(mut cluster) = cluster() else { return };
    let place = TestDir::new(&cluster, "single", "kill-glusterd");
    let file = place.file("f");
    cluster.kill_glusterd().unwrap();
    let begin = Instant::now();
    for n in 0..200_u64 {
        file.write_all_at(&pattern(4096, n), n * 4096).unwrap();
    }
    file.flush().unwrap();
    assert!(begin.elapsed() < Duration::from_secs(5));
    cluster.start_glusterd().unwrap();
    let end = Instant::now() + Duration::from_secs(20);
    while place.volume.status().server_state != brickwire_std::State::Up {
        assert!(Instant::now() < end, "{:?}", place.volume.status());
        let mut block = [0; 4096];
        file.read_exact_at(&mut block, 0).unwrap();
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn reads_in_flight_survive_a_restart_and_a_flush_tells_what_may_be_lost() {
    let Some(mut cluster) = site() else { return };
    let place = TestDir::new(&cluster, "quick", "restart");
    let file = place.file("f");
    file.write_all_at(&pattern(1 << 20, 1), 0).unwrap();
    file.flush().unwrap();
    file.write_all_at(b"not flushed", 0).unwrap();
    cluster.kill_brick("quick");
    let read = std::thread::spawn({
        let volume = place.volume.clone();
        let path = place.at("f");
        move || {
            let file = volume.open_file(&path, &OpenOptions::new().read(true))?;
            let mut block = vec![0; 4096];
            file.read_exact_at(&mut block, 8192).map(|()| block)
        }
    });
    std::thread::sleep(Duration::from_millis(300));
    cluster.start_brick("quick");
    assert!(read.join().unwrap().unwrap() == pattern(1 << 20, 1)[8192..8192 + 4096]);
    let error = file.flush().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WritesLost, "{error}");
    let again =
        place.volume.open_file(place.at("f"), &OpenOptions::new().read(true).write(true)).unwrap();
    again.write_all_at(b"not flushed", 0).unwrap();
    again.flush().unwrap();
}

#[test]
fn every_block_that_was_acknowledged_and_flushed_is_there_after_a_kill() {
    let Some(mut cluster) = site() else { return };
    let place = TestDir::new(&cluster, "quick", "blocks");
    let file = place.file("f");
    let killer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(150));
        cluster.kill_brick("quick");
        std::thread::sleep(Duration::from_millis(300));
        cluster.start_brick("quick");
        cluster
    });
    let (mut flushed, mut acknowledged) = (0, Vec::new());
    let mut handle = file;
    for n in 0..3000_u64 {
        handle.write_all_at(&pattern(4096, n), n * 4096).unwrap();
        acknowledged.push(n);
        if n % 50 == 49 {
            match handle.flush() {
                Ok(()) => flushed = n + 1,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WritesLost, "{error}");
                    let options = OpenOptions::new().read(true).write(true);
                    handle = place.volume.open_file(place.at("f"), &options).unwrap();
                    for n in flushed..=n {
                        handle.write_all_at(&pattern(4096, n), n * 4096).unwrap();
                    }
                    handle.flush().unwrap();
                    flushed = n + 1;
                }
            }
        }
    }
    let _cluster = killer.join().unwrap();
    let mut block = vec![0; 4096];
    for n in 0..flushed {
        handle.read_exact_at(&mut block, n * 4096).unwrap();
        assert!(block == pattern(4096, n), "block {n}");
    }
}

#[test]
fn a_frozen_brick_is_given_up_and_nobody_waits_for_ever() {
    let Some(mut cluster) = site() else { return };
    let place = TestDir::new(&cluster, "quick", "frozen");
    let options = Options::new().timeout(Duration::from_secs(6));
    let volume = Volume::open_with(&uri(&cluster, "quick"), &options).unwrap();
    let create = OpenOptions::new().read(true).write(true).create(true);
    let file = volume.open_file(place.at("f"), &create).unwrap();
    cluster.freeze_brick("quick");
    let begin = Instant::now();
    let result = file.write_at(b"data", 0);
    let took = begin.elapsed();
    cluster.thaw_brick("quick");
    let error = result.unwrap_err();
    assert!(took < Duration::from_secs(8), "{took:?}");
    let kinds = [ErrorKind::Indeterminate, ErrorKind::NotConnected, ErrorKind::TimedOut];
    assert!(kinds.contains(&error.kind()), "{error}");
}

#[test]
fn changes_of_the_volume_while_it_is_used_are_not_noticed_by_anybody() {
    let Some(cluster) = cluster() else { return };
    let place = TestDir::new(&cluster, "single", "changes");
    let file = place.file("f");
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let slowest = scope.spawn(|| {
            let (mut slowest, mut n) = (Duration::ZERO, 0);
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let begin = Instant::now();
                file.write_all_at(&pattern(4096, n), n % 64 * 4096).unwrap();
                slowest = slowest.max(begin.elapsed());
                n += 1;
            }
            slowest
        });
        for round in 0..4 {
            let value = if round % 2 == 0 { "on" } else { "off" };
            cluster.gluster(&["volume", "set", "single", "performance.io-cache", value]).unwrap();
            cluster.gluster(&["volume", "set", "single", "network.ping-timeout", "30"]).unwrap();
        }
        cluster.gluster(&["volume", "reset", "single", "network.ping-timeout"]).unwrap();
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let slowest = slowest.join().unwrap();
        assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    });
    assert_eq!(place.volume.status().graph_error, None);
}

#[test]
fn a_volume_that_turns_into_one_we_cannot_serve_opens_nothing_more_and_keeps_what_is_open() {
    let Some(cluster) = cluster() else { return };
    let place = TestDir::new(&cluster, "dist1", "shard-on");
    let file = place.file("f");
    cluster.gluster(&["volume", "set", "dist1", "features.shard", "on"]).unwrap();
    let end = Instant::now() + Duration::from_secs(10);
    let refused = loop {
        file.write_all_at(b"still here", 0).unwrap();
        match place.volume.open_file(place.at("f"), &OpenOptions::new().read(true)) {
            Err(error) => break error,
            Ok(_) => assert!(Instant::now() < end, "the change was not noticed"),
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    cluster.gluster(&["volume", "reset", "dist1", "features.shard"]).unwrap();
    assert_eq!(refused.kind(), ErrorKind::Unsupported, "{refused}");
    assert!(refused.to_string().contains("features/shard"), "{refused}");
    file.flush().unwrap();
    let end = Instant::now() + Duration::from_secs(10);
    while place.volume.open_file(place.at("f"), &OpenOptions::new().read(true)).is_err() {
        assert!(Instant::now() < end, "the volume can be served again");
        std::thread::sleep(Duration::from_millis(20));
    }
}
