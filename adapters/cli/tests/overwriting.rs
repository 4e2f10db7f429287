//! Nothing that exists is overwritten unasked, and what is replaced is replaced as a whole.

mod common;

use std::os::unix::fs::{MetadataExt as _, PermissionsExt};
use std::path::{Path, PathBuf};

use common::{Nobody, Serving, brickwire, fails, succeeds};

struct Site {
    brick: tempfile::TempDir,
    local: tempfile::TempDir,
    serving: Serving,
}

impl Site {
    fn new() -> Self {
        let brick = tempfile::tempdir().unwrap();
        let serving = Serving::serve(&["--volume", &format!("v={}", brick.path().display())]);
        Self { brick, local: tempfile::tempdir().unwrap(), serving }
    }

    fn uri(&self, path: &str) -> String {
        format!("{}/{path}", self.serving.uri())
    }

    fn on_brick(&self, path: &str) -> PathBuf {
        self.brick.path().join(path)
    }

    fn local(&self, name: &str, contents: &str) -> String {
        let path = self.local.path().join(name);
        std::fs::write(&path, contents).unwrap();
        path.display().to_string()
    }

    /// Names on the brick, without GlusterFS's own directory.
    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.brick.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| name != ".glusterfs").collect();
        names.sort();
        names
    }
}

#[test]
fn commands_refuse_by_name_to_overwrite_a_file_unless_forced() {
    let site = Site::new();
    let (old, new) = (site.local("old", "old"), site.local("new", "new"));
    let uri = site.uri("a.img");
    succeeds(brickwire().args(["import", &old, &uri]));
    let inode = site.on_brick("a.img").metadata().unwrap().ino();

    for args in [
        &["import", &new, &uri][..],
        &["create", &uri, "1M"],
        &["export", &uri, &new],
        &["mv", &site.uri("b.img"), "a.img"],
    ] {
        if args[0] == "mv" {
            succeeds(brickwire().args(["import", &new, &site.uri("b.img")]));
        }
        let said = fails(brickwire().args(args));
        let name = if args[0] == "export" { &new } else { &uri };
        assert!(said.contains(&format!("{name}: file exists (EEXIST)")), "{args:?}: {said}");
    }
    let piped = format!("echo x | {} import - {uri}", env!("CARGO_BIN_EXE_brickwire"));
    let said = fails(std::process::Command::new("sh").args(["-c", &piped]));
    assert!(said.contains("file exists"), "{said}");
    assert_eq!(site.on_brick("a.img").metadata().unwrap().ino(), inode);
    assert_eq!(std::fs::read_to_string(site.on_brick("a.img")).unwrap(), "old");
    assert_eq!(std::fs::read_to_string(&new).unwrap(), "new");
    assert_eq!(site.names(), ["a.img", "b.img"], "no part is left");

    succeeds(brickwire().args(["mv", "-n", &site.uri("b.img"), "a.img"]));
    assert_eq!(std::fs::read_to_string(site.on_brick("a.img")).unwrap(), "old");
    succeeds(brickwire().args(["mv", "-f", &site.uri("b.img"), "a.img"]));
    assert_eq!(std::fs::read_to_string(site.on_brick("a.img")).unwrap(), "new");
    succeeds(brickwire().args(["import", "-f", &old, &uri]));
    assert_eq!(std::fs::read_to_string(site.on_brick("a.img")).unwrap(), "old");
    succeeds(brickwire().args(["export", "--force", &uri, &new]));
    assert_eq!(std::fs::read_to_string(&new).unwrap(), "old");
    succeeds(brickwire().args(["create", "--force", &uri, "1M"]));
    assert_eq!(site.on_brick("a.img").metadata().unwrap().len(), 1 << 20);
    assert_eq!(site.names(), ["a.img"]);
}

#[test]
fn a_file_that_replaces_another_has_its_owner_and_mode() {
    let site = Site::new();
    let source = site.local("new", "new");
    succeeds(brickwire().args(["import", &source, &site.uri("a.img")]));
    let on_brick = site.on_brick("a.img");
    std::fs::set_permissions(&on_brick, PermissionsExt::from_mode(0o640)).unwrap();
    std::os::unix::fs::chown(&on_brick, Some(107), Some(108)).unwrap();
    succeeds(brickwire().args(["import", "--force", &source, &site.uri("a.img")]));
    let found = on_brick.metadata().unwrap();
    assert_eq!((found.uid(), found.gid(), found.mode() & 0o7777), (107, 108, 0o640));

    // The same locally, also behind a link, which stays.
    let (target, link) = (site.local("target", "old"), site.local.path().join("link"));
    std::fs::set_permissions(&target, PermissionsExt::from_mode(0o604)).unwrap();
    std::os::unix::fs::symlink(&target, &link).unwrap();
    succeeds(brickwire().args(["export", "--force", &site.uri("a.img")]).arg(&link));
    assert!(link.is_symlink());
    assert_eq!(std::fs::read_to_string(&target).unwrap(), "new");
    assert_eq!(Path::new(&target).metadata().unwrap().mode() & 0o777, 0o604);
}

#[test]
fn a_copy_to_a_directory_goes_into_it_and_links_and_directories_are_never_replaced() {
    let site = Site::new();
    let source = site.local("new", "new");
    succeeds(brickwire().args(["mkdir", "-p", &site.uri("d/new")]));
    succeeds(brickwire().args(["mkdir", &site.uri("e")]));
    succeeds(brickwire().args(["import", &source, &site.uri("e")]));
    assert_eq!(std::fs::read_to_string(site.on_brick("e/new")).unwrap(), "new");
    let said = fails(brickwire().args(["import", "--force", &source, &site.uri("d")]));
    assert!(said.contains("d/new: is a directory"), "{said}");
    let said = fails(brickwire().args(["create", "--force", &site.uri("d"), "1M"]));
    assert!(said.contains("/v/d: is a directory"), "{said}");
    let volume = brickwire_std::Volume::open(&site.serving.uri()).unwrap();
    volume.symlink("e/new", "link").unwrap();
    let said = fails(brickwire().args(["import", "--force", &source, &site.uri("link")]));
    assert!(said.contains("link: is a symbolic link"), "{said}");

    let directory = site.local.path().join("d");
    std::fs::create_dir(&directory).unwrap();
    succeeds(brickwire().args(["export", &site.uri("e/new")]).arg(&directory));
    assert_eq!(std::fs::read_to_string(directory.join("new")).unwrap(), "new");
    let said = fails(brickwire().args(["mv", &site.uri("e/new"), "e/new"]));
    assert!(said.contains("are the same file"), "{said}");
}

#[test]
fn a_create_that_fails_leaves_nothing_and_makes_parents_as_import_does() {
    let site = Site::new();
    for size in ["99999T", "8EiB"] {
        let said = fails(brickwire().args(["create", &site.uri("x/y/a.img"), size]));
        assert!(said.contains("EFBIG") || said.contains("2^63 - 1"), "{size}: {said}");
        assert_eq!(site.names(), Vec::<String>::new(), "{size}");
    }
    succeeds(brickwire().args(["create", &site.uri("x/y/a.img"), "10MiB"]));
    assert_eq!(site.on_brick("x/y/a.img").metadata().unwrap().len(), 10 << 20);
    let said = fails(brickwire().args(["create", &site.uri("b.img"), "5GB"]));
    assert!(said.contains("5GiB"), "{said}");
}

/// A part or a journal that is a link, or a second name, belongs to something else.
#[test]
fn what_a_part_or_a_journal_leads_to_is_never_written() {
    let site = Site::new();
    let source = site.local("source", "new");
    succeeds(brickwire().args(["import", &source, &site.uri("a.img")]));
    let victim = PathBuf::from(site.local("victim", "precious"));
    let target = site.local.path().join("t");
    let (part, journal) = (
        site.local.path().join(".t.brickwire-part"),
        site.local.path().join(".t.brickwire-journal"),
    );
    let resume = || {
        let mut command = brickwire();
        command.args(["export", "--resume", &site.uri("a.img")]).arg(&target);
        fails(&mut command)
    };
    std::os::unix::fs::symlink(&victim, &part).unwrap();
    let said = resume();
    assert!(said.contains(".t.brickwire-part: is no regular file"), "{said}");
    std::fs::remove_file(&part).unwrap();
    std::fs::hard_link(&victim, &part).unwrap();
    let said = resume();
    assert!(said.contains(".t.brickwire-part: has a second name"), "{said}");
    std::fs::remove_file(&part).unwrap();
    std::fs::write(&part, "part").unwrap();
    std::os::unix::fs::symlink(&victim, &journal).unwrap();
    let said = resume();
    assert!(said.contains(".t.brickwire-journal: is no regular file"), "{said}");
    assert_eq!(std::fs::read_to_string(&part).unwrap(), "part");
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");

    let volume = brickwire_std::Volume::open(&site.serving.uri()).unwrap();
    let write = |path: &str, text: &[u8]| {
        let options = brickwire_std::OpenOptions::new().write(true).create(true);
        volume.open_file(path, &options).unwrap().write_all_at(text, 0).unwrap();
    };
    let resume = || fails(brickwire().args(["import", "--resume", &source, &site.uri("b.img")]));
    volume.symlink("a.img", ".b.img.brickwire-part").unwrap();
    let said = resume();
    assert!(said.contains("/v/.b.img.brickwire-part: is no regular file"), "{said}");
    volume.remove_file(".b.img.brickwire-part").unwrap();
    // As a crash leaves it between the new name and the end of the old one.
    volume.link("a.img", ".b.img.brickwire-part").unwrap();
    let said = resume();
    assert!(said.contains("/v/.b.img.brickwire-part: has a second name"), "{said}");
    volume.remove_file(".b.img.brickwire-part").unwrap();
    write(".b.img.brickwire-part", b"part");
    volume.symlink("a.img", ".b.img.brickwire-journal").unwrap();
    let said = resume();
    assert!(said.contains("/v/.b.img.brickwire-journal: is no regular file"), "{said}");
    volume.remove_file(".b.img.brickwire-journal").unwrap();
    write(".b.img.brickwire-journal", b"brickwire copy 1: import of 9 bytes to something else\n");
    let said = resume();
    assert!(said.contains("/v/.b.img.brickwire-part: is the part of another copy"), "{said}");
    assert_eq!(std::fs::read_to_string(site.on_brick("a.img")).unwrap(), "new");
    assert_eq!(std::fs::read_to_string(site.on_brick(".b.img.brickwire-part")).unwrap(), "part");
    assert!(site.on_brick(".b.img.brickwire-journal").exists());
    succeeds(brickwire().args(["import", "--force", &source, &site.uri("b.img")]));
    assert_eq!(site.names(), ["a.img", "b.img"]);
}

#[test]
fn a_new_local_file_has_the_mode_that_the_mask_leaves() {
    let site = Site::new();
    succeeds(brickwire().args(["import", &site.local("a", "a"), &site.uri("a.img")]));
    let target = site.local.path().join("t");
    let (program, uri) = (env!("CARGO_BIN_EXE_brickwire"), site.uri("a.img"));
    let export = format!("umask 027 && {program} export {uri} {}", target.display());
    succeeds(std::process::Command::new("sh").args(["-c", &export]));
    assert_eq!(target.metadata().unwrap().mode() & 0o777, 0o640);
}

#[test]
fn a_slash_after_a_name_asks_for_a_directory() {
    let site = Site::new();
    let source = site.local("source", "new");
    succeeds(brickwire().args(["import", &source, &site.uri("a.img")]));
    let (uri, local) = (site.uri("new/"), format!("{}/new/", site.local.path().display()));
    for args in [
        &["import", &source, &uri][..],
        &["create", &uri, "1M"],
        &["mv", &site.uri("a.img"), "new/"],
        &["mv", &site.uri("a.img"), &uri],
        &["export", &site.uri("a.img"), &local],
    ] {
        let said = fails(brickwire().args(args));
        assert!(said.contains("new/: is no directory"), "{args:?}: {said}");
    }
    assert_eq!(site.names(), ["a.img"]);
    succeeds(brickwire().args(["mkdir", &site.uri("new")]));
    succeeds(brickwire().args(["import", &source, &uri]));
    succeeds(brickwire().args(["mv", &site.uri("a.img"), "new/"]));
    assert!(site.on_brick("new/source").exists() && site.on_brick("new/a.img").exists());
}

#[test]
fn a_move_whose_old_name_cannot_be_removed_leaves_no_new_one() {
    let site = Site::new();
    succeeds(brickwire().args(["mkdir", &site.uri("d")]));
    succeeds(brickwire().args(["mkdir", &site.uri("e")]));
    succeeds(brickwire().args(["import", &site.local("source", "new"), &site.uri("d/a")]));
    // Everybody may make names, and only the owner may remove them, who is root.
    for (path, mode) in [("d", 0o1777), ("e", 0o777), ("d/a", 0o666)] {
        std::fs::set_permissions(site.on_brick(path), PermissionsExt::from_mode(mode)).unwrap();
    }
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let nobody = Nobody::new();
    let said = fails(nobody.brickwire().args(["mv", &site.uri("d/a"), "e/a"]));
    assert!(said.contains("d/a: ") && said.contains("it keeps its name"), "{said}");
    assert!(site.on_brick("d/a").exists() && !site.on_brick("e/a").exists());
}
