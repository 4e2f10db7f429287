//! Mistakes of an administrator of `brickwire serve`: each is told in one line, and nothing
//! is served by halves.

mod common;

use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use common::{Serving, brickwire, fails, succeeds};
use rustix::process::{Pid, Signal};

fn serve(args: &[&str]) -> Command {
    let mut command = brickwire();
    command.args(["serve", "--create", "--listen", "127.0.0.1:0"]).args(args);
    command
}

fn volume(state: &Path, args: &[&str]) -> Command {
    let mut command = brickwire();
    command.arg("volume").arg("--state").arg(state).args(args);
    command
}

#[test]
fn volumes_share_neither_a_name_nor_a_directory() {
    let site = tempfile::tempdir().unwrap();
    let path = |name: &str| site.path().join(name).display().to_string();
    std::fs::create_dir_all(path("outer/inner")).unwrap();
    symlink(path("outer"), path("link")).unwrap();
    for (one, two, says) in [
        (format!("a={}", path("x")), format!("a={}", path("y")), "two volumes are named a"),
        (format!("a={}", path("x")), format!("b={}", path("x")), "is volume a's already"),
        (
            format!("a={}", path("outer")),
            format!("b={}", path("outer/inner")),
            "is in volume a's brick",
        ),
        (
            format!("a={}", path("outer/inner/x")),
            format!("b={}", path("outer")),
            "contains volume a's brick",
        ),
        (
            format!("a={}", path("outer")),
            format!("b={}", path("link/inner/y")),
            "is in volume a's brick",
        ),
        (format!("a={}", path("link")), format!("b={}", path("outer")), "is volume a's already"),
    ] {
        let said = fails(&mut serve(&["--volume", &one, "--volume", &two]));
        assert!(said.contains(says), "{one} {two}: {said}");
    }
    let own = format!("a=replica:{0},{0}/x", path("r"));
    assert!(fails(&mut serve(&["--volume", &own])).contains("its own brick"));
    assert!(!Path::new(&path("x")).exists() && !Path::new(&path("r")).exists(), "nothing was made");

    let state = site.path().join("state");
    succeeds(&mut volume(&state, &["create", "--create", "a", &path("outer")]));
    let said = fails(&mut volume(&state, &["create", "b", &path("link/inner")]));
    assert!(said.contains("is in volume a's brick"), "{said}");
    // Side by side is something else.
    succeeds(&mut volume(&state, &["create", "--create", "c", &path("outermost")]));
}

#[test]
fn words_that_mean_nothing_here_are_refused_and_make_no_directory() {
    let site = tempfile::tempdir().unwrap();
    for (args, says) in [
        (["--volume", "a=disperse:x,y,z"], "not disperse:"),
        (["--volume", "a=replic:x,y"], "not replic:"),
        (["--listen", "24008"], "ADDRESS:PORT"),
        (["--metrics", "9436"], "ADDRESS:PORT"),
        (["--volume", "a=my brick"], "my brick"),
        (["--volume", "ä=x"], "letters, digits"),
    ] {
        let said = fails(serve(&["--volume", "v=v"]).args(args).current_dir(&site));
        assert!(said.contains(says), "{args:?}: {said}");
    }
    assert_eq!(std::fs::read_dir(&site).unwrap().count(), 0);
    std::fs::write(site.path().join("file"), "").unwrap();
    assert!(
        fails(serve(&["--volume", "a=file"]).current_dir(&site)).contains("is not a directory")
    );
    let said = fails(serve(&["--volume", "a=x", "--socket", "file"]).current_dir(&site));
    assert!(said.contains("is not a socket"), "{said}");

    for (args, says) in [
        (&["serve", "--volum", "a=b"][..], "'--volume': see brickwire serve --help"),
        (&["srve"], "'serve': see brickwire --help"),
        (&["volume", "create", "x"], "see brickwire volume create --help"),
    ] {
        let said = fails(brickwire().args(args));
        assert!(said.contains(says), "{args:?}: {said}");
    }
}

#[test]
fn a_file_is_told_in_one_line_what_is_wrong_with_it_and_options_need_no_quotes() {
    let site = tempfile::tempdir().unwrap();
    let (config, brick) = (site.path().join("x.toml"), site.path().join("brick"));
    let with = |option: &str| {
        let text =
            format!("[[volume]]\nname = \"a\"\nbricks = [{brick:?}]\n[volume.options]\n{option}\n");
        std::fs::write(&config, text).unwrap();
        let mut command = serve(&["--config"]);
        command.arg(&config);
        command
    };
    for (option, says) in [
        ("group = [1]", "line 5: expected text"),
        ("network.ping-timeout = 3", "quotes around a name with dots"),
        ("x = ", "line 5: "),
    ] {
        let said = fails(&mut with(option));
        assert!(said.contains(says) && !said.contains('?'), "{option}: {said}");
    }
    let server =
        Serving::start(&mut with("\"network.ping-timeout\" = 17\n\"features.read-only\" = true"));
    assert!(succeeds(brickwire().args(["volfile", &server.uri()])).contains("ping-timeout 17"));
    let said = fails(brickwire().args(["mkdir", &format!("{}/d", server.uri())]));
    assert!(said.to_lowercase().contains("read-only"), "{said}");
}

#[test]
fn every_address_of_both_families_can_be_listened_on_at_once() {
    if TcpListener::bind("[::1]:0").is_err() {
        println!("skipped: no IPv6 here");
        return;
    }
    let port = TcpListener::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port();
    let site = tempfile::tempdir().unwrap();
    let spec = format!("a={}", site.path().join("brick").display());
    let (four, six) = (format!("0.0.0.0:{port}"), format!("[::]:{port}"));
    for listen in [&[&four, &six][..], &[&six, &four], &[&six]] {
        let mut command = brickwire();
        command.args(["serve", "--create", "--host", "127.0.0.1", "--volume", &spec]);
        for address in listen {
            command.args(["--listen", address]);
        }
        let server = Serving::start(&mut command);
        TcpStream::connect(("127.0.0.1", port)).unwrap();
        TcpStream::connect(("::1", port)).unwrap();
        succeeds(brickwire().args(["ls", &server.uri()]));
        server.stop(Signal::TERM);
    }
}

#[test]
fn the_uri_of_a_unix_socket_works_from_everywhere_whatever_it_is_called() {
    let site = tempfile::tempdir().unwrap();
    let mut command = serve(&["--volume", "a=brick", "--socket", "a &b?%2F#.sock"]);
    let mut child = command.current_dir(&site).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.next().unwrap().starts_with("serving gluster://127.0.0.1:"));
    let said = lines.next().unwrap();
    let uri = said.trim().strip_prefix("or ").unwrap();
    succeeds(brickwire().args(["mkdir", &uri.replace("/a?", "/a/d?")]).current_dir("/"));
    assert!(succeeds(brickwire().args(["ls", uri]).current_dir("/")).contains('d'));
    rustix::process::kill_process(Pid::from_raw(child.id() as i32).unwrap(), Signal::TERM).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(!site.path().join("a &b?%2F#.sock").exists());
    // Volumes that no client can reach are not served.
    let said =
        fails(brickwire().args(["serve", "--volume", "a=b", "--socket", "s"]).current_dir(&site));
    assert!(said.contains("--listen"), "{said}");
}

#[test]
fn a_started_volume_that_nobody_serves_is_told() {
    let site = tempfile::tempdir().unwrap();
    let (state, brick) = (site.path().join("state"), site.path().join("brick"));
    succeeds(&mut volume(&state, &["create", "--create", "a", brick.to_str().unwrap()]));
    assert!(succeeds(&mut volume(&state, &["start", "a"])).contains("brickwire serve --state"));
    let server = Serving::start(&mut serve(&["--state", state.to_str().unwrap()]));
    assert!(!succeeds(&mut volume(&state, &["start", "a"])).contains("serve"));
    server.stop(Signal::TERM);
}

#[test]
fn a_damaged_volume_does_not_hide_the_others() {
    let site = tempfile::tempdir().unwrap();
    let (state, brick) = (site.path().join("state"), site.path().join("brick"));
    succeeds(&mut volume(&state, &["create", "--create", "good", brick.to_str().unwrap()]));
    std::fs::write(state.join("volumes/bad.toml"), "started = true\nvolume = {").unwrap();
    let output = volume(&state, &["info"]).output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8(output.stdout).unwrap().contains("volume good"));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.lines().count() == 1
            && said.contains("bad.toml is damaged")
            && said.contains("line 2"),
        "{said}"
    );
}

#[test]
fn what_is_no_file_among_the_volumes_keeps_no_server_from_following() {
    let site = tempfile::tempdir().unwrap();
    let (state, brick) = (site.path().join("state"), site.path().join("brick"));
    succeeds(&mut volume(&state, &["create", "--create", "a", brick.to_str().unwrap()]));
    succeeds(&mut volume(&state, &["start", "a"]));
    let server = Serving::start(&mut serve(&["--state", state.to_str().unwrap()]));
    let mode = rustix::fs::Mode::RUSR;
    rustix::fs::mknodat(
        rustix::fs::CWD,
        state.join("volumes/b.toml"),
        rustix::fs::FileType::Fifo,
        mode,
        0,
    )
    .unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1000));
    succeeds(&mut volume(&state, &["set", "a", "network.ping-timeout", "13"]));
    std::thread::sleep(std::time::Duration::from_millis(1500));
    assert!(succeeds(brickwire().args(["volfile", &server.uri()])).contains("ping-timeout 13"));
    server.stop(Signal::TERM);
}

#[test]
fn a_state_directory_that_goes_away_takes_no_volume_with_it() {
    let site = tempfile::tempdir().unwrap();
    let (state, brick) = (site.path().join("state"), site.path().join("brick"));
    succeeds(&mut volume(&state, &["create", "--create", "a", brick.to_str().unwrap()]));
    succeeds(&mut volume(&state, &["start", "a"]));
    let server = Serving::start(&mut serve(&["--state", state.to_str().unwrap()]));
    std::fs::rename(&state, site.path().join("elsewhere")).unwrap();
    // It looks every half second.
    std::thread::sleep(std::time::Duration::from_millis(1500));
    succeeds(brickwire().args(["ls", &server.uri()]));
    server.stop(Signal::TERM);
}
