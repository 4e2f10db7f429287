//! Replicated and distributed volumes of `brickwire serve`, used by GlusterFS's own clients and
//! healed by its self-heal daemon.

use std::fs;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use brickwire_tests::serve::{HealDaemon, Served, wanted};
use brickwire_tests::tree::{assert_same, listing};
use brickwire_tests::{brick, copies, pattern, run};

/// Time for clients to notice that a brick is back and to connect.
const NOTICED: Duration = Duration::from_secs(30);
/// Time in which the daemon heals the volumes of these tests.
const HEALED: Duration = Duration::from_secs(60);

fn bricks(dir: &Path, count: usize) -> Vec<PathBuf> {
    (1..=count).map(|n| dir.join(format!("b{n}"))).collect()
}

/// Arguments that serve the volume `v` of bricks in a directory, with options.
fn volume(dir: &Path, shape: &str, count: usize, options: &[&str]) -> Vec<String> {
    let names: Vec<_> =
        bricks(dir, count).iter().map(|brick| brick.display().to_string()).collect();
    let mut args = vec!["--volume".into(), format!("v={shape}{}", names.join(","))];
    options.iter().for_each(|option| args.extend(["--option".into(), (*option).into()]));
    args
}

fn script(dir: &Path, text: &str) {
    let output = Command::new("sh").args(["-exc", text]).current_dir(dir).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}: {errors}");
}

/// Works on a source tree in a directory, as a developer would.
fn work(dir: &Path) {
    let source = xtask::command::workspace().join("core");
    let source = source.display();
    let text = format!(
        "mkdir tree; tar -C {source} -cf - src | tar -C tree -xf -
         ls -lR tree >/dev/null; diff -r {source}/src tree/src
         mv tree/src/xdr tree/moved; mv tree/src/lib.rs tree/src/fop; mkdir -p tree/a/b/c
         mv tree/src/fop tree/a/b/c
         cp -r tree/src tree/gone; rm -rf tree/gone; ln tree/src/id.rs tree/hard
         ln -s ../hard tree/a/soft
         mv tree/src/slab.rs tree/src/timers.rs; chmod 640 tree/hard
         setfattr -n user.kind -v x tree/a
         diff -r {source}/src/xdr tree/moved; find tree -type f -exec cat {{}} + >/dev/null"
    );
    script(dir, &text);
}

#[test]
fn a_tree_on_a_mounted_replica_is_the_same_on_every_brick() {
    if !wanted() {
        return;
    }
    let served = Served::with(|dir| volume(dir, "replica:", 3, &[]));
    let mount = served.mount("v");
    work(mount.path());
    let seen = listing(&mount.at("tree"));
    // The post-op of the last changes comes within a second.
    copies::wait_for(&bricks(served.dir(), 3), false, Duration::from_secs(10));
    drop(mount);
    let again = served.mount("v");
    assert_same("mounted again", &seen, &listing(&again.at("tree")));
    script(again.path(), "rm -rf tree; test -z \"$(ls -A)\"");
    copies::wait_for(&bricks(served.dir(), 3), false, Duration::from_secs(10));
}

#[test]
fn a_tree_on_a_mounted_distributed_volume_is_whole() {
    if !wanted() {
        return;
    }
    let mut served = Served::with(|dir| volume(dir, "", 3, &[]));
    let mount = served.mount("v");
    work(mount.path());
    let seen = listing(&mount.at("tree"));
    drop(mount);
    served.stop();
    for brick in bricks(served.dir(), 3) {
        assert_eq!(brick::faults(&brick), Vec::<String>::new(), "{}", brick.display());
        assert!(brick.join("tree/src").is_dir(), "a directory is on every brick");
    }
    served.start();
    let again = served.mount("v");
    assert_same("mounted again", &seen, &listing(&again.at("tree")));
    script(again.path(), "rm -rf tree; test -z \"$(ls -A)\"");
}

#[test]
fn images_in_shards_on_a_replica_for_virtual_machines_are_what_was_written() {
    if !wanted() {
        return;
    }
    let options = ["group=virt", "features.shard-block-size=4MB"];
    let served = Served::isolated_with(|dir| volume(dir, "replica:", 3, &options));
    let dir = tempfile::tempdir().unwrap();
    let local = dir.path().join("local.img");
    let file = fs::File::create(&local).unwrap();
    file.set_len(40 << 20).unwrap();
    file.write_all_at(&pattern(9 << 20, 1), 3 << 20).unwrap();
    let local = local.to_str().unwrap();
    let there = |args: &[&str]| {
        let output =
            served.command(args[0]).args(&args[1..]).current_dir(dir.path()).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(output.status.success() && !said.contains("failed"), "{args:?}: {said}");
        said
    };
    let (raw, qcow2) = ("gluster://127.0.0.1/v/raw.img", "gluster://127.0.0.1/v/image.qcow2");
    let fio = "[global]\nverify=crc32c\nverify_fatal=1\n[j]\nioengine=gfapi_async\nvolume=v\n\
               brick=127.0.0.1\n\
               rw=randrw\nsize=24m\nbs=16k\niodepth=16\nfdatasync=64\n";
    fs::write(dir.path().join("job.fio"), fio).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| assert!(there(&["fio", "job.fio"]).contains("err= 0")));
        scope.spawn(|| {
            there(&["qemu-img", "convert", "-f", "raw", "-O", "raw", local, raw]);
            there(&["qemu-img", "compare", "-f", "raw", "-F", "raw", local, raw]);
        });
        scope.spawn(|| {
            there(&["qemu-img", "create", "-q", "-f", "qcow2", qcow2, "64M"]);
            let io = [
                "write -P 7 0 9M",
                "discard 1M 1M",
                "write -P 8 63M 64k",
                "flush",
                "read -P 7 4M 5M",
                "read -P 8 63M 64k",
            ];
            let commands = io.iter().flat_map(|command| ["-c", command]);
            there(
                &["qemu-io", "-f", "qcow2"]
                    .into_iter()
                    .chain(commands)
                    .chain([qcow2])
                    .collect::<Vec<_>>(),
            );
            assert!(there(&["qemu-img", "check", "-f", "qcow2", qcow2]).contains("No errors"));
        });
    });
    let bricks = bricks(served.dir(), 3);
    copies::wait_for(&bricks, false, Duration::from_secs(10));
    assert!(fs::read_dir(bricks[0].join(".shard")).unwrap().count() > 10, "there are shards");
}

/// A brick goes down while no file is open, changes are made, and it comes back while clients are
/// connected.
fn heals(shape: &str, arbiter: bool) {
    let mut served = Served::with(|dir| volume(dir, shape, 3, &[]));
    let bricks = bricks(served.dir(), 3);
    let (lost, aside) = (&bricks[if arbiter { 0 } else { 2 }], served.dir().join("aside"));
    {
        let mount = served.mount("v");
        for dir in ["kept", "goes/below", "moves"] {
            fs::create_dir_all(mount.at(dir)).unwrap();
        }
        for n in 0..20 {
            fs::write(mount.at(&format!("kept/{n}")), pattern(n * 1000, n as u64)).unwrap();
        }
        fs::write(mount.at("big"), pattern(5 << 20, 9)).unwrap();
        fs::write(mount.at("goes/below/file"), b"x").unwrap();
        symlink("kept", mount.at("link")).unwrap();
        copies::wait_for(&bricks, arbiter, Duration::from_secs(10));
    }
    served.stop();
    fs::rename(lost, &aside).unwrap();
    served.start();
    assert!(!lost.exists(), "nothing is made in the place of a brick that is away");
    let mount = served.mount("v");
    fs::create_dir_all(mount.at("new/below")).unwrap();
    for n in 0..10 {
        fs::write(mount.at(&format!("new/below/{n}")), pattern(n * 5000, n as u64)).unwrap();
        fs::write(mount.at(&format!("kept/{n}")), b"rewritten").unwrap();
        fs::remove_file(mount.at(&format!("kept/{}", n + 10))).unwrap();
    }
    fs::File::options()
        .write(true)
        .open(mount.at("big"))
        .unwrap()
        .write_all_at(&pattern(70_000, 3), 4 << 20)
        .unwrap();
    fs::remove_dir_all(mount.at("goes")).unwrap();
    fs::rename(mount.at("moves"), mount.at("moved")).unwrap();
    fs::hard_link(mount.at("kept/3"), mount.at("hard")).unwrap();
    symlink("elsewhere", mount.at("soft")).unwrap();
    fs::set_permissions(mount.at("kept/4"), fs::Permissions::from_mode(0o600)).unwrap();
    rustix::fs::setxattr(mount.at("kept"), "user.new", b"value", rustix::fs::XattrFlags::empty())
        .unwrap();
    run("truncate", &["-s", "100", mount.at("kept/5").to_str().unwrap()]);
    let seen = listing(mount.path());
    std::thread::sleep(Duration::from_secs(2));
    let there: Vec<PathBuf> = bricks.iter().filter(|brick| *brick != lost).cloned().collect();
    assert!(!copies::faults(&there, arbiter).is_empty(), "there is something to heal");
    fs::rename(&aside, lost).unwrap();
    let daemon = HealDaemon::new(&served, "v");
    copies::wait_for(&bricks, arbiter, NOTICED + HEALED);
    drop(daemon);
    assert_same("healed", &seen, &listing(mount.path()));
    // A heal of contents and attributes copies ctime; other heals do not.
    for name in ["kept/0", "kept/3", "kept/4", "kept/5", "new/below/0", "big"] {
        let ctime = |brick: &PathBuf| {
            brick::xattr(&brick.join(name), "trusted.glusterfs.mdata").unwrap()[..25].to_vec()
        };
        assert!(bricks.iter().all(|brick| ctime(brick) == ctime(&bricks[1])), "{name}");
    }
}

#[test]
fn the_heal_daemon_brings_a_brick_that_was_away_up_to_date() {
    if wanted() {
        heals("replica:", false);
    }
}

#[test]
fn the_heal_daemon_brings_a_brick_up_to_date_from_one_copy_and_an_arbiter() {
    if wanted() {
        heals("arbiter:", true);
    }
}
