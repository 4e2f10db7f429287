//! Disk images written by `brickwire` and checked with qemu-img, and the reverse.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};

use brickwire_tests::{TestDir, brickwire, pattern, run, site, uri};

fn ok(args: &[&str]) {
    let (status, _, errors) = brickwire(args);
    assert_eq!((status, errors.as_str()), (0, ""), "{args:?}");
}

fn identical(local: &str, uri: &str) {
    let output = run("qemu-img", &["compare", "-f", "raw", "-F", "raw", local, uri]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("identical"), "{output:?}");
}

#[test]
fn an_imported_image_is_identical_for_qemu_and_comes_back_identical() {
    let Some(cluster) = site() else { return };
    let place = TestDir::new(&cluster, "single", "import");
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("disk.img"), pattern(5 << 20, 1)).unwrap();
    let image = uri(&cluster, &format!("{}/new/dir/a.img", place.path));
    ok(&["import", &path("disk.img"), &image, "--verify"]);
    identical(&path("disk.img"), &image);
    ok(&["export", &image, &path("back.img"), "--verify"]);
    assert!(fs::read(path("disk.img")).unwrap() == fs::read(path("back.img")).unwrap());
    // A smaller image replaces it: nothing of the old one remains.
    fs::write(path("small.img"), pattern(512, 2)).unwrap();
    ok(&["import", "--force", &path("small.img"), &image]);
    identical(&path("small.img"), &image);
    let (status, out, _) = brickwire(&["cat", &image]);
    assert_eq!((status, out.len() > 100), (0, true));
}

#[test]
fn a_sparse_image_of_one_gibibyte_stays_sparse_both_ways() {
    let Some(cluster) = site() else { return };
    let place = TestDir::new(&cluster, "single", "sparse");
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let local = File::create(path("sparse.img")).unwrap();
    local.set_len(1 << 30).unwrap();
    for (n, at) in [0, 300 << 20, (1 << 30) - 4096].into_iter().enumerate() {
        local.write_all_at(&pattern(4096, n as u64), at).unwrap();
    }
    let image = uri(&cluster, &format!("{}/s.img", place.path));
    ok(&["import", &path("sparse.img"), &image]);
    identical(&path("sparse.img"), &image);
    let on_brick = fs::metadata(place.on_brick.join("s.img")).unwrap();
    assert!(on_brick.blocks() * 512 < 4 << 20, "{} bytes on the brick", on_brick.blocks() * 512);
    ok(&["export", &image, &path("back.img")]);
    let back = fs::metadata(path("back.img")).unwrap();
    assert_eq!(back.len(), 1 << 30);
    assert!(back.blocks() * 512 < 4 << 20, "{} bytes locally", back.blocks() * 512);
    run("cmp", &[&path("sparse.img"), &path("back.img")]);
}

#[test]
fn what_qemu_writes_is_what_we_export() {
    let Some(cluster) = site() else { return };
    let place = TestDir::new(&cluster, "single", "qemu");
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("q.img").to_str().unwrap().to_owned();
    let image = uri(&cluster, &format!("{}/q.img", place.path));
    run("qemu-img", &["create", "-q", "-f", "raw", &image, "16M"]);
    let writes = [
        "-f",
        "raw",
        "-c",
        "write -P 7 1M 3M",
        "-c",
        "write -P 9 9M 64k",
        "-c",
        "discard 2M 512k",
        &image,
    ];
    run("qemu-io", &writes);
    ok(&["export", &image, &out]);
    identical(&out, &image);
    let local = File::open(&out).unwrap();
    let mut byte = [0];
    for (at, want) in [(0, 0), (1 << 20, 7), (9 << 20, 9), ((9 << 20) + (64 << 10), 0)] {
        local.read_exact_at(&mut byte, at).unwrap();
        assert_eq!(byte[0], want, "at {at}");
    }
}

#[test]
fn images_are_created_with_and_without_space() {
    let Some(cluster) = site() else { return };
    let place = TestDir::new(&cluster, "single", "create");
    for (prealloc, least) in [("off", 0), ("falloc", 8 << 20), ("full", 8 << 20)] {
        let image = uri(&cluster, &format!("{}/{prealloc}.img", place.path));
        ok(&["create", &image, "8M", "--prealloc", prealloc]);
        let metadata = fs::metadata(place.on_brick.join(format!("{prealloc}.img"))).unwrap();
        assert_eq!(metadata.len(), 8 << 20, "{prealloc}");
        assert!(metadata.blocks() * 512 >= least, "{prealloc}: {}", metadata.blocks() * 512);
    }
}

#[test]
fn a_benchmark_that_verifies_finds_what_it_wrote() {
    let Some(cluster) = site() else { return };
    let place = TestDir::new(&cluster, "single", "bench");
    let image = uri(&cluster, &format!("{}/b", place.path));
    for depth in ["1", "16"] {
        let args = [
            "bench",
            &image,
            "--rw",
            "randrw",
            "--size",
            "4M",
            "--runtime",
            "1",
            "--iodepth",
            depth,
            "--verify",
            "--fsync",
            "100",
            "--json",
        ];
        let (status, out, errors) = brickwire(&args);
        assert_eq!((status, errors.as_str()), (0, ""));
        for key in [
            "iops",
            "mb_per_s",
            "latency_us",
            "p50",
            "p99",
            "max",
            "fsync_us",
            "cpu_s_per_10k",
            "rss_mib",
        ] {
            assert!(out.contains(&format!("\"{key}\"")), "{key} in {out}");
        }
    }
    assert!(!place.volume.exists(place.at("b")).unwrap(), "it is removed again");
}
