//! Writing a volfile exactly as glusterd does (docs/spec/02-volfile.md, "Writing one").

use core::fmt;

use super::lex::{is_blank, keyword};
use super::{Token, Volfile};

/// Writes one volume after the other. [`finish`](Self::finish) returns the first error.
///
/// ```
/// # use brickwire_core::volfile::VolfileWriter;
/// let mut text = [0; 256];
/// let mut writer = VolfileWriter::new(&mut text);
/// writer.volume("demo-client-0", "protocol/client");
/// writer.option("remote-host", "127.0.0.1").end_volume();
/// writer.volume("demo", "debug/io-stats").subvolume("demo-client-0").end_volume();
/// let len = writer.finish()?;
/// # assert!(text[..len].ends_with(b"io-stats\n    subvolumes demo-client-0\nend-volume\n"));
/// # Ok::<(), brickwire_core::volfile::WriteError>(())
/// ```
#[derive(Debug)]
pub struct VolfileWriter<'b> {
    out: &'b mut [u8],
    /// Length of the whole text, also beyond the end of the buffer.
    len: usize,
    state: State,
    error: Option<WriteError>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Start,
    Named,
    Options,
    Subvolumes,
    Ended,
}

/// Errors of writing a volfile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WriteError {
    /// The buffer is too small for the whole text.
    NoRoom {
        /// The length of the whole text.
        needs: usize,
    },
    /// A byte that no string can hold: a line feed, a NUL, or a backtick, which is never allowed in
    /// a volfile.
    Unwritable {
        /// That byte.
        byte: u8,
    },
    /// The empty string as a name, type or key.
    EmptyName,
    /// A volume without options and subvolumes, or a volfile without volumes.
    Empty,
    /// The order of calls makes no volfile: options come before subvolumes, all between
    /// `volume` and `end_volume`.
    Order,
}

impl<'b> VolfileWriter<'b> {
    /// A writer into `out`, from its beginning.
    pub fn new(out: &'b mut [u8]) -> Self {
        Self { out, len: 0, state: State::Start, error: None }
    }

    /// Begins a volume.
    pub fn volume<'v>(
        &mut self,
        name: impl Into<Token<'v>>,
        kind: impl Into<Token<'v>>,
    ) -> &mut Self {
        let blank_line = if self.state == State::Ended { "\n" } else { "" };
        self.demand(&[State::Start, State::Ended]);
        self.text(blank_line)
            .text("volume ")
            .name(name.into())
            .text("\n    type ")
            .name(kind.into())
            .text("\n");
        self.state = State::Named;
        self
    }

    /// Sets an option of the volume.
    pub fn option<'v>(
        &mut self,
        key: impl Into<Token<'v>>,
        value: impl Into<Token<'v>>,
    ) -> &mut Self {
        self.demand(&[State::Named, State::Options]);
        self.text("    option ").name(key.into()).text(" ").word(value.into()).text("\n");
        self.state = State::Options;
        self
    }

    /// Adds a child of the volume.
    pub fn subvolume<'v>(&mut self, name: impl Into<Token<'v>>) -> &mut Self {
        self.demand(&[State::Named, State::Options, State::Subvolumes]);
        let before = if self.state == State::Subvolumes { " " } else { "    subvolumes " };
        self.text(before).name(name.into());
        self.state = State::Subvolumes;
        self
    }

    /// Ends the volume.
    pub fn end_volume(&mut self) -> &mut Self {
        match self.state {
            State::Named => self.fail(WriteError::Empty),
            State::Subvolumes => _ = self.text("\n"),
            _ => self.demand(&[State::Options]),
        }
        self.text("end-volume\n");
        self.state = State::Ended;
        self
    }

    /// The length of the text, if it was written whole.
    pub fn finish(&self) -> Result<usize, WriteError> {
        match (self.error, self.state) {
            (Some(error), _) => Err(error),
            (None, State::Start) => Err(WriteError::Empty),
            (None, State::Ended) if self.len > self.out.len() => {
                Err(WriteError::NoRoom { needs: self.len })
            }
            (None, State::Ended) => Ok(self.len),
            (None, _) => Err(WriteError::Order),
        }
    }

    fn demand(&mut self, states: &[State]) {
        if !states.contains(&self.state) {
            self.fail(WriteError::Order);
        }
    }

    fn fail(&mut self, error: WriteError) {
        self.error = self.error.or(Some(error));
    }

    fn name(&mut self, token: Token<'_>) -> &mut Self {
        if token.is_empty() {
            self.fail(WriteError::EmptyName);
        }
        self.word(token)
    }

    /// Writes a token unquoted, as glusterd does, if the parser reads the same word back; else in
    /// quotes.
    fn word(&mut self, token: Token<'_>) -> &mut Self {
        let plain = token.bytes().next().is_some_and(|first| first != b'#')
            && !token.bytes().any(|byte| is_blank(byte) || matches!(byte, b'"' | b'\\'))
            && !is_keyword(token);
        if !plain {
            self.put(b'"');
        }
        for byte in token.bytes() {
            match byte {
                b'\n' | 0 | b'`' => self.fail(WriteError::Unwritable { byte }),
                b'"' | b'\\' => self.put(b'\\'),
                _ => {}
            }
            self.put(byte);
        }
        if !plain {
            self.put(b'"');
        }
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        text.bytes().for_each(|byte| self.put(byte));
        self
    }

    fn put(&mut self, byte: u8) {
        if let Some(slot) = self.out.get_mut(self.len) {
            *slot = byte;
        }
        self.len = self.len.saturating_add(1);
    }
}

fn is_keyword(token: Token<'_>) -> bool {
    // Longer than every keyword: a longer token is not one.
    let mut room = [0; 16];
    token.decode_into(&mut room).is_some_and(|word| keyword(word).is_some())
}

impl Volfile<'_> {
    /// The length that [`write_into`](Self::write_into) produces.
    pub fn encoded_len(&self) -> usize {
        match self.write_into(&mut []) {
            Ok(len) | Err(WriteError::NoRoom { needs: len }) => len,
            // A parsed token has no other fault.
            Err(_) => 0,
        }
    }

    /// Writes the description in glusterd's layout, and returns its length. Parsing the result
    /// gives an equal description.
    pub fn write_into(&self, out: &mut [u8]) -> Result<usize, WriteError> {
        let mut writer = VolfileWriter::new(out);
        for volume in self.volumes() {
            writer.volume(volume.name(), volume.type_name());
            for (key, value) in volume.options() {
                writer.option(key, value);
            }
            for child in volume.children() {
                writer.subvolume(child.name());
            }
            writer.end_volume();
        }
        writer.finish()
    }
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRoom { needs } => write!(f, "the volfile needs {needs} bytes"),
            Self::Unwritable { byte } => write!(f, "a volfile cannot hold the byte {byte:#04x}"),
            Self::EmptyName => f.write_str("an empty name"),
            Self::Empty => {
                f.write_str("a volume without options and subvolumes, or no volume at all")
            }
            Self::Order => f.write_str("options, subvolumes and end of a volume out of order"),
        }
    }
}

impl core::error::Error for WriteError {}
