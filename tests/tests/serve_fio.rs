//! fio's gfapi engines on `brickwire serve`: every block reads back as written.

use std::path::Path;

use brickwire_tests::brick;
use brickwire_tests::serve::{Served, wanted};

const ALL: &str = "[global]
verify=crc32c
verify_fatal=1
verify_backlog=1024
randrepeat=0
group_reporting
";

fn fio(served: &Served, dir: &Path, name: &str, lines: &[&str]) {
    // The engine comes first, because the next two are its options.
    let text = format!("{ALL}[{name}]\n{}\nvolume=v\nbrick=127.0.0.1\n", lines.join("\n"));
    let path = dir.join(format!("{name}.fio"));
    std::fs::write(&path, text).unwrap();
    let output = served.command("fio").current_dir(dir).arg(&path).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("err= 0"), "{name}: {said}\n{errors}");
    assert!(!errors.contains("verify:"), "{name}: {errors}");
}

#[test]
fn what_fio_writes_through_the_library_is_what_it_reads() {
    if !wanted() {
        return;
    }
    // fio dials no port but glusterd's.
    let served = Served::isolated();
    let dir = tempfile::tempdir().unwrap();
    let jobs: [(&str, &[&str]); 5] = [
        ("write4k", &["ioengine=gfapi", "rw=randwrite", "size=32m", "bs=4k", "fsync=64"]),
        (
            "mixed",
            &["ioengine=gfapi", "rw=randrw", "size=32m", "bsrange=512-64k", "bs_unaligned=1"],
        ),
        (
            "deep",
            &[
                "ioengine=gfapi_async",
                "rw=randwrite",
                "size=64m",
                "bs=4k",
                "iodepth=32",
                "fsync=256",
            ],
        ),
        (
            "deepmix",
            &[
                "ioengine=gfapi_async",
                "rw=randrw",
                "size=64m",
                "bs=16k",
                "iodepth=32",
                "fdatasync=128",
            ],
        ),
        (
            "stream",
            &[
                "ioengine=gfapi_async",
                "rw=write",
                "size=256m",
                "bs=1m",
                "iodepth=32",
                "end_fsync=1",
            ],
        ),
    ];
    std::thread::scope(|scope| {
        for (name, lines) in jobs {
            let (served, dir) = (&served, dir.path());
            scope.spawn(move || fio(served, dir, name, lines));
        }
    });
    assert_eq!(brick::faults(&served.brick()), Vec::<String>::new());
}
