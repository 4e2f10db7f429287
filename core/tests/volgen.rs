//! Volfiles that this server generates, beside those of a real glusterd 10.3 for the same volumes.

#[path = "volfile_tables.rs"]
mod tables;

use std::{fs, path::PathBuf};

use brickwire_core::volfile::needs;
use brickwire_core::volgen::{
    BrickSpec, Family, Shape, VolgenError, VolumeSpec, group, write_client, write_shd,
};
use brickwire_core::xdr::Gfid;
use tables::Room;

type Options = &'static [(&'static str, &'static str)];

const REPLICA_2: Shape = Shape::Replicate { replica: 2, arbiter: false };
const REPLICA_3: Shape = Shape::Replicate { replica: 3, arbiter: false };
const ARBITER: Shape = Shape::Replicate { replica: 3, arbiter: true };

/// The volfile of glusterd, without the lines that only a trusted client gets.
fn sample(name: &str) -> String {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "testdata", "volfiles", name].iter().collect();
    let text = fs::read_to_string(path).unwrap();
    let trusted = |line: &&str| {
        line.trim_start().starts_with("option username ")
            || line.trim_start().starts_with("option password ")
    };
    text.lines().filter(|line| !trusted(line)).map(|line| format!("{line}\n")).collect()
}

/// The volume that the samples' names, bricks and ids belong to.
fn with_volume<T>(
    name: &str,
    bricks: usize,
    shape: Shape,
    options: &[(&str, &str)],
    text: &str,
    then: impl FnOnce(&VolumeSpec<'_>) -> T,
) -> T {
    let volume = format!("st-{name}");
    let paths: Vec<_> = (1..=bricks).map(|at| format!("/bricks/vol/st/{name}-{at}")).collect();
    let bricks: Vec<_> =
        paths.iter().map(|path| BrickSpec { host: "vm", port: None, path }).collect();
    let id = text.lines().find_map(|line| line.strip_prefix("    option volume-id "));
    let volume_id = id.map_or(Gfid::NONE, |id| Gfid::parse(id.as_bytes()).unwrap());
    then(&VolumeSpec {
        name: &volume,
        volume_id,
        shape,
        bricks: &bricks,
        options,
        family: Family::Inet,
    })
}

fn check_client(file: &str, name: &str, bricks: usize, shape: Shape, options: &[(&str, &str)]) {
    let expected = sample(file);
    let mut written = String::new();
    with_volume(name, bricks, shape, options, &expected, |spec| {
        write_client(spec, &mut written).unwrap()
    });
    same(&written, &expected, file);
}

/// First as graphs, because that tells more, then to the letter.
fn same(written: &str, expected: &str, file: &str) {
    let (mut ours, mut theirs) = (Room::plenty(), Room::plenty());
    let ours = ours.parse(written.as_bytes()).unwrap();
    let theirs = theirs.parse(expected.as_bytes()).unwrap();
    for (our, their) in ours.volumes().zip(theirs.volumes()) {
        assert_eq!(our.name().to_string(), their.name().to_string(), "{file}");
        let options = |volume: brickwire_core::volfile::Volume<'_>| {
            volume.options().map(|(key, value)| format!("{key} {value}")).collect::<Vec<_>>()
        };
        assert_eq!(options(our), options(their), "{file}: {}", our.name());
        assert_eq!(our, their, "{file}");
    }
    assert_eq!(ours, theirs, "{file}");
    assert_eq!(written, expected, "{file}");
}

#[test]
fn plain_volumes_are_written_as_glusterd_does() {
    check_client("dist1.vol", "d1", 1, Shape::Distribute, &[]);
    check_client("dist3.vol", "d3", 3, Shape::Distribute, &[]);
    check_client("dist3-untrusted.vol", "d3", 3, Shape::Distribute, &[]);
}

#[test]
fn replicated_volumes_are_written_as_glusterd_does() {
    check_client("replica2.vol", "r2", 2, REPLICA_2, &[]);
    check_client("replica3.vol", "r3", 3, REPLICA_3, &[]);
    check_client("arbiter.vol", "arb", 3, ARBITER, &[]);
    check_client("distrep-2x2.vol", "dr2", 4, REPLICA_2, &[]);
    check_client("distrep-2x3.vol", "dr", 6, REPLICA_3, &[]);
}

#[test]
fn options_appear_where_glusterd_has_them() {
    let shard: Options = &[("features.shard-block-size", "4MB"), ("features.shard", "on")];
    check_client("shard.vol", "shard", 2, Shape::Distribute, shard);
    check_client("read-only.vol", "ro", 2, Shape::Distribute, &[("features.read-only", "on")]);
    let changed: Options = &[
        ("network.ping-timeout", "7"),
        ("network.frame-timeout", "100"),
        ("network.tcp-window-size", "1MB"),
        ("client.event-threads", "3"),
        ("client.tcp-user-timeout", "9"),
        ("cluster.min-free-disk", "10%"),
        ("performance.cache-size", "10MB"),
        ("diagnostics.client-log-level", "DEBUG"),
        ("diagnostics.client-log-format", "no-msg-id"),
    ];
    check_client("client-options.vol", "opt", 1, Shape::Distribute, changed);
}

#[test]
fn translators_that_are_turned_off_are_gone() {
    let off: Options = &[
        ("performance.write-behind", "off"),
        ("performance.open-behind", "no"),
        ("performance.quick-read", "0"),
        ("performance.stat-prefetch", "disable"),
        ("performance.read-ahead", "off"),
        ("performance.io-cache", "off"),
        ("performance.readdir-ahead", "off"),
        ("performance.client-io-threads", "off"),
        ("features.ctime", "False"),
    ];
    check_client("no-performance.vol", "noperf", 3, REPLICA_3, off);
}

#[test]
fn parallel_readdir_shares_its_memory_among_the_subvolumes() {
    let on: Options =
        &[("performance.readdir-ahead", "on"), ("performance.parallel-readdir", "on")];
    check_client("parallel-readdir.vol", "pr", 3, Shape::Distribute, on);
}

#[test]
fn a_self_heal_daemon_gets_the_graph_that_glusterd_gives_it() {
    let expected = sample("shd.vol");
    let mut written = String::new();
    with_volume("r3", 3, REPLICA_3, &[], &expected, |spec| write_shd(spec, &mut written).unwrap());
    same(&written, &expected, "shd.vol");
    let mut written = String::new();
    with_volume("d1", 1, Shape::Distribute, &[], "", |spec| {
        assert_eq!(write_shd(spec, &mut written), Err(VolgenError::NotReplicated));
    });
}

#[test]
fn a_large_volume_is_read_by_our_own_parser() {
    let mut written = String::new();
    with_volume("many", 1200, REPLICA_3, &[], "", |spec| write_client(spec, &mut written).unwrap());
    let needs = needs(written.as_bytes(), &brickwire_core::volfile::Limits::default()).unwrap();
    let mut room = Room::of(needs);
    let volfile = room.parse(written.as_bytes()).unwrap();
    assert_eq!(volfile.find("st-many-dht").unwrap().children().len(), 400);
    assert_eq!(volfile.top().name(), "st-many");
}

#[test]
fn groups_of_options_make_the_graphs_that_glusterd_makes_of_them() {
    check_client("group-virt.vol", "virt", 3, REPLICA_3, group("virt").unwrap());
    let distributed = group("distributed-virt").unwrap();
    check_client("group-distributed-virt.vol", "dvirt", 6, REPLICA_3, distributed);
    check_client("group-gluster-block.vol", "gb", 3, REPLICA_3, group("gluster-block").unwrap());
    check_client("group-db-workload.vol", "db", 3, REPLICA_3, group("db-workload").unwrap());
}

#[test]
fn the_last_of_several_values_counts_and_the_newer_key_of_two_does_not() {
    let mut written = String::new();
    let options: Options = &[
        ("network.ping-timeout", "1"),
        ("network.ping-timeout", "2"),
        ("performance.cache-size", "8MB"),
        ("performance.quick-read-cache-size", "16MB"),
    ];
    with_volume("d1", 1, Shape::Distribute, options, "", |spec| {
        write_client(spec, &mut written).unwrap()
    });
    assert!(written.contains("    option ping-timeout 2\n"));
    assert!(!written.contains("    option ping-timeout 1\n"));
    assert!(written.contains("quick-read\n    option cache-size 8MB\n    subvolumes"));
}
