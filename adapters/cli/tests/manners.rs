//! Help, settings, logs and messages, as a person meets them.

mod common;

use std::process::Command;

use common::{Serving, brickwire, fails, succeeds};

fn serve_one() -> (tempfile::TempDir, Serving) {
    let brick = tempfile::tempdir().unwrap();
    let serving = Serving::serve(&["--volume", &format!("v={}", brick.path().display())]);
    (brick, serving)
}

#[test]
fn a_brick_that_does_not_exist_is_served_only_with_create() {
    let site = tempfile::tempdir().unwrap();
    let typo = site.path().join("typo");
    let volume = format!("v={}", typo.display());
    let serve = ["serve", "--listen", "127.0.0.1:0", "--volume", &volume];
    let said = fails(brickwire().args(serve));
    assert!(said.contains("typo does not exist") && said.contains("--create"), "{said}");
    let state = site.path().join("state").display().to_string();
    let create = ["volume", "create", "v", typo.to_str().unwrap(), "--state", &state];
    let said = fails(brickwire().args(create));
    assert!(said.contains("typo does not exist"), "{said}");
    assert!(!typo.exists());
    succeeds(brickwire().args(create).arg("--create"));
    assert!(typo.is_dir());
    // A started volume whose disk is not mounted is not made anew either.
    succeeds(brickwire().args(["volume", "start", "v", "--state", &state]));
    std::fs::remove_dir(&typo).unwrap();
    let mut serve = brickwire();
    serve.args(["serve", "--listen", "127.0.0.1:0", "--state", &state]);
    let serving = Serving::start(&mut serve);
    assert_eq!(serving.said["volume"], serde_json::Value::Null);
    assert!(!typo.exists());
}

#[test]
fn bricks_are_understood_as_gluster_writes_them_or_refused_and_no_directory_is_called_host() {
    let site = tempfile::tempdir().unwrap();
    let state = site.path().join("state").display().to_string();
    let brick = |name: &str| site.path().join(name).display().to_string();
    let create = |words: &[&str]| {
        let mut command = brickwire();
        command.args(["volume", "create", "--create", "--state", &state]).args(words);
        command.current_dir(site.path());
        command
    };
    let bricks = ["a", "b", "c"].map(|name| format!("localhost:{}", brick(name)));
    let words = ["r", "replica", "3", &bricks[0], &bricks[1], &bricks[2], "force", "--json"];
    let said = succeeds(&mut create(&words));
    let made: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(made["shape"], "replica");
    assert_eq!(made["bricks"][2], brick("c"));

    let elsewhere = format!("192.0.2.1:{}", brick("d"));
    for (words, says) in [
        (&["v", &elsewhere][..], "is no name or address of this host"),
        (&["v", "host:srv/b1"], "HOST:/DIR"),
        (&["v", "disperse", "3", "localhost:/a", "localhost:/b", "localhost:/c"], "disperse 3"),
    ] {
        let said = fails(&mut create(words));
        assert!(said.contains(says), "{said}");
    }
    let volume = format!("v={elsewhere}");
    let mut serve = brickwire();
    serve.args(["serve", "--create", "--listen", "127.0.0.1:0", "--volume", &volume]);
    assert!(fails(&mut serve).contains("is no name or address of this host"));
    assert_eq!(std::fs::read_dir(site.path()).unwrap().count(), 4, "three bricks and the state");
}

#[test]
fn messages_about_our_own_server_name_it_and_say_what_was_expected() {
    let (brick, serving) = serve_one();
    let other = serving.uri().replace("/v", "/w");
    let said = fails(brickwire().args(["ls", &other]));
    assert!(
        said.contains("has no volume \"w\"") && said.contains("brickwire volume list"),
        "{said}"
    );
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let said = fails(brickwire().args(["ls", &format!("gluster://127.0.0.1:{port}/v")]));
    assert!(said.contains("brickwire serve") && said.contains("24007"), "{said}");
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("gluster://{}/v", silent.local_addr().unwrap());
    let said = fails(brickwire().args(["ls", "--timeout", "1", &uri]));
    assert!(!said.contains("not tried") && said.contains("24007 by default"), "{said}");
    let said = fails(brickwire().args(["rm", &serving.uri()]));
    assert!(said.contains("names a whole volume"), "{said}");
    let taken = silent.local_addr().unwrap().to_string();
    let said = fails(brickwire().args(["serve", "--listen", &taken, "--volume", "v=/"]));
    assert!(said.contains("(EADDRINUSE)"), "{said}");
    let said = fails(brickwire().args(["ls", &serving.uri(), "--connections", "99"]));
    assert!(said.contains("expected 1 or 2: see brickwire ls --help"), "{said}");
    let volume = format!("x={}", brick.path().display());
    let soon = "network.ping-timeout=soon";
    let said = fails(brickwire().args(["serve", "--volume", &volume, "--option", soon]));
    assert!(said.contains("expected a time") && !said.contains("this is not it"), "{said}");
    let said = fails(brickwire().args(["cp", "a", "b"]));
    assert!(said.contains("import copies to a volume") && !said.contains("completions"), "{said}");
    let said = fails(brickwire().args(["info", &format!("{}/nope", serving.uri())]));
    assert!(said.contains("nope: no such file or directory (ENOENT)"), "{said}");
}

#[test]
fn options_are_where_a_person_types_them_and_only_where_they_mean_something() {
    let state = tempfile::tempdir().unwrap();
    let directory = state.path().to_str().unwrap();
    for args in
        [&["volume", "list", "--state", directory][..], &["volume", "--state", directory, "list"]]
    {
        assert_eq!(succeeds(brickwire().args(args)), "");
    }
    for args in [
        &["completions", "bash", "--timeout", "3"][..],
        &["volume", "list", "--server", "h"],
        &["uri", "gluster://h/v", "--connections", "2"],
    ] {
        assert!(fails(brickwire().args(args)).contains("unexpected argument"), "{args:?}");
    }
    let (_brick, serving) = serve_one();
    succeeds(brickwire().args(["create", &format!("{}/a", serving.uri()), "1536"]));
    let listed = succeeds(brickwire().args(["ls", "-lh", &serving.uri()]));
    assert!(listed.contains(" 1.5K "), "{listed}");
}

#[test]
fn settings_come_from_the_environment_and_a_file() {
    let (_brick, serving) = serve_one();
    let site = tempfile::tempdir().unwrap();
    let config = site.path().join("config.toml");
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (dead, live) = (format!("gluster://{closed}/v"), serving.uri());
    let host = live.strip_prefix("gluster://").unwrap().strip_suffix("/v").unwrap();
    // A server that the URI does not name is only asked where a setting names it.
    fails(brickwire().args(["ls", &dead]));
    succeeds(brickwire().args(["ls", &dead]).env("BRICKWIRE_SERVER", host));
    std::fs::write(&config, format!("servers = [{host:?}]\n")).unwrap();
    succeeds(brickwire().args(["ls", &dead]).env("BRICKWIRE_CONFIG", &config));
    std::fs::create_dir_all(site.path().join("brickwire")).unwrap();
    std::fs::rename(&config, site.path().join("brickwire/config.toml")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_brickwire"));
    command.env_remove("BRICKWIRE_CONFIG").env("XDG_CONFIG_HOME", site.path());
    succeeds(command.args(["ls", &dead]));

    let said = fails(brickwire().args(["ls", &live]).env("BRICKWIRE_TIMEOUT", "never"));
    assert!(said.contains("never") && said.contains("seconds"), "{said}");
    let wrong = site.path().join("wrong.toml");
    std::fs::write(&wrong, "\ntime-out = 3\n").unwrap();
    let said = fails(brickwire().args(["ls", &live]).env("BRICKWIRE_CONFIG", &wrong));
    assert!(said.contains("line 2") && said.contains("time-out"), "{said}");
}

#[test]
fn verbose_runs_show_connections_handshakes_and_retries() {
    let (_brick, serving) = serve_one();
    let stderr =
        |command: &mut Command| String::from_utf8(command.output().unwrap().stderr).unwrap();
    assert_eq!(stderr(brickwire().args(["ls", &serving.uri()])), "");
    let said = stderr(brickwire().args(["ls", "-v", &serving.uri()]));
    assert!(said.contains("graph of 1 brick") && said.contains("handshake done"), "{said}");
    assert!(!said.contains("connecting to"), "{said}");
    for said in [
        stderr(brickwire().args(["ls", "-vv", &serving.uri()])),
        stderr(brickwire().args(["ls", &serving.uri()]).env("RUST_LOG", "debug")),
    ] {
        assert!(said.contains("DEBUG") && said.contains("connecting to 127.0.0.1:"), "{said}");
    }
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let said = stderr(brickwire().args(["ls", "-v", &format!("gluster://{closed}/v")]));
    assert!(said.contains("connection refused") && said.contains("WARN"), "{said}");
}

#[test]
fn man_pages_are_written_for_every_command() {
    let page = succeeds(brickwire().arg("man"));
    assert!(page.contains(".TH brickwire 1") && page.contains("quickstart"), "{page}");
    let directory = tempfile::tempdir().unwrap();
    succeeds(brickwire().arg("man").arg(directory.path()));
    for name in ["brickwire.1", "brickwire-import.1", "brickwire-volume-create.1"] {
        let page = std::fs::read_to_string(directory.path().join(name)).unwrap();
        assert!(page.contains("Examples:"), "{name}: {page}");
    }
}
