//! Volumes of several bricks of `brickwire serve`, used by GlusterFS's own client.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use brickwire_tests::serve::{Served, wanted};
use brickwire_tests::{brick, pattern};

fn bricks(served: &Served, count: usize) -> Vec<std::path::PathBuf> {
    (0..count).map(|n| served.dir().join(format!("b{n}"))).collect()
}

fn serve(shape: &str, count: usize) -> Served {
    Served::with(|dir| {
        let dirs: Vec<_> =
            (0..count).map(|n| dir.join(format!("b{n}")).display().to_string()).collect();
        vec!["--volume".into(), format!("v={shape}{}", dirs.join(","))]
    })
}

/// Renames, links, replaces and removes names, so that they move between bricks.
fn move_names(dir: &Path) {
    fs::create_dir(dir.join("d")).unwrap();
    for n in 0..40_u64 {
        let at = |name: &str| dir.join(format!("{name}{n}"));
        fs::write(at("first"), pattern(1000 + n as usize, n)).unwrap();
        fs::rename(at("first"), at("second")).unwrap();
        fs::hard_link(at("second"), at("third")).unwrap();
        fs::hard_link(at("third"), at("d/fourth")).unwrap();
        fs::rename(at("third"), at("d/fifth")).unwrap();
        assert_eq!(fs::metadata(at("d/fifth")).unwrap().nlink(), 3, "{n}");
        fs::write(at("over"), b"replaced").unwrap();
        fs::rename(at("second"), at("over")).unwrap();
        for name in ["over", "d/fourth", "d/fifth"] {
            assert!(fs::read(at(name)).unwrap() == pattern(1000 + n as usize, n), "{name}{n}");
        }
    }
    assert_eq!(fs::read_dir(dir).unwrap().count(), 41);
    assert_eq!(fs::read_dir(dir.join("d")).unwrap().count(), 80);
    fs::rename(dir.join("d"), dir.join("e")).unwrap();
    for n in 0..40 {
        fs::remove_file(dir.join(format!("e/fourth{n}"))).unwrap();
        fs::remove_file(dir.join(format!("over{n}"))).unwrap();
    }
    assert_eq!(fs::read_dir(dir.join("e")).unwrap().count(), 40);
    fs::remove_dir_all(dir.join("e")).unwrap();
    assert_eq!(fs::read_dir(dir).unwrap().count(), 0);
}

#[test]
fn names_move_between_the_bricks_of_a_distributed_volume() {
    if !wanted() {
        return;
    }
    let served = serve("", 3);
    {
        let mount = served.mount("v");
        move_names(mount.path());
    }
    for dir in bricks(&served, 3) {
        assert_eq!(brick::faults(&dir), Vec::<String>::new(), "{}", dir.display());
        assert_eq!(
            fs::read_dir(&dir).unwrap().count(),
            1,
            "nothing but .glusterfs in {}",
            dir.display()
        );
    }
}

#[test]
fn names_change_on_all_bricks_of_a_replica() {
    if !wanted() {
        return;
    }
    let served = serve("replica:", 3);
    {
        let mount = served.mount("v");
        move_names(mount.path());
    }
    for dir in bricks(&served, 3) {
        assert_eq!(brick::faults(&dir), Vec::<String>::new(), "{}", dir.display());
    }
}
