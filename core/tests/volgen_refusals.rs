//! Volumes that are refused. Every volume that is accepted gives a volfile that this project's
//! parser reads.

#[path = "volfile_tables.rs"]
mod tables;

use std::fmt::{self, Write};
use std::{fs, path::PathBuf};

use brickwire_core::volfile::{Host, TranslatorKind};
use brickwire_core::volgen::{
    BrickSpec, Family, NAME_BYTES_MAX, Shape, Target, VolgenError, VolumeSpec, check, write_client,
    write_shd,
};
use brickwire_core::xdr::Gfid;
use tables::Room;

const BRICK: BrickSpec<'_> = BrickSpec { host: "node-1", port: None, path: "/data/b1" };

fn plain<'a>(bricks: &'a [BrickSpec<'a>]) -> VolumeSpec<'a> {
    VolumeSpec {
        name: "vms",
        volume_id: Gfid::NONE,
        shape: Shape::Distribute,
        bricks,
        options: &[],
        family: Family::Inet,
    }
}

fn text(spec: &VolumeSpec<'_>) -> String {
    let mut out = String::new();
    write_client(spec, &mut out).unwrap();
    out
}

fn refusal<'a>(spec: &VolumeSpec<'a>) -> VolgenError<'a> {
    let mut out = String::new();
    let error = write_client(spec, &mut out).unwrap_err();
    assert_eq!(out, "", "nothing is written of what is refused");
    error
}

#[test]
fn odd_names_are_refused() {
    let long = "v".repeat(NAME_BYTES_MAX + 1);
    let odd = [
        "",
        "a b",
        "a/b",
        "../a",
        "a.b",
        "a\nb",
        "a`b",
        "a\"b",
        "a\\b",
        "#a",
        "a#b",
        "-a",
        "é",
        "a\0",
        "volume",
        "type",
        "option",
        "subvolumes",
        "subvolumeS",
        "end-volume",
        &long,
    ];
    for name in odd {
        assert_eq!(refusal(&VolumeSpec { name, ..plain(&[BRICK]) }), VolgenError::Name(name));
    }
    let long = &long[1..];
    for name in ["a", "0", "_", "VOL_1-x", "all", long] {
        text(&VolumeSpec { name, ..plain(&[BRICK]) });
    }
}

#[test]
fn odd_bricks_are_refused() {
    let good = BrickSpec { path: "/other", ..BRICK };
    for host in
        ["", "a b", "a/b", "a\nb", "-a", "a..b", "1.2.3.4.5", "a`b", "::1::", "fe80::1%a b", "#"]
    {
        let bricks = [good, BrickSpec { host, ..BRICK }];
        assert_eq!(refusal(&plain(&bricks)), VolgenError::Host { brick: 1 }, "{host:?}");
    }
    for path in ["", "data", "./data", "/a b", "/a\nb", "/a\"", "/a`id`", "/a\\b", "/a\0"] {
        let bricks = [good, BrickSpec { path, ..BRICK }];
        assert_eq!(refusal(&plain(&bricks)), VolgenError::Path { brick: 1 }, "{path:?}");
    }
    let bricks = [good, BrickSpec { port: Some(0), ..BRICK }];
    assert_eq!(refusal(&plain(&bricks)), VolgenError::Port { brick: 1 });
    assert_eq!(refusal(&plain(&[BRICK, good, BRICK])), VolgenError::SameBrick { brick: 2 });
    assert_eq!(refusal(&plain(&[])), VolgenError::BrickCount);
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let paths: Vec<_> = (0..6).map(|at| format!("/b{at}")).collect();
    let bricks: Vec<_> = paths.iter().map(|path| BrickSpec { path, ..BRICK }).collect();
    let shaped = |count: usize, replica, arbiter| VolumeSpec {
        shape: Shape::Replicate { replica, arbiter },
        ..plain(&bricks[..count])
    };
    for (count, replica, arbiter) in
        [(3, 2, false), (1, 2, false), (2, 1, false), (2, 0, false), (4, 2, true)]
    {
        assert_eq!(refusal(&shaped(count, replica, arbiter)), VolgenError::Shape);
    }
    for (count, replica, arbiter) in [(6, 2, false), (6, 3, true), (6, 6, false), (4, 4, false)] {
        text(&shaped(count, replica, arbiter));
    }
}

#[test]
fn a_wrong_option_is_refused_by_its_name() {
    let spec = VolumeSpec {
        options: &[("features.shard", "on"), ("features.quota", "on")],
        ..plain(&[BRICK])
    };
    assert_eq!(
        refusal(&spec).to_string(),
        "volume option \"features.quota\": this server has no quota"
    );
    let spec = VolumeSpec { options: &[("cluster.favourite", "me")], ..plain(&[BRICK]) };
    assert_eq!(
        refusal(&spec).to_string(),
        "volume option \"cluster.favourite\": there is no such option"
    );
    let spec = VolumeSpec { options: &[("features.shard-block-size", "1KB")], ..plain(&[BRICK]) };
    let said = "volume option \"features.shard-block-size\": must be from 4194304 to 4398046511104";
    assert_eq!(refusal(&spec).to_string(), said);
}

#[test]
fn a_known_port_and_the_kind_of_address_are_said() {
    let bricks = [BrickSpec { host: "2001:db8::1", port: Some(49152), path: "/é" }, BRICK];
    let six = text(&VolumeSpec { family: Family::Inet6, ..plain(&bricks) });
    let mut room = Room::plenty();
    let volfile = room.parse(six.as_bytes()).unwrap();
    let [first, second] = ["vms-client-0", "vms-client-1"].map(|name| volfile.find(name).unwrap());
    assert_eq!(first.option("remote-port").unwrap(), "49152");
    assert_eq!(first.option("transport.address-family").unwrap(), "inet6");
    assert_eq!(first.option("remote-subvolume").unwrap(), "/é");
    assert!(
        matches!(first.option("remote-host").unwrap().to_host(), Ok(Host::Ip(ip)) if ip.is_ipv6())
    );
    assert!(second.option("remote-port").is_none());
    let any = VolumeSpec { family: Family::Any, ..plain(&[BRICK]) };
    assert!(!text(&any).contains("address-family"));
    let options: &[_] = &[("transport.address-family", "inet6")];
    assert!(
        text(&VolumeSpec { options, ..any })
            .contains("    option transport.address-family inet6\n")
    );
}

/// Takes so many bytes and no more.
struct Narrow(usize);

impl Write for Narrow {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 = self.0.checked_sub(text.len()).ok_or(fmt::Error)?;
        Ok(())
    }
}

#[test]
fn a_volfile_that_does_not_fit_is_an_error() {
    let spec = plain(&[BRICK]);
    let whole = text(&spec).len();
    assert_eq!(write_client(&spec, &mut Narrow(whole)), Ok(()));
    for room in 0..whole {
        assert_eq!(write_client(&spec, &mut Narrow(room)), Err(VolgenError::Write));
    }
}

#[test]
fn every_option_with_every_value_that_it_takes_makes_a_volfile_that_we_read() {
    let path: PathBuf =
        [env!("CARGO_MANIFEST_DIR"), "testdata", "volume-set-keys.txt"].iter().collect();
    let keys = fs::read_to_string(path).unwrap();
    let paths: Vec<_> = (0..6).map(|at| format!("/b{at}")).collect();
    let bricks: Vec<_> = paths.iter().map(|path| BrickSpec { path, ..BRICK }).collect();
    let values = [
        "on",
        "off",
        "1",
        "32",
        "600",
        "5%",
        "8MB",
        "full",
        "auto",
        "INFO",
        "json",
        "user.a,user.b",
        "a#b",
        "{}'",
    ];
    let shapes = [
        Shape::Distribute,
        Shape::Replicate { replica: 3, arbiter: true },
        Shape::Replicate { replica: 2, arbiter: false },
    ];
    let mut tried = 0;
    for key in keys.lines().filter(|line| !line.starts_with('#')) {
        for value in values {
            let Ok(target) = check(key, value) else { continue };
            for shape in shapes {
                let options = [
                    (key, value),
                    ("performance.readdir-ahead", "on"),
                    ("performance.io-cache", "on"),
                    ("performance.read-ahead", "on"),
                    ("features.shard", "on"),
                ];
                let spec = VolumeSpec { shape, options: &options, ..plain(&bricks) };
                let mut shd = String::new();
                if write_shd(&spec, &mut shd).is_ok() {
                    let mut room = Room::plenty();
                    assert_eq!(room.parse(shd.as_bytes()).unwrap().top().name(), "vms");
                }
                let client = text(&spec);
                let mut room = Room::plenty();
                let volfile = room
                    .parse(client.as_bytes())
                    .unwrap_or_else(|error| panic!("{key} {value}: {error}"));
                assert_eq!(volfile.top().name(), "vms");
                assert!(volfile.volumes().all(|volume| volume.is_reachable()));
                assert!(volfile.volumes().all(|volume| volume.kind() != TranslatorKind::Unknown));
                let written = format!(" {value}\n");
                let goes_there =
                    matches!(target, Target::Volfile(kind) if kind == TranslatorKind::Client);
                assert!(!goes_there || client.contains(&written), "{key} {value}");
                tried += 1;
            }
        }
    }
    assert!(tried > 1000, "{tried}");
}
