//! Options that give clients another graph, set while a mount of GlusterFS's own client is in use.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::time::Duration;

use brickwire_tests::serve::{Served, wanted};
use brickwire_tests::{program, run};

fn volume(state: &Path, words: &[&str]) {
    let program = program().to_str().expect("a text").to_owned();
    run(&program, &[&["volume", "--state", state.to_str().expect("a text")], words].concat());
}

/// A server of the volume `v` that follows a state directory.
fn followed() -> Served {
    Served::with(|dir| {
        let (state, brick) = (dir.join("state"), dir.join("brick"));
        for dir in [&state, &brick] {
            std::fs::create_dir(dir).expect("a directory");
        }
        volume(&state, &["create", "v", brick.to_str().expect("a text")]);
        volume(&state, &["start", "v"]);
        vec!["--state".into(), state.display().to_string()]
    })
}

#[test]
fn files_are_used_on_when_an_option_gives_their_client_another_graph() {
    if !wanted() {
        return;
    }
    let served = followed();
    let mount = served.mount("v");
    let options = [
        ("features.shard", "on"),
        ("performance.write-behind", "off"),
        ("performance.quick-read", "off"),
        ("performance.stat-prefetch", "off"),
        ("features.ctime", "off"),
        ("performance.open-behind", "off"),
        ("performance.readdir-ahead", "on"),
        ("performance.io-cache", "on"),
        ("performance.client-io-threads", "off"),
        ("features.shard-block-size", "4MB"),
    ];
    for (round, (key, value)) in options.into_iter().enumerate() {
        let at = |name: &str| mount.at(&format!("{name}{round}"));
        for name in ["moved", "appended", "removed", "read", "written", "kept"] {
            std::fs::write(at(name), format!("{name}\n")).expect("a file");
        }
        std::fs::create_dir(at("dir")).expect("a directory");
        std::fs::write(at("dir").join("inside"), "inside\n").expect("a file");
        let mut read = std::fs::File::open(at("read")).expect("a file");
        let mut written = std::fs::File::options().append(true).open(at("written")).expect("one");
        volume(&served.dir().join("state"), &["set", "v", key, value]);
        // The client has fetched the volfile and connects anew.
        std::thread::sleep(Duration::from_millis(1500));
        let names = std::fs::read_dir(mount.path()).expect("a list").count();
        let option = format!("{key} {value}");
        assert_eq!(names, 6 * round + 7, "{option}");
        std::fs::rename(at("moved"), at("there"))
            .unwrap_or_else(|error| panic!("{option}: {error}"));
        let mut append = std::fs::File::options().append(true).open(at("appended")).expect("open");
        append.write_all(b"more\n").unwrap_or_else(|error| panic!("{option}: {error}"));
        drop(append);
        assert_eq!(std::fs::read_to_string(at("appended")).expect("read"), "appended\nmore\n");
        std::fs::remove_file(at("removed")).unwrap_or_else(|error| panic!("{option}: {error}"));
        let mut text = String::new();
        read.read_to_string(&mut text).unwrap_or_else(|error| panic!("{option}: {error}"));
        assert_eq!(text, "read\n", "{option}");
        written.write_all(b"more\n").unwrap_or_else(|error| panic!("{option}: {error}"));
        drop(written);
        assert_eq!(std::fs::read_to_string(at("written")).expect("read"), "written\nmore\n");
        assert_eq!(std::fs::metadata(at("kept")).expect("a stat").len(), 5, "{option}");
        assert_eq!(std::fs::read_dir(at("dir")).expect("a list").count(), 1, "{option}");
        std::fs::rename(at("dir"), at("folder"))
            .unwrap_or_else(|error| panic!("{option}: {error}"));
    }
}
