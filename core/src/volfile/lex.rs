//! Bytes to tokens: docs/spec/02-volfile.md, "Stage 1: backticks" and "Stage 2: tokens".

use super::Limits;
use super::error::Fault;
use super::token::{TEXT_BYTES_MAX, TokenSpan};

/// One token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lexeme {
    Volume,
    Type,
    Option,
    Subvolumes,
    EndVolume,
    /// A word that is not a keyword, or a string; the grammar treats them alike.
    Word(TokenSpan),
    End,
}

/// A fault and the offset of the byte where it is.
pub(super) type At = (Fault, u32);

/// Reads one token after the other.
pub(super) struct Lexer<'a> {
    text: &'a [u8],
    rest: &'a [u8],
    token_bytes_max: u32,
}

impl<'a> Lexer<'a> {
    /// Refuses texts with a backtick or a NUL, and texts that are too long.
    pub(super) fn new(text: &'a [u8], limits: &Limits) -> Result<Self, At> {
        let max = limits.text_bytes_max.min(TEXT_BYTES_MAX);
        if u32::try_from(text.len()).is_ok_and(|len| len <= max) {
            let lexer = Self { text, rest: text, token_bytes_max: limits.token_bytes_max };
            // The real parser runs a backtick's content even inside a comment, so backticks are
            // searched for before comments are recognised.
            for (byte, fault) in [(b'`', Fault::Backtick), (0, Fault::NulByte)] {
                if let Some(at) = text.iter().position(|&b| b == byte) {
                    return Err((fault, offset(at)));
                }
            }
            Ok(lexer)
        } else {
            Err((Fault::TextTooLong { max }, max))
        }
    }

    /// The next token and the offset where it begins, a string's opening quote included.
    pub(super) fn next(&mut self) -> Result<(Lexeme, u32), At> {
        self.rest = after_blanks(self.rest);
        let begin = self.offset_of(self.rest);
        let (token, lexeme) = match self.rest.first() {
            None => return Ok((Lexeme::End, begin)),
            Some(b'\\') => return Err((Fault::BackslashOutsideString, begin)),
            Some(b'"') => {
                let (body, rest) =
                    string(self.rest).map_err(|(fault, at)| (fault, self.offset_of(at)))?;
                self.rest = rest;
                let escaped = body.iter().any(|&byte| matches!(byte, b'\\' | b'\n'));
                let span = TokenSpan::new(begin.saturating_add(1), offset(body.len()), escaped);
                (body, Lexeme::Word(span))
            }
            Some(_) => {
                let (word, rest) = word(self.rest);
                self.rest = rest;
                let span = TokenSpan::new(begin, offset(word.len()), false);
                (word, keyword(word).unwrap_or(Lexeme::Word(span)))
            }
        };
        if offset(token.len()) > self.token_bytes_max {
            return Err((Fault::TokenTooLong { max: self.token_bytes_max }, begin));
        }
        Ok((lexeme, begin))
    }

    fn offset_of(&self, rest: &[u8]) -> u32 {
        offset(self.text.len().saturating_sub(rest.len()))
    }
}

/// The keyword that `word` is. Keywords are lower case; the real lexer takes `subvolumeS`, too.
pub(super) fn keyword(word: &[u8]) -> Option<Lexeme> {
    match word {
        b"volume" => Some(Lexeme::Volume),
        b"type" => Some(Lexeme::Type),
        b"option" => Some(Lexeme::Option),
        b"subvolumes" | b"subvolumeS" => Some(Lexeme::Subvolumes),
        b"end-volume" => Some(Lexeme::EndVolume),
        _ => None,
    }
}

/// Blanks separate words. Vertical tab, form feed and everything beyond ASCII belong to words.
pub(super) const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

const fn is_word(byte: u8) -> bool {
    !is_blank(byte) && !matches!(byte, b'"' | b'\\')
}

/// The text after blanks and comments.
fn after_blanks(mut input: &[u8]) -> &[u8] {
    loop {
        (_, input) = split(input, is_blank);
        match input {
            [b'#', ..] => (_, input) = split(input, |byte| byte != b'\n'),
            _ => return input,
        }
    }
}

/// A token's bytes and the text after it.
type Split<'a> = (&'a [u8], &'a [u8]);

/// The bytes at the start of `input` that are of a kind, and the text after them.
fn split(input: &[u8], is_of_kind: impl Fn(u8) -> bool) -> Split<'_> {
    let end = input.iter().position(|&byte| !is_of_kind(byte));
    end.and_then(|end| input.split_at_checked(end)).unwrap_or((input, &[]))
}

/// The word at the start of `input`, and the text after it.
fn word(input: &[u8]) -> Split<'_> {
    split(input, is_word)
}

/// The content of the string at the start of `input`, and the text after it; or the fault and the
/// text from its place on.
fn string(input: &[u8]) -> Result<Split<'_>, (Fault, &[u8])> {
    let unterminated = Err((Fault::UnterminatedString, input));
    let [b'"', inside @ ..] = input else { return unterminated };
    let mut rest = inside;
    loop {
        match rest {
            [b'"', behind @ ..] => {
                let len = inside.len().saturating_sub(rest.len());
                return Ok((inside.get(..len).unwrap_or_default(), behind));
            }
            [b'\\', b'\n', ..] => return Err((Fault::BackslashBeforeNewline, rest)),
            [b'\\', _, behind @ ..] => rest = behind,
            [b'\\'] | [] => return unterminated,
            [_, behind @ ..] => rest = behind,
        }
    }
}

fn offset(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
