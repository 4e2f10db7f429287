//! Bounds of a volfile: tables, limits and time.

#[path = "volfile_tables.rs"]
mod tables;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use brickwire_core::volfile::{Fault, Limits, Needs, Table, VolumeEntry, needs};
use tables::Room;

/// A volume of `bricks` bricks in replica sets of `replicas`, as glusterd would write it.
fn volume_of(bricks: usize, replicas: usize) -> String {
    let mut text = String::new();
    for n in 0..bricks {
        let head = "type protocol/client\n option send-gids true\n option strict-locks off\n \
                    option ping-timeout 42";
        let socket = "option transport.socket.keepalive-count 9\n \
                      option transport.socket.ssl-enabled off\n \
                      option transport.tcp-user-timeout 0\n option transport.address-family inet";
        writeln!(
            text,
            "volume big-client-{n}\n {head}\n {socket}\n option remote-subvolume /bricks/big/{n}\n \
             option remote-host node{}\nend-volume\n",
            n % 100
        )
        .unwrap();
    }
    for (set, start) in (0..bricks).step_by(replicas).enumerate() {
        let clients: Vec<_> =
            (start..start + replicas).map(|n| format!("big-client-{n}")).collect();
        writeln!(
            text,
            "volume big-replicate-{set}\n type cluster/replicate\n option afr-pending-xattr {}\n \
             subvolumes {}\nend-volume\n",
            clients.join(","),
            clients.join(" ")
        )
        .unwrap();
    }
    let sets: Vec<_> = (0..bricks / replicas).map(|set| format!("big-replicate-{set}")).collect();
    writeln!(
        text,
        "volume big-dht\n type cluster/distribute\n subvolumes {}\nend-volume\n",
        sets.join(" ")
    )
    .unwrap();
    text.push_str("volume big\n type debug/io-stats\n subvolumes big-dht\nend-volume\n");
    text
}

fn fastest(runs: usize, mut run: impl FnMut()) -> Duration {
    let time = |_| {
        let start = Instant::now();
        run();
        start.elapsed()
    };
    (0..runs).map(time).min().unwrap()
}

#[test]
fn a_thousand_bricks_parse_in_milliseconds() {
    let text = volume_of(1_000, 2);
    let needs = needs(text.as_bytes(), &Limits::default()).unwrap();
    assert_eq!(needs, Needs { volumes: 1_502, options: 9_500, children: 1_501 });
    let mut room = Room::of(needs);
    let took = fastest(5, || {
        let volfile = room.parse(text.as_bytes()).unwrap();
        assert_eq!(volfile.find("big-dht").unwrap().children().len(), 500);
    });
    println!("{} bytes in {took:?}", text.len());
    // Ten in a release build; a debug build on a busy machine gets more.
    assert!(
        took < Duration::from_millis(if cfg!(debug_assertions) { 250 } else { 10 }),
        "{took:?}"
    );
}

#[test]
fn sixty_five_thousand_volumes_take_time_in_proportion() {
    let mut text = String::new();
    for n in 0..65_534 {
        writeln!(text, "volume c{n} type t/x option k v end-volume").unwrap();
    }
    text.push_str("volume top type t/x subvolumes");
    (0..65_534).for_each(|n| write!(text, " c{n}").unwrap());
    text.push_str(" end-volume");
    let mut room = Room::of(needs(text.as_bytes(), &Limits::default()).unwrap());
    let took = fastest(2, || {
        assert_eq!(room.parse(text.as_bytes()).unwrap().top().children().len(), 65_534)
    });
    println!("{} bytes in {took:?}", text.len());
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn a_table_that_is_too_short_is_named_with_what_it_needs() {
    let text = b"volume a type t/x option k v option l w end-volume \
        volume b type t/x subvolumes a end-volume
        volume c type t/x option k v subvolumes b a end-volume";
    let all = Needs { volumes: 3, options: 3, children: 3 };
    assert_eq!(needs(text, &Limits::default()), Ok(all));
    assert!(Room::of(all).parse(text).is_ok());
    for (table, rooms) in [
        (Table::Volumes, [(0, 9, 9), (1, 9, 9), (2, 9, 9)]),
        (Table::Options, [(9, 0, 9), (9, 1, 9), (9, 2, 9)]),
        (Table::Children, [(9, 9, 0), (9, 9, 1), (9, 9, 2)]),
    ] {
        for (has, (volumes, options, children)) in (0..).zip(rooms) {
            let error = Room::new(volumes, options, children).parse(text).unwrap_err();
            assert_eq!(error.fault, Fault::TableFull { table, has, needs: 3 });
            assert!(error.volume().is_some(), "{error}");
        }
    }
    let error = Room::new(1, 9, 9).parse(text).unwrap_err();
    assert_eq!(
        error.to_string(),
        "line 1, column 59: there is room for 1 volumes, the volfile has 3"
    );
}

#[test]
fn a_text_that_fails_anyway_asks_for_no_larger_table() {
    let text =
        b"volume a type t/x option k v end-volume volume b type t/x option k v end-volume tail";
    assert_eq!(Room::new(1, 9, 9).parse(text).unwrap_err().fault, Fault::ExpectedVolume);
}

#[test]
fn a_table_of_a_former_parse_can_be_used_again() {
    let long = volume_of(20, 2);
    let mut room = Room::plenty();
    assert!(room.parse_within(long.as_bytes(), &Limits::default()).is_ok());
    let text = b"volume big-client-3 type t/x option k v end-volume \
        volume x type t/x subvolumes big-client-3 end-volume";
    let parsed = room.parse(text).unwrap();
    let needs = parsed.needs();
    assert_eq!(parsed.volumes().len(), 2);
    assert!(parsed.find("big-client-2").is_none());

    // The view can be dropped and made again, while the tables stay where they are.
    let again = room.again(text, needs).unwrap();
    assert_eq!(again.top().children().next().unwrap().name(), "big-client-3");
    assert!(room.again(text, Needs { volumes: 65, ..needs }).is_none());
    assert!(room.again(text, Needs::default()).is_none());
    // Another text: nonsense, but no panic.
    let other = room.again(b"x", needs).unwrap();
    assert!(other.volumes().all(|volume| volume.name().is_empty() && volume.options().len() < 2));
}

#[test]
fn each_limit_is_kept_to_the_last_one_and_named_beyond() {
    let text = b"volume a type t/x option k v option l w end-volume \
        volume b type t/x subvolumes a end-volume
        volume c type t/x option k v subvolumes b a end-volume";
    let limits = Limits {
        text_bytes_max: u32::try_from(text.len()).unwrap(),
        token_bytes_max: 10,
        volumes_max: 3,
        depth_max: 3,
        children_per_volume_max: 2,
        options_per_volume_max: 2,
    };
    assert!(Room::plenty().parse_within(text, &limits).is_ok());
    let longest = limits.text_bytes_max - 1;
    let cases = [
        (
            Limits { text_bytes_max: longest, ..limits },
            Fault::TextTooLong { max: longest },
            (2, 62),
        ),
        (Limits { token_bytes_max: 9, ..limits }, Fault::TokenTooLong { max: 9 }, (1, 41)),
        (Limits { volumes_max: 2, ..limits }, Fault::TooManyVolumes { max: 2 }, (2, 16)),
        (Limits { depth_max: 2, ..limits }, Fault::TooDeep { max: 2 }, (2, 49)),
        (
            Limits { children_per_volume_max: 1, ..limits },
            Fault::TooManyChildren { max: 1 },
            (2, 51),
        ),
        (Limits { options_per_volume_max: 1, ..limits }, Fault::TooManyOptions { max: 1 }, (1, 39)),
    ];
    for (limits, fault, place) in cases {
        let error = Room::plenty().parse_within(text, &limits).unwrap_err();
        assert_eq!((error.fault, (error.line, error.column)), (fault, place));
    }
}

#[test]
fn a_word_or_string_may_be_as_long_as_the_limit_and_no_longer() {
    let limits = Limits::default();
    let long = "x".repeat(limits.token_bytes_max as usize);
    for (before, after) in [("", ""), ("\"", "\"")] {
        let text =
            |value: &str| format!("volume a type t/x option k {before}{value}{after} end-volume");
        let fits = text(&long);
        assert_eq!(
            Room::plenty().parse(fits.as_bytes()).unwrap().top().option("k").unwrap(),
            long.as_str()
        );
        let error = Room::plenty().parse(text(&format!("{long}x")).as_bytes()).unwrap_err();
        assert_eq!((error.fault, error.column), (Fault::TokenTooLong { max: 65_536 }, 28));
    }
}

#[test]
fn sixty_four_levels_are_the_deepest_graph() {
    let tower = |levels: u32| {
        let mut text = String::from("volume v1 type t/x option k v end-volume\n");
        for level in 2..=levels {
            writeln!(text, "volume v{level} type t/x subvolumes v{} end-volume", level - 1)
                .unwrap();
        }
        text
    };
    let mut room = Room::new(100, 100, 100);
    assert_eq!(room.parse(tower(64).as_bytes()).unwrap().top().depth(), 64);
    let error = room.parse(tower(65).as_bytes()).unwrap_err();
    assert_eq!((error.fault, error.line), (Fault::TooDeep { max: 64 }, 65));
}

#[test]
fn a_peer_cannot_choose_names_that_are_slow_to_look_up() {
    // FNV-1a is easily steered: blocks of bytes that lead back to an earlier state can be combined
    // freely. They are found by a search over states, not over names, so this takes no time.
    let step = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    let start = 0x811c_9dc5_u32;
    let mut seen = std::collections::HashMap::new();
    // Eight letters drawn from `n`, because shorter blocks have too much in common to collide.
    let block = |n: u64| {
        let drawn = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        drawn.to_le_bytes().map(|byte| b'a' + byte % 26)
    };
    let mut state = start;
    let mut pairs = Vec::new();
    while pairs.len() < 7 {
        seen.clear();
        let found = (0..1_000_000_u64).find_map(|n| {
            let hash = block(n).iter().fold(state, |hash, byte| step(hash, *byte));
            let other = seen.insert(hash, n).filter(|other| block(*other) != block(n));
            other.map(|other| (other, n, hash))
        });
        match found {
            Some((a, b, hash)) => {
                pairs.push((block(a), block(b)));
                state = hash;
            }
            None => panic!("no collision among a million blocks"),
        }
    }
    let mut text = String::new();
    for n in 0..128_u32 {
        text.push_str("volume ");
        for (bit, (a, b)) in pairs.iter().enumerate() {
            text.push_str(std::str::from_utf8(if n >> bit & 1 == 0 { a } else { b }).unwrap());
        }
        text.push_str(" type t/x option k v end-volume\n");
    }
    let error = Room::new(128, 128, 0).parse(text.as_bytes()).unwrap_err();
    assert_eq!(error.fault, Fault::CollidingNames);
    assert_eq!(error.line, 65, "{error}");
}

#[test]
fn an_entry_is_small() {
    assert!(size_of::<VolumeEntry>() <= 52, "{}", size_of::<VolumeEntry>());
    assert_eq!(size_of::<brickwire_core::volfile::OptionEntry>(), 16);
    assert_eq!(size_of::<brickwire_core::volfile::VolumeIndex>(), 2);
    assert!(size_of::<brickwire_core::volfile::VolfileError>() <= 28);
}
