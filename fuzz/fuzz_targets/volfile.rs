//! Volfiles: a parsed text is written as one that parses to the same description, and every value
//! can be read.
#![no_main]

use brickwire_core::volfile::{Limits, OptionEntry, Tables, VolumeEntry, VolumeIndex, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let limits = Limits { text_bytes_max: 1 << 16, ..Limits::default() };
    let (mut volumes, mut options) =
        (vec![VolumeEntry::default(); 64], vec![OptionEntry::default(); 256]);
    let mut children = vec![VolumeIndex::default(); 256];
    let tables = Tables { volumes: &mut volumes, options: &mut options, children: &mut children };
    let Ok(file) = parse(text, tables, &limits) else { return };
    for volume in file.volumes() {
        for (_, value) in volume.options() {
            let _ = (
                value.to_bool(),
                value.to_int(),
                value.to_size(),
                value.to_seconds(),
                value.to_percent(),
            );
            let _ = value.to_list().count();
        }
    }
    let mut written = vec![0; file.encoded_len()];
    let Ok(len) = file.write_into(&mut written) else { return };
    let (mut volumes, mut options) =
        (vec![VolumeEntry::default(); 64], vec![OptionEntry::default(); 256]);
    let mut children = vec![VolumeIndex::default(); 256];
    let tables = Tables { volumes: &mut volumes, options: &mut options, children: &mut children };
    let limits = Limits { text_bytes_max: 1 << 20, ..limits };
    let again = parse(&written[..len], tables, &limits).expect("what was written parses");
    assert!(file == again);
});
