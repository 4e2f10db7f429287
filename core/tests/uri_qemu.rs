//! The grammar beside QEMU's. The tables hold how qemu-img 7.2.22 (Debian 12) parses each URI: its
//! gluster driver was loaded over a `libgfapi` that records its calls and connects nowhere.

use brickwire_core::uri::{Transport, Uri};

/// QEMU's calls to `libgfapi`, as text: transport, host or socket, port, volume, path.
fn as_qemu_says(uri: &Uri<'_>) -> String {
    let path: Vec<u8> = uri.path().map(|path| path.bytes().collect()).unwrap_or_default();
    // Bytes that are no text stand in the table as QEMU's log had them.
    let path =
        String::from_utf8(path).unwrap_or_else(|error| error.as_bytes().escape_ascii().to_string());
    let volume = uri.volume();
    match (uri.socket(), uri.host(), uri.port()) {
        (Some(socket), None, None) => format!("unix {socket} 0 {volume} {path}"),
        // QEMU opens rdma over tcp, and leaves an IPv6 address its brackets.
        (None, Some(host), Some(port)) if host.raw().contains(':') => {
            format!("tcp [{host}] {port} {volume} {path}")
        }
        (None, Some(host), Some(port)) => format!("tcp {host} {port} {volume} {path}"),
        parts => panic!("{uri}: {parts:?}"),
    }
}

#[test]
fn what_qemu_accepts_is_accepted_to_the_same_parts() {
    for (text, qemu) in ACCEPTED_BY_BOTH {
        let uri = Uri::parse_image(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(as_qemu_says(&uri), *qemu, "{text}");
        assert_eq!(uri.transport() == Transport::Rdma, text.starts_with("gluster+rdma"), "{text}");
        let again = uri.to_string();
        assert_eq!(Uri::parse_image(&again), Ok(uri), "{text} as {again}");
    }
}

#[test]
fn what_qemu_rejects_is_rejected() {
    for text in REJECTED_BY_BOTH {
        assert!(Uri::parse_image(text).is_err(), "{text}");
    }
}

#[test]
fn where_qemu_is_careless_we_say_what_is_wrong() {
    for (text, qemu, ours) in REJECTED_BY_US {
        let error = Uri::parse(text).expect_err(text);
        assert_eq!(error.to_string(), *ours, "{text}, which QEMU takes for {qemu}");
    }
}

const ACCEPTED_BY_BOTH: &[(&str, &str)] = &[
    ("gluster://h/v/a%ff", "tcp h 24007 v a\\xff"),
    ("gluster://1.2.3.4/testvol/a.img", "tcp 1.2.3.4 24007 testvol a.img"),
    ("gluster+tcp://1.2.3.4/testvol/a.img", "tcp 1.2.3.4 24007 testvol a.img"),
    ("gluster+tcp://1.2.3.4:24007/testvol/dir/a.img", "tcp 1.2.3.4 24007 testvol dir/a.img"),
    (
        "gluster+tcp://[1:2:3:4:5:6:7:8]/testvol/dir/a.img",
        "tcp [1:2:3:4:5:6:7:8] 24007 testvol dir/a.img",
    ),
    (
        "gluster+tcp://[1:2:3:4:5:6:7:8]:24007/testvol/dir/a.img",
        "tcp [1:2:3:4:5:6:7:8] 24007 testvol dir/a.img",
    ),
    (
        "gluster+tcp://server.domain.com:24007/testvol/dir/a.img",
        "tcp server.domain.com 24007 testvol dir/a.img",
    ),
    (
        "gluster+unix:///testvol/dir/a.img?socket=/tmp/glusterd.socket",
        "unix /tmp/glusterd.socket 0 testvol dir/a.img",
    ),
    ("gluster+rdma://1.2.3.4:24007/testvol/a.img", "tcp 1.2.3.4 24007 testvol a.img"),
    ("gluster:///v/i", "tcp localhost 24007 v i"),
    ("gluster://h:0/v/i", "tcp h 24007 v i"),
    ("gluster://:24008/v/i", "tcp localhost 24008 v i"),
    ("gluster://:0/v/i", "tcp localhost 24007 v i"),
    ("gluster://h:00024007/v/i", "tcp h 24007 v i"),
    ("gluster://h:65535/v/i", "tcp h 65535 v i"),
    ("gluster://h//v///i", "tcp h 24007 v i"),
    ("gluster://h/v/i/", "tcp h 24007 v i/"),
    ("gluster://h/v/i//j", "tcp h 24007 v i//j"),
    ("gluster://h/v/../i", "tcp h 24007 v ../i"),
    ("gluster://h/v/%2Fi", "tcp h 24007 v i"),
    ("gluster://h/v/a%2Fb", "tcp h 24007 v a/b"),
    ("gluster://h/%76/i%20j", "tcp h 24007 v i j"),
    ("gluster://h/v/a%C3%A4", "tcp h 24007 v aä"),
    ("gluster://h/v/a:b@c!$&'()*+,;=~_-.d", "tcp h 24007 v a:b@c!$&'()*+,;=~_-.d"),
    ("gluster://%68ost/v/i", "tcp host 24007 v i"),
    ("gluster://h%C3%A4/v/i", "tcp hä 24007 v i"),
    ("gluster://h_x~y/v/i", "tcp h_x~y 24007 v i"),
    ("gluster://[::1]/v/i", "tcp [::1] 24007 v i"),
    ("gluster://[fe80::1%25eth0]/v/i", "tcp [fe80::1%eth0] 24007 v i"),
    ("gluster://[fe80::1%eth0]/v/i", "tcp [fe80::1%eth0] 24007 v i"),
    ("gluster://1.2.3.4x/v/i", "tcp 1.2.3.4x 24007 v i"),
    ("gluster://1.2.3.999/v/i", "tcp 1.2.3.999 24007 v i"),
    ("gluster://h/v/i?", "tcp h 24007 v i"),
    ("gluster://h/v/i?&", "tcp h 24007 v i"),
    ("gluster+tcp:///v/i?", "tcp localhost 24007 v i"),
    ("gluster+rdma:///v/i", "tcp localhost 24007 v i"),
    ("gluster+unix:///v/i?socket=/a&", "unix /a 0 v i"),
    ("gluster+unix:///v/i?&socket=/a", "unix /a 0 v i"),
    ("gluster+unix:///v/i?;socket=/a", "unix /a 0 v i"),
    ("gluster+unix:///v/i?&&socket=/a;;", "unix /a 0 v i"),
    ("gluster+unix:///v/i?sock%65t=/a", "unix /a 0 v i"),
    ("gluster+unix:///v/i?socket=/a%20b", "unix /a b 0 v i"),
    ("gluster+unix:///v/i?socket=/a+b", "unix /a+b 0 v i"),
    ("gluster+unix:///v/i?socket=/a=b", "unix /a=b 0 v i"),
    ("gluster+unix:///v/i?socket=/a?b", "unix /a?b 0 v i"),
    ("gluster+unix:///v/i?socket=/a:b@c", "unix /a:b@c 0 v i"),
    ("gluster+unix:///v/i?socket=/a%26b", "unix /a&b 0 v i"),
    ("gluster+unix:///v/i?socket=rel", "unix rel 0 v i"),
];

const REJECTED_BY_BOTH: &[&str] = &[
    "gluster://h:/v/i",
    "gluster://:/v/i",
    "gluster://h:65536/v/i",
    "gluster://h:12x/v/i",
    "gluster://h:+1/v/i",
    "gluster://v/i",
    "gluster:///v",
    "gluster:///v/",
    "gluster://h/v/%2F",
    "gluster://h/v%00w/i",
    "gluster://h/v/%00",
    "gluster://h/v/a%zz",
    "gluster://h/v/a%",
    "gluster://h/v/a%4",
    "gluster://h/v/aä",
    "gluster://h/v/a b",
    "gluster://h/v/a[1]",
    "gluster://h/v/a<b",
    "gluster://h/v/a\"b",
    "gluster://h/v/a\\b",
    "gluster://h/v/a^b",
    "gluster://h/v/a|b",
    "gluster://h/v/a`b",
    "gluster://h/v/a{b}",
    "gluster://h/v/i#x y",
    "gluster://hä/v/i",
    "gluster://h x/v/i",
    "gluster://::1/v/i",
    "gluster://[::1]x/v/i",
    "gluster://[::1/v/i",
    "gluster://[::1]:/v/i",
    "gluster://h/v/i?&;&",
    "gluster://h/v/i?=",
    "gluster://h/v/i?x",
    "gluster://h/v/i?x=1",
    "gluster://h/v/i?socket=/s",
    "gluster+rdma://h/v/i?socket=/s",
    "gluster+unix:///v/i",
    "gluster+unix:///v/i?",
    "gluster+unix:///v/i?=&socket=/a",
    "gluster+unix:///v/i?socket=/a&socket=/b",
    "gluster+unix:///v/i?socket=/a;socket=/b",
    "gluster+unix:///v/i?socket=/a&x=1",
    "gluster+unix:///v/i?x=1",
    "gluster+unix:///v/i?Socket=/a",
    "gluster+unix:///v/i?socket=/a%zz",
    "gluster+unix:///v/i?socket=/aä",
    "gluster+unix:///v/i?socket=/a b",
    "gluster+unix://h/v/i?socket=/s",
    "gluster+unix://:1/v/i?socket=/s",
    "gluster+unix://:/v/i?socket=/s",
    "gluster+unix:///v?socket=/s",
    "gluster+udp://h/v/i",
    "Gluster://h/v/i",
    "GLUSTER+TCP://h/v/i",
    "gluster+TCP://h/v/i",
    "gluster+://h/v/i",
    "gluster://",
    "gluster://h",
    "gluster://h/",
    "gluster://h//",
    "gluster://h?x",
    " gluster://h/v/i",
    "gluster://h/v/i ",
];

/// The URI, what QEMU takes it for, and what we say.
const REJECTED_BY_US: &[(&str, &str, &str)] = &[
    (
        "gluster:/v/i",
        "tcp localhost 24007 v i",
        "scheme: expected gluster://, gluster+tcp://, gluster+unix:// or gluster+rdma:// at byte 0",
    ),
    (
        "gluster:v/i",
        "tcp localhost 24007 v i",
        "scheme: expected gluster://, gluster+tcp://, gluster+unix:// or gluster+rdma:// at byte 0",
    ),
    (
        "gluster://h/./i",
        "tcp h 24007 . i",
        "volume: expected a name without a slash, neither . nor .. at byte 12",
    ),
    (
        "gluster://h/../i",
        "tcp h 24007 .. i",
        "volume: expected a name without a slash, neither . nor .. at byte 12",
    ),
    (
        "gluster://h/v%2Fi",
        "tcp h 24007 v i",
        "volume: expected a name without a slash, neither . nor .. at byte 13",
    ),
    (
        "gluster://h/v%2fw/i",
        "tcp h 24007 v w/i",
        "volume: expected a name without a slash, neither . nor .. at byte 13",
    ),
    (
        "gluster://h/%2Fv/i",
        "tcp h 24007 v i",
        "volume: expected a name without a slash, neither . nor .. at byte 12",
    ),
    (
        "gluster://h/%2F/v/i",
        "tcp h 24007 v i",
        "volume: expected a name without a slash, neither . nor .. at byte 12",
    ),
    ("gluster://h/v/a%00b", "tcp h 24007 v a", "path: unexpected NUL at byte 15"),
    ("gluster://h%00x/v/i", "tcp h 24007 v i", "host: unexpected NUL at byte 11"),
    (
        "gluster://h/v/i#x",
        "tcp h 24007 v i",
        "path: this character must be percent-encoded at byte 15",
    ),
    (
        "gluster://h/v/i#",
        "tcp h 24007 v i",
        "path: this character must be percent-encoded at byte 15",
    ),
    ("gluster://u@h/v/i", "tcp h 24007 v i", "host: unexpected character at byte 11"),
    ("gluster://u:p@h/v/i", "tcp h 24007 v i", "host: unexpected character at byte 13"),
    ("gluster://@h/v/i", "tcp h 24007 v i", "host: unexpected character at byte 10"),
    ("gluster://a!b/v/i", "tcp a!b 24007 v i", "host: unexpected character at byte 11"),
    ("gluster://h,k/v/i", "tcp h,k 24007 v i", "host: unexpected character at byte 11"),
    ("gluster://h%2Fx/v/i", "tcp h/x 24007 v i", "host: unexpected character at byte 11"),
    ("gluster://h%3A80/v/i", "tcp h:80 24007 v i", "host: unexpected character at byte 11"),
    (
        "gluster://[]/v/i",
        "tcp [] 24007 v i",
        "host: expected an IPv6 address between the brackets at byte 11",
    ),
    (
        "gluster://[1.2.3.4]/v/i",
        "tcp [1.2.3.4] 24007 v i",
        "host: expected an IPv6 address between the brackets at byte 11",
    ),
    (
        "gluster://[host]/v/i",
        "tcp [host] 24007 v i",
        "host: expected an IPv6 address between the brackets at byte 11",
    ),
    (
        "gluster://[fe80::1%ab]/v/i",
        "tcp [fe80::1\\xab] 24007 v i",
        "host: expected %25 and the name of an interface at byte 18",
    ),
    (
        "gluster://[fe80::1%25]/v/i",
        "tcp [fe80::1%] 24007 v i",
        "host: expected %25 and the name of an interface at byte 18",
    ),
    (
        "gluster://[%31::1]/v/i",
        "tcp [1::1] 24007 v i",
        "host: expected an IPv6 address between the brackets at byte 11",
    ),
    (
        "gluster://[::1 x]/v/i",
        "tcp [::1 x] 24007 v i",
        "host: expected an IPv6 address between the brackets at byte 11",
    ),
    (
        "gluster://[v1.x]/v/i",
        "tcp [v1.x] 24007 v i",
        "host: expected an IPv6 address between the brackets at byte 11",
    ),
    ("gluster://h/v/i?=x", "tcp h 24007 v i", "query: expected no parameter but socket at byte 16"),
    (
        "gluster+unix:///v/i?socket",
        "unix none 0 v i",
        "socket: expected ?socket= and the path of a unix socket at byte 26",
    ),
    (
        "gluster+unix:///v/i?socket=",
        "unix  0 v i",
        "socket: expected ?socket= and the path of a unix socket at byte 27",
    ),
    (
        "gluster+unix:///v/i?socket=&",
        "unix  0 v i",
        "socket: expected ?socket= and the path of a unix socket at byte 27",
    ),
    (
        "gluster+unix:///v/i?socket=;",
        "unix  0 v i",
        "socket: expected ?socket= and the path of a unix socket at byte 27",
    ),
    (
        "gluster+unix:///v/i?=x&socket=/a",
        "unix /a 0 v i",
        "query: expected no parameter but socket at byte 20",
    ),
    ("gluster+unix:///v/i?socket=/a%00b", "unix /a 0 v i", "socket: unexpected NUL at byte 29"),
    ("gluster+unix:///v/i?socket=%00", "unix  0 v i", "socket: unexpected NUL at byte 27"),
    (
        "gluster+unix:///v/i?socket=/a%ffb",
        "unix /a\\xffb 0 v i",
        "socket: decodes to what is not UTF-8 at byte 29",
    ),
    (
        "gluster+unix:///v/i?socket=/a#f",
        "unix /a 0 v i",
        "socket: this character must be percent-encoded at byte 29",
    ),
    (
        "gluster+unix://:0/v/i?socket=/s",
        "unix /s 0 v i",
        "port: gluster+unix:// has neither host nor port at byte 16",
    ),
    (
        "gluster+unix://u@/v/i?socket=/s",
        "unix /s 0 v i",
        "host: gluster+unix:// has neither host nor port at byte 15",
    ),
    (
        "gluster+unix://@/v/i?socket=/s",
        "unix /s 0 v i",
        "host: gluster+unix:// has neither host nor port at byte 15",
    ),
    (
        "gluster+unix:/v/i?socket=/s",
        "unix /s 0 v i",
        "scheme: expected gluster://, gluster+tcp://, gluster+unix:// or gluster+rdma:// at byte 0",
    ),
    (
        "gluster:///v/i?#",
        "tcp localhost 24007 v i",
        "query: this character must be percent-encoded at byte 15",
    ),
];
