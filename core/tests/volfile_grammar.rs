//! The grammar of volfiles, by its rules and by where it says that they are broken.

#[path = "volfile_tables.rs"]
mod tables;

use brickwire_core::volfile::{Fault, TranslatorKind};
use tables::Room;

/// The value of the last option of the only volume.
fn value(line: &str) -> (String, String) {
    let text = format!("volume a\ntype t/x\n{line}\nend-volume");
    let mut room = Room::plenty();
    let volfile = room
        .parse(text.as_bytes())
        .unwrap_or_else(|error| panic!("{line}: {}", error.explain(text.as_bytes())));
    let (key, value) = volfile.top().options().last().unwrap();
    (key.to_string(), value.to_string())
}

#[test]
fn tokens_are_what_the_real_lexer_makes_of_them() {
    let cases = [
        ("option k a#b", "k", "a#b"),
        (r#"option q "a b\"c\\d\n e""#, "q", r#"a b"c\dn e"#),
        (r#"option "type" "end-volume""#, "type", "end-volume"),
        ("option k \"l1\nl2\"", "k", "l1l2"),
        ("option volumes x", "volumes", "x"),
        ("option TYPE Volume", "TYPE", "Volume"),
        ("option k\n\n\t v\r", "k", "v"),
        ("option k v#\n", "k", "v#"),
        ("option k v # a comment with \"quotes\" and \\\n", "k", "v"),
        ("option k\"v\"", "k", "v"),
        ("option \"k\"\"v\"#c", "k", "v"),
        ("option k \"# no comment\"", "k", "# no comment"),
        ("option k \"\"", "k", ""),
        ("option k gl\u{fc}ster\u{a0}\u{b}\u{c}x", "k", "gl\u{fc}ster\u{a0}\u{b}\u{c}x"),
        ("option k \"\\\u{fc}\\\\\\\"\"", "k", "\u{fc}\\\""),
        ("option k \"\r\"", "k", "\r"),
    ];
    for (line, key, expected) in cases {
        assert_eq!(value(line), (key.into(), expected.into()), "{line:?}");
    }
}

#[test]
fn a_volume_may_stand_on_one_line_or_end_lines_as_windows_does() {
    for text in [
        "volume a type debug/io-stats option k v end-volume",
        "volume a\r\n    type debug/io-stats\r\n    option k v\r\nend-volume",
        "# head\nvolume \"a\"\ntype \"debug/io\\-stats\" option k v end-volume # tail",
        "volume a type debug/io-stats option k v end-volume\n\n\n",
    ] {
        let mut room = Room::plenty();
        let volfile = room.parse(text.as_bytes()).unwrap();
        let top = volfile.top();
        assert_eq!(top.name(), "a");
        assert_eq!(top.type_name(), "debug/io-stats", "{text}");
        assert_eq!(top.kind(), TranslatorKind::IoStats, "{text}");
        assert_eq!(top.option("k").unwrap(), "v");
    }
}

#[test]
fn of_an_option_given_twice_the_last_one_counts() {
    let mut room = Room::plenty();
    let text = b"volume a type t/x option dup 1 option other 3 option \"d\\up\" 2 end-volume";
    let top = room.parse(text).unwrap().top();
    assert_eq!(top.options().len(), 3);
    assert_eq!(top.option("dup").unwrap(), "2");
    assert!(top.option("none").is_none());
}

#[test]
fn options_may_stand_on_both_sides_of_subvolumes() {
    let text = b"volume a type t/x option k v end-volume volume b type t/y option k v end-volume
        volume c type t/z option first 1 subvolumes b a option second 2 option first 3 end-volume";
    let mut room = Room::plenty();
    let top = room.parse(text).unwrap().top();
    assert_eq!(top.option("first").unwrap(), "3");
    assert_eq!(top.option("second").unwrap(), "2");
    assert!(top.children().map(|child| child.name().to_string()).eq(["b", "a"]));
}

#[test]
fn translators_that_nobody_knows_stay_in_the_tree_and_aliases_are_one() {
    let text = b"volume a type vendor/magic option k v end-volume
        volume b type cluster/afr subvolumes a end-volume
        volume c type nocategory subvolumes b end-volume
        volume d type performance/stat-prefetch subvolumes c end-volume";
    let mut room = Room::plenty();
    let volfile = room.parse(text).unwrap();
    let kinds: Vec<_> = volfile.volumes().map(|volume| volume.kind()).collect();
    use TranslatorKind::{MdCache, Replicate, Unknown};
    assert_eq!(kinds, [Unknown, Replicate, Unknown, MdCache]);
    assert_eq!(volfile.find("a").unwrap().type_name(), "vendor/magic");
    assert_eq!(volfile.top().kind().name(), "performance/md-cache");
    for kind in TranslatorKind::KNOWN {
        assert_eq!(TranslatorKind::of(kind.name()), *kind);
    }
}

#[test]
fn volumes_below_nothing_are_legal_and_idle() {
    let text = b"volume idle type t/x option k v end-volume
        volume used type t/x option k v end-volume
        volume above type t/x subvolumes idle end-volume
        volume top type t/x subvolumes used end-volume";
    let mut room = Room::plenty();
    let volfile = room.parse(text).unwrap();
    assert!(volfile.volumes().map(|volume| volume.is_reachable()).eq([false, true, false, true]));
}

#[test]
fn a_volume_may_have_several_parents() {
    let text = b"volume a type t/x option k v end-volume volume b type t/x subvolumes a end-volume
        volume c type t/x subvolumes a b end-volume";
    let mut room = Room::plenty();
    let volfile = room.parse(text).unwrap();
    let shared = volfile.find("a").unwrap();
    assert_eq!(
        (shared.parent_count(), shared.parent().unwrap().index()),
        (2, volfile.top().index())
    );
    assert!(volfile.volumes().map(|volume| volume.depth()).eq([1, 2, 3]));
}

/// Text, fault, line, column, and the volume that the error is in.
type Refusal = (&'static str, Fault, u32, u32, &'static str);

#[rustfmt::skip]
const REFUSALS: &[Refusal] = &[
    ("", Fault::NoVolume, 1, 1, ""),
    ("# nothing\n \n", Fault::NoVolume, 3, 1, ""),
    ("volume a\ntype debug/io-stats\nend-volume", Fault::EmptyVolume, 3, 1, "a"),
    ("volume a\ntype t/x\n  option k v\n  option k\n\
        end-volume", Fault::MissingOptionValue, 5, 1, "a"),
    ("volume a\ntype t/x\noption\nend-volume", Fault::MissingOptionKey, 4, 1, "a"),
    ("volume a\ntype t/x\nsubvolumes\nend-volume", Fault::MissingSubvolume, 4, 1, "a"),
    ("volume a\noption k v\ntype t/x\nend-volume", Fault::ExpectedType, 2, 1, "a"),
    ("volume a\nend-volume", Fault::ExpectedType, 2, 1, "a"),
    ("volume a b\ntype t/x", Fault::ExpectedType, 1, 10, "a"),
    ("volume\ntype t/x\nend-volume", Fault::MissingName, 2, 1, ""),
    ("volume", Fault::MissingName, 1, 7, ""),
    ("volume a type", Fault::MissingType, 1, 14, "a"),
    ("volume a type option k v", Fault::MissingType, 1, 15, "a"),
    ("volume a type t/x type t/y", Fault::RepeatedType, 1, 19, "a"),
    ("volume z type t/x option k v end-volume\nvolume a type t/x\nsubvolumes z\nsubvolumes \
        z", Fault::RepeatedSubvolumes, 4, 1, "a"),
    ("volume a type t/x option k v\n volume b", Fault::NestedVolume, 2, 2, "a"),
    ("volume a volume b", Fault::NestedVolume, 1, 10, "a"),
    ("volume a type t/x option k v", Fault::UnendedVolume, 1, 29, "a"),
    ("volume a", Fault::UnendedVolume, 1, 9, "a"),
    ("VOLUME a", Fault::ExpectedVolume, 1, 1, ""),
    ("end-volume", Fault::ExpectedVolume, 1, 1, ""),
    ("volume a type t/x option k v end-volume\n  tail", Fault::ExpectedVolume, 2, 3, ""),
    ("volume a type t/x option k a b end-volume", Fault::UnexpectedWord, 1, 30, "a"),
    ("volume a type t/x y option k v", Fault::UnexpectedWord, 1, 19, "a"),
    ("volume a type t/x option k type", Fault::MissingOptionValue, 1, 28, "a"),
    ("volume \"\" type t/x", Fault::EmptyName, 1, 8, ""),
    ("volume \"\n\" type t/x", Fault::EmptyName, 1, 8, ""),
    ("volume a type \"\"", Fault::EmptyName, 1, 15, "a"),
    ("volume a type t/x option \"\" v", Fault::EmptyName, 1, 26, "a"),
    ("volume a type t/x subvolumes \"\"", Fault::EmptyName, 1, 30, "a"),
    ("volume a type t/x option k v\\w", Fault::BackslashOutsideString, 1, 29, "a"),
    ("volume a type t/x option k\n\n \"v", Fault::UnterminatedString, 3, 2, "a"),
    ("volume a type t/x option k \"v\\\"", Fault::UnterminatedString, 1, 28, "a"),
    ("volume a type t/x option k \"v\\", Fault::UnterminatedString, 1, 28, "a"),
    ("volume a type t/x option k \"v\\\nw\"", Fault::BackslashBeforeNewline, 1, 30, "a"),
    ("volume a type t/x\noption k `date`", Fault::Backtick, 2, 10, ""),
    ("# `date`\nvolume a", Fault::Backtick, 1, 3, ""),
    ("volume a type t/x option k \"\\`\"", Fault::Backtick, 1, 30, ""),
    ("\\ \0 \" `", Fault::Backtick, 1, 7, ""),
    ("volume a type t/x option k v\0w", Fault::NulByte, 1, 29, ""),
    ("volume a type t/x option k v end-volume\n# \0", Fault::NulByte, 2, 3, ""),
    ("volume a type t/x option k v end-volume\nvolume \"\\a\" type \
        t/x", Fault::DefinedAgain { first_line: 1 }, 2, 8, "\\a"),
    ("volume a type t/x subvolumes nosuch end-volume", Fault::UndefinedSubvolume, 1, 30, "a"),
    ("volume a type t/x subvolumes nosuch", Fault::UndefinedSubvolume, 1, 30, "a"),
    ("volume a type t/x subvolumes a end-volume", Fault::OwnSubvolume, 1, 30, "a"),
    ("volume z type t/x option k v end-volume volume a type t/x\nsubvolumes z\n z \
        end-volume", Fault::RepeatedSubvolume, 3, 2, "a"),
    ("volume a type t/x subvolumes\n b end-volume\nvolume b type t/x option k v \
        end-volume", Fault::ForwardSubvolume { line: 3 }, 2, 2, "a"),
    ("volume a type t/x subvolumes b end-volume\nvolume b type t/x option k \
        v", Fault::ForwardSubvolume { line: 2 }, 1, 30, "a"),
    ("volume a type t/x subvolumes b end-volume\nvolume b type t/x subvolumes a \
        end-volume", Fault::CyclicSubvolume { line: 2 }, 1, 30, "a"),
    ("volume a type t/x subvolumes c end-volume\nvolume b type t/x subvolumes a end-volume\n\
        volume c type t/x subvolumes b end-volume", Fault::CyclicSubvolume { line: 3 }, 1, 30, "a"),
    ("volume a type t/x subvolumes b end-volume\nvolume b type t/x subvolumes c end-volume\n\
        volume c type t/x subvolumes a end-volume", Fault::CyclicSubvolume { line: 2 }, 1, 30, "a"),
    ("volume a type t/x subvolumes b end-volume\nvolume b type t/x subvolumes c end-volume\n\
        volume c type t/x option k v end-volume", Fault::ForwardSubvolume { line: 2 }, 1, 30, "a"),
    ("volume a type t/x subvolumes b end-volume\nvolume b type t/x subvolumes b \
        end-volume", Fault::ForwardSubvolume { line: 2 }, 1, 30, "a"),
];

#[test]
fn every_error_says_what_and_where() {
    for &(text, fault, line, column, volume) in REFUSALS {
        let error = Room::plenty().parse(text.as_bytes()).expect_err(text);
        assert_eq!(
            (error.fault, error.line, error.column),
            (fault, line, column),
            "{text:?}: {error}"
        );
        let named = error.volume().map(|span| span.of(text.as_bytes()).raw()).unwrap_or_default();
        assert_eq!(named, volume.as_bytes(), "{text:?}");
        assert!(
            error
                .explain(text.as_bytes())
                .to_string()
                .starts_with(&format!("line {line}, column {column}, "))
        );
    }
}

#[test]
fn what_an_error_says_of_a_hostile_name_is_safe_to_print() {
    let text = b"volume \"\x1b[31m\xff\" type t/x end-volume";
    let error = Room::plenty().parse(text).unwrap_err();
    assert_eq!(
        error.explain(text).to_string(),
        "line 1, column 26, in volume \"\\x1b[31m\\xff\": a volume without options and subvolumes"
    );
}
