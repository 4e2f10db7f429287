//! The URI grammar: what is accepted, what is rejected, and where.

use brickwire_core::uri::{Part, TooShort, Transport, Uri, UriFault};

struct Parts {
    transport: Transport,
    host: Option<&'static str>,
    port: Option<u16>,
    volume: &'static str,
    path: Option<&'static str>,
    socket: Option<&'static str>,
}

fn check(text: &str, want: &Parts) {
    let uri = Uri::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(uri.transport(), want.transport, "{text}");
    assert_eq!(uri.host().map(|c| c.to_string()).as_deref(), want.host, "{text}");
    assert_eq!(uri.port(), want.port, "{text}");
    assert_eq!(uri.volume().to_string(), want.volume, "{text}");
    assert_eq!(uri.path().map(|c| c.to_string()).as_deref(), want.path, "{text}");
    assert_eq!(uri.socket().map(|c| c.to_string()).as_deref(), want.socket, "{text}");
    let again = uri.to_string();
    assert_eq!(Uri::parse(&again).unwrap(), uri, "{text} as {again}");
}

fn tcp(host: &'static str, path: &'static str) -> Parts {
    let path = (!path.is_empty()).then_some(path);
    Parts {
        transport: Transport::Tcp,
        host: Some(host),
        port: Some(24007),
        volume: "testvol",
        path,
        socket: None,
    }
}

#[test]
fn the_eight_examples_of_qemus_documentation_parse_to_the_right_parts() {
    check("gluster://1.2.3.4/testvol/a.img", &tcp("1.2.3.4", "a.img"));
    check("gluster+tcp://1.2.3.4/testvol/a.img", &tcp("1.2.3.4", "a.img"));
    check("gluster+tcp://1.2.3.4:24007/testvol/dir/a.img", &tcp("1.2.3.4", "dir/a.img"));
    check(
        "gluster+tcp://[1:2:3:4:5:6:7:8]/testvol/dir/a.img",
        &tcp("1:2:3:4:5:6:7:8", "dir/a.img"),
    );
    check(
        "gluster+tcp://[1:2:3:4:5:6:7:8]:24007/testvol/dir/a.img",
        &tcp("1:2:3:4:5:6:7:8", "dir/a.img"),
    );
    check(
        "gluster+tcp://server.domain.com:24007/testvol/dir/a.img",
        &tcp("server.domain.com", "dir/a.img"),
    );
    let unix = Parts {
        transport: Transport::Unix,
        host: None,
        port: None,
        volume: "testvol",
        path: Some("dir/a.img"),
        socket: Some("/tmp/glusterd.socket"),
    };
    check("gluster+unix:///testvol/dir/a.img?socket=/tmp/glusterd.socket", &unix);
    let rdma = Parts { transport: Transport::Rdma, ..tcp("1.2.3.4", "a.img") };
    check("gluster+rdma://1.2.3.4:24007/testvol/a.img", &rdma);
}

#[test]
fn defaults_and_spellings_are_filled_in() {
    check("gluster:///testvol/a.img", &tcp("localhost", "a.img"));
    check("gluster://h:0/testvol/a.img", &tcp("h", "a.img"));
    check("gluster://h:00024007/testvol/a.img", &tcp("h", "a.img"));
    check("gluster://:24007/testvol/a.img", &tcp("localhost", "a.img"));
    check("gluster://h:24008/testvol/a", &Parts { port: Some(24008), ..tcp("h", "a") });
    check("gluster://h//testvol///a.img", &tcp("h", "a.img"));
    check("gluster://h/testvol/%2F/%2fa", &tcp("h", "a"));
    check("gluster://h/testvol/a//b/", &tcp("h", "a//b/"));
    check("gluster://h/testvol/../.", &tcp("h", "../."));
    check("gluster://h/testvol/a%2Fb", &tcp("h", "a/b"));
    check("gluster://h/testvol", &tcp("h", ""));
    check("gluster://h/testvol/", &tcp("h", ""));
    check("gluster://h/testvol/%2F", &tcp("h", ""));
    check("gluster://h/testvol?&&", &tcp("h", ""));
    check("gluster://h/test%76ol/a%20b%C3%A4%f0%9f%92%be", &tcp("h", "a bä💾"));
    check("gluster://%68-1.ex_~%C3%A4/testvol/a", &tcp("h-1.ex_~ä", "a"));
    check("gluster://[::ffff:1.2.3.4]/testvol/a", &tcp("::ffff:1.2.3.4", "a"));
}

#[test]
fn a_zone_is_kept_however_its_percent_sign_is_written() {
    check("gluster://[fe80::1%25eth0]/testvol/a", &tcp("fe80::1%eth0", "a"));
    check("gluster://[fe80::1%eth0]/testvol/a", &tcp("fe80::1%eth0", "a"));
    check("gluster://[fe80::1%25ab]/testvol/a", &tcp("fe80::1%ab", "a"));
    check("gluster://[fe80::1%2512]/testvol/a", &tcp("fe80::1%12", "a"));
    check("gluster://[fe80::1%2]/testvol/a", &tcp("fe80::1%2", "a"));
    let bare = Uri::parse("gluster://[fe80::1%eth0]/v").unwrap();
    assert_eq!(bare.to_string(), "gluster+tcp://[fe80::1%25eth0]:24007/v");
}

#[test]
fn a_socket_may_have_any_name_that_is_encoded() {
    let cases = [
        ("/tmp/a%20b", "/tmp/a b"),
        ("/a+b=c?d:e@f", "/a+b=c?d:e@f"),
        ("/a%26b%3Bc%23", "/a&b;c#"),
        ("relative", "relative"),
        ("/a;b&", "/a;b"),
    ];
    for (raw, want) in cases {
        let text = format!("gluster+unix:///v/i?socket={raw}");
        let uri = Uri::parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(uri.socket().unwrap(), want, "{text}");
        assert_eq!((uri.host(), uri.port()), (None, None), "{text}");
        assert_eq!(Uri::parse(&uri.to_string()), Ok(uri), "{text}");
    }
    assert_eq!(Uri::parse("gluster+unix:///v?&;sock%65t=/s").unwrap().socket().unwrap(), "/s");
}

#[test]
fn what_is_equal_has_one_canonical_form() {
    let canonical = "gluster+tcp://h:24007/vol/a%20b/%23~%C3%A4@c";
    for text in [
        canonical,
        "gluster://%68//v%6fl//a%20b%2f%23%7E%c3%a4@c",
        "gluster://h:0/vol/a%20b/%23~%C3%A4%40c?",
    ] {
        let uri = Uri::parse(text).unwrap();
        assert_eq!(uri.to_string(), canonical, "{text}");
        assert_eq!(uri, Uri::parse(canonical).unwrap(), "{text}");
    }
}

#[test]
fn a_component_is_decoded_into_the_room_it_is_given() {
    let path = Uri::parse("gluster://h/v/a%20%C3%A4").unwrap().path().unwrap();
    assert_eq!((path.raw(), path.as_str(), path.decoded_len()), ("a%20%C3%A4", None, 4));
    assert_eq!(path.decode_into(&mut [0; 8]), Ok("a ä".as_bytes()));
    assert_eq!(path.decode_into(&mut [0; 4]), Ok("a ä".as_bytes()));
    assert_eq!(path.decode_into(&mut [0; 3]), Err(TooShort { needed: 4 }));
    assert!(path.bytes().eq("a ä".bytes()));
    assert_eq!(Uri::parse("gluster://h/v/a").unwrap().path().unwrap().as_str(), Some("a"));
}

#[test]
fn every_rejection_names_the_part_and_the_byte() {
    use Part::{Host, Path, Port, Query, Scheme, Socket, Volume};
    use UriFault::*;
    let cases = [
        ("", Scheme, 0, NotGluster),
        ("nbd://h/v/i", Scheme, 0, NotGluster),
        ("gluster+udp://h/v/i", Scheme, 0, NotGluster),
        ("Gluster://h/v/i", Scheme, 0, NotGluster),
        ("gluster:/h/v/i", Scheme, 0, NotGluster),
        ("gluster://h", Volume, 11, Missing),
        ("gluster://h/", Volume, 12, Missing),
        ("gluster://h//", Volume, 13, Missing),
        ("gluster://h?socket=/s", Volume, 11, Missing),
        ("gluster://h/../i", Volume, 12, NotAVolume),
        ("gluster://h/%2e/i", Volume, 12, NotAVolume),
        ("gluster://h/a%2Fb/i", Volume, 13, NotAVolume),
        ("gluster://h/a b/i", Volume, 13, NotEncoded),
        ("gluster://h/a%00/i", Volume, 13, Nul),
        ("gluster://server.domain:70000/v/i", Port, 24, NotAPort),
        ("gluster://h:65536/v/i", Port, 12, NotAPort),
        ("gluster://h:99999999999999999999/v/i", Port, 12, NotAPort),
        ("gluster://h:+1/v/i", Port, 12, NotAPort),
        ("gluster://h:12x/v/i", Port, 12, NotAPort),
        ("gluster://h:/v/i", Port, 12, NotAPort),
        ("gluster://[::1]:/v/i", Port, 16, NotAPort),
        ("gluster://::1/v/i", Port, 11, NotAPort),
        ("gluster://u@h/v/i", Host, 11, BadCharacter),
        ("gluster://u:1@h/v/i", Host, 13, BadCharacter),
        ("gluster://a,b/v/i", Host, 11, BadCharacter),
        ("gluster://a%2Cb/v/i", Host, 11, BadCharacter),
        ("gluster://hä/v/i", Host, 11, NotEncoded),
        ("gluster://h%C3/v/i", Host, 11, NotUtf8),
        ("gluster://h%/v/i", Host, 11, BadEscape),
        ("gluster://[::1/v/i", Host, 10, Unclosed),
        ("gluster://[]/v/i", Host, 11, NotIpv6),
        ("gluster://[1.2.3.4]/v/i", Host, 11, NotIpv6),
        ("gluster://[1:2:3:4:5:6:7:8:9]/v/i", Host, 11, NotIpv6),
        ("gluster://[::1]x/v/i", Host, 15, BadCharacter),
        ("gluster://[fe80::1%]/v/i", Host, 18, NotAZone),
        ("gluster://[fe80::1%25]/v/i", Host, 18, NotAZone),
        ("gluster://[fe80::1%ab]/v/i", Host, 18, NotAZone),
        ("gluster://h/v/a%", Path, 15, BadEscape),
        ("gluster://h/v/a%4", Path, 15, BadEscape),
        ("gluster://h/v/a%zz", Path, 15, BadEscape),
        ("gluster://h/v/a%00b", Path, 15, Nul),
        ("gluster://h/v/a\0b", Path, 15, Nul),
        ("gluster://h/v%ff/a", Volume, 13, NotUtf8),
        ("gluster://h/%C3%A4%C3(/a", Volume, 18, NotUtf8),
        ("gluster://h/%F0%9F%92/a", Volume, 12, NotUtf8),
        ("gluster://h/%ED%A0%80/a", Volume, 12, NotUtf8),
        ("gluster://h/%C0%AF/a", Volume, 12, NotUtf8),
        ("gluster://h/v/%C3%00", Path, 17, Nul),
        ("gluster://h/v/%FF/%00/%FE", Path, 18, Nul),
        ("gluster://h/v/a#b", Path, 15, NotEncoded),
        ("gluster://h/v/a b", Path, 15, NotEncoded),
        ("gluster://h/v/aä", Path, 15, NotEncoded),
        ("gluster://h/v/a[1]", Path, 15, NotEncoded),
        ("gluster://h/v/a?socket=/s", Socket, 16, NotHere),
        ("gluster+rdma://h/v/a?socket=/s", Socket, 21, NotHere),
        ("gluster://h/v/a?x=1", Query, 16, UnknownParameter),
        ("gluster://h/v/a?=", Query, 16, UnknownParameter),
        ("gluster://h/v/a?#", Query, 16, NotEncoded),
        ("gluster+unix:///v/a", Socket, 19, Missing),
        ("gluster+unix:///v/a?", Socket, 20, Missing),
        ("gluster+unix:///v/a?socket", Socket, 26, Missing),
        ("gluster+unix:///v/a?socket=", Socket, 27, Missing),
        ("gluster+unix:///v/a?socket=&x=1", Socket, 27, Missing),
        ("gluster+unix:///v/a?socket=/a&socket=/b", Socket, 30, Repeated),
        ("gluster+unix:///v/a?socket=/a;x=1", Query, 30, UnknownParameter),
        ("gluster+unix:///v/a?socket=/a b", Socket, 29, NotEncoded),
        ("gluster+unix:///v/a?socket=/a%00", Socket, 29, Nul),
        ("gluster+unix:///v/a?socket=/a%FF", Socket, 29, NotUtf8),
        ("gluster+unix:///v/a?socket=%2", Socket, 27, BadEscape),
        ("gluster+unix://h/v/a?socket=/a", Host, 15, NotHere),
        ("gluster+unix://:1/v/a?socket=/a", Port, 16, NotHere),
    ];
    for (text, part, offset, fault) in cases {
        let error = Uri::parse(text).expect_err(text);
        assert_eq!(
            (error.part, error.offset, error.fault),
            (part, offset, fault),
            "{text}: {error}"
        );
    }
}

#[test]
fn an_image_needs_a_path_and_a_volume_does_not() {
    for (text, offset) in [
        ("gluster://h/v", 13),
        ("gluster://h/v/", 14),
        ("gluster://h/v/?", 14),
        ("gluster+unix:///v?socket=/s", 17),
    ] {
        assert_eq!(Uri::parse(text).unwrap().path(), None, "{text}");
        let error = Uri::parse_image(text).unwrap_err();
        assert_eq!(
            (error.part, error.offset, error.fault),
            (Part::Path, offset, UriFault::Missing),
            "{text}"
        );
    }
}

#[test]
fn a_person_reads_what_is_wrong_and_where() {
    let said = |text| Uri::parse_image(text).unwrap_err().to_string();
    assert_eq!(
        said("gluster://server.domai:70000/v/i"),
        "port: expected a number from 0 to 65535 at byte 23"
    );
    assert_eq!(
        said("gluster://h/v/my disk"),
        "path: this character must be percent-encoded at byte 16"
    );
    assert_eq!(said("gluster://h/v"), "path: expected the path of an image at byte 13");
    assert_eq!(said("gluster://h"), "volume: expected the name of a volume at byte 11");
}

/// Pieces from which texts similar to URIs are made.
const PIECES: &[&str] = &[
    "h",
    "v",
    "1.2.3.4",
    "[::1]",
    "[fe80::1%25e0]",
    "[fe80::1%eth0]",
    "/",
    "//",
    ":",
    "24007",
    "0",
    "?",
    "&",
    ";",
    "=",
    "socket=",
    "/s",
    "%2F",
    "%20",
    "%C3%A4",
    "%c3",
    "%00",
    "%",
    "%41",
    "#",
    "@",
    "+",
    ",",
    "~",
    ".",
    "..",
    "[",
    "]",
    " ",
    "ä",
    "\0",
];

#[test]
fn arbitrary_text_never_panics_and_what_parses_prints_as_it_parses() {
    arbtest::arbtest(|u| {
        let head = u.choose(&[
            "",
            "gluster://",
            "gluster+unix:///v/p?socket=",
            "gluster+unix:///v/p?",
            "gluster://[::1]:7/v/",
            "gluster+rdma://h/",
        ])?;
        let mut text = (*head).to_owned();
        if u.arbitrary()? {
            text.push_str(u.arbitrary()?);
        } else {
            for _ in 0..u.int_in_range(0..=8)? {
                text.push_str(u.choose(PIECES)?);
            }
        }
        match Uri::parse(&text) {
            Ok(uri) => {
                let again = uri.to_string();
                let twice = Uri::parse(&again);
                assert_eq!(twice, Ok(uri), "{text} as {again}");
                assert_eq!(twice.map(|uri| uri.to_string()).as_ref(), Ok(&again), "{text}");
                for part in
                    [uri.host(), uri.path(), uri.socket(), Some(uri.volume())].into_iter().flatten()
                {
                    let mut room = vec![0; part.decoded_len()];
                    let decoded = part
                        .decode_into(&mut room)
                        .unwrap_or_else(|error| panic!("{text}: {error}"));
                    if let Ok(decoded) = std::str::from_utf8(decoded) {
                        assert_eq!(decoded, part.to_string(), "{text}");
                    }
                    assert!(!decoded.is_empty() && !decoded.contains(&0), "{text}");
                }
            }
            Err(error) => {
                assert!(text.is_char_boundary(error.offset as usize), "{text:?}: {error}")
            }
        }
        Ok(())
    });
}

#[test]
fn names_of_files_are_bytes_and_need_not_be_text() {
    let text = "gluster://h/v/caf%E9/%C3(%ff";
    let uri = Uri::parse(text).unwrap();
    let path = uri.path().unwrap();
    let bytes: Vec<u8> = path.bytes().collect();
    assert_eq!(bytes, b"caf\xe9/\xc3(\xff");
    assert_eq!(path.decode_into(&mut [0; 16]), Ok(&bytes[..]));
    assert_eq!(path.to_string(), "caf\u{fffd}/\u{fffd}(\u{fffd}");
    let again = uri.to_string();
    assert_eq!(again, "gluster+tcp://h:24007/v/caf%E9/%C3(%FF");
    assert_eq!(Uri::parse(&again), Ok(uri));
}
