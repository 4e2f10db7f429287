//! Writing a volfile exactly as glusterd does (volfile spec §9).

use core::fmt::{self, Write};

use super::Volfile;

/// Writes volumes one after the other.
#[derive(Debug)]
pub struct VolfileWriter<W> {
    out: W,
    first: bool,
}

impl<W: Write> VolfileWriter<W> {
    /// A writer onto `out`.
    pub fn new(out: W) -> Self {
        Self { out, first: true }
    }

    /// One volume. What cannot stand as a word (blanks, quotes, a keyword) is quoted.
    pub fn volume<K: AsRef<str>, V: AsRef<str>, C: AsRef<str>>(
        &mut self,
        name: &str,
        type_name: &str,
        options: impl IntoIterator<Item = (K, V)>,
        subvolumes: impl IntoIterator<Item = C>,
    ) -> fmt::Result {
        if !core::mem::take(&mut self.first) {
            self.out.write_str("\n")?;
        }
        self.out.write_str("volume ")?;
        word(&mut self.out, name)?;
        self.out.write_str("\n    type ")?;
        word(&mut self.out, type_name)?;
        self.out.write_str("\n")?;
        for (key, value) in options {
            self.out.write_str("    option ")?;
            word(&mut self.out, key.as_ref())?;
            self.out.write_str(" ")?;
            word(&mut self.out, value.as_ref())?;
            self.out.write_str("\n")?;
        }
        let mut any = false;
        for child in subvolumes {
            self.out.write_str(if any { " " } else { "    subvolumes " })?;
            word(&mut self.out, child.as_ref())?;
            any = true;
        }
        self.out.write_str(if any { "\nend-volume\n" } else { "end-volume\n" })
    }
}

fn word(out: &mut impl Write, text: &str) -> fmt::Result {
    let plain = !text.is_empty()
        && super::lex::keyword(text.as_bytes()).is_none()
        && !text.starts_with('#')
        && !text.bytes().any(|byte| super::lex::is_blank(byte) || matches!(byte, b'"' | b'\\'));
    if plain {
        return out.write_str(text);
    }
    out.write_str("\"")?;
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.write_str("\\")?;
        }
        out.write_char(c)?;
    }
    out.write_str("\"")
}

impl fmt::Display for Volfile<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, volume) in self.volumes().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            writeln!(f, "volume {}\n    type {}", volume.name(), volume.type_name())?;
            for (key, value) in volume.options() {
                writeln!(f, "    option {key} {value}")?;
            }
            for (at, child) in volume.children().enumerate() {
                write!(f, "{}{}", if at == 0 { "    subvolumes " } else { " " }, child.name())?;
            }
            f.write_str(if volume.children().len() > 0 { "\nend-volume\n" } else { "end-volume\n" })?;
        }
        Ok(())
    }
}
