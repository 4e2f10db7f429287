//! Read access to a parsed volfile.

use core::fmt;

use super::error::position;
use super::{Needs, OptionEntry, Token, TranslatorKind, VolumeEntry, VolumeIndex, by_name};

/// The description of a graph: the text, and the tables that a parse has filled.
///
/// Two are equal when they describe the same volumes in the same order, with any layout of the
/// texts.
#[derive(Clone, Copy)]
pub struct Volfile<'a> {
    text: &'a [u8],
    volumes: &'a [VolumeEntry],
    options: &'a [OptionEntry],
    children: &'a [VolumeIndex],
}

/// One volume of a volfile: a translator, its options, its children.
#[derive(Clone, Copy)]
pub struct Volume<'a> {
    file: Volfile<'a>,
    index: VolumeIndex,
    entry: VolumeEntry,
}

impl<'a> Volfile<'a> {
    /// The view over a text and the tables that
    /// [`parse`](super::parse) filled from it, with the sizes that [`needs`](Self::needs) then
    /// returned. `None` when a table is shorter, or nothing was parsed. Tables from another text
    /// give another graph or a meaningless one, and do no further harm.
    pub fn from_parts(
        text: &'a [u8],
        volumes: &'a [VolumeEntry],
        options: &'a [OptionEntry],
        children: &'a [VolumeIndex],
        needs: Needs,
    ) -> Option<Self> {
        let volumes = volumes.get(..needs.volumes as usize)?;
        let options = options.get(..needs.options as usize)?;
        let children = children.get(..needs.children as usize)?;
        (!volumes.is_empty()).then_some(Self { text, volumes, options, children })
    }

    /// Entries of each table in use.
    pub fn needs(&self) -> Needs {
        let count = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        Needs {
            volumes: count(self.volumes.len()),
            options: count(self.options.len()),
            children: count(self.children.len()),
        }
    }

    /// The text that was parsed.
    pub fn text(&self) -> &'a [u8] {
        self.text
    }

    /// All volumes, in the order of the text: children before their parents.
    pub fn volumes(
        &self,
    ) -> impl ExactSizeIterator<Item = Volume<'a>> + DoubleEndedIterator + use<'a> {
        let file = *self;
        file.volumes.iter().enumerate().map(move |(index, entry)| Volume {
            file,
            index: VolumeIndex(u16::try_from(index).unwrap_or(u16::MAX)),
            entry: *entry,
        })
    }

    /// The top of the graph: the last volume of the text.
    pub fn top(&self) -> Volume<'a> {
        self.at(VolumeIndex(
            u16::try_from(self.volumes.len().saturating_sub(1)).unwrap_or(u16::MAX),
        ))
    }

    /// A volume by its index; `None` for an index that another volfile has given.
    pub fn volume(&self, index: VolumeIndex) -> Option<Volume<'a>> {
        self.volumes.get(index.as_usize()).map(|entry| Volume { file: *self, index, entry: *entry })
    }

    /// A volume by its name.
    pub fn find<'n>(&self, name: impl Into<Token<'n>>) -> Option<Volume<'a>> {
        self.volume(by_name::find(self.volumes, self.text, name.into())?)
    }

    /// Whether a running graph can adopt the other's options instead of being replaced: from the
    /// top down, types, names and the order of children are equal (docs/spec/02-volfile.md, "The
    /// top volume"). Options are not compared.
    pub fn same_topology(&self, other: &Volfile<'_>) -> bool {
        // Names are unique in a file, so two graphs are the same when volumes of equal names are.
        self.top().name() == other.top().name()
            && self.volumes().filter(Volume::is_reachable).all(|volume| {
                other.find(volume.name()).is_some_and(|twin| {
                    volume.has_type_of(&twin)
                        && volume.children().map(|c| c.name()).eq(twin.children().map(|c| c.name()))
                })
            })
    }

    /// Line and column, from 1, of a byte of the text, such as [`Token::offset`].
    pub fn position(&self, offset: u32) -> (u32, u32) {
        position(self.text, offset)
    }

    fn at(&self, index: VolumeIndex) -> Volume<'a> {
        let entry = self.volumes.get(index.as_usize()).copied().unwrap_or_default();
        Volume { file: *self, index, entry }
    }
}

impl PartialEq for Volfile<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.volumes().eq(other.volumes())
    }
}

impl Eq for Volfile<'_> {}

/// Prints only the size, because volfiles contain passwords.
impl fmt::Debug for Volfile<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Volfile").field("needs", &self.needs()).finish_non_exhaustive()
    }
}

impl<'a> Volume<'a> {
    /// Its index in the file.
    pub fn index(&self) -> VolumeIndex {
        self.index
    }

    /// Its name.
    pub fn name(&self) -> Token<'a> {
        self.entry.name.of(self.file.text)
    }

    /// Its type, as the text spells it: `category/name`.
    pub fn type_name(&self) -> Token<'a> {
        self.entry.type_name.of(self.file.text)
    }

    /// Its type, aliases resolved; [`Unknown`](TranslatorKind::Unknown) for an unknown one.
    pub fn kind(&self) -> TranslatorKind {
        self.entry.kind
    }

    /// The line of its name.
    pub fn line(&self) -> u32 {
        self.entry.line
    }

    /// The number of volumes in the longest chain from a leaf to this one; a leaf has 1.
    pub fn depth(&self) -> u16 {
        self.entry.depth
    }

    /// Whether it is the top or below it. Others are legal and unused.
    pub fn is_reachable(&self) -> bool {
        self.entry.reachable
    }

    /// Its options, in the order of the text: key and value.
    pub fn options(
        &self,
    ) -> impl ExactSizeIterator<Item = (Token<'a>, Token<'a>)> + DoubleEndedIterator + use<'a> {
        let (text, entry) = (self.file.text, &self.entry);
        let options = part(self.file.options, entry.options_start, entry.options_len);
        options.iter().map(move |option| (option.key.of(text), option.value.of(text)))
    }

    /// The value of an option; of several, the last.
    pub fn option(&self, key: &str) -> Option<Token<'a>> {
        self.options().rev().find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    /// Its children, in the order of the text.
    pub fn children(
        &self,
    ) -> impl ExactSizeIterator<Item = Volume<'a>> + DoubleEndedIterator + use<'a> {
        let (file, entry) = (self.file, &self.entry);
        let children = part(file.children, entry.children_start, entry.children_len);
        children.iter().map(move |child| file.at(*child))
    }

    /// The number of volumes that list it as a child. In what glusterd generates: 0 for the top and
    /// 1 for all others.
    pub fn parent_count(&self) -> u16 {
        self.entry.parents_len
    }

    /// The volume that lists it as a child; of several, the last.
    pub fn parent(&self) -> Option<Volume<'a>> {
        self.file.volume(self.entry.last_parent.get()?)
    }

    fn has_type_of(&self, other: &Volume<'_>) -> bool {
        match (self.kind(), other.kind()) {
            (TranslatorKind::Unknown, TranslatorKind::Unknown) => {
                self.type_name() == other.type_name()
            }
            (mine, theirs) => mine == theirs,
        }
    }
}

/// Equal in name, type as spelled, options and children's names, all in order.
impl PartialEq for Volume<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
            && self.type_name() == other.type_name()
            && self.options().eq(other.options())
            && self
                .children()
                .map(|child| child.name())
                .eq(other.children().map(|child| child.name()))
    }
}

impl Eq for Volume<'_> {}

impl fmt::Debug for Volume<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut volume = f.debug_struct("Volume");
        volume
            .field("name", &self.name())
            .field("type", &self.type_name())
            .field("line", &self.line());
        volume.finish_non_exhaustive()
    }
}

fn part<T>(table: &[T], start: u32, len: u16) -> &[T] {
    let start = start as usize;
    table.get(start..start.saturating_add(usize::from(len))).unwrap_or_default()
}
