//! Devices and files as the images of a volume.

mod common;

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use brickwire_std::{OpenOptions, Volume};
use common::{Serving, brickwire, fails, succeeds};
use rustix::process::Signal;

const MIB: u64 = 1 << 20;

fn sparse(path: &Path, bytes: u64) -> File {
    let file =
        File::options().read(true).write(true).create(true).truncate(true).open(path).unwrap();
    file.set_len(bytes).unwrap();
    file
}

fn random(len: usize, mut seed: u64) -> Vec<u8> {
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) as u8 | 1
    };
    (0..len).map(|_| next()).collect()
}

fn open(volume: &Volume, path: &str) -> brickwire_std::File {
    volume.open_file(path, &OpenOptions::new().read(true).write(true)).unwrap()
}

/// A loop device on a file, where the system gives us one.
struct Loop(PathBuf);

impl Loop {
    fn on(path: &Path) -> Option<Self> {
        let output = Command::new("losetup").args(["--find", "--show"]).arg(path).output().ok()?;
        if !output.status.success() {
            println!("skipped: no loop device: {}", String::from_utf8_lossy(&output.stderr));
            return None;
        }
        Some(Self(String::from_utf8(output.stdout).unwrap().trim().into()))
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("--detach").arg(&self.0).status();
    }
}

/// Everything that a guest does to its disk, and what the disk below then holds.
fn does_what_a_guest_does(volume: &Volume, name: &str, below: &File) {
    let image = open(volume, name);
    let data = random(MIB as usize, 7);
    image.write_all_at(&data, MIB).unwrap();
    image.write_all_at(&data[..3000], 1000).unwrap();
    image.flush().unwrap();
    let mut back = vec![0; MIB as usize];
    below.read_exact_at(&mut back, MIB).unwrap();
    assert!(back == data, "what was flushed is below");

    // Both with ends inside of blocks.
    image.discard(MIB + 100, 300_000).unwrap();
    image.write_zeroes(MIB + 500_001, 200_000).unwrap();
    let mut expected = data.clone();
    expected[100..300_100].fill(0);
    expected[500_001..700_001].fill(0);
    image.read_exact_at(&mut back, MIB).unwrap();
    assert!(back == expected, "what was discarded or zeroed is zero, and nothing else");
    image.flush().unwrap();
    below.read_exact_at(&mut back, MIB).unwrap();
    assert!(back == expected, "the same below");
}

#[test]
fn a_file_served_as_an_image_is_written_discarded_zeroed_and_resized_for_real() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk.raw");
    let below = sparse(&path, 8 * MIB);
    let server = Serving::serve(&["--volume", &format!("vms=block:{}", path.display())]);
    let volume = Volume::open(&server.uri()).unwrap();
    does_what_a_guest_does(&volume, "disk.raw", &below);
    let image = open(&volume, "disk.raw");
    assert_eq!(image.seek_data(2 * MIB).unwrap(), None);
    assert_eq!(image.seek_hole(MIB).unwrap().map(|at| at < 2 * MIB), Some(true));
    image.set_len(16 * MIB).unwrap();
    assert_eq!(below.metadata().unwrap().len(), 16 * MIB);
    image.allocate(16 * MIB, MIB, false).unwrap();
    assert_eq!(image.metadata().unwrap().size(), 17 * MIB);
}

#[test]
fn a_device_served_as_an_image_is_written_discarded_and_zeroed_but_keeps_its_size() {
    let directory = tempfile::tempdir().unwrap();
    let backing = directory.path().join("backing");
    sparse(&backing, 32 * MIB);
    let Some(device) = Loop::on(&backing) else { return };
    let server = Serving::serve(&["--volume", &format!("lvs=block:disk1={}", device.0.display())]);
    let volume = Volume::open(&server.uri()).unwrap();
    let image = open(&volume, "disk1");
    assert_eq!(image.metadata().unwrap().size(), 32 * MIB);
    let below = File::open(&backing).unwrap();
    does_what_a_guest_does(&volume, "disk1", &below);

    assert_eq!(image.seek_data(12_345).unwrap(), Some(12_345));
    assert_eq!(image.seek_hole(12_345).unwrap(), Some(32 * MIB));
    assert_eq!(image.set_len(MIB).unwrap_err().errno(), Some(1));
    image.set_len(32 * MIB).unwrap();
    assert_eq!(image.write_at(&[1; 4096], 32 * MIB - 512).unwrap_err().errno(), Some(28));
    assert_eq!(image.allocate(31 * MIB, 2 * MIB, false).unwrap_err().errno(), Some(28));
    image.allocate(31 * MIB, MIB, false).unwrap();
    let mut tail = [7; 8192];
    assert_eq!(image.read_at(&mut tail, 32 * MIB - 4096).unwrap(), 4096);
    // Its name is still its name, and a flag that would cut it is refused before anything is lost.
    let cut = OpenOptions::new().write(true).truncate(true);
    assert_eq!(volume.open_file("disk1", &cut).unwrap_err().errno(), Some(1));
    image.close().unwrap();
    drop(volume);

    // The copy is there afterwards, and where it had holes, nothing of what was there
    // before.
    let source = directory.path().join("source.raw");
    let file = sparse(&source, 4 * MIB);
    file.write_all_at(&random(70_000, 9), 2 * MIB).unwrap();
    let target = format!("{}/disk1", server.uri());
    succeeds(brickwire().args(["import", "--force", "--verify"]).arg(&source).arg(&target));
    let (mut copied, mut wanted) = (vec![0; 4 * MIB as usize], vec![0; 4 * MIB as usize]);
    below.read_exact_at(&mut copied, 0).unwrap();
    file.read_exact_at(&mut wanted, 0).unwrap();
    assert!(copied == wanted);
    let mut stream = brickwire();
    stream.args(["import", "-f", "--verify", "-", &target]).stdin(File::open(&source).unwrap());
    succeeds(&mut stream);
    below.read_exact_at(&mut copied, 0).unwrap();
    assert!(copied == wanted);
    file.set_len(33 * MIB).unwrap();
    let said = fails(brickwire().args(["import", "-f"]).arg(&source).arg(&target));
    assert!(said.contains("take a larger one"), "{said}");
    let said = fails(brickwire().arg("import").arg(&source).arg(&target));
    assert!(said.contains("disk1: file exists (EEXIST): --force replaces it"), "{said}");
    server.stop(Signal::TERM);
}

#[test]
fn the_directory_of_images_is_as_it_was_configured() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.raw");
    sparse(&path, MIB);
    let spec = format!("vms=block:one={0}", path.display());
    let server = Serving::serve(&["--volume", &spec, "--option", "storage.owner-uid=107"]);
    let uri = server.uri();
    let listed = succeeds(brickwire().args(["ls", "--long", &uri]));
    assert!(listed.contains(" 107 ") && listed.trim_end().ends_with(" one"), "{listed}");
    for args in [
        vec!["rm".to_owned(), format!("{uri}/one")],
        vec!["mv".to_owned(), format!("{uri}/one"), "two".to_owned()],
        vec!["mkdir".to_owned(), format!("{uri}/dir")],
        vec!["create".to_owned(), format!("{uri}/new"), "1M".to_owned()],
    ] {
        assert!(fails(brickwire().args(&args)).contains("EROFS"), "{args:?}");
    }
    let volume = Volume::open(&uri).unwrap();
    let before = volume.stat("one").unwrap();
    let error = volume.set_xattr("one", "user.note", b"x").unwrap_err();
    assert_eq!(error.errno(), Some(95));
    drop(volume);
    server.stop(Signal::TERM);
    // The image is the same one tomorrow.
    let server = Serving::serve(&["--volume", &spec]);
    assert_eq!(Volume::open(&server.uri()).unwrap().stat("one").unwrap().gfid(), before.gfid());
}

#[test]
fn what_cannot_be_an_image_is_refused_in_one_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.raw");
    sparse(&path, MIB);
    let serve = |spec: &str| {
        let spec = format!("vms=block:{spec}");
        fails(brickwire().args(["serve", "--listen", "127.0.0.1:0", "--volume", &spec]))
    };
    let path = path.display();
    assert!(
        serve(&directory.path().display().to_string())
            .contains("neither a block device nor a regular file")
    );
    assert!(serve("/dev/null").contains("neither a block device nor a regular file"));
    assert!(serve(&format!("{path}.gone")).contains("No such file"));
    assert!(serve(&format!("{path},a.raw={path}")).contains("used twice"));
    let first = Serving::serve(&["--volume", &format!("vms=block:{path}")]);
    assert!(serve(&path.to_string()).contains("in use (mounted"));
    first.stop(Signal::TERM);
    Serving::serve(&["--volume", &format!("vms=block:{path}")]).stop(Signal::TERM);
}
