//! A volume whose bricks require TLS is refused by name, or spoken to with TLS, and never without.

mod client_harness;

use brickwire_core::Limits;
use brickwire_core::volume::{Endpoint, GraphError, TlsSettings, TlsUse};
use client_harness::{Rig, volfile};

const SSL: &str = "    option transport.socket.ssl-enabled on\n";
const FILES: &str = "    option transport.socket.ssl-enabled on
    option transport.socket.ssl-own-cert /etc/own.pem
    option transport.socket.ssl-private-key /etc/own.key
    option transport.socket.ssl-ca-list /etc/own.ca
    option transport.socket.ssl-crl-path /etc/crl
    option transport.socket.ssl-cipher-list HIGH:!SSLv2
    option transport.socket.ssl-cert-depth 3
";

fn rig(tls: TlsUse, options: &str) -> Rig {
    let mut rig = Rig::with(|config| config.tls = tls, Limits { conns: 5, ..Limits::FIRMWARE });
    rig.spec = volfile(options, "/brick");
    rig
}

/// Plays handshakes until nothing happens any more; returns the dials.
fn play(rig: &mut Rig) -> Vec<String> {
    let mut dials = Vec::new();
    for _ in 0..20 {
        dials.extend(rig.dialled.iter().map(|(_, to)| to.clone()));
        rig.accept_dials();
        rig.answer_handshake();
    }
    dials
}

fn refusal(rig: &Rig) -> Option<GraphError> {
    rig.volume.session_status().graph_error
}

#[test]
fn a_volume_that_requires_tls_is_refused_by_the_name_of_the_option() {
    let key = "transport.socket.ssl-enabled";
    for value in ["on", "enable", "1", "perhaps"] {
        let mut rig = rig(TlsUse::None, &format!("    option {key} {value}\n"));
        assert_eq!(play(&mut rig), ["node1:24007"], "{value}: no brick is dialled");
        assert_eq!(refusal(&rig), Some(GraphError::Option { key, line: 1 }), "{value}");
    }
    let mut rig = rig(TlsUse::Bricks, &format!("    option {key} perhaps\n"));
    play(&mut rig);
    assert_eq!(refusal(&rig), Some(GraphError::Option { key, line: 1 }), "neither on nor off");
}

#[test]
fn bricks_are_dialled_with_tls_and_glusterd_without() {
    let mut rig = rig(TlsUse::Bricks, SSL);
    assert_eq!(play(&mut rig), ["node1:24007", "node1:24007", "tls node1:49152"]);
    assert!(rig.volume.is_usable());
}

#[test]
fn encrypted_management_includes_the_portmapper_but_no_plain_brick() {
    let mut with = rig(TlsUse::BricksAndManagement, SSL);
    assert_eq!(play(&mut with), ["tls node1:24007", "tls node1:24007", "tls node1:49152"]);
    let mut without = rig(TlsUse::BricksAndManagement, "");
    assert_eq!(play(&mut without), ["tls node1:24007", "tls node1:24007", "node1:49152"]);
}

#[test]
fn the_settings_are_those_of_the_volfile() {
    let settings = |options: &str| {
        let mut rig = rig(TlsUse::Bricks, options);
        for _ in 0..20 {
            if let Some((conn, _)) = rig.dialled.iter().find(|(_, to)| to.starts_with("tls ")) {
                let Some(Endpoint::Tcp { tls: Some(tls), .. }) = rig.volume.endpoint(*conn) else {
                    panic!("no settings")
                };
                return format!("{tls:?}");
            }
            rig.accept_dials();
            rig.answer_handshake();
        }
        panic!("no dial: {:?}", refusal(&rig));
    };
    let expected = TlsSettings {
        own_cert: Some("/etc/own.pem"),
        private_key: Some("/etc/own.key"),
        ca_list: Some("/etc/own.ca"),
        crl_path: Some("/etc/crl"),
        cipher_list: Some("HIGH:!SSLv2"),
        cert_depth: Some(3),
    };
    assert_eq!(settings(FILES), format!("{expected:?}"));
    assert_eq!(settings(SSL), format!("{:?}", TlsSettings::default()));
}

#[test]
fn a_setting_that_cannot_be_read_is_refused_and_not_left_out() {
    for (key, value) in [
        ("transport.socket.ssl-ca-list", "\"a\\\\b\""),
        ("transport.socket.ssl-own-cert", "\"a\\\"b\""),
        ("transport.socket.ssl-cert-depth", "deep"),
        ("transport.socket.ssl-cert-depth", "65536"),
    ] {
        let mut rig = rig(TlsUse::Bricks, &format!("{SSL}    option {key} {value}\n"));
        assert_eq!(play(&mut rig), ["node1:24007"]);
        assert_eq!(refusal(&rig), Some(GraphError::Option { key, line: 1 }), "{value}");
    }
}

#[test]
fn a_volume_that_begins_to_require_tls_keeps_no_plain_connection() {
    let mut rig = rig(TlsUse::Bricks, "");
    assert_eq!(play(&mut rig), ["node1:24007", "node1:24007", "node1:49152"]);
    for (options, wanted) in [(SSL, "tls node1:49152"), (FILES, "tls node1:49152")] {
        let closed = rig.closed.len();
        rig.spec = volfile(options, "/brick");
        rig.announce();
        assert_eq!(play(&mut rig).last().map(String::as_str), Some(wanted), "{options}");
        assert!(rig.closed.len() > closed + 1, "portmapper, and the old connection to the brick");
        assert!(rig.volume.is_usable());
    }
    // The same settings again: the connection stays.
    rig.spec = volfile(&format!("{FILES}    option ping-timeout 7\n"), "/brick");
    rig.announce();
    assert_eq!(play(&mut rig), Vec::<String>::new());
}
