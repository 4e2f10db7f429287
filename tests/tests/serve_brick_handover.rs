//! A brick's directory is served by glusterfsd, then by `brickwire serve`, and the reverse, and
//! each accepts what the other left.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use brickwire_tests::serve::{Mount, Served, directory};
use brickwire_tests::tree::{assert_same, listing};
use brickwire_tests::{brick, cluster, pattern, run};
use xtask::cluster::Cluster;

/// Creates objects of every kind below a directory.
fn fill(dir: &Path) {
    for path in ["a/b/c", "a/empty", "many"] {
        fs::create_dir_all(dir.join(path)).unwrap();
    }
    for n in 0..300 {
        fs::write(dir.join(format!("many/file-{n}")), pattern(n * 37, n as u64)).unwrap();
    }
    fs::write(dir.join("a/b/c/big"), pattern(3 << 20, 5)).unwrap();
    fs::hard_link(dir.join("a/b/c/big"), dir.join("many/big too")).unwrap();
    symlink("../many", dir.join("a/link")).unwrap();
    fs::hard_link(dir.join("a/link"), dir.join("a/link too")).unwrap();
    let (here, mode) = (rustix::fs::CWD, rustix::fs::Mode::from_raw_mode(0o600));
    rustix::fs::mknodat(here, dir.join("pipe"), rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let null = rustix::fs::makedev(1, 3);
    rustix::fs::mknodat(here, dir.join("null"), rustix::fs::FileType::CharacterDevice, mode, null)
        .unwrap();
    fs::set_permissions(dir.join("a/b"), fs::Permissions::from_mode(0o2750)).unwrap();
    std::os::unix::fs::chown(dir.join("a/b/c/big"), Some(1000), Some(100)).unwrap();
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(dir.join("a/b/c/big"), "user.colour", b"\0blue", flags).unwrap();
    rustix::fs::setxattr(dir.join("a"), "user.kind", b"directory", flags).unwrap();
    // Renamed, replaced and removed names.
    fs::rename(dir.join("many/file-1"), dir.join("a/moved")).unwrap();
    fs::rename(dir.join("many/file-2"), dir.join("many/file-3")).unwrap();
    fs::rename(dir.join("a/empty"), dir.join("a/b/renamed")).unwrap();
    for n in 100..200 {
        fs::remove_file(dir.join(format!("many/file-{n}"))).unwrap();
    }
}

/// Changes a part of everything that [`fill`] created.
fn change(dir: &Path) {
    fs::rename(dir.join("a/b"), dir.join("b")).unwrap();
    fs::rename(dir.join("b/c/big"), dir.join("a/big")).unwrap();
    fs::hard_link(dir.join("a/moved"), dir.join("b/moved again")).unwrap();
    fs::remove_file(dir.join("a/link")).unwrap();
    fs::remove_file(dir.join("many/big too")).unwrap();
    fs::write(dir.join("many/file-10"), b"rewritten").unwrap();
    fs::create_dir(dir.join("b/new")).unwrap();
    fs::write(dir.join("b/new/file"), b"new").unwrap();
    run("rm", &["-rf", dir.join("b/c").to_str().unwrap()]);
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(dir.join("a/big"), "user.more", b"x", flags).unwrap();
}

/// Every xattr of every object of a brick, `.glusterfs` included.
fn everything(brick: &Path) -> Vec<String> {
    let mut find = Command::new("sh");
    // Omits the health check's file, which changes while a brick is served, the notes that our
    // server keeps while it serves, and sizes and times of directories, which depend on the disk.
    let script = "live='-path ./.glusterfs/health_check -o -path ./.glusterfs/brickwire'; \
                  find . \\( $live \\) -prune -o -printf '%p %y %#m %U %G %n %i %l\\n' | sort; \
                  find . ! \\( $live \\) -print0 | sort -z | xargs -0 getfattr -h -d -m. -e hex \
                  2>/dev/null";
    let output = find.args(["-c", script]).current_dir(brick).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().map(str::to_owned).collect()
}

/// A brick that is renamed until the test is over.
struct HiddenBrick<'a> {
    brick: &'a Path,
    aside: PathBuf,
}

impl<'a> HiddenBrick<'a> {
    fn new(brick: &'a Path) -> Self {
        let aside = brick.with_extension("aside");
        fs::rename(brick, &aside).unwrap();
        Self { brick, aside }
    }
}

impl Drop for HiddenBrick<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.brick);
        let _ = fs::rename(&self.aside, self.brick);
    }
}

fn mount(cluster: &Cluster, volume: &str, dir: &Path) -> Mount {
    Mount::new(cluster.host(), 24007, volume, &dir.join("real.log"))
}

fn serve(volume: &str, brick: &Path) -> Served {
    let arg = format!("{volume}={}", brick.display());
    Served::with(|_| vec!["--volume".into(), arg])
}

#[test]
fn a_brick_that_the_real_server_filled_is_served_read_changed_and_given_back() {
    let Some(mut cluster) = cluster() else { return };
    let (dir, volume) = (directory(), "dist1");
    let on_disk = cluster.volume(volume).unwrap().brick_dir.clone();
    let first = {
        let mount = mount(&cluster, volume, dir.path());
        run("rm", &["-rf", mount.at("x").to_str().unwrap()]);
        fs::create_dir(mount.at("x")).unwrap();
        fill(&mount.at("x"));
        listing(&mount.at("x"))
    };
    cluster.kill_brick(volume).unwrap();
    let before = everything(&on_disk);
    let mut served = serve(volume, &on_disk);
    {
        let mount = served.mount(volume);
        assert_same("what the mount shows", &first, &listing(&mount.at("x")));
        let script =
            "find . -type f -exec cat {} + >/dev/null; ls -laR; getfattr -R -d -m. . >/dev/null";
        let read =
            Command::new("sh").args(["-ec", script]).current_dir(mount.path()).output().unwrap();
        assert!(read.status.success() && read.stdout.len() > 10_000, "{read:?}");
    }
    assert_same("the brick, read", &before, &everything(&on_disk));
    let second = {
        let mount = served.mount(volume);
        change(&mount.at("x"));
        fill(&{
            fs::create_dir(mount.at("x/ours")).unwrap();
            mount.at("x/ours")
        });
        listing(&mount.at("x"))
    };
    served.stop();
    assert!(!on_disk.join(".glusterfs/brickwire").exists(), "nothing of ours is left");
    assert_eq!(brick::faults(&on_disk), Vec::<String>::new());
    let before = everything(&on_disk);
    cluster.start_brick(volume).unwrap();
    {
        let mount = mount(&cluster, volume, dir.path());
        assert_same("what the real one shows", &second, &listing(&mount.at("x")));
        assert_same("the brick, read by the real one", &before, &everything(&on_disk));
        change(&mount.at("x/ours"));
        run("rm", &["-rf", mount.at("x").to_str().unwrap()]);
    }
    assert_eq!(brick::faults(&on_disk), Vec::<String>::new());
}

#[test]
fn a_brick_that_ours_filled_is_taken_by_the_real_server_as_its_own() {
    let Some(mut cluster) = cluster() else { return };
    let (dir, volume) = (directory(), "inet");
    let on_disk = cluster.volume(volume).unwrap().brick_dir.clone();
    let id = brick::xattr(&on_disk, "trusted.glusterfs.volume-id").unwrap();
    cluster.kill_brick(volume).unwrap();
    // The volume's brick is replaced by one that glusterfsd has never served.
    let aside = HiddenBrick::new(&on_disk);
    let config = dir.path().join("serve.toml");
    let text = format!(
        "[[volume]]\nname = {volume:?}\nid = {:?}\nbricks = [{:?}]\n",
        brick::gfid_text(&id),
        on_disk.display().to_string()
    );
    fs::write(&config, text).unwrap();
    let mut served = Served::with(|_| vec!["--config".into(), config.display().to_string()]);
    let first = {
        let mount = served.mount(volume);
        fill(mount.path());
        listing(mount.path())
    };
    served.stop();
    assert_eq!(brick::faults(&on_disk), Vec::<String>::new());
    let before = everything(&on_disk);
    cluster.start_brick(volume).unwrap();
    let second = {
        let mount = mount(&cluster, volume, dir.path());
        assert_same("what the real one shows", &first, &listing(mount.path()));
        assert_same("the brick, read by the real one", &before, &everything(&on_disk));
        change(mount.path());
        listing(mount.path())
    };
    cluster.kill_brick(volume).unwrap();
    assert_eq!(brick::faults(&on_disk), Vec::<String>::new());
    served.start();
    {
        let mount = served.mount(volume);
        assert_same("what ours shows", &second, &listing(mount.path()));
    }
    served.stop();
    drop(aside);
    cluster.start_brick(volume).unwrap();
}
