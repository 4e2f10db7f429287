//! Volumes and URIs that cannot be used are refused by name, in one line and in time.

use std::io::Write;
use std::net::TcpListener;
use std::time::Duration;

use brickwire_std::{ErrorKind, Options, Privileged, Volume};
use brickwire_tests::{brickwire, cluster, uri, within};

fn refused(uri: &str, options: &Options, kind: ErrorKind, says: &[&str]) {
    let error = within(Duration::from_secs(5), || Volume::open_with(uri, options)).expect_err(uri);
    let text = error.to_string();
    assert_eq!(error.kind(), kind, "{uri}: {text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    for word in says {
        assert!(text.contains(word), "{uri}: {text:?} does not say {word:?}");
    }
}

#[test]
fn volumes_that_are_not_there_or_not_started_are_named() {
    let Some(cluster) = cluster() else { return };
    let options = Options::new();
    refused(&uri(&cluster, "nosuch"), &options, ErrorKind::NoSuchVolume, &["nosuch", "24007"]);
    let says = ["stopped", "volume start"];
    refused(&uri(&cluster, "stopped"), &options, ErrorKind::NotConnected, &says);
}

#[test]
fn translators_that_are_not_there_yet_are_named() {
    let Some(cluster) = cluster() else { return };
    let options = Options::new();
    for (volume, needs) in [("shard1", "features/shard"), ("dist3", "cluster/distribute")] {
        refused(&uri(&cluster, volume), &options, ErrorKind::Unsupported, &[volume, needs]);
    }
}

#[test]
fn a_volume_that_wants_low_ports_says_both_options_and_takes_low_ports() {
    let Some(cluster) = cluster() else { return };
    let uri = uri(&cluster, "strict");
    let says = ["rpc-auth-allow-insecure", "server.allow-insecure"];
    let never = Options::new().privileged_ports(Privileged::Never);
    refused(&uri, &never, ErrorKind::NotConnected, &says);
    Volume::open_with(&uri, &Options::new().privileged_ports(Privileged::Always)).unwrap();
}

#[test]
fn wrong_names_and_ports_are_told_apart() {
    let Some(_cluster) = cluster() else { return };
    let options = Options::new().connect_timeout(Duration::from_millis(300));
    refused(
        "gluster://nosuch.invalid/v",
        &options,
        ErrorKind::NotConnected,
        &["does not resolve", "nosuch.invalid"],
    );
    refused(
        "gluster://127.0.0.1:1/v",
        &options,
        ErrorKind::NotConnected,
        &["refused", "127.0.0.1:1"],
    );
    refused(
        "gluster+unix:///v?socket=/nonexistent",
        &options,
        ErrorKind::NotConnected,
        &["/nonexistent"],
    );
    refused("gluster+rdma://h/v", &options, ErrorKind::Unsupported, &["rdma"]);
    refused("gluster://h", &options, ErrorKind::Uri, &["volume", "byte"]);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    refused(
        &format!("gluster://127.0.0.1:{port}/v"),
        &options,
        ErrorKind::NotConnected,
        &["in time", "port"],
    );
    let loud = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = loud.local_addr().unwrap().port();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = loud.accept() {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        }
    });
    refused(&format!("gluster://127.0.0.1:{port}/v"), &options, ErrorKind::NotConnected, &["port"]);
}

#[test]
fn the_program_says_it_in_one_line_with_its_exit_status() {
    let Some(cluster) = cluster() else { return };
    let (status, _, errors) = brickwire(&["ls", &uri(&cluster, "nosuch")]);
    assert_eq!((status, errors.lines().count()), (1, 1), "{errors}");
    assert!(errors.starts_with("brickwire: "), "{errors}");
    let (status, _, errors) = brickwire(&["cat", &uri(&cluster, "single/not/there")]);
    assert_eq!((status, errors.lines().count()), (1, 1), "{errors}");
    assert!(errors.contains("not/there"), "{errors}");
    assert_eq!(brickwire(&["ls", "nonsense"]).0, 2);
    assert_eq!(brickwire(&["nonsense"]).0, 2);
    let (status, out, _) = brickwire(&["graph", &uri(&cluster, "dist3"), "--format", "dot"]);
    assert_eq!(status, 0, "a volume that cannot be served can be looked at");
    assert!(out.starts_with("digraph") && out.contains("cluster/distribute"), "{out}");
}
