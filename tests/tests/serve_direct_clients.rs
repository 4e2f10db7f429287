//! QEMU with `cache=none` and fio with `direct=1` on `brickwire serve`: nothing of their images is
//! in the server's page cache, and every block reads back as written.

use std::path::{Path, PathBuf};

use brickwire_tests::pages::pages;
use brickwire_tests::serve::{Served, wanted};

const FIO: &str = "[global]
ioengine=gfapi_async
direct=1
rw=randwrite
iodepth=16
size=16m
verify=crc32c
verify_fatal=1
randrepeat=0
volume=v
brick=127.0.0.1
[small]
bs=4k
fsync=64
[large]
stonewall
bsrange=4k-256k
";

/// A server of a volume with the usual options for images.
fn served(more: &[&str]) -> Served {
    Served::isolated_with(|dir| {
        let mut args = vec!["--volume".into(), format!("v={}", dir.join("brick").display())];
        for option in
            ["performance.strict-o-direct=on", "network.remote-dio=off"].iter().chain(more)
        {
            args.extend(["--option".into(), (*option).into()]);
        }
        args
    })
}

fn succeeds(served: &Served, program: &str, args: &[&str]) -> String {
    let output = served.command(program).current_dir(served.dir()).args(args).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "{program} {args:?}: {said}");
    said
}

/// Files below a directory that have data.
fn with_data(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().flatten();
    let files =
        entries.filter(|entry| entry.metadata().is_ok_and(|meta| meta.is_file() && meta.len() > 0));
    files.map(|entry| entry.path()).collect()
}

fn not_in_memory(files: &[PathBuf]) {
    for path in files {
        let pages = pages(path);
        assert!(pages.is_none_or(|pages| pages.cached == 0), "{}: {pages:?}", path.display());
    }
}

#[test]
fn what_fio_does_directly_leaves_nothing_in_memory() {
    if !wanted() {
        return;
    }
    let served = served(&[]);
    std::fs::write(served.dir().join("direct.fio"), FIO).unwrap();
    let said = succeeds(&served, "fio", &["direct.fio"]);
    assert!(said.matches("err= 0").count() == 2 && !said.contains("verify:"), "{said}");
    let files = with_data(&served.brick());
    assert_eq!(files.len(), 2, "{files:?}");
    not_in_memory(&files);
}

fn qemus_image(more: &[&str], count: usize) {
    let served = served(more);
    let image = "gluster://127.0.0.1/v/image";
    succeeds(&served, "qemu-img", &["create", "-q", "-f", "raw", image, "64M"]);
    let mut args = vec!["-t", "none", "-f", "raw"];
    let commands = [
        "write -P 1 0 1M",
        "write -P 2 3M 2M",
        "write -P 3 8190k 4k",
        "aio_write -P 4 20M 1M",
        "aio_write -P 5 24M 512",
        "aio_flush",
        // QEMU rounds an unaligned request to whole blocks.
        "write -P 6 33 100",
        "flush",
        "read -P 1 4k 1020k",
        "read -P 6 33 100",
        "read -P 2 3M 2M",
        "read -P 3 8190k 4k",
        "read -P 4 20M 1M",
        "read -P 5 24M 512",
        "read -P 0 30M 1M",
    ];
    commands.iter().for_each(|command| args.extend(["-c", command]));
    args.push(image);
    let said = succeeds(&served, "qemu-io", &args);
    assert!(!said.contains("Pattern verification failed") && !said.contains("failed:"), "{said}");
    let mut files = with_data(&served.brick());
    if served.brick().join(".shard").exists() {
        files.extend(with_data(&served.brick().join(".shard")));
    }
    assert_eq!(files.len(), count, "{files:?}");
    not_in_memory(&files);
}

#[test]
fn qemus_images_without_a_cache_have_none_whole_or_in_shards() {
    if !wanted() {
        return;
    }
    std::thread::scope(|scope| {
        scope.spawn(|| qemus_image(&[], 1));
        scope.spawn(|| qemus_image(&["features.shard=on", "features.shard-block-size=4MB"], 5));
    });
}
