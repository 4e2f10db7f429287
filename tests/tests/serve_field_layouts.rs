//! Directories of a distributed volume that somebody changed on the bricks by hand: GlusterFS's own
//! client makes them whole again.

use std::path::Path;

use brickwire_tests::run;
use brickwire_tests::serve::{Mount, Served, wanted};

fn two_bricks() -> Served {
    Served::with(|dir| {
        let bricks = format!("d={},{}", dir.join("b1").display(), dir.join("b2").display());
        vec!["--volume".into(), bricks]
    })
}

fn mount_by_gfid(served: &Served) -> Mount {
    served.mount_with("d", "aux-gfid-mount")
}

fn xattr(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 1024];
    let n = rustix::fs::lgetxattr(path, name, &mut value[..]).ok()?;
    value.truncate(n);
    Some(value)
}

#[test]
fn a_directory_that_is_gone_from_one_brick_but_for_its_handle_is_made_again() {
    if !wanted() {
        return;
    }
    let served = two_bricks();
    let first = served.mount("d");
    std::fs::create_dir_all(first.at("a/b/c")).expect("directories");
    for n in 0..8 {
        std::fs::write(first.at(&format!("a/f{n}")), "old\n").expect("a file");
    }
    drop(first);
    std::fs::remove_dir_all(served.dir().join("b2/a")).expect("somebody removes it");

    let mount = served.mount("d");
    assert!(std::fs::metadata(mount.at("a/b/c")).expect("it is found").is_dir());
    for path in ["a", "a/b", "a/b/c"] {
        assert!(served.dir().join("b2").join(path).is_dir(), "{path}");
    }
    for n in 0..8 {
        std::fs::write(mount.at(&format!("a/f{n}")), "new\n").expect("a file");
        let text = std::fs::read_to_string(mount.at(&format!("a/f{n}"))).expect("its text");
        assert_eq!(text, "new\n");
    }
    std::fs::create_dir(mount.at("a/b/more")).expect("a further directory");
    std::fs::remove_dir_all(mount.at("a")).expect("all of it can be removed");
    assert_eq!(std::fs::read_dir(mount.path()).expect("a list").count(), 0);
}

#[test]
fn a_layout_that_was_removed_is_restored_for_a_directory_that_is_found_by_its_gfid() {
    if !wanted() {
        return;
    }
    const LAYOUT: &str = "trusted.glusterfs.dht";
    let served = two_bricks();
    let first = served.mount("d");
    std::fs::create_dir_all(first.at("a/b")).expect("directories");
    drop(first);
    let bricks = ["b1", "b2"].map(|brick| served.dir().join(brick).join("a/b"));
    let gfid = xattr(&bricks[0], "trusted.gfid").expect("a gfid");
    let hex: Vec<String> = gfid.iter().map(|byte| format!("{byte:02x}")).collect();
    let hex = hex.concat();
    let gfid = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-");
    for brick in &bricks {
        rustix::fs::lremovexattr(brick, LAYOUT).expect("somebody removes it");
    }

    let mount = mount_by_gfid(&served);
    let by_gfid = mount.at(&format!(".gfid/{gfid}"));
    assert!(std::fs::metadata(&by_gfid).expect("it is found").is_dir());
    for brick in &bricks {
        assert_eq!(xattr(brick, LAYOUT).map(|layout| layout.len()), Some(16), "{brick:?}");
    }
    run("stat", &[by_gfid.to_str().expect("a text")]);
}
