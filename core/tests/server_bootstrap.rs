//! From the first byte to the first fop: the requests of a client before it uses a brick, and the
//! refusals.

mod server_harness;

use brickwire_core::rpc::callback::Callback;
use brickwire_core::rpc::dump::{DumpArgs, DumpReply, PingReply};
use brickwire_core::rpc::handshake::{
    GetVolumeInfo, GetVolumeInfoReply, Getspec, GetspecReply, Opaque, SetLkVer, SetLkVerReply,
    SetvolumeReply,
};
use brickwire_core::rpc::portmap::{PortByBrick, PortByBrickReply};
use brickwire_core::rpc::{MessageType, Procedure, ReplyStatus, program};
use brickwire_core::server::{BrickIx, Login, Peer};
use server_harness::*;

/// Logs in with one pair changed or removed. Returns the errno and the text for the client's log.
fn login_with(s: &mut Harness, peer: Peer, change: &[(&str, Option<&[u8]>)]) -> (i32, i32, String) {
    let conn = s.connect_from(peer).expect("room");
    let pairs =
        login_pairs().into_iter().filter(|(key, _)| change.iter().all(|(other, _)| other != key));
    let pairs: Vec<(&str, Option<&[u8]>)> = pairs.chain(change.iter().copied()).collect();
    let answer = s.setvolume(conn, &pairs);
    let reply: SetvolumeReply<'_> = answer.decode();
    let text = String::from_utf8(reply.dict.dict().text(b"ERROR").unwrap().to_vec()).unwrap();
    let result = (reply.op_ret, reply.op_errno, text);
    let fop = s.fop(conn, stat_root());
    let served = if result.0 == 0 { ReplyStatus::Success } else { ReplyStatus::GarbageArgs };
    assert_eq!(fop.status, served, "who is not logged in is not served");
    s.close(conn);
    result
}

fn peer(address: &str, privileged: bool) -> Peer {
    Peer { address: address.try_into().unwrap(), privileged }
}

#[test]
fn dump_says_which_programs_there_are() {
    let mut s = Harness::new();
    let conn = s.connect();
    let answer = s.call(conn, Procedure::DUMP, &DumpArgs::CLIENT);
    let reply: DumpReply<'_> = answer.decode();
    assert_eq!((reply.op_ret, reply.gfs_id), (0, 0));
    for (number, version) in [(program::FOP, 400), (program::HANDSHAKE, 2), (program::DUMP, 1)] {
        assert!(reply.has(number, version), "{number} {version}");
    }
    assert!(!reply.has(program::PORTMAP, 1), "a C client would ask it for ever");
    assert!(!reply.has(program::FOP, 330));
}

#[test]
fn the_volfile_is_served_by_the_volumes_name_with_and_without_a_slash() {
    let mut s = Harness::new();
    let conn = s.connect();
    for key in [&b"v"[..], b"/v"] {
        let answer = s.call(conn, Procedure::GETSPEC, &Getspec::for_client(key));
        let reply: GetspecReply<'_> = answer.decode();
        assert_eq!(
            (reply.op_ret, reply.spec),
            (s.exports.volfile.len() as i32, s.exports.volfile.as_bytes())
        );
    }
    let answer = s.call(conn, Procedure::GETSPEC, &Getspec::for_client(b"other"));
    let reply: GetspecReply<'_> = answer.decode();
    assert_eq!((reply.op_ret, reply.op_errno, reply.spec), (-1, 2, &b""[..]));
    assert_eq!(s.storage.buffers(), 0, "what was sent is free");
}

#[test]
fn a_heal_daemon_is_told_where_its_pid_goes_and_nobody_else() {
    let mut s = Harness::new();
    let conn = s.connect();
    for (key, told) in [(&b"v"[..], false), (b"shd/v", true)] {
        let answer = s.call(conn, Procedure::GETSPEC, &Getspec::for_client(key));
        let reply: GetspecReply<'_> = answer.decode();
        let pidfile = reply.xdata.dict().text(b"pidfile").map(<[u8]>::to_vec);
        let wanted = told.then(|| format!("/var/run/gluster/shd-{VOLUME_ID}.pid").into_bytes());
        assert_eq!((reply.spec, pidfile), (s.exports.volfile.as_bytes(), wanted));
    }
}

#[test]
fn a_volfile_waits_for_a_buffer_and_is_then_sent() {
    let mut s = Harness::new();
    let conn = s.connect();
    s.storage.no_buffers = true;
    let xid = s.xid();
    s.send(conn, &record(xid, Procedure::GETSPEC, &root(), &Getspec::for_client(b"v"), &[]));
    assert!(s.replies(conn).is_empty());
    assert_eq!(s.server.usage().jobs, 0);
    s.storage.no_buffers = false;
    // A freed resource wakes the connections that wait for it.
    let other = s.connect();
    s.call(other, Procedure::DUMP, &DumpArgs::CLIENT);
    assert_eq!(s.replies(conn).len(), 1);
}

#[test]
fn portmap_knows_the_brick_by_its_name_and_no_other() {
    let mut s = Harness::new();
    let conn = s.connect();
    let mut ask = |brick: &[u8]| {
        let answer = s.call(conn, Procedure::PORTBYBRICK, &PortByBrick { brick });
        let PortByBrickReply { op_ret, op_errno, status, port } = answer.decode();
        (op_ret, op_errno, status, port)
    };
    assert_eq!(ask(BRICK.as_bytes()), (0, 0, 0, 49152));
    assert_eq!(ask(b"/brick/"), (-1, 0, 0, 0));
    assert_eq!(ask(b""), (-1, 0, 0, 0));
}

#[test]
fn the_small_questions_are_answered() {
    let mut s = Harness::new();
    let conn = s.connect();
    let pairs = [("volname", Some(&b"v"[..]))];
    let answer =
        s.call(conn, Procedure::GET_VOLUME_INFO, &GetVolumeInfo { dict: Opaque::Texts(&pairs) });
    let reply: GetVolumeInfoReply<'_> = answer.decode();
    let id = VOLUME_ID.to_string();
    assert_eq!((reply.op_ret, reply.dict.dict().text(b"volume_id")), (0, Some(id.as_bytes())));
    let pairs = [("volname", Some(&b"other"[..]))];
    let answer =
        s.call(conn, Procedure::GET_VOLUME_INFO, &GetVolumeInfo { dict: Opaque::Texts(&pairs) });
    assert_eq!(answer.decode::<GetVolumeInfoReply<'_>>().op_ret, -1);
    let answer = s.call(conn, Procedure::SET_LK_VER, &SetLkVer { uid: b"me", lk_ver: 1 });
    assert_eq!(
        answer.decode::<SetLkVerReply>(),
        SetLkVerReply { op_ret: 0, op_errno: 0, lk_ver: 1 }
    );
}

#[test]
fn a_login_says_who_the_server_is() {
    let mut s = Harness::new();
    let conn = s.connect();
    let answer = s.setvolume(conn, &login_pairs());
    let reply: SetvolumeReply<'_> = answer.decode();
    let id = VOLUME_ID.to_string();
    assert_eq!((reply.op_ret, reply.op_errno), (0, 0));
    for (key, value) in [
        ("ERROR", "Success"),
        ("process-uuid", PROCESS),
        ("volume-id", &id),
        ("child_up", "1"),
        ("clnt-lk-version", "0"),
        ("transport-ptr", "0"),
    ] {
        assert_eq!(reply.dict.dict().text(key.as_bytes()), Some(value.as_bytes()), "{key}");
    }
    assert_eq!(s.fop(conn, stat_root()).result().0, 0);
}

#[test]
fn a_login_without_its_words_is_refused_by_name() {
    let mut s = Harness::new();
    let me = peer("10.0.0.1", true);
    let mut refused = |change: &[(&str, Option<&[u8]>)]| login_with(&mut s, me.clone(), change);
    assert_eq!(refused(&[("remote-subvolume", None)]).1, 22);
    let (ret, errno, text) = refused(&[("remote-subvolume", Some(b"/elsewhere"))]);
    assert_eq!((ret, errno, text.as_str()), (-1, 2, "Brick not found"));
    assert_eq!(refused(&[("process-uuid", None)]).1, 22);
    let (_, errno, text) = refused(&[("volume-id", Some(b"00000000-0000-4000-8000-000000000000"))]);
    assert_eq!((errno, text.contains("Volume-ID different")), (22, true));
    assert_eq!(refused(&[("volume-id", Some(b"not a uuid"))]).1, 22);
    assert_eq!(refused(&[("volume-id", None)]).0, 0, "who names none is not asked");
    assert_eq!(refused(&[("fops-version", Some(b"1298438"))]).1, 22);
    assert_eq!(refused(&[("fops-version", None)]).1, 22);
    assert_eq!(refused(&[("subdir-mount", Some(b"/sub"))]).1, 2);
    assert_eq!(refused(&[("subdir-mount", Some(b"/"))]).0, 0);
}

#[test]
fn ports_addresses_and_passwords_are_asked_for() {
    let mut s = Harness::new();
    s.exports.rejected = Some("10.0.0.9");
    assert_eq!(login_with(&mut s, peer("10.0.0.9", true), &[]).1, 13);
    assert_eq!(login_with(&mut s, peer("10.0.0.1", false), &[]).0, 0);
    s.exports.privileged_ports_only = true;
    assert_eq!(login_with(&mut s, peer("10.0.0.1", false), &[]).1, 13);
    assert_eq!(login_with(&mut s, peer("10.0.0.1", true), &[]).0, 0);
    s.exports.logins =
        &[Login { user: b"u", password: b"p" }, Login { user: b"v", password: b"q" }];
    let with = |user: &'static [u8], password: &'static [u8]| {
        [("username", Some(user)), ("password", Some(password))]
    };
    // A wrong password is refused although the address is allowed; the right one is accepted
    // although the address is not.
    assert_eq!(login_with(&mut s, peer("10.0.0.1", true), &with(b"u", b"q")).1, 13);
    assert_eq!(login_with(&mut s, peer("10.0.0.1", true), &with(b"", b"p")).1, 13);
    assert_eq!(login_with(&mut s, peer("10.0.0.9", true), &with(b"v", b"q")).0, 0);
    assert_eq!(
        login_with(&mut s, peer("10.0.0.1", true), &[]).0,
        0,
        "no name at all: the address decides"
    );
    assert_eq!(login_with(&mut s, peer("10.0.0.9", true), &[]).1, 13);
}

#[test]
fn a_second_login_is_a_new_one() {
    let mut s = Harness::new();
    let conn = s.mount();
    assert_eq!(s.setvolume(conn, &login_pairs()).result(), (0, 0));
    assert_eq!(s.fop(conn, stat_root()).result().0, 0);
    assert_eq!(s.setvolume(conn, &login_pairs()[1..]).result().0, -1);
    assert_eq!(s.fop(conn, stat_root()).status, ReplyStatus::GarbageArgs);
}

#[test]
fn a_connection_is_one_bricks_even_if_it_logs_out() {
    let mut s = Harness::new();
    s.storage.memory.add_brick(SECOND_ID).expect("room");
    let conn = s.mount();
    s.create(conn, "f");
    let mut elsewhere = login_pairs();
    (elsewhere[0].1, elsewhere[3].1) = (Some(SECOND.as_bytes()), None);
    // Its files and locks are on the first brick, and would stay there.
    assert_eq!(s.setvolume(conn, &elsewhere).result().0, -1);
    assert_eq!(s.setvolume(conn, &elsewhere[1..]).result().0, -1);
    assert_eq!(s.setvolume(conn, &elsewhere).result().0, -1);
    s.server.brick_gone(BrickIx(0), s.now, &mut s.storage);
    s.pump();
    assert!(!s.is_open(conn));
    assert_eq!((s.server.usage().files, s.storage.memory.usage().files), (0, 0));
    let other = s.connect();
    assert_eq!(s.setvolume(other, &elsewhere).result(), (0, 0));
}

#[test]
fn what_the_server_does_not_speak_is_refused_by_the_rpc_layer() {
    let mut s = Harness::new();
    let conn = s.mount();
    let mut ask = |program, version, number| {
        s.call(conn, Procedure { program, version, number }, &DumpArgs::CLIENT).status
    };
    assert_eq!(ask(4711, 1, 1), ReplyStatus::ProgUnavail);
    assert_eq!(ask(program::FOP, 330, 27), ReplyStatus::ProgMismatch { low: 400, high: 400 });
    assert_eq!(ask(program::FOP, 400, 999), ReplyStatus::ProcUnavail);
    assert_eq!(ask(program::DUMP, 1, 99), ReplyStatus::ProcUnavail);
    assert_eq!(
        ask(program::FOP, 400, 27),
        ReplyStatus::GarbageArgs,
        "LOOKUP with eight bytes of arguments"
    );
    for (program, version) in
        [(program::FOP, 400), (program::DUMP, 1), (program::HANDSHAKE, 2), (program::PORTMAP, 1)]
    {
        assert_eq!(
            ask(program, version, 0),
            ReplyStatus::Success,
            "procedure 0 does nothing, and succeeds"
        );
    }
}

#[test]
fn a_ping_is_answered_while_the_disk_is_busy() {
    let mut s = Harness::new();
    let conn = s.mount();
    s.storage.hold = true;
    let xid = s.xid();
    s.send(conn, &fop_record(xid, stat_root(), &[]));
    let answer = s.call(conn, Procedure::PING, &DumpArgs::CLIENT);
    assert_eq!(answer.decode::<PingReply<'_>>().op_ret, 0);
    s.finish(0);
    assert_eq!(s.replies(conn)[0].0, xid);
}

#[test]
fn who_fetched_a_volfile_is_told_of_another_one() {
    let mut s = Harness::new();
    let (fetched, other) = (s.connect(), s.connect());
    s.call(fetched, Procedure::GETSPEC, &Getspec::for_client(b"v"));
    s.exports.volfile.push_str("# changed\n");
    s.server.volfile_changed(s.now);
    s.pump();
    let records = s.records(fetched);
    assert_eq!(records.len(), 1);
    assert_eq!(MessageType::peek(&records[0]), Some(MessageType::Call));
    assert_eq!(Callback::decode_record(&records[0]), Ok(Callback::Fetchspec));
    assert!(s.records(other).is_empty());
    assert_eq!(s.server.usage().jobs, 0, "nobody answers it, so nothing waits for that");
}
