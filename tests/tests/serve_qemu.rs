//! QEMU's programs on `brickwire serve`. Each takes ten seconds to close a volume, whatever the
//! server does, so independent parts run in parallel.

use std::fs::File;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::process::Command;
use std::thread::Scope;

use brickwire_tests::serve::{Served, wanted};
use brickwire_tests::{brick, pattern, run};

fn out(program: &str, args: &[&str]) -> String {
    String::from_utf8_lossy(&run(program, args).stdout).into_owned()
}

/// Runs qemu-io, which exits with 0 after most errors: its output is checked.
fn io(format: &str, image: &str, commands: &[&str]) {
    let mut args = vec!["-f", format];
    for command in commands {
        args.extend(["-c", command]);
    }
    args.push(image);
    let output = run("qemu-io", &args);
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let bad = ["Pattern verification failed", "failed:", "error"];
    let lines = said.lines().filter(|line| !line.starts_with('['));
    let wrong: Vec<_> = lines.filter(|line| bad.iter().any(|bad| line.contains(bad))).collect();
    assert!(wrong.is_empty(), "{image}: {wrong:?}");
}

fn identical(left: (&str, &str), right: (&str, &str)) {
    let said = out("qemu-img", &["compare", "-f", left.0, "-F", right.0, left.1, right.1]);
    assert!(said.contains("identical"), "{left:?} and {right:?}: {said}");
}

fn info(format: &str, image: &str) -> String {
    out("qemu-img", &["info", "-f", format, "--output=json", image])
}

/// Runs independent parts in parallel.
fn together(all: &[&(dyn Fn() + Sync)]) {
    std::thread::scope(|scope| all.iter().for_each(|one| drop(scope.spawn(one))));
}

fn raw_images(served: &Served) {
    let image = served.uri("v/raw.img");
    run("qemu-img", &["create", "-q", "-f", "raw", &image, "64M"]);
    io(
        "raw",
        &image,
        &[
            "write -P 7 1M 3M",
            "discard 2M 512k",
            "write -z 3M 64k",
            "write -z -u 3584k 64k",
            "flush",
            "read -P 7 1M 1M",
            "read -P 0 2M 512k",
            "read -P 7 2560k 512k",
            "read -P 0 3M 64k",
            "read -P 0 3584k 64k",
            "aio_write -P 1 16M 1M",
            "aio_write -P 2 17M 1M",
            "aio_write -P 3 18M 1M",
            "aio_write -P 4 19M 1M",
            "aio_flush",
            "read -P 1 16M 1M",
            "read -P 4 19M 1M",
            "write -P 9 511 1",
            "read -P 9 511 1",
            "read -P 0 0 511",
            "write -f -P 5 63M 1M",
            "read -P 5 63M 1M",
            "truncate 80M",
            "read -P 0 64M 16M",
            "truncate 64M",
        ],
    );
    run("qemu-img", &["resize", "-q", "-f", "raw", &image, "+16M"]);
    together(&[&|| assert!(info("raw", &image).contains("\"virtual-size\": 83886080")), &|| {
        let map = out("qemu-img", &["map", "-f", "raw", "--output=json", &image]);
        let begins = |at: u64| map.lines().any(|line| line.contains(&format!("\"start\": {at}, ")));
        // Data and holes as written.
        assert!(
            begins(1 << 20) && begins(2 << 20) && begins(16 << 20) && begins(20 << 20),
            "{map}"
        );
    }]);
}

fn qcow2_images(served: &Served) {
    let image = served.uri("v/image.qcow2");
    run("qemu-img", &["create", "-q", "-f", "qcow2", &image, "64M"]);
    io(
        "qcow2",
        &image,
        &[
            "write -P 7 0 8M",
            "discard 1M 1M",
            "write -z 4M 1M",
            "write -P 8 60M 64k",
            "flush",
            "read -P 7 0 1M",
            "read -P 0 1M 1M",
            "read -P 0 4M 1M",
            "read -P 8 60M 64k",
        ],
    );
    run("qemu-img", &["snapshot", "-c", "first", &image]);
    io("qcow2", &image, &["write -P 1 0 64k", "read -P 1 0 64k", "read -P 7 64k 64k"]);
    run("qemu-img", &["resize", "-q", "-f", "qcow2", &image, "128M"]);
    together(&[
        &|| {
            let said = out("qemu-img", &["check", "-f", "qcow2", &image]);
            assert!(said.contains("No errors were found"), "{said}");
        },
        &|| {
            let said = info("qcow2", &image);
            let resized = said.contains("\"virtual-size\": 134217728");
            assert!(resized && said.contains("\"name\": \"first\""), "{said}");
        },
    ]);
}

/// An image with data, holes and an odd last cluster.
fn local_image(path: &Path) {
    let file = File::create(path).unwrap();
    file.set_len((40 << 20) + 512).unwrap();
    file.write_all_at(&pattern(5 << 20, 1), 0).unwrap();
    file.write_all_at(&pattern(3 << 20, 2), 17 << 20).unwrap();
    file.write_all_at(&pattern(512, 3), 40 << 20).unwrap();
}

fn conversions(served: &Served, dir: &Path) {
    let path = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    let (local, back) = (path("local.img"), path("back.img"));
    let (raw, qcow2) = (served.uri("v/conv.img"), served.uri("v/conv.qcow2"));
    let convert = |from: (&str, &str), to: (&str, &str)| {
        run("qemu-img", &["convert", "-f", from.0, "-O", to.0, from.1, to.1]);
    };
    convert(("raw", &local), ("qcow2", &qcow2));
    convert(("qcow2", &qcow2), ("raw", &raw));
    together(&[
        &|| {
            convert(("raw", &raw), ("raw", &back));
            assert!(std::fs::read(&local).unwrap() == std::fs::read(&back).unwrap());
        },
        &|| identical(("raw", &raw), ("qcow2", &qcow2)),
        &|| identical(("raw", &local), ("raw", &raw)),
    ]);
}

fn preallocations(served: &Served) {
    let preallocated = |mode| {
        let image = served.uri(&format!("v/{mode}.img"));
        let option = format!("preallocation={mode}");
        run("qemu-img", &["create", "-q", "-f", "raw", "-o", &option, &image, "8M"]);
        let meta = std::fs::metadata(served.brick().join(format!("{mode}.img"))).unwrap();
        assert!(
            meta.blocks() * 512 >= 8 << 20 && meta.len() == 8 << 20,
            "{mode}: {}",
            meta.blocks() * 512
        );
    };
    together(&[&|| preallocated("falloc"), &|| preallocated("full")]);
    // Creating the same name again replaces the image.
    let image = served.uri("v/full.img");
    run("qemu-img", &["create", "-q", "-f", "raw", &image, "4M"]);
    assert_eq!(std::fs::metadata(served.brick().join("full.img")).unwrap().len(), 4 << 20);
    let said =
        out("qemu-img", &["bench", "-f", "raw", "-w", "-c", "200", "-d", "32", "-s", "4k", &image]);
    assert!(said.contains("Run completed"), "{said}");
}

fn by_other_ways(image: &str) {
    run("qemu-img", &["create", "-q", "-f", "raw", image, "16M"]);
    io("raw", image, &["write -P 3 1M 1M", "flush", "read -P 3 1M 1M", "read -P 0 2M 14M"]);
}

fn refusals(served: &Served) {
    let address = served.address();
    for (image, says) in [("v/absent.img", "No such file"), ("nosuch/a.img", "failed to connect")] {
        let image = format!("gluster://{address}/{image}");
        let output = Command::new("qemu-img").args(["info", "-f", "raw", &image]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(says), "{image}: {said}");
    }
}

#[test]
fn qemu_makes_converts_checks_and_uses_images_over_every_way_that_it_knows() {
    if !wanted() {
        return;
    }
    let served = Served::one();
    let by_ipv6 = Served::at("[::1]:0", |dir| {
        vec!["--volume".into(), format!("v={}", dir.join("brick").display())]
    });
    let dir = tempfile::tempdir().unwrap();
    local_image(&dir.path().join("local.img"));
    std::thread::scope(|scope: &Scope<'_, '_>| {
        scope.spawn(|| raw_images(&served));
        scope.spawn(|| qcow2_images(&served));
        scope.spawn(|| conversions(&served, dir.path()));
        scope.spawn(|| preallocations(&served));
        scope.spawn(|| refusals(&served));
        scope.spawn(|| {
            let socket = served.socket();
            by_other_ways(&format!("gluster+unix:///v/unix.img?socket={}", socket.display()));
        });
        scope.spawn(|| {
            // libgfapi fetches volfiles over IPv4 or a unix socket only; it dials bricks at the
            // volfile's address.
            let socket = by_ipv6.socket();
            by_other_ways(&format!("gluster+unix:///v/six.img?socket={}", socket.display()));
        });
        scope.spawn(|| by_other_ways(&format!("gluster+tcp://{}/v/tcp.img", served.address())));
    });
    assert_eq!(brick::faults(&served.brick()), Vec::<String>::new());
    assert_eq!(brick::faults(&by_ipv6.brick()), Vec::<String>::new());
}
