//! Bricks on a full disk, and bricks in which symlinks are planted from outside.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use brickwire_std::Volume;
use brickwire_tests::brick;
use brickwire_tests::run;
use brickwire_tests::serve::{Served, wanted};

/// A small tmpfs, unmounted when dropped.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    fn new(at: &'a Path, options: &str) -> Self {
        run("mount", &["-t", "tmpfs", "-o", options, "tmpfs", at.to_str().expect("a text")]);
        Self(at)
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[test]
fn a_full_disk_is_told_and_works_again_when_there_is_room() {
    if !wanted() {
        return;
    }
    let place = brickwire_tests::serve::directory();
    // Room for the brick's own directories and some megabytes.
    let disk = SmallDisk::new(place.path(), "size=6m,nr_inodes=700");
    let arg = format!("v={}", place.path().join("brick").display());
    let mut served = Served::with(|_| vec!["--volume".into(), arg]);
    let on_disk = place.path().join("brick");
    {
        let mount = served.mount("v");
        fs::write(mount.at("kept"), b"kept").unwrap();
        // The disk has no free bytes.
        let big = fs::write(mount.at("big"), vec![7; 16 << 20]);
        assert_eq!(big.unwrap_err().raw_os_error(), Some(28));
        assert_eq!(fs::read(mount.at("kept")).unwrap(), b"kept");
        fs::remove_file(mount.at("big")).unwrap();
        fs::write(mount.at("fits"), vec![7; 1 << 20]).unwrap();
        // The disk has no free inodes: a failed create leaves nothing behind.
        let full = (0..1000)
            .find_map(|n| fs::write(mount.at(&format!("f{n}")), b"").err().map(|error| (n, error)));
        let (made, error) = full.expect("it fills up");
        assert_eq!(error.raw_os_error(), Some(28));
        let names = fs::read_dir(mount.path()).unwrap().count();
        assert_eq!(names, made + 2, "{made} files and the two from before");
        assert_eq!(fs::create_dir(mount.at("d")).unwrap_err().raw_os_error(), Some(28));
        assert_eq!(brick::faults(&on_disk), Vec::<String>::new());
        for n in 0..made {
            fs::remove_file(mount.at(&format!("f{n}"))).unwrap();
        }
        fs::create_dir(mount.at("d")).unwrap();
    }
    served.stop();
    assert_eq!(brick::faults(&on_disk), Vec::<String>::new());
    drop(disk);
}

#[test]
fn symlinks_that_are_put_into_a_brick_lead_nobody_out_of_it() {
    if !wanted() {
        return;
    }
    let served = Served::one();
    let outside = brickwire_tests::serve::directory();
    fs::write(outside.path().join("secret"), b"secret").unwrap();
    fs::create_dir(outside.path().join("sub")).unwrap();
    let volume = Volume::open(&served.uri("v")).unwrap();
    for dir in ["a", "a/sub", "b"] {
        volume.create_dir(dir, 0o755).unwrap();
    }
    volume
        .open_file("a/secret", &brickwire_std::OpenOptions::new().write(true).create(true))
        .unwrap();
    // A local process replaces directories by symlinks that lead out of the brick.
    let brick = served.brick();
    fs::rename(brick.join("a"), outside.path().join("was-a")).unwrap();
    for (name, target) in
        [("a", outside.path().to_str().unwrap()), ("up", "../../../../etc"), ("up2", "b/../../..")]
    {
        symlink(target, brick.join(name)).unwrap();
    }
    let handle = brick::handle(&brick, &brick::gfid(&brick.join("b")).unwrap());
    fs::remove_file(&handle).unwrap();
    symlink(outside.path(), &handle).unwrap();
    let before = fs::read_dir(outside.path()).unwrap().count();
    let fresh = Volume::open(&served.uri("v")).unwrap();
    for volume in [&volume, &fresh] {
        for dir in ["a", "b", "up", "up2"] {
            for name in ["secret", "passwd", "sub", ".."] {
                let path = format!("{dir}/{name}");
                let read = brickwire_std::OpenOptions::new().read(true);
                if let Ok(file) = volume.open_file(&path, &read) {
                    let mut bytes = [0; 6];
                    let _ = file.read_at(&mut bytes, 0);
                    assert!(bytes != *b"secret" && bytes != *b"root:x", "{path} leads out");
                }
            }
            let make = brickwire_std::OpenOptions::new().write(true).create(true);
            let _ = volume.open_file(format!("{dir}/planted"), &make);
            let _ = volume.create_dir(format!("{dir}/planted-dir"), 0o755);
            let _ = volume.remove_file(format!("{dir}/secret"));
            let _ = volume.remove_dir(format!("{dir}/sub"));
            let _ = volume.rename("kept", format!("{dir}/moved"));
        }
    }
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), before, "nothing came, nothing went");
    assert_eq!(fs::read(outside.path().join("secret")).unwrap(), b"secret");
    assert!(outside.path().join("sub").is_dir() && !Path::new("/etc/planted").exists());
}
