//! Files that are replaced while they are open, through two mounts of GlusterFS's own client: what
//! another program appends by the old inode is never lost without an error.

use std::fs::{File, read_to_string, rename, write};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use brickwire_tests::serve::{Mount, Served, wanted};
use brickwire_tests::{program, run};

/// Replaces a file that `one` holds open and `other` has in its caches; then `other` appends to it
/// by its name. Returns what the append said.
fn append_to_a_replaced_file(one: &Mount, other: &Mount, name: &str) -> std::io::Result<()> {
    let beside = one.at(&format!("{name}.tmp"));
    write(one.at(name), "old\n").expect("a file");
    let mut held = File::options().read(true).write(true).open(one.at(name)).expect("open");
    assert_eq!(read_to_string(other.at(name)).expect("read"), "old\n");
    write(&beside, "new\n").expect("a file");
    rename(&beside, one.at(name)).expect("a rename");
    let appended = File::options()
        .append(true)
        .open(other.at(name))
        .and_then(|mut file| file.write_all(b"appended\n").and_then(|()| file.sync_all()));
    let text = read_to_string(one.at(name)).expect("read");
    assert_eq!(text, if appended.is_ok() { "new\nappended\n" } else { "new\n" });
    // The file that is open goes on.
    held.seek(SeekFrom::End(0)).expect("a seek");
    held.write_all(b"held\n").expect("a write");
    held.rewind().expect("a seek");
    let mut text = String::new();
    held.read_to_string(&mut text).expect("a read");
    assert_eq!(text, "old\nheld\n");
    appended
}

#[test]
fn an_append_to_a_replaced_file_is_in_the_new_one_or_an_error() {
    if !wanted() {
        return;
    }
    let served = Served::one();
    let (one, other) = (served.mount("v"), served.mount("v"));
    for round in 0..10 {
        // With `performance.open-behind`, which is on by default, the client opens the file when it
        // writes, too late to look the name up again: real bricks make that an error, too.
        let _ = append_to_a_replaced_file(&one, &other, &format!("s{round}"));
    }
}

#[test]
fn a_client_that_opens_at_once_looks_the_name_up_again_and_appends_to_the_new_file() {
    if !wanted() {
        return;
    }
    let served = Served::with(|dir| {
        let (state, brick) = (dir.join("state"), dir.join("brick"));
        for dir in [&state, &brick] {
            std::fs::create_dir(dir).expect("a directory");
        }
        volume(&state, &["create", "v", brick.to_str().expect("a text")]);
        // Without md-cache, which would answer that look-up with what it knows.
        for option in ["performance.open-behind", "performance.stat-prefetch"] {
            volume(&state, &["set", "v", option, "off"]);
        }
        volume(&state, &["start", "v"]);
        vec!["--state".into(), state.display().to_string()]
    });
    let (one, other) = (served.mount("v"), served.mount("v"));
    for round in 0..10 {
        append_to_a_replaced_file(&one, &other, &format!("s{round}")).expect("it is appended");
    }
}

fn volume(state: &Path, words: &[&str]) {
    let program = program().to_str().expect("a text").to_owned();
    run(&program, &[&["volume", "--state", state.to_str().expect("a text")], words].concat());
}
