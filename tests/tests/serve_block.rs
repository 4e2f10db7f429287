//! Images of a block volume through GlusterFS's own client, with volume options meant for
//! directories of files.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;

use brickwire_tests::serve::{Served, wanted};
use brickwire_tests::{brickwire, pattern};
use rustix::fs::FallocateFlags;

const MIB: u64 = 1 << 20;

/// `group=virt`, the usual options for images, makes clients shard new files. The image of a block
/// volume exists already and stays one file.
#[test]
fn an_image_of_a_sharded_volume_is_one_piece() {
    if !wanted() {
        return;
    }
    let served = Served::with(|dir| {
        let image = dir.join("image");
        fs::File::create(&image).and_then(|file| file.set_len(64 * MIB)).unwrap();
        let volume = format!("v=block:disk={}", image.display());
        ["--volume", &volume, "--option", "group=virt", "--option", "features.shard-block-size=4MB"]
            .map(String::from)
            .to_vec()
    });
    let image = served.dir().join("image");
    let (status, volfile, why) = brickwire(&["volfile", &served.uri("v")]);
    assert!(status == 0 && volfile.contains("type features/shard"), "{volfile}{why}");
    let mount = served.mount("v");
    let mut content = pattern(64 << 20, 7);
    let disk = OpenOptions::new().read(true).write(true).open(mount.at("disk")).unwrap();
    disk.write_all_at(&content, 0).unwrap();
    // Across the end of what would be a shard.
    let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    rustix::fs::fallocate(&disk, hole, 3 * MIB, 2 * MIB).unwrap();
    content[3 << 20..5 << 20].fill(0);
    disk.sync_all().unwrap();
    assert!(fs::read(mount.at("disk")).unwrap() == content, "read back");
    assert!(fs::read(&image).unwrap() == content, "on disk");
    disk.set_len(70 * MIB).unwrap();
    assert_eq!(fs::metadata(&image).unwrap().len(), 70 * MIB);
    disk.set_len(6 * MIB).unwrap();
    drop(disk);
    assert!(fs::read(mount.at("disk")).unwrap() == content[..6 << 20], "cut");
    assert_eq!(fs::metadata(&image).unwrap().len(), 6 * MIB);
    assert_eq!(fs::remove_file(mount.at("disk")).unwrap_err().raw_os_error(), Some(30));
    let names: Vec<_> =
        fs::read_dir(mount.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["disk"], "no shards beside it");
}
