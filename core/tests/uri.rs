//! The URI grammar: what is accepted, what is rejected, and where.

use brickwire_core::uri::{Part, Transport, Uri, UriFault};

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
    check("gluster+tcp://[1:2:3:4:5:6:7:8]/testvol/dir/a.img", &tcp("1:2:3:4:5:6:7:8", "dir/a.img"));
    check("gluster+tcp://[1:2:3:4:5:6:7:8]:24007/testvol/dir/a.img", &tcp("1:2:3:4:5:6:7:8", "dir/a.img"));
    check("gluster+tcp://server.domain.com:24007/testvol/dir/a.img", &tcp("server.domain.com", "dir/a.img"));
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
    check("gluster://h:/testvol/a.img", &tcp("h", "a.img"));
    check("gluster://h//testvol///a.img", &tcp("h", "a.img"));
    check("gluster://h/testvol/a//b", &tcp("h", "a//b"));
    check("gluster://h/testvol", &tcp("h", ""));
    check("gluster://h/testvol/", &tcp("h", ""));
    check("gluster://h/test%76ol/a%20b%C3%A4", &tcp("h", "a bä"));
    check("gluster://[fe80::1%25eth0]/testvol/a", &tcp("fe80::1%eth0", "a"));
    check("gluster://h:24008/testvol/a", &Parts { port: Some(24008), ..tcp("h", "a") });
}

#[test]
fn every_rejection_names_the_part_and_the_byte() {
    let cases = [
        ("", Part::Scheme, 0, UriFault::NotGluster),
        ("nbd://h/v/i", Part::Scheme, 0, UriFault::NotGluster),
        ("gluster+udp://h/v/i", Part::Scheme, 0, UriFault::NotGluster),
        ("gluster:/h/v/i", Part::Scheme, 0, UriFault::NotGluster),
        ("gluster://h", Part::Volume, 11, UriFault::Missing),
        ("gluster://h/", Part::Volume, 12, UriFault::Missing),
        ("gluster://h//", Part::Volume, 13, UriFault::Missing),
        ("gluster://h/../i", Part::Volume, 12, UriFault::BadCharacter),
        ("gluster://h:70000/v/i", Part::Port, 12, UriFault::NotAPort),
        ("gluster://h:+1/v/i", Part::Port, 12, UriFault::NotAPort),
        ("gluster://h:x/v/i", Part::Port, 12, UriFault::NotAPort),
        ("gluster://:1/v/i", Part::Host, 10, UriFault::Missing),
        ("gluster://u@h/v/i", Part::Host, 11, UriFault::BadCharacter),
        ("gluster://[::1/v/i", Part::Host, 10, UriFault::Unclosed),
        ("gluster://[1.2.3.4]/v/i", Part::Host, 11, UriFault::NotIpv6),
        ("gluster://[::1]x/v/i", Part::Host, 15, UriFault::BadCharacter),
        ("gluster://h/v/a%", Part::Path, 15, UriFault::BadEscape),
        ("gluster://h/v/a%zz", Part::Path, 15, UriFault::BadEscape),
        ("gluster://h/v/a%00b", Part::Path, 15, UriFault::Nul),
        ("gluster://h/v/a%ff", Part::Path, 14, UriFault::NotUtf8),
        ("gluster://h/v/a#b", Part::Path, 15, UriFault::BadCharacter),
        ("gluster://h/v/a?socket=/s", Part::Socket, 15, UriFault::NotHere),
        ("gluster://h/v/a?x=1", Part::Query, 16, UriFault::UnknownParameter),
        ("gluster+unix:///v/a", Part::Socket, 19, UriFault::Missing),
        ("gluster+unix:///v/a?socket=", Part::Socket, 27, UriFault::Missing),
        ("gluster+unix:///v/a?socket=/a&socket=/b", Part::Socket, 30, UriFault::Repeated),
        ("gluster+unix://h/v/a?socket=/a", Part::Host, 15, UriFault::NotHere),
        ("gluster+unix://:1/v/a?socket=/a", Part::Host, 15, UriFault::Missing),
    ];
    for (text, part, offset, fault) in cases {
        let error = Uri::parse(text).expect_err(text);
        assert_eq!((error.part, error.offset, error.fault), (part, offset, fault), "{text}: {error}");
    }
    let error = Uri::parse_image("gluster://h/v").unwrap_err();
    assert_eq!((error.part, error.offset, error.fault), (Part::Path, 13, UriFault::Missing));
}

#[test]
fn arbitrary_text_never_panics_and_what_parses_prints_as_it_parses() {
    arbtest::arbtest(|u| {
        let tail: &str = u.arbitrary()?;
        let head = u.choose(&[
            "",
            "gluster://",
            "gluster+unix:///v/p?socket=",
            "gluster://[::1]:7/v/",
            "gluster://h/",
        ])?;
        let text = format!("{head}{tail}");
        if let Ok(uri) = Uri::parse(&text) {
            let again = uri.to_string();
            assert_eq!(Uri::parse(&again).as_ref(), Ok(&uri), "{text} as {again}");
        }
        Ok(())
    });
}
