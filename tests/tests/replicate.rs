//! Files of a replica on three real bricks while bricks die, freeze and come back.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use brickwire_std::SetAttributes;
use brickwire_tests::brick::{xattr, xattr_names};
use brickwire_tests::{TestDir, brickwire, cluster, copies, pattern, run, uri};
use xtask::cluster::Cluster;

const VOLUME: &str = "rep3";
const DIRTY: &str = "trusted.afr.dirty";
const BLOCK: usize = 64 << 10;
/// Longest time that self-heal may need for the few files of a test.
const HEAL: Duration = Duration::from_secs(40);

fn ok(args: &[&str]) {
    let (status, _, errors) = brickwire(args);
    assert_eq!((status, errors.as_str()), (0, ""), "{args:?}");
}

fn bricks(cluster: &Cluster) -> Vec<PathBuf> {
    cluster.volume(VOLUME).unwrap().bricks.iter().map(|brick| brick.dir.clone()).collect()
}

/// The bricks that the copy of a file on one brick accuses.
fn accused(copy: &Path) -> BTreeSet<usize> {
    let names = xattr_names(copy);
    let counters = names.iter().filter_map(|name| {
        let name = std::str::from_utf8(name).ok()?;
        let child = name.strip_prefix("trusted.afr.rep3-client-")?.parse().ok()?;
        xattr(copy, name)?.iter().any(|byte| *byte != 0).then_some(child)
    });
    counters.collect()
}

fn is_dirty(copy: &Path) -> bool {
    xattr(copy, DIRTY).is_some_and(|value| value.iter().any(|byte| *byte != 0))
}

/// Asks for a heal and waits until the bricks are equal and accuse nobody.
fn heal(cluster: &Cluster) {
    let end = Instant::now() + HEAL;
    // The daemon refuses until it is connected to the brick that came back.
    while let Err(error) = cluster.gluster(&["volume", "heal", VOLUME]) {
        assert!(Instant::now() < end, "{error:#}");
        std::thread::sleep(Duration::from_millis(300));
    }
    copies::wait_for(&bricks(cluster), false, HEAL);
}

/// Starts the dead brick and heals it.
fn bring_back(cluster: &mut Cluster) {
    cluster.start_brick(VOLUME).unwrap();
    heal(cluster);
}

#[test]
fn an_image_goes_in_and_out_and_leaves_no_counter_behind() {
    let Some(cluster) = cluster() else { return };
    let place = TestDir::new(&cluster, VOLUME, "image");
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("disk.img"), pattern(9 << 20, 1)).unwrap();
    let image = uri(&cluster, &format!("{}/a.img", place.path));
    ok(&["import", &path("disk.img"), &image, "--verify"]);
    run("qemu-img", &["compare", "-f", "raw", "-F", "raw", &path("disk.img"), &image]);
    ok(&["export", &image, &path("back.img"), "--verify"]);
    assert!(std::fs::read(path("back.img")).unwrap() == pattern(9 << 20, 1));
    run("qemu-img", &["convert", "-n", "-f", "raw", "-O", "raw", &path("disk.img"), &image]);
    ok(&["export", "--force", &image, &path("back.img"), "--verify"]);
    assert!(std::fs::read(path("back.img")).unwrap() == pattern(9 << 20, 1));
    let file = place.file("f");
    file.write_all_at(&pattern(BLOCK, 2), 0).unwrap();
    // The program calls nothing, and its lock is released all the same.
    std::thread::sleep(Duration::from_millis(2500));
    for brick in bricks(&cluster) {
        assert!(!is_dirty(&brick.join(place.at("f"))), "{}", brick.display());
    }
    file.close().unwrap();
    for brick in bricks(&cluster) {
        let copy = brick.join(place.at("f"));
        assert!(std::fs::read(copy).unwrap() == pattern(BLOCK, 2), "{}", brick.display());
    }
    // Less than a look by the self-heal daemon takes: nothing is left for it.
    copies::wait_for(&bricks(&cluster), false, Duration::from_secs(3));
}

#[test]
fn a_brick_that_dies_under_a_writer_is_the_only_one_accused_and_is_healed() {
    let Some(mut cluster) = cluster() else { return };
    let place = TestDir::new(&cluster, VOLUME, "killed");
    let file = place.file("f");
    let at = |n: u64| n % 64 * BLOCK as u64;
    let mut block = vec![0; BLOCK];
    for n in 0..300 {
        if n == 100 {
            cluster.kill_brick_at(VOLUME, 1).unwrap();
        }
        file.write_all_at(&pattern(BLOCK, n), at(n)).unwrap();
        file.read_exact_at(&mut block, at(n)).unwrap();
        assert!(block == pattern(BLOCK, n), "block {n}");
    }
    file.flush().unwrap();
    file.close().unwrap();
    let copies: Vec<_> = bricks(&cluster).iter().map(|brick| brick.join(place.at("f"))).collect();
    for at in [0, 2] {
        assert_eq!(accused(&copies[at]), BTreeSet::from([1]), "brick {at}");
        assert!(!is_dirty(&copies[at]), "brick {at}");
    }
    assert_eq!(accused(&copies[1]), BTreeSet::new());
    bring_back(&mut cluster);
    let last: Vec<u8> = (0..64_u64)
        .flat_map(|slot| pattern(BLOCK, (0..300).rev().find(|n| n % 64 == slot).unwrap()))
        .collect();
    for (at, copy) in copies.iter().enumerate() {
        assert!(std::fs::read(copy).unwrap() == last, "brick {at}");
    }
}

#[test]
fn a_frozen_brick_holds_up_no_writer_and_is_healed() {
    let Some(mut cluster) = cluster() else { return };
    let place = TestDir::new(&cluster, VOLUME, "frozen");
    let file = place.file("f");
    let (begin, mut longest, mut n) = (Instant::now(), Duration::ZERO, 0);
    let mut frozen = false;
    while begin.elapsed() < Duration::from_secs(7) {
        if !frozen && begin.elapsed() > Duration::from_secs(1) {
            cluster.freeze_brick_at(VOLUME, 0).unwrap();
            frozen = true;
        }
        let write = Instant::now();
        let result = file.write_all_at(&pattern(BLOCK, n), n % 64 * BLOCK as u64);
        longest = longest.max(write.elapsed());
        if result.is_err() {
            cluster.thaw_brick(VOLUME).unwrap();
        }
        result.unwrap();
        n += 1;
    }
    let flushed = file.flush();
    cluster.thaw_brick(VOLUME).unwrap();
    flushed.unwrap();
    // A brick is given up after 2 s of silence.
    assert!(longest < Duration::from_secs(4), "{longest:?}");
    assert!(longest > Duration::from_secs(1), "{longest:?}: the brick was not frozen");
    file.close().unwrap();
    heal(&cluster);
    let first = bricks(&cluster)[0].join(place.at("f"));
    let slot = usize::try_from((n - 1) % 64).unwrap() * BLOCK;
    assert!(std::fs::read(first).unwrap()[slot..slot + BLOCK] == pattern(BLOCK, n - 1));
}

/// Changes of every kind to the names of a directory.
fn change_names(place: &TestDir) {
    let volume = &place.volume;
    volume.create_dir(place.at("new"), 0o755).unwrap();
    place.file("new/created").write_all_at(b"created", 0).unwrap();
    volume.rename(place.at("renamed"), place.at("moved")).unwrap();
    volume.remove_file(place.at("removed")).unwrap();
    volume.remove_dir(place.at("old")).unwrap();
    volume.link(place.at("linked"), place.at("other")).unwrap();
    volume.symlink("moved", place.at("again")).unwrap();
    let set = SetAttributes { mode: Some(0o640), ..SetAttributes::default() };
    volume.set_attributes(place.at("changed"), set).unwrap();
    volume.set_xattr(place.at("changed"), "user.note", b"kept").unwrap();
}

#[test]
fn names_that_a_brick_missed_are_the_same_on_all_after_a_heal() {
    let Some(mut cluster) = cluster() else { return };
    let place = TestDir::new(&cluster, VOLUME, "names");
    for name in ["renamed", "removed", "linked", "changed"] {
        place.file(name).write_all_at(name.as_bytes(), 0).unwrap();
    }
    place.volume.create_dir(place.at("old"), 0o755).unwrap();
    cluster.kill_brick_at(VOLUME, 2).unwrap();
    change_names(&place);
    bring_back(&mut cluster);
    for (at, brick) in bricks(&cluster).iter().enumerate() {
        let dir = brick.join(&place.dir);
        let mut found: Vec<_> = std::fs::read_dir(&dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        found.sort();
        assert_eq!(found, ["again", "changed", "linked", "moved", "new", "other"], "brick {at}");
        assert_eq!(std::fs::read(dir.join("new/created")).unwrap(), b"created", "brick {at}");
        assert_eq!(std::fs::read(dir.join("moved")).unwrap(), b"renamed", "brick {at}");
        assert_eq!(xattr(&dir.join("changed"), "user.note").unwrap(), b"kept", "brick {at}");
    }
}
