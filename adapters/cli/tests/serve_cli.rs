//! `brickwire serve` and `brickwire volume`, as an administrator runs them.

mod common;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use brickwire_std::{OpenOptions, Options, Volume};
use common::{Serving, brickwire, fails, succeeds};
use rustix::process::Signal;
use serde_json::Value;

const BLOCK: u64 = 4096;

/// Waits until something is so; a server follows its state directory with some delay.
fn until(what: &str, mut so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < Duration::from_secs(20), "not within 20 s: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A state directory with a directory for bricks beside it.
struct Site {
    directory: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    fn volume(&self, args: &[&str]) -> std::process::Command {
        let mut command = brickwire();
        command.args(["volume", "--state", &self.path("state")]).args(args);
        command
    }

    fn said(&self, args: &[&str]) -> Value {
        serde_json::from_str(&succeeds(self.volume(args).arg("--json"))).unwrap()
    }

    fn serve(&self) -> Serving {
        Serving::serve(&["--state", &self.path("state")])
    }

    fn refuses_to_serve(&self, args: &[&str]) -> String {
        fails(brickwire().args(["serve", "--listen", "127.0.0.1:0"]).args(args))
    }
}

fn get(url: &str) -> String {
    let rest = url.strip_prefix("http://").unwrap();
    let (address, path) = rest.split_at(rest.find('/').unwrap());
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\nHost: x\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.") && head.contains(" 200 "), "{head}");
    assert!(head.to_lowercase().contains("content-type: text/plain; version=0.0.4"), "{head}");
    body.to_owned()
}

/// Name, labels, value.
type Sample = (String, Vec<(String, String)>, f64);

/// The samples of Prometheus' text, read as strictly as its own parser does.
fn samples(text: &str) -> Vec<Sample> {
    let is_name = |name: &str| {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':');
        !name.is_empty() && name.bytes().all(good) && !name.as_bytes()[0].is_ascii_digit()
    };
    let mut all: Vec<Sample> = Vec::new();
    let (mut family, mut kind, mut families) = (String::new(), String::new(), Vec::new());
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            family = help.split_once(' ').unwrap().0.to_owned();
            assert!(is_name(&family) && !families.contains(&family), "{line}");
            families.push(family.clone());
            continue;
        }
        if let Some(typed) = line.strip_prefix("# TYPE ") {
            let (name, of) = typed.split_once(' ').unwrap();
            assert!(name == family && ["counter", "gauge", "summary"].contains(&of), "{line}");
            assert_eq!(of == "counter", name.ends_with("_total"), "{line}");
            kind = of.to_owned();
            continue;
        }
        let end = line.find(['{', ' ']).unwrap();
        let (name, mut rest) = line.split_at(end);
        let suffix =
            name.strip_prefix(&family).unwrap_or_else(|| panic!("outside its family: {line}"));
        assert!(
            if kind == "summary" {
                ["_sum", "_count"].contains(&suffix)
            } else {
                suffix.is_empty()
            },
            "{line}"
        );
        let mut labels = Vec::new();
        if let Some(mut inside) = rest.strip_prefix('{') {
            loop {
                let (label, after) = inside.split_once("=\"").unwrap();
                assert!(is_name(label), "{line}");
                let (mut value, mut at) = (String::new(), after.chars());
                loop {
                    match at.next().unwrap() {
                        '"' => break,
                        '\\' => value.push(match at.next().unwrap() {
                            'n' => '\n',
                            escaped @ ('\\' | '"') => escaped,
                            other => panic!("\\{other} in {line}"),
                        }),
                        other => value.push(other),
                    }
                }
                labels.push((label.to_owned(), value));
                match at.next().unwrap() {
                    ',' => inside = at.as_str(),
                    '}' => break rest = at.as_str(),
                    other => panic!("{other} in {line}"),
                }
            }
        }
        let value: f64 = rest.strip_prefix(' ').unwrap().parse().unwrap();
        assert!(value >= 0.0, "{line}");
        assert!(
            !all.iter().any(|(other, its, _)| other == name && *its == labels),
            "twice: {line}"
        );
        all.push((name.to_owned(), labels, value));
    }
    all
}

fn sample(all: &[Sample], name: &str, label: &str) -> Option<f64> {
    let fits = |labels: &[(String, String)]| {
        label.is_empty() || labels.iter().any(|(_, value)| value == label)
    };
    all.iter().find(|(other, labels, _)| other == name && fits(labels)).map(|(_, _, value)| *value)
}

#[test]
fn the_status_page_counts_what_a_client_did_and_prometheus_can_read_it() {
    let site = Site::new();
    let spec = format!("vms={}", site.path("brick"));
    let server = Serving::serve(&["--volume", &spec, "--metrics", "127.0.0.1:0"]);
    let url = server.said["metrics"].as_str().unwrap().to_owned();
    let volume = Volume::open(&server.uri()).unwrap();
    let file =
        volume.open_file("a", &OpenOptions::new().read(true).write(true).create(true)).unwrap();
    for each in 0..10 {
        file.write_all_at(&[7; BLOCK as usize], each * BLOCK).unwrap();
    }
    file.flush().unwrap();
    let mut block = [0; BLOCK as usize];
    file.read_exact_at(&mut block, 0).unwrap();
    // Large enough to go past the smallest buffers.
    file.read_exact_at(&mut vec![0; 5 * BLOCK as usize], 0).unwrap();
    assert!(volume.stat("nothing").is_err());

    let all = samples(&get(&url));
    assert_eq!(sample(&all, "brickwire_build_info", env!("CARGO_PKG_VERSION")), Some(1.0));
    assert_eq!(sample(&all, "brickwire_fop_duration_seconds_count", "write"), Some(10.0));
    assert!(sample(&all, "brickwire_fop_duration_seconds_sum", "write").unwrap() > 0.0);
    assert_eq!(sample(&all, "brickwire_fop_errors_total", "write"), Some(0.0));
    assert_eq!(sample(&all, "brickwire_fop_duration_seconds_count", "fsync"), Some(1.0));
    assert_eq!(sample(&all, "brickwire_fop_errors_total", "lookup").map(|n| n >= 1.0), Some(true));
    assert_eq!(sample(&all, "brickwire_written_bytes_total", "vms"), Some(10.0 * BLOCK as f64));
    assert_eq!(sample(&all, "brickwire_read_bytes_total", "vms"), Some(6.0 * BLOCK as f64));
    assert_eq!(sample(&all, "brickwire_open_files", ""), Some(1.0));
    assert_eq!(sample(&all, "brickwire_locks_held", ""), Some(0.0));
    assert_eq!(sample(&all, "brickwire_client_connections", "vms"), Some(1.0));
    assert_eq!(sample(&all, "brickwire_connections", ""), Some(2.0));

    file.close().unwrap();
    drop(volume);
    until("nobody is connected", || {
        let all = samples(&get(&url));
        sample(&all, "brickwire_connections", "") == Some(0.0)
            && sample(&all, "brickwire_open_files", "") == Some(0.0)
    });
    // Counts of a client stay when it has gone.
    let all = samples(&get(&url));
    assert_eq!(sample(&all, "brickwire_fop_duration_seconds_count", "write"), Some(10.0));
    server.stop(Signal::TERM);
}

#[test]
fn a_volume_is_made_started_changed_under_its_clients_stopped_and_forgotten() {
    let site = Site::new();
    let brick = site.path("brick");
    let made = site.said(&["create", "--create", "vms", &brick]);
    assert_eq!(
        (made["status"].as_str(), made["shape"].as_str()),
        (Some("stopped"), Some("distribute"))
    );
    assert_eq!(site.said(&["list"]), serde_json::json!(["vms"]));
    let server = Serving::serve(&[
        "--state",
        &site.path("state"),
        "--volume",
        &format!("other={}", site.path("o")),
    ]);
    let uri = server.uri().replace("/other", "/vms");
    assert!(Volume::open(&uri).is_err(), "it is not started");

    assert_eq!(site.said(&["start", "vms"])["status"], "started");
    until("it is served", || Volume::open(&uri).is_ok());
    let volume = Volume::open(&uri).unwrap();
    let file =
        volume.open_file("a", &OpenOptions::new().read(true).write(true).create(true)).unwrap();

    // Options reach a client that goes on working.
    let (over, writes) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                file.write_all_at(&[3; 512], 0).unwrap();
                writes.fetch_add(1, Ordering::Relaxed);
            }
        });
        assert!(!volume.volfile().unwrap().contains("ping-timeout 13"));
        site.said(&["set", "vms", "network.ping-timeout", "13"]);
        until("the client has the new volfile", || {
            volume.volfile().unwrap().contains("ping-timeout 13")
        });
        let before = writes.load(Ordering::Relaxed);
        until("it goes on writing", || {
            writes.load(Ordering::Relaxed) > before || writer.is_finished()
        });
        over.store(true, Ordering::Relaxed);
        writer.join().unwrap();
    });

    site.said(&["set", "vms", "storage.owner-uid", "107"]);
    until("the root belongs to somebody else", || volume.stat("").unwrap().iatt().uid == 107);
    assert!(fails(&mut site.volume(&["delete", "vms"])).contains("stop it first"));
    site.said(&["stop", "vms"]);
    until("it is not served any more", || Volume::open(&uri).is_err());
    drop((file, volume));
    site.said(&["start", "vms"]);
    until("it is served again", || {
        Volume::open(&uri).is_ok_and(|volume| volume.exists("a").unwrap())
    });
    site.said(&["stop", "vms"]);
    site.said(&["delete", "vms"]);
    assert_eq!(site.said(&["list"]), serde_json::json!([]));
    assert!(Path::new(&brick).join("a").exists(), "its data stays");
    server.stop(Signal::TERM);
}

#[test]
fn groups_add_up_and_options_are_understood_or_refused_by_name() {
    let site = Site::new();
    site.said(&["create", "--create", "vms", &site.path("brick")]);
    site.said(&["set", "vms", "group", "virt"]);
    let options = site.said(&["set", "vms", "group", "db-workload"])["options"].clone();
    assert_eq!(
        (options["features.shard"].as_str(), options["network.ping-timeout"].as_str()),
        (Some("on"), Some("20"))
    );
    assert_eq!(options["performance.write-behind"], "off");
    for (key, value, says) in [
        ("features.quota", "on", "quota"),
        ("no.such", "1", "there is no such option"),
        ("network.ping-timeout", "soon", "network.ping-timeout"),
        ("network.ping-timeout", "99999", "must be from 0 to 1013"),
        ("ssl", "on", "client.ssl or server.ssl"),
        ("warp-drive", "on", "there is no such option"),
        ("worm", "on", "features.worm"),
        ("group", "nonesuch", "no option group"),
        ("auth.allow", "10.0.0.1;rm", "addresses"),
        ("auth.allow", "/dir,10.0.0.1", "/dir(10.0.0.*"),
    ] {
        let said = fails(&mut site.volume(&["set", "vms", key, value]));
        assert!(said.contains(says) && said.contains("vms"), "{key}={value}: {said}");
    }
    assert!(
        fails(&mut site.volume(&["reset", "vms", "no.such"])).contains("there is no such option")
    );
    assert!(site.said(&["reset", "vms", "features.shard"])["options"]["features.shard"].is_null());
    let subdirectories = "/(10.0.0.1),/a b/dir(10.0.0.*|::1)";
    let options = site.said(&["set", "vms", "auth.allow", subdirectories])["options"].clone();
    assert_eq!(options["auth.allow"], subdirectories);
    let options = site.said(&["set", "vms", "read-only", "on"])["options"].clone();
    assert_eq!(options["features.read-only"], "on", "a short name is kept as the full one");
    assert!(site.said(&["reset", "vms", "read-only"])["options"]["features.read-only"].is_null());
    let spec = format!("x={}", site.path("x"));
    for option in ["features.quota=on", "quota=on"] {
        let said = site.refuses_to_serve(&["--volume", &spec, "--option", option]);
        assert!(said.contains("volume x") && said.contains("features.quota"), "{said}");
    }
    let said = site.refuses_to_serve(&["--volume", &spec, "--option", "features.quota=on"]);
    assert!(said.contains("volume x") && said.contains("quota"), "{said}");
}

#[test]
fn what_makes_no_volume_is_refused_before_anything_is_written() {
    let site = Site::new();
    for name in ["", "..", "a/b", "a b", "-a"] {
        let said = fails(&mut site.volume(&["create", "--", name, &site.path("b")]));
        assert!(
            said.contains("name of a volume") || said.contains("volume name"),
            "{name:?}: {said}"
        );
    }
    fails(&mut site.volume(&["create", "vms", "--shape", "replica", &site.path("b")]));
    fails(&mut site.volume(&["create", "vms", &site.path("b"), &site.path("b")]));
    assert!(!Path::new(&site.path("state")).exists());
    site.said(&["create", "--create", "vms", &site.path("b")]);
    assert!(
        fails(&mut site.volume(&["create", "vms", &site.path("c")])).contains("exists already")
    );
    let said = fails(&mut site.volume(&["create", "two", &site.path("b")]));
    assert!(said.contains("is volume vms's"), "{said}");
    for command in ["start", "stop", "delete", "info"] {
        assert!(fails(&mut site.volume(&[command, "nonesuch"])).contains("no volume nonesuch"));
    }
    // A state directory that is none.
    std::fs::write(site.path("file"), "").unwrap();
    let mut command = brickwire();
    command.args(["volume", "--state", &site.path("file"), "create", "x", &site.path("x")]);
    assert!(fails(&mut command).contains("Not a directory"));
}

#[test]
fn a_damaged_file_stops_neither_its_volume_nor_the_others() {
    let site = Site::new();
    for name in ["one", "two"] {
        site.said(&["create", "--create", name, &site.path(name)]);
        site.said(&["start", name]);
    }
    let server = site.serve();
    let uri = |name: &str| server.uri().replace("/one", &format!("/{name}"));
    Volume::open(&uri("one")).unwrap();
    let kept = format!("{}/volumes/one.toml", site.path("state"));
    std::fs::write(&kept, "started = tr").unwrap();
    let said = fails(&mut site.volume(&["set", "one", "network.ping-timeout", "13"]));
    assert!(said.contains("one.toml is damaged"), "{said}");
    assert!(fails(&mut site.volume(&["info"])).contains("one.toml is damaged"));
    // A change of another one is followed, and the damaged one is served as it was.
    site.said(&["set", "two", "network.ping-timeout", "13"]);
    let volume = Volume::open(&uri("two")).unwrap();
    until("the other one has changed", || volume.volfile().unwrap().contains("ping-timeout 13"));
    Volume::open(&uri("one")).unwrap();
    drop(volume);
    server.stop(Signal::TERM);
    // A server that starts with it serves the others.
    let server = site.serve();
    assert!(server.uri().ends_with("/two"));
    Volume::open(&server.uri()).unwrap();
}

#[test]
fn two_servers_have_neither_a_state_directory_nor_a_brick_in_common() {
    let site = Site::new();
    let brick = site.path("brick");
    site.said(&["create", "--create", "vms", &brick]);
    site.said(&["start", "vms"]);
    let first = site.serve();
    let said = site.refuses_to_serve(&["--state", &site.path("state")]);
    assert!(said.contains("already"), "{said}");
    let said = site.refuses_to_serve(&["--volume", &format!("vms={brick}")]);
    assert!(said.contains(&brick) && said.contains("served"), "{said}");
    first.stop(Signal::TERM);
    Serving::serve(&["--volume", &format!("vms={brick}")]).stop(Signal::TERM);
    let said = {
        let _again = Serving::serve(&["--volume", &format!("own={}", site.path("own"))]);
        site.refuses_to_serve(&["--volume", &format!("own={}", site.path("own"))])
    };
    assert!(said.contains("served"), "{said}");
}

#[test]
fn what_was_acknowledged_before_a_stop_is_there_after_it() {
    let site = Site::new();
    let brick = site.path("brick");
    let server = Serving::serve(&["--volume", &format!("vms={brick}")]);
    // Not for long does it wait for a server that does not come back.
    let options = Options::new().timeout(Duration::from_secs(2));
    let volume = Volume::open_with(&server.uri(), &options).unwrap();
    let file = volume.open_file("log", &OpenOptions::new().write(true).create(true)).unwrap();
    let acknowledged = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for each in 0.. {
                let block: Vec<u8> = [each + 1; BLOCK as usize / 8]
                    .iter()
                    .flat_map(|n: &u64| n.to_be_bytes())
                    .collect();
                if file.write_all_at(&block, each * BLOCK).is_err() {
                    return;
                }
                acknowledged.store(each + 1, Ordering::SeqCst);
            }
        });
        until("some are written", || acknowledged.load(Ordering::SeqCst) > 100);
        server.stop(Signal::TERM);
    });
    let bytes = std::fs::read(Path::new(&brick).join("log")).unwrap();
    let acknowledged = acknowledged.load(Ordering::SeqCst);
    assert!(bytes.len() as u64 >= acknowledged * BLOCK);
    for each in 0..acknowledged {
        let at = (each * BLOCK) as usize;
        let whole = bytes[at..at + BLOCK as usize]
            .chunks_exact(8)
            .all(|word| word == (each + 1).to_be_bytes());
        assert!(whole, "block {each} of {acknowledged}");
    }
}

#[test]
fn the_same_is_served_from_a_file_and_a_mistake_in_it_has_a_line() {
    let site = Site::new();
    let config = site.path("brickwire.toml");
    let text = format!(
        "listen = [\"127.0.0.1:0\"]\nmetrics = \"127.0.0.1:0\"\n\n\
         [[volume]]\nname = \"vms\"\nbricks = [{:?}]\n\n\
         [volume.options]\ngroup = \"virt\"\n\"network.ping-timeout\" = \"17\"\n",
        site.path("brick")
    );
    std::fs::write(&config, &text).unwrap();
    let server = Serving::start(brickwire().args(["serve", "--create", "--config", &config]));
    let volfile = succeeds(brickwire().args(["volfile", &server.uri()]));
    assert!(volfile.contains("ping-timeout 17") && volfile.contains("features/shard"), "{volfile}");
    samples(&get(server.said["metrics"].as_str().unwrap()));
    server.stop(Signal::INT);
    std::fs::write(&config, text.replace("name", "nmae")).unwrap();
    let output = brickwire().args(["serve", "--config", &config]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("nmae") && said.contains("line 5"), "{said}");
}

#[test]
fn a_brick_of_another_volume_is_refused_with_both_ids() {
    let site = Site::new();
    let brick = site.path("brick");
    Serving::serve(&["--volume", &format!("one={brick}")]).stop(Signal::TERM);
    let config = site.path("x.toml");
    let id = "b1c1824b-8f13-4797-9e40-b565d554911e";
    let text = format!("[[volume]]\nname = \"two\"\nid = \"{id}\"\nbricks = [{brick:?}]\n");
    std::fs::write(&config, text).unwrap();
    let said = site.refuses_to_serve(&["--config", &config]);
    assert!(
        said.contains(&brick) && said.contains("belongs to volume") && said.contains(id),
        "{said}"
    );
}

#[test]
fn an_empty_directory_in_the_place_of_a_brick_becomes_it_only_when_that_is_said() {
    let site = Site::new();
    let bricks = ["b1", "b2", "b3"].map(|name| site.path(name));
    let [first, second, third] = [0, 1, 2].map(|at| Path::new(&bricks[at]));
    let create = ["create", "r", "--create", "--shape", "replica"];
    site.said(&create.iter().copied().chain(bricks.iter().map(String::as_str)).collect::<Vec<_>>());
    site.said(&["start", "r"]);
    drop(site.serve());
    assert!(third.join(".glusterfs").exists());
    // Where nothing was written yet, nothing is missing.
    std::fs::remove_dir_all(third).unwrap();
    drop(site.serve());
    assert!(third.join(".glusterfs").exists());
    std::fs::write(first.join("file"), "content").unwrap();
    std::fs::remove_dir_all(third).unwrap();
    std::fs::create_dir(third).unwrap();
    let server = site.serve();
    let said = fails(&mut site.volume(&["reset-brick", "r", &site.path("elsewhere")]));
    assert!(said.contains("is not a brick of it"), "{said}");
    let said = fails(&mut site.volume(&["reset-brick", "r", &bricks[1]]));
    assert!(said.contains("is not empty"), "{said}");
    assert!(second.join(".glusterfs").exists());
    assert_eq!(std::fs::read_dir(third).unwrap().count(), 0);
    site.said(&["reset-brick", "r", &bricks[2]]);
    until("the brick is served", || third.join(".glusterfs/indices").exists());
    drop(server);
    let said = fails(&mut site.volume(&["heal", "r", "--daemon", &site.path("none")]));
    assert!(said.contains("start it with -S"), "{said}");
}

#[test]
fn the_systemd_unit_is_one() {
    let directory = tempfile::tempdir().unwrap();
    let unit = include_str!("../../../docs/brickwire.service");
    let here = unit.replace("/usr/local/bin/brickwire", env!("CARGO_BIN_EXE_brickwire"));
    assert_ne!(here, unit);
    let path = directory.path().join("brickwire.service");
    std::fs::write(&path, here).unwrap();
    match std::process::Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .arg(&path)
        .output()
    {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let ours = said.lines().filter(|line| line.contains("brickwire.service")).count();
            assert!(output.status.success() && ours == 0, "{said}");
        }
        Err(error) => println!("skipped: systemd-analyze: {error}"),
    }
    // Its command line is understood.
    let command = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let mut words: Vec<&str> = command.split(' ').skip(1).collect();
    words.push("--help");
    succeeds(brickwire().args(words));
}
