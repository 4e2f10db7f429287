//! Volfiles of a real glusterd, checked against `testdata/volfiles/index.tsv`.

#[path = "volfile_tables.rs"]
mod tables;

use std::{fs, path::PathBuf};

use brickwire_core::volfile::{Fault, Host, Limits, Token, TranslatorKind, Volume, needs};
use tables::Room;

struct Sample {
    name: String,
    text: Vec<u8>,
    types: Vec<String>,
}

fn folder() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "testdata", "volfiles"].iter().collect()
}

fn text(name: &str) -> Vec<u8> {
    fs::read(folder().join(name)).unwrap()
}

fn samples() -> Vec<Sample> {
    let index = fs::read_to_string(folder().join("index.tsv")).unwrap();
    let lines = index.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let columns: Vec<_> = line.split('\t').collect();
            let [name, _key, _volume, bytes, types] = columns[..] else { panic!("{line}") };
            let text = text(name);
            assert_eq!(text.len().to_string(), bytes, "{name}");
            Sample { name: name.into(), text, types: types.split(' ').map(String::from).collect() }
        })
        .collect()
}

/// The one that glusterd served and no client can use.
const REFUSED: &str = "debug-and-features.vol";

fn names<'a>(volumes: impl Iterator<Item = Volume<'a>>) -> Vec<String> {
    volumes.map(|volume| volume.name().to_string()).collect()
}

#[test]
fn the_index_names_every_sample() {
    let mut there: Vec<_> = fs::read_dir(folder())
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".vol"))
        .collect();
    let mut indexed: Vec<_> = samples().into_iter().map(|sample| sample.name).collect();
    there.sort();
    indexed.sort();
    assert_eq!(there, indexed);
}

#[test]
fn every_sample_is_the_graph_that_the_index_says() {
    for Sample { name, text, types } in samples().iter().filter(|sample| sample.name != REFUSED) {
        let needs = needs(text, &Limits::default()).unwrap();
        let mut room = Room::of(needs);
        let volfile =
            room.parse(text).unwrap_or_else(|error| panic!("{name}: {}", error.explain(text)));
        assert_eq!(volfile.needs(), needs, "{name}");

        let parsed: Vec<_> =
            volfile.volumes().map(|volume| volume.type_name().to_string()).collect();
        assert_eq!(&parsed, types, "{name}");
        let ends =
            String::from_utf8_lossy(text).lines().filter(|line| *line == "end-volume").count();
        assert_eq!(volfile.volumes().len(), ends, "{name}");

        for volume in volfile.volumes() {
            assert_eq!(volume.kind().name(), volume.type_name().as_str().unwrap(), "{name}");
            assert!(volume.is_reachable(), "{name}: generated graphs have no idle volumes");
            assert_eq!(volfile.find(volume.name()).unwrap().index(), volume.index(), "{name}");
            let line = format!("volume {}", volume.name());
            assert_eq!(
                String::from_utf8_lossy(text).lines().nth(volume.line() as usize - 1).unwrap(),
                line,
                "{name}"
            );
            for child in volume.children() {
                assert!(child.index() < volume.index() && child.depth() < volume.depth(), "{name}");
                assert_eq!(
                    child.parent().unwrap().index(),
                    volume.index(),
                    "{name}: graphs are trees"
                );
                assert_eq!(child.parent_count(), 1, "{name}");
            }
        }
        assert_eq!(volfile.top().parent_count(), 0, "{name}");
    }
}

#[test]
fn what_glusterd_served_with_three_debug_translators_is_refused_where_the_real_parser_refuses_it() {
    let text = text(REFUSED);
    let error = Room::plenty().parse(&text).unwrap_err();
    assert_eq!(error.fault, Fault::DefinedAgain { first_line: 64 });
    assert_eq!((error.line, error.column), (79, 8));
    assert_eq!(error.volume().unwrap().of(&text), "st-dbg-trace");
    assert_eq!(
        error.explain(&text).to_string(),
        "line 79, column 8, in volume \"st-dbg-trace\": this volume is defined again: the first \
         is in line 64"
    );
}

#[test]
fn every_sample_is_written_again_to_the_byte() {
    for Sample { name, text, .. } in samples().iter().filter(|sample| sample.name != REFUSED) {
        let mut room = Room::of(needs(text, &Limits::default()).unwrap());
        let volfile = room.parse(text).unwrap();
        let mut out = vec![0; volfile.encoded_len()];
        assert_eq!(volfile.write_into(&mut out), Ok(out.len()), "{name}");
        assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(text), "{name}");
    }
}

#[test]
fn a_distributed_replicated_volume_is_read_from_the_top_down() {
    let text = text("distrep-2x3.vol");
    let mut room = Room::plenty();
    let volfile = room.parse(&text).unwrap();
    let mut here = volfile.top();
    assert_eq!(here.name(), "st-dr");
    while here.kind() != TranslatorKind::Distribute {
        assert_eq!(here.children().len(), 1);
        here = here.children().next().unwrap();
    }
    assert_eq!(names(here.children()), ["st-dr-replicate-0", "st-dr-replicate-1"]);
    let second = here.children().nth(1).unwrap();
    assert_eq!(names(second.children()), ["st-dr-client-3", "st-dr-client-4", "st-dr-client-5"]);
    let pending = second.option("afr-pending-xattr").unwrap();
    assert!(pending.to_list().eq(second.children().map(|child| child.name())));
    assert_eq!(volfile.position(pending.offset()).0, second.line() + 6);
}

#[test]
fn options_of_real_clients_have_the_values_that_they_say() {
    let text = text("group-virt.vol");
    let mut room = Room::plenty();
    let volfile = room.parse(&text).unwrap();
    let client = volfile.find("st-virt-client-1").unwrap();
    let option = |key| client.option(key).unwrap();
    assert_eq!(option("ping-timeout").to_seconds(), Ok(20));
    assert_eq!(option("send-gids").to_bool(), Ok(true));
    assert_eq!(option("strict-locks").to_bool(), Ok(false));
    assert_eq!(option("remote-host").to_host(), Ok(Host::Name(Token::literal(b"vm"))));
    assert_eq!(option("remote-subvolume"), "/bricks/vol/st/virt-2");
    assert!(client.option("frame-timeout").is_none());
}

#[test]
fn every_value_of_every_sample_can_be_read_as_what_it_is() {
    for Sample { name, text, .. } in samples().iter().filter(|sample| sample.name != REFUSED) {
        let mut room = Room::of(needs(text, &Limits::default()).unwrap());
        let volfile = room.parse(text).unwrap();
        for (key, value) in volfile.volumes().flat_map(|volume| volume.options()) {
            let what = format!("{name}: {key} {value}");
            match key.as_str().unwrap() {
                "cache-size" | "nl-cache-limit" | "rda-cache-limit" | "rda-request-size"
                | "shard-block-size" | "tcp-window-size" => {
                    assert!(value.to_size().is_ok(), "{what}")
                }
                "min-free-disk" => assert!(value.to_percent_or_size().is_ok(), "{what}"),
                "ping-timeout" | "frame-timeout" | "md-cache-timeout" | "nl-cache-timeout" => {
                    assert!(value.to_seconds().is_ok(), "{what}");
                }
                "remote-host" => assert!(value.to_host().is_ok(), "{what}"),
                "event-threads" | "redundancy" | "arbiter-count" => {
                    assert!(value.to_int().is_ok(), "{what}")
                }
                "flush-behind" | "noatime" | "choose-local" | "transport.socket.ssl-enabled" => {
                    assert!(value.to_bool().is_ok(), "{what}");
                }
                _ => {}
            }
        }
    }
}

#[test]
fn only_topology_decides_whether_a_graph_must_be_replaced() {
    let (trusted, untrusted) = (text("dist3.vol"), text("dist3-untrusted.vol"));
    let other = text("parallel-readdir.vol");
    let (mut a, mut b, mut c) = (Room::plenty(), Room::plenty(), Room::plenty());
    let (trusted, untrusted) = (a.parse(&trusted).unwrap(), b.parse(&untrusted).unwrap());
    assert!(trusted.same_topology(&untrusted) && untrusted.same_topology(&trusted));
    assert_ne!(trusted, untrusted, "options differ");
    assert!(!trusted.same_topology(&c.parse(&other).unwrap()));
}
