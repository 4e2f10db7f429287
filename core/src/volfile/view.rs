//! A parsed volfile, to be read.

use super::error::position;
use super::{OptionEntry, Token, TranslatorKind, VolumeEntry, VolumeIndex};

/// The description of a graph: the text, and the tables that a parse has filled.
#[derive(Clone, Copy, Debug)]
pub struct Volfile<'a> {
    text: &'a [u8],
    volumes: &'a [VolumeEntry],
    options: &'a [OptionEntry],
    children: &'a [VolumeIndex],
}

/// One volume of a volfile: a translator, its options, its children.
#[derive(Clone, Copy, Debug)]
pub struct Volume<'a> {
    file: Volfile<'a>,
    index: VolumeIndex,
    entry: VolumeEntry,
}

impl<'a> Volfile<'a> {
    pub(super) fn new(
        text: &'a [u8],
        volumes: &'a [VolumeEntry],
        options: &'a [OptionEntry],
        children: &'a [VolumeIndex],
    ) -> Self {
        Self { text, volumes, options, children }
    }

    /// All volumes, in the order of the text: children before their parents.
    pub fn volumes(&self) -> impl ExactSizeIterator<Item = Volume<'a>> + use<'a> {
        let file = *self;
        (0..self.volumes.len()).map(move |index| file.volume(VolumeIndex(index as u16)))
    }

    /// The top of the graph: the last volume of the text.
    pub fn top(&self) -> Volume<'a> {
        self.volume(VolumeIndex(self.volumes.len().saturating_sub(1) as u16))
    }

    /// A volume by its index.
    pub fn volume(&self, index: VolumeIndex) -> Volume<'a> {
        let entry = self.volumes.get(index.as_usize()).copied().unwrap_or_default();
        Volume { file: *self, index, entry }
    }

    /// Line and column, from 1, of a byte of the text.
    pub fn position(&self, offset: u32) -> (u32, u32) {
        position(self.text, offset)
    }
}

impl<'a> Volume<'a> {
    /// Its place in the file.
    pub fn index(&self) -> VolumeIndex {
        self.index
    }

    /// Its name.
    pub fn name(&self) -> Token<'a> {
        self.entry.name.of(self.file.text)
    }

    /// Its type, as the text spells it.
    pub fn type_name(&self) -> Token<'a> {
        self.entry.type_name.of(self.file.text)
    }

    /// Its type.
    pub fn kind(&self) -> TranslatorKind {
        self.entry.kind
    }

    /// The line of its `volume`.
    pub fn line(&self) -> u32 {
        self.entry.line
    }

    /// Its options, in the order of the text: key and value.
    pub fn options(&self) -> impl ExactSizeIterator<Item = (Token<'a>, Token<'a>)> + use<'a> {
        let (start, len) = (self.entry.options_start as usize, usize::from(self.entry.options_len));
        let text = self.file.text;
        let options = self.file.options.get(start..start + len).unwrap_or_default();
        options.iter().map(move |option| (option.key.of(text), option.value.of(text)))
    }

    /// The value of an option; of several, the last.
    pub fn option(&self, key: &str) -> Option<Token<'a>> {
        self.options().filter(|(name, _)| *name == key).last().map(|(_, value)| value)
    }

    /// Its children, in the order of the text.
    pub fn children(&self) -> impl ExactSizeIterator<Item = Volume<'a>> + use<'a> {
        let (start, len) = (self.entry.children_start as usize, usize::from(self.entry.children_len));
        let file = self.file;
        let children = file.children.get(start..start + len).unwrap_or_default();
        children.iter().map(move |child| file.volume(*child))
    }
}
