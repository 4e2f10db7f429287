//! Opening a volume: server names, address families, sockets, several servers.

use std::time::{Duration, Instant};

use brickwire_std::{OpenOptions, Options, Volume};
use brickwire_tests::{TestDir, cluster, pattern, uri};

#[test]
fn a_volume_opens_by_name_by_either_family_and_over_glusterds_socket() {
    let Some(cluster) = cluster() else { return };
    let place = TestDir::new(&cluster, "single", "bootstrap");
    let data = pattern(10_000, 1);
    place.file("f").write_all_at(&data, 0).unwrap();
    let (host, socket) = (cluster.host(), cluster.socket().display());
    let uris = [
        format!("gluster://{host}/single"),
        format!("gluster://{host}4/single"),
        format!("gluster+tcp://{host}6:24007/single"),
        "gluster://127.0.0.1/single".to_owned(),
        "gluster://[::1]:24007/single".to_owned(),
        format!("gluster+unix:///single?socket={socket}"),
    ];
    for uri in uris {
        let volume = Volume::open(&uri).unwrap_or_else(|error| panic!("{uri}: {error}"));
        let file = volume.open_file(place.at("f"), &OpenOptions::new().read(true)).unwrap();
        let mut back = vec![0; data.len()];
        file.read_exact_at(&mut back, 0).unwrap();
        assert_eq!(back, data, "{uri}");
    }
}

#[test]
fn every_kind_of_volume_of_one_brick_is_served() {
    let Some(cluster) = cluster() else { return };
    for name in ["single", "dist1", "quick", "inet"] {
        let place = TestDir::new(&cluster, name, "kinds");
        place.file("f").write_all_at(b"data", 0).unwrap();
        assert_eq!(std::fs::read(place.on_brick.join("f")).unwrap(), b"data", "{name}");
    }
}

#[test]
fn the_next_server_is_asked_when_the_first_does_not_answer() {
    let Some(cluster) = cluster() else { return };
    let options = Options::new().server(cluster.host());
    Volume::open_with("gluster://127.0.0.1:1/single", &options).unwrap();
}

#[test]
fn start_and_tear_down_together_take_less_than_fifty_milliseconds() {
    let Some(cluster) = cluster() else { return };
    let uri = uri(&cluster, "single");
    let mut times: Vec<Duration> = (0..11)
        .map(|_| {
            let begin = Instant::now();
            drop(Volume::open(&uri).unwrap());
            begin.elapsed()
        })
        .collect();
    times.sort();
    assert!(times[5] < Duration::from_millis(50), "{times:?}");
}
