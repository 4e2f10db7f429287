//! Many who want in, and few descriptors: clients that are there do not notice.

mod common;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use brickwire_std::{OpenOptions, Volume};
use common::Serving;
use rustix::process::Signal;

/// A server with a limit of descriptors.
fn serve(descriptors: u32, directory: &tempfile::TempDir, args: &[&str]) -> Serving {
    let spec = format!("a={}", directory.path().join("brick").display());
    let mut command = Command::new("sh");
    command.args([
        "-c",
        &format!("ulimit -n {descriptors}; exec \"$0\" \"$@\""),
        env!("CARGO_BIN_EXE_brickwire"),
    ]);
    command
        .args(["serve", "--create", "--json", "--listen", "127.0.0.1:0", "--volume", &spec])
        .args(args);
    Serving::started(&mut command)
}

fn address(url: &str) -> &str {
    url.split('/').nth(2).unwrap()
}

fn open_descriptors(server: &Serving) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", server.child.id())).unwrap().count()
}

fn get(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn who_holds_connections_to_the_status_page_takes_nothing_from_clients() {
    let directory = tempfile::tempdir().unwrap();
    let server = serve(400, &directory, &["--metrics", "127.0.0.1:0"]);
    let metrics = address(server.said["metrics"].as_str().unwrap()).to_owned();
    let before = open_descriptors(&server);
    let silent: Vec<TcpStream> = (0..20).map(|_| TcpStream::connect(&metrics).unwrap()).collect();
    let halves: Vec<TcpStream> = (0..20)
        .map(|_| {
            let mut stream = TcpStream::connect(&metrics).unwrap();
            stream.write_all(b"GET /metrics HT").unwrap();
            stream
        })
        .collect();
    std::thread::sleep(Duration::from_millis(300));
    let there = open_descriptors(&server);
    assert!(there < before + 15, "{before} descriptors became {there}");
    Volume::open(&server.uri()).unwrap();
    // They have their second each, and who asks has his answer.
    let text = get(&metrics, "GET /metrics?x=y HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(
        text.starts_with("HTTP/1.1 200 ") && text.contains("\nbrickwire_connections "),
        "{text}"
    );
    drop((silent, halves));
    for (request, status) in [
        ("HEAD / HTTP/1.1\r\n\r\n", "200"),
        ("GET /x HTTP/1.0\r\n\r\n", "404"),
        ("POST /metrics HTTP/1.1\r\n\r\n", "405"),
        ("hello\r\n\r\n", "400"),
    ] {
        let text = get(&metrics, request);
        assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {text}");
    }
    assert!(get(&metrics, "HEAD / HTTP/1.1\r\n\r\n").ends_with("\r\n\r\n"));
    server.stop(Signal::TERM);
}

#[test]
fn while_there_is_no_descriptor_for_who_wants_in_the_others_are_served_as_fast_as_before() {
    let directory = tempfile::tempdir().unwrap();
    let server = serve(64, &directory, &[]);
    let volume = Volume::open(&server.uri()).unwrap();
    let options = OpenOptions::new().read(true).write(true).create(true);
    let file = volume.open_file("a", &options).unwrap();
    file.write_all_at(&[7; 4096], 0).unwrap();
    let mut others = Vec::new();
    let refused = (0..64).find_map(|each| match volume.open_file(format!("b{each}"), &options) {
        Ok(other) => {
            others.push(other);
            None
        }
        Err(error) => Some(error),
    });
    assert_eq!(refused.and_then(|error| error.errno()), Some(24), "EMFILE after {}", others.len());
    // The rest while fewer are needed.
    let uri = server.uri();
    let at_the_door: Vec<TcpStream> =
        (0..12).map(|_| TcpStream::connect(address(&uri)).unwrap()).collect();
    std::thread::sleep(Duration::from_millis(100));
    let start = Instant::now();
    for _ in 0..400 {
        file.read_exact_at(&mut [0; 4096], 0).unwrap();
    }
    assert!(start.elapsed() < Duration::from_secs(2), "400 reads took {:?}", start.elapsed());
    drop(at_the_door);
    others.into_iter().for_each(|other| other.close().unwrap());
    // A new client is accepted after they have gone.
    let start = Instant::now();
    while let Err(error) = Volume::open(&server.uri()) {
        assert!(start.elapsed() < Duration::from_secs(10), "{error}");
    }
    server.stop(Signal::TERM);
}

#[test]
fn who_is_not_let_in_is_counted_and_the_others_go_on() {
    let directory = tempfile::tempdir().unwrap();
    // Enough for sixteen connections.
    let server = serve(128, &directory, &["--metrics", "127.0.0.1:0"]);
    let metrics = address(server.said["metrics"].as_str().unwrap()).to_owned();
    let volume = Volume::open(&server.uri()).unwrap();
    let uri = server.uri();
    let readers: Vec<TcpStream> =
        (0..40).map(|_| TcpStream::connect(address(&uri)).unwrap()).collect();
    volume.create_dir("d", 0o755).unwrap();
    let text = get(&metrics, "GET /metrics HTTP/1.0\r\n\r\n");
    let refused = text.lines().find_map(|line| line.strip_prefix("brickwire_refused_total "));
    assert!(refused.unwrap().parse::<u32>().unwrap() >= 20, "{text}");
    drop(readers);
    server.stop(Signal::TERM);
}
