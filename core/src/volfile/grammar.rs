//! Tokens to statements (docs/spec/02-volfile.md, "Grammar"). The order of the statements is
//! checked here; their readers need not check it again.

use super::Limits;
use super::error::{Fault, VolfileError};
use super::lex::{At, Lexeme, Lexer};
use super::token::TokenSpan;

/// One statement of a volfile. In a volume the type comes first and `End` last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Statement {
    Volume { name: TokenSpan },
    Type { name: TokenSpan },
    Option { key: TokenSpan, value: TokenSpan },
    Child { name: TokenSpan },
    End,
}

/// Position in the grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Outside {
        volumes: bool,
    },
    /// After `volume NAME`: only `type` may follow.
    Named,
    /// After the type. With `listing`, words are subvolumes.
    Body {
        options: bool,
        subvolumes: bool,
        listing: bool,
    },
}

/// Reads one statement after the other; stops at the first error.
pub(super) struct Statements<'a> {
    text: &'a [u8],
    lexer: Lexer<'a>,
    state: State,
    volume: Option<TokenSpan>,
    at: u32,
}

impl<'a> Statements<'a> {
    pub(super) fn new(text: &'a [u8], limits: &Limits) -> Result<Self, VolfileError> {
        let lexer = Lexer::new(text, limits).map_err(|at| VolfileError::new(text, at, None))?;
        Ok(Self { text, lexer, state: State::Outside { volumes: false }, volume: None, at: 0 })
    }

    /// The next statement; `None` at the end of the text.
    pub(super) fn next(&mut self) -> Result<Option<Statement>, VolfileError> {
        self.step().map_err(|at| self.error(at))
    }

    /// A fault at the last token read.
    pub(super) fn refuse(&self, fault: Fault) -> VolfileError {
        self.error((fault, self.at))
    }

    /// Offset of the last token read.
    pub(super) fn offset(&self) -> u32 {
        self.at
    }

    fn error(&self, at: At) -> VolfileError {
        VolfileError::new(self.text, at, self.volume)
    }

    fn step(&mut self) -> Result<Option<Statement>, At> {
        let lexeme = self.lexeme()?;
        let (statement, state) = match (self.state, lexeme) {
            (State::Outside { volumes: true }, Lexeme::End) => return Ok(None),
            (State::Outside { volumes: false }, Lexeme::End) => {
                return Err((Fault::NoVolume, self.at));
            }
            (State::Outside { .. }, Lexeme::Volume) => {
                let name = self.operand(Fault::MissingName)?;
                self.volume = Some(name);
                (Statement::Volume { name }, State::Named)
            }
            (State::Outside { .. }, _) => return Err((Fault::ExpectedVolume, self.at)),

            (State::Named | State::Body { .. }, Lexeme::Volume) => {
                return Err((Fault::NestedVolume, self.at));
            }
            (State::Named | State::Body { .. }, Lexeme::End) => {
                return Err((Fault::UnendedVolume, self.at));
            }

            (State::Named, Lexeme::Type) => (
                Statement::Type { name: self.operand(Fault::MissingType)? },
                State::Body { options: false, subvolumes: false, listing: false },
            ),
            (State::Named, _) => return Err((Fault::ExpectedType, self.at)),

            (State::Body { subvolumes, .. }, Lexeme::Option) => {
                let key = self.operand(Fault::MissingOptionKey)?;
                let value = self.value()?;
                let state = State::Body { options: true, subvolumes, listing: false };
                (Statement::Option { key, value }, state)
            }
            (State::Body { subvolumes: true, .. }, Lexeme::Subvolumes) => {
                return Err((Fault::RepeatedSubvolumes, self.at));
            }
            (State::Body { options, subvolumes: false, .. }, Lexeme::Subvolumes) => (
                Statement::Child { name: self.operand(Fault::MissingSubvolume)? },
                State::Body { options, subvolumes: true, listing: true },
            ),
            (state @ State::Body { listing: true, .. }, Lexeme::Word(name)) => {
                (Statement::Child { name: self.filled(name)? }, state)
            }
            (State::Body { listing: false, .. }, Lexeme::Word(_)) => {
                return Err((Fault::UnexpectedWord, self.at));
            }
            (State::Body { .. }, Lexeme::Type) => return Err((Fault::RepeatedType, self.at)),
            (State::Body { options: false, subvolumes: false, .. }, Lexeme::EndVolume) => {
                return Err((Fault::EmptyVolume, self.at));
            }
            (State::Body { .. }, Lexeme::EndVolume) => {
                self.volume = None;
                (Statement::End, State::Outside { volumes: true })
            }
        };
        self.state = state;
        Ok(Some(statement))
    }

    /// The word that a keyword needs. It may be any string except the empty one, which is not a
    /// name.
    fn operand(&mut self, missing: Fault) -> Result<TokenSpan, At> {
        match self.lexeme()? {
            Lexeme::Word(span) => self.filled(span),
            _ => Err((missing, self.at)),
        }
    }

    /// An option's value. The real parser ignores an option with an empty value; this one keeps it.
    fn value(&mut self) -> Result<TokenSpan, At> {
        match self.lexeme()? {
            Lexeme::Word(span) => Ok(span),
            _ => Err((Fault::MissingOptionValue, self.at)),
        }
    }

    fn filled(&self, span: TokenSpan) -> Result<TokenSpan, At> {
        if span.of(self.text).is_empty() { Err((Fault::EmptyName, self.at)) } else { Ok(span) }
    }

    fn lexeme(&mut self) -> Result<Lexeme, At> {
        let (lexeme, at) = self.lexer.next()?;
        self.at = at;
        Ok(lexeme)
    }
}
