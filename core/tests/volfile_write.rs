//! Writing volfiles, and escapes in what was read.

#[path = "volfile_tables.rs"]
mod tables;

use brickwire_core::volfile::{ValueFault, VolfileWriter, WriteError};
use tables::Room;

#[test]
fn a_written_volfile_has_glusterds_layout() {
    let mut text = [0; 512];
    let mut writer = VolfileWriter::new(&mut text);
    writer
        .volume("demo-client-0", "protocol/client")
        .option("remote-host", "127.0.0.1")
        .option("remote-subvolume", "/demo")
        .option("transport-type", "tcp")
        .option("ping-timeout", "42")
        .end_volume();
    writer.volume("demo", "debug/io-stats").subvolume("demo-client-0").end_volume();
    let len = writer.finish().unwrap();
    let expected = "volume demo-client-0\n    type protocol/client\n    \
                    option remote-host 127.0.0.1\n    option remote-subvolume /demo\n    \
                    option transport-type tcp\n    option ping-timeout 42\nend-volume\n\n\
                    volume demo\n    type debug/io-stats\n    \
                    subvolumes demo-client-0\nend-volume\n";
    assert_eq!(std::str::from_utf8(&text[..len]).unwrap(), expected);
}

#[test]
fn only_what_is_no_word_is_quoted() {
    let values = [
        "a b",
        "type",
        "#x",
        "x#",
        "",
        "say \"hi\"",
        "back\\slash",
        "\r",
        "gl\u{fc}ster",
        "volumes",
        "/a,b*",
    ];
    let mut text = vec![0; 1024];
    let mut writer = VolfileWriter::new(&mut text);
    writer.volume("option", "t/x");
    values.iter().for_each(|value| _ = writer.option("k", *value));
    writer.end_volume();
    let len = writer.finish().unwrap();
    let expected = "volume \"option\"\n    type t/x\n    option k \"a b\"\n    \
                    option k \"type\"\n    option k \"#x\"\n    option k x#\n    option k \
                    \"\"\n    \
                    option k \"say \\\"hi\\\"\"\n    option k \"back\\\\slash\"\n    \
                    option k \"\r\"\n    option k gl\u{fc}ster\n    option k volumes\n    \
                    option k /a,b*\nend-volume\n";
    assert_eq!(std::str::from_utf8(&text[..len]).unwrap(), expected);

    let mut room = Room::plenty();
    let top = room.parse(&text[..len]).unwrap().top();
    assert!(
        top.options().map(|(_, value)| value.to_string()).eq(values),
        "and it is read as it was given"
    );
}

#[test]
fn a_buffer_that_is_too_small_is_told_the_length() {
    let text = b"volume a type t/x option k \"v w\" end-volume";
    let mut room = Room::plenty();
    let volfile = room.parse(text).unwrap();
    let needs = "volume a\n    type t/x\n    option k \"v w\"\nend-volume\n".len();
    assert_eq!(volfile.encoded_len(), needs);
    assert_eq!(volfile.write_into(&mut vec![0; needs - 1]), Err(WriteError::NoRoom { needs }));
    assert_eq!(volfile.write_into(&mut vec![0; needs]), Ok(needs));
}

#[test]
fn what_makes_no_volfile_is_refused_by_name() {
    let write = |calls: fn(&mut VolfileWriter<'_>)| {
        let mut room = [0; 256];
        let mut writer = VolfileWriter::new(&mut room);
        calls(&mut writer);
        writer.finish()
    };
    assert_eq!(write(|_| {}), Err(WriteError::Empty));
    assert_eq!(write(|w| _ = w.volume("a", "t/x").end_volume()), Err(WriteError::Empty));
    assert_eq!(write(|w| _ = w.volume("a", "t/x").option("k", "v")), Err(WriteError::Order));
    assert_eq!(write(|w| _ = w.option("k", "v")), Err(WriteError::Order));
    assert_eq!(write(|w| _ = w.volume("a", "t/x").volume("b", "t/x")), Err(WriteError::Order));
    assert_eq!(write(|w| _ = w.end_volume()), Err(WriteError::Order));
    assert_eq!(
        write(|w| _ = w.volume("a", "t/x").subvolume("b").option("k", "v")),
        Err(WriteError::Order)
    );
    assert_eq!(
        write(|w| _ = w.volume("", "t/x").option("k", "v").end_volume()),
        Err(WriteError::EmptyName)
    );
    for byte in [b'\n', 0, b'`'] {
        let value = [b'v', byte];
        let mut room = [0; 256];
        let mut writer = VolfileWriter::new(&mut room);
        writer.volume("a", "t/x").option("k", &value[..]).end_volume();
        assert_eq!(writer.finish(), Err(WriteError::Unwritable { byte }));
    }
}

#[test]
fn escapes_are_seen_by_nobody_who_reads_a_value() {
    let text = b"volume a type t/x option list \"a\\,b\n,\\c\" option num \"\\1\\2x\" \
        option long \"\\\\\\\"\xff\" end-volume";
    let mut room = Room::plenty();
    let top = room.parse(text).unwrap().top();
    let list = top.option("list").unwrap();
    assert!(list.to_list().map(|part| part.to_string()).eq(["a", "b", "c"]));
    assert!(list.is_escaped() && list.as_raw().is_none() && list.as_str().is_none());

    let error = top.option("num").unwrap().to_int().unwrap_err();
    assert_eq!(error.fault, ValueFault::Unexpected);
    assert_eq!(text[error.offset as usize], b'x');

    let long = top.option("long").unwrap();
    let mut out = [0; 3];
    assert_eq!(long.decode_into(&mut out), Some(&b"\\\"\xff"[..]));
    assert_eq!(long.decode_into(&mut [0; 2]), None);
    assert_eq!((long.decoded_len(), long.is_empty()), (3, false));
    assert_eq!(long.to_string(), "\\\"\u{fffd}");
    assert_eq!(format!("{long:?}"), r#""\\\"\xff""#);
    assert_eq!(long, *b"\\\"\xff".as_slice());
}
