//! Properties that hold for any bytes.

#[path = "volfile_tables.rs"]
mod tables;

use arbtest::arbitrary::{Result, Unstructured};
use arbtest::arbtest;
use brickwire_core::volfile::{
    Fault, Limits, Token, VolfileError, VolfileWriter, WriteError, needs,
};
use tables::Room;

/// Everything that can be read of a text, if it parses; then the text that is written from it.
fn explore(text: &[u8], room: &mut Room) -> std::result::Result<Vec<u8>, VolfileError> {
    let volfile = match room.parse(text) {
        Ok(volfile) => volfile,
        Err(error) => {
            let lines = text.split(|byte| *byte == b'\n').count();
            assert!(error.line >= 1 && error.line as usize <= lines, "{error}");
            let line = text.split(|byte| *byte == b'\n').nth(error.line as usize - 1).unwrap();
            assert!(error.column >= 1 && error.column as usize <= line.len() + 1, "{error}");
            assert!(!error.explain(text).to_string().is_empty());
            return Err(error);
        }
    };
    assert_eq!(needs(text, &Limits::default()), Ok(volfile.needs()));
    for volume in volfile.volumes() {
        assert_eq!(volfile.find(volume.name()).unwrap().index(), volume.index());
        assert!(volume.children().all(|child| child.index() < volume.index()));
        for (_, value) in volume.options() {
            explore_value(value);
        }
    }
    let mut written = vec![0; volfile.encoded_len()];
    assert_eq!(volfile.write_into(&mut written), Ok(written.len()));
    let mut other = Room::of(volfile.needs());
    let again = other.parse(&written).unwrap_or_else(|error| panic!("{}", error.explain(&written)));
    assert_eq!(again, volfile);
    assert!(again.same_topology(&volfile));
    let mut twice = vec![0; again.encoded_len()];
    assert_eq!(again.write_into(&mut twice), Ok(twice.len()));
    assert_eq!(twice, written, "writing is stable");
    Ok(written)
}

fn explore_value(value: Token<'_>) {
    let decoded: Vec<_> = value.bytes().collect();
    assert_eq!(decoded.len(), value.decoded_len());
    assert_eq!(value, *decoded.as_slice());
    let mut out = vec![0; decoded.len()];
    assert_eq!(value.decode_into(&mut out), Some(&decoded[..]));
    if value.is_escaped() && !value.to_string().contains('\u{fffd}') {
        assert_eq!(value.to_string(), String::from_utf8_lossy(&decoded));
    }
    let end = value.offset() + u32::try_from(value.raw().len()).unwrap();
    let errors = [
        value.to_bool().err(),
        value.to_int().err(),
        value.to_size().err(),
        value.to_percent().err(),
        value.to_percent_or_size().err(),
        value.to_seconds().err(),
        value.to_decimal().err(),
        value.to_host().err(),
        value.to_choice(&["a"]).err(),
    ];
    for error in errors.into_iter().flatten() {
        assert!((value.offset()..=end).contains(&error.offset), "{error}");
    }
    assert_eq!(
        value.to_list().count(),
        if decoded.is_empty() { 0 } else { decoded.iter().filter(|b| **b == b',').count() + 1 }
    );
}

#[test]
fn no_bytes_panic() {
    arbtest(|u| {
        let text: Vec<u8> = u.arbitrary()?;
        _ = explore(&text, &mut Room::plenty());
        explore_value(Token::literal(&text));
        Ok(())
    });
}

/// Pieces that often make a volfile, and sometimes nearly one.
fn volfile_like(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    const PIECES: &[&str] = &[
        "volume",
        "type",
        "option",
        "subvolumes",
        "end-volume",
        "t/x",
        "a",
        "b",
        "c",
        "\"a b\"",
        "\"\\\"\\,\\é\"",
        "\"",
        "\\",
        "#",
        "\n",
        "\"x\ny\"",
        "64MB",
        "10%",
        "`",
        "\0",
        "1.5",
        "a,b",
        "\"\"",
    ];
    const VOLUMES: &[&str] = &[
        "volume a type t/x option k v end-volume\n",
        "volume b type t/x option k \"\\v\" subvolumes a end-volume\n",
        "volume c type t/x subvolumes a b option 64MB 1.5GB end-volume\n",
        "volume d type t/x subvolumes c \"e\" end-volume\n",
        "volume e type t/x subvolumes d end-volume\n",
    ];
    let mut text = Vec::new();
    for _ in 0..u.int_in_range(0..=12)? {
        let pieces = if u.ratio(1, 3)? { PIECES } else { VOLUMES };
        text.extend_from_slice(u.choose(pieces)?.as_bytes());
        text.extend_from_slice(u.choose(&[" ", "\n", "\t", "", "\r\n"])?.as_bytes());
    }
    Ok(text)
}

#[test]
fn what_looks_like_a_volfile_is_read_or_refused_and_written_stably() {
    arbtest(|u| {
        let text = volfile_like(u)?;
        _ = explore(&text, &mut Room::new(8, 8, 8));
        Ok(())
    });
}

#[test]
fn a_sample_with_some_bytes_changed_does_not_panic() {
    let text = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/volfiles/arbiter.vol"))
        .unwrap();
    arbtest(|u| {
        let mut text = text.clone();
        for _ in 0..u.int_in_range(1..=4)? {
            let at = u.choose_index(text.len())?;
            text[at] = u.arbitrary()?;
        }
        _ = explore(&text, &mut Room::plenty());
        Ok(())
    });
}

#[test]
fn whatever_is_written_is_read_as_it_was_given() {
    arbtest(|u| {
        let words: Vec<Vec<u8>> = u.arbitrary()?;
        let mut text = vec![0; 1 << 16];
        let mut writer = VolfileWriter::new(&mut text);
        writer.volume("top", "t/x").option("k", "v");
        for word in &words {
            writer.option("k", &word[..]);
        }
        writer.end_volume();
        match writer.finish() {
            Ok(len) => {
                let mut room = Room::new(1, words.len() + 1, 0);
                let top = room.parse(&text[..len]).unwrap().top();
                assert!(
                    top.options()
                        .skip(1)
                        .map(|(_, value)| value.bytes().collect::<Vec<_>>())
                        .eq(words)
                );
            }
            Err(WriteError::Unwritable { byte }) => {
                assert!(words.iter().any(|word| word.contains(&byte)));
            }
            Err(error) => panic!("{error}"),
        }
        Ok(())
    });
}

#[test]
fn tables_of_any_length_do_for_any_text() {
    arbtest(|u| {
        let text = volfile_like(u)?;
        let mut room =
            Room::new(u.int_in_range(0..=4)?, u.int_in_range(0..=4)?, u.int_in_range(0..=4)?);
        if let Err(VolfileError { fault: Fault::TableFull { has, needs, .. }, .. }) =
            room.parse(&text)
        {
            assert!(has < needs);
        }
        Ok(())
    });
}
