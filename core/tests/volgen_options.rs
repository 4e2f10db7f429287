//! Which options of `gluster volume set` are understood, and with which values.

use std::collections::BTreeMap;
use std::{fs, path::PathBuf};

use brickwire_core::volfile::TranslatorKind;
use brickwire_core::volgen::{
    OptionFault, ServerOption, Target, ValueWrong, address_rules, check, full_name, group,
};

fn fault(key: &str, value: &str) -> OptionFault {
    match check(key, value) {
        Err(error) => {
            assert_eq!(error.key, key);
            error.fault
        }
        Ok(target) => panic!("{key} {value}: {target:?}"),
    }
}

fn fits(key: &str, value: &str) -> bool {
    match check(key, value) {
        Ok(_) => true,
        Err(error) if matches!(error.fault, OptionFault::Value(_)) => false,
        Err(error) => panic!("{error}"),
    }
}

/// The names of all options of GlusterFS 10.3.
fn keys() -> Vec<String> {
    let path: PathBuf =
        [env!("CARGO_MANIFEST_DIR"), "testdata", "volume-set-keys.txt"].iter().collect();
    let text = fs::read_to_string(path).unwrap();
    text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

#[test]
fn every_option_of_glusterd_is_accepted_or_refused_for_a_reason() {
    let keys = keys();
    let unknown: Vec<_> = keys
        .iter()
        .filter(|key| matches!(check(key, "on"), Err(error) if error.fault == OptionFault::Unknown))
        .collect();
    assert_eq!(unknown, [""; 0]);
    assert_eq!(fault("performance.warp-drive", "on"), OptionFault::Unknown);
    assert_eq!(fault("", "on"), OptionFault::Unknown);
}

#[test]
fn short_names_complete_as_gluster_volume_set_completes_them() {
    let mut by_short: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for key in keys() {
        let (_, short) = key.split_once('.').expect("a group and a name");
        by_short.entry(short.into()).or_default().push(key);
    }
    for (short, keys) in &by_short {
        if short.contains('.') {
            // glusterd completes names without a dot only.
            assert_eq!(full_name(short).unwrap(), short);
            continue;
        }
        match (full_name(short), &keys[..]) {
            (Ok(full), [only]) => assert_eq!(full, only),
            (Err(error), [_, _, ..]) => {
                let OptionFault::Ambiguous(first, second) = error.fault else {
                    panic!("{error}");
                };
                assert!(
                    first != second
                        && [first, second].iter().all(|name| keys.contains(&(*name).to_owned()))
                );
            }
            (found, keys) => panic!("{short}: {found:?} of {keys:?}"),
        }
        for key in keys {
            assert_eq!(full_name(key).unwrap(), key, "full names stay");
        }
    }
    assert_eq!(full_name("read-only").unwrap(), "features.read-only");
    assert_eq!(full_name("parallel-readdir").unwrap(), "performance.parallel-readdir");
    assert_eq!(full_name("client-log-level").unwrap(), "diagnostics.client-log-level");
    for none in ["", "warp-drive", "features", "group"] {
        assert_eq!(full_name(none).unwrap_err().fault, OptionFault::Unknown, "{none:?}");
        assert_eq!(fault(none, "on"), OptionFault::Unknown, "{none:?}");
    }
}

#[test]
fn a_short_name_is_refused_by_name_where_a_full_one_is_needed() {
    // A volfile is written by full names: a short one would be accepted and do nothing.
    assert_eq!(fault("read-only", "on"), OptionFault::Short("features.read-only"));
    assert_eq!(
        check("read-only", "on").unwrap_err().to_string(),
        "volume option \"read-only\": use the full name, features.read-only"
    );
    assert_eq!(
        check("ssl", "on").unwrap_err().to_string(),
        "volume option \"ssl\": may be client.ssl or server.ssl: use the full name"
    );
}

#[test]
fn a_function_that_is_not_there_can_be_turned_off_only() {
    let keys = [
        "features.quota",
        "features.bitrot",
        "changelog.changelog",
        "geo-replication.indexing",
        "features.uss",
        "client.ssl",
        "server.ssl",
        "features.cache-invalidation",
        "server.root-squash",
        "server.manage-gids",
        "network.compression",
        "cluster.nufa",
    ];
    for key in keys {
        assert!(matches!(fault(key, "on"), OptionFault::Unsupported(_)), "{key}");
        assert!(matches!(fault(key, "enable"), OptionFault::Unsupported(_)), "{key}");
        assert!(matches!(check(key, "off"), Ok(Target::Ignored(_) | Target::Volfile(_))), "{key}");
    }
    for key in [
        "ssl.cipher-list",
        "auth.ssl-allow",
        "nfs.port",
        "features.quota-timeout",
        "storage.create-mask",
    ] {
        assert!(matches!(fault(key, "1"), OptionFault::Unsupported(_)), "{key}");
    }
    let said = check("features.quota", "on").unwrap_err().to_string();
    assert_eq!(said, "volume option \"features.quota\": this server has no quota");
    assert!(matches!(
        fault("config.transport", "rdma"),
        OptionFault::Unsupported("RDMA transport")
    ));
    assert!(matches!(
        fault("config.transport", "tcp,rdma"),
        OptionFault::Unsupported("RDMA transport")
    ));
    assert!(check("config.transport", "tcp").is_ok());
    assert!(matches!(fault("nfs.disable", "off"), OptionFault::Unsupported("NFS server")));
    assert!(check("nfs.disable", "on").is_ok());
}

#[test]
fn options_go_where_they_belong() {
    let server = [
        ("server.allow-insecure", "on", ServerOption::AllowInsecure),
        ("auth.allow", "10.0.0.*,fe80::1,192.168.?.1", ServerOption::AuthAllow),
        ("auth.reject", "*", ServerOption::AuthReject),
        ("features.read-only", "on", ServerOption::ReadOnly),
        ("storage.owner-uid", "107", ServerOption::OwnerUid),
        ("storage.owner-gid", "-1", ServerOption::OwnerGid),
        ("transport.address-family", "inet6", ServerOption::AddressFamily),
    ];
    for (key, value, option) in server {
        assert_eq!(check(key, value), Ok(Target::Server(option)));
    }
    assert_eq!(check("network.ping-timeout", "42"), Ok(Target::Volfile(TranslatorKind::Client)));
    assert_eq!(check("features.shard", "on"), Ok(Target::Volfile(TranslatorKind::Shard)));
    assert_eq!(
        check("performance.stat-prefetch", "off"),
        Ok(Target::Volfile(TranslatorKind::MdCache))
    );
    assert!(matches!(check("user.smb", "disable"), Ok(Target::Ignored(_))));
    assert!(matches!(check("server.event-threads", "4"), Ok(Target::Ignored(_))));
}

#[test]
fn values_are_checked_by_type_and_range() {
    for word in ["on", "OFF", "yes", "no", "True", "false", "enable", "Disable", "1", "0"] {
        assert!(fits("performance.write-behind", word), "{word}");
    }
    let right = [
        ("network.ping-timeout", "1013"),
        ("network.frame-timeout", "10m"),
        ("features.shard-block-size", "4MB"),
        ("features.shard-block-size", "4TB"),
        ("performance.cache-size", "1.5GB"),
        ("cluster.min-free-disk", "10%"),
        ("cluster.min-free-disk", "1GB"),
        ("cluster.min-free-inodes", "5%"),
        ("cluster.quorum-type", "auto"),
        ("cluster.data-self-heal", "open"),
        ("client.event-threads", "0x10"),
    ];
    for (key, value) in right {
        assert!(fits(key, value), "{key} {value}");
    }
    let wrong = [
        ("performance.write-behind", "enabled"),
        ("performance.write-behind", ""),
        ("network.ping-timeout", "1014"),
        ("network.ping-timeout", "-1"),
        ("network.ping-timeout", "soon"),
        ("features.shard-block-size", "3MB"),
        ("features.shard-block-size", "5TB"),
        ("features.shard-block-size", "10M"),
        ("cluster.min-free-inodes", "101%"),
        ("cluster.quorum-type", "some"),
        ("client.event-threads", "33"),
        ("client.event-threads", "08"),
        ("auth.allow", "10.0.0.1,,10.0.0.2"),
        ("auth.allow", "ten!"),
        // Values that never match a client's address: `auth.reject` would admit everybody.
        ("auth.reject", "node-1"),
        ("auth.reject", "10.0.0.0/24"),
        ("auth.reject", "10.0.0.[1-5]"),
        ("storage.owner-uid", "4294967296"),
    ];
    for (key, value) in wrong {
        assert!(!fits(key, value), "{key} {value}");
    }
    for value in [
        "/(*),/sub1(127.0.0.1|10.*)",
        "/sub1/deep(fe80::1|10.0.0.?)",
        "/a b(10.0.0.1)",
        "/sub1/(*)",
    ] {
        assert!(fits("auth.allow", value) && fits("auth.reject", value), "{value}");
    }
    let wrong = OptionFault::Value(ValueWrong::NotAddresses);
    for value in [
        "/sub1",
        "/sub1()",
        "/sub1(10.0.0.1",
        "/sub1(10.0.0.1)x",
        "/sub1(10.0.0.1|)",
        "/sub1(10.0.0.1),,/x(10.0.0.2)",
        "/sub1(10.0.0.1,10.0.0.2)",
        "/sub1(10.0.0.1),10.0.0.1",
        "10.0.0.1,/sub1(10.0.0.1)",
        "10.0.0.1|10.0.0.2",
        "/sub1(node-1)",
        "/sub1(10.0.0.1)/sub2(10.0.0.1)",
    ] {
        assert_eq!(fault("auth.allow", value), wrong, "{value}");
    }
    let quoted = OptionFault::Value(ValueWrong::NoWord);
    assert_eq!(fault("auth.allow", "/a\"b(10.0.0.1)"), quoted);
}

#[test]
fn rules_of_addresses_name_their_directories() {
    let rules = |list| {
        let rules = address_rules(list).map(|rule| rule.expect("right"));
        rules.map(|rule| (rule.directory, rule.pattern)).collect::<Vec<_>>()
    };
    assert_eq!(rules("10.0.0.1,::1"), [(None, "10.0.0.1"), (None, "::1")]);
    assert_eq!(
        rules("/(*),/sub/a b(127.0.0.1|10.*)"),
        [(Some("/"), "*"), (Some("/sub/a b"), "127.0.0.1"), (Some("/sub/a b"), "10.*")]
    );
}

#[test]
fn no_value_can_break_out_of_its_line() {
    let hostile = [
        "",
        " ",
        "a b",
        "a\nb",
        "a\tb",
        "`date`",
        "a\\b",
        "\"a\"",
        "#a",
        "\0",
        "end-volume",
        "type",
        "volume",
    ];
    for value in hostile {
        let wrong = OptionFault::Value(ValueWrong::NoWord);
        for key in
            ["performance.xattr-cache-list", "user.note", "auth.allow", "cluster.extra-hash-regex"]
        {
            assert_eq!(fault(key, value), wrong, "{key} {value:?}");
        }
    }
}

#[test]
fn groups_hold_options_that_are_understood() {
    for name in ["virt", "distributed-virt", "gluster-block", "db-workload"] {
        for (key, value) in group(name).unwrap() {
            check(key, value).unwrap();
        }
    }
    assert_eq!(group("samba"), None);
    assert_eq!(group(""), None);
}
