//! Statements to tables: names are resolved, limits are kept.

use super::error::{Fault, Table, VolfileError};
use super::grammar::{Statement, Statements};
use super::token::TokenSpan;
use super::view::Volfile;
use super::{Limits, Link, Needs, OptionEntry, Tables, TranslatorKind, VolumeEntry, VolumeIndex};

/// Reads a volfile into the lent tables. Nothing is believed of it that it does not show: the first error ends the parse.
pub fn parse<'a>(text: &'a [u8], tables: Tables<'a>, limits: &Limits) -> Result<Volfile<'a>, VolfileError> {
    let mut filler = Filler { text, tables, limits: *limits, volumes: 0, options: 0, children: 0 };
    let mut statements = Statements::new(text, limits)?;
    while let Some(statement) = statements.next()? {
        filler.take(statement, statements.offset()).map_err(|fault| statements.refuse(fault))?;
    }
    let Filler { tables, volumes, options, children, .. } = filler;
    Ok(Volfile::new(
        text,
        tables.volumes.get(..volumes).unwrap_or_default(),
        tables.options.get(..options).unwrap_or_default(),
        tables.children.get(..children).unwrap_or_default(),
    ))
}

/// Counts what a volfile takes of each table.
pub fn needs(text: &[u8], limits: &Limits) -> Result<Needs, VolfileError> {
    let mut statements = Statements::new(text, limits)?;
    let mut needs = Needs::default();
    while let Some(statement) = statements.next()? {
        match statement {
            Statement::Volume { .. } => needs.volumes += 1,
            Statement::Option { .. } => needs.options += 1,
            Statement::Child { .. } => needs.children += 1,
            Statement::Type { .. } | Statement::End => {}
        }
    }
    Ok(needs)
}

/// Fills the tables.
struct Filler<'a> {
    text: &'a [u8],
    tables: Tables<'a>,
    limits: Limits,
    volumes: usize,
    options: usize,
    children: usize,
}

impl Filler<'_> {
    fn take(&mut self, statement: Statement, offset: u32) -> Result<(), Fault> {
        match statement {
            Statement::Volume { name } => self.volume(name, offset),
            Statement::Type { name } => {
                let kind = match name.of(self.text).as_raw() {
                    Some(raw) => TranslatorKind::of(raw),
                    None => TranslatorKind::Unknown,
                };
                if let Some(volume) = self.current() {
                    volume.type_name = name;
                    volume.kind = kind;
                }
                Ok(())
            }
            Statement::Option { key, value } => self.option(key, value),
            Statement::Child { name } => self.child(name),
            Statement::End => Ok(()),
        }
    }

    fn current(&mut self) -> Option<&mut VolumeEntry> {
        self.tables.volumes.get_mut(self.volumes.checked_sub(1)?)
    }

    fn volume(&mut self, name: TokenSpan, offset: u32) -> Result<(), Fault> {
        if self.volumes >= usize::from(self.limits.volumes_max) {
            return Err(Fault::TooManyVolumes { max: self.limits.volumes_max });
        }
        let hash = self.hash(name);
        if self.find(name, hash).is_some() {
            return Err(Fault::DefinedAgain);
        }
        let has = self.tables.volumes.len();
        let index = self.volumes;
        let entry = VolumeEntry {
            name,
            hash,
            line: super::error::position(self.text, offset).0,
            options_start: self.options as u32,
            children_start: self.children as u32,
            depth: 1,
            // Buckets are spread over the entries: a bucket that is not reached yet begins empty.
            ..VolumeEntry::default()
        };
        let slot = self
            .tables
            .volumes
            .get_mut(index)
            .ok_or(Fault::TableFull { table: Table::Volumes, has: has as u32 })?;
        *slot = entry;
        self.volumes += 1;
        self.insert(index, hash);
        Ok(())
    }

    fn option(&mut self, key: TokenSpan, value: TokenSpan) -> Result<(), Fault> {
        let (max, has) = (self.limits.options_per_volume_max, self.tables.options.len() as u32);
        let at = self.options;
        let Some(volume) = self.current() else { return Ok(()) };
        if volume.options_len >= max {
            return Err(Fault::TooManyOptions { max });
        }
        volume.options_len += 1;
        let slot = self.tables.options.get_mut(at).ok_or(Fault::TableFull { table: Table::Options, has })?;
        *slot = OptionEntry { key, value };
        self.options += 1;
        Ok(())
    }

    fn child(&mut self, name: TokenSpan) -> Result<(), Fault> {
        let hash = self.hash(name);
        let child = self.find(name, hash).ok_or(Fault::UndefinedSubvolume)?;
        let own = self.volumes.saturating_sub(1);
        if child.as_usize() == own {
            return Err(Fault::OwnSubvolume);
        }
        let depth = self.tables.volumes.get(child.as_usize()).map_or(0, |child| child.depth) + 1;
        if depth > self.limits.depth_max {
            return Err(Fault::TooDeep { max: self.limits.depth_max });
        }
        let (max, has) = (self.limits.children_per_volume_max, self.tables.children.len() as u32);
        let at = self.children;
        let Some(volume) = self.current() else { return Ok(()) };
        if volume.children_len >= max {
            return Err(Fault::TooManyChildren { max });
        }
        let first = volume.children_start as usize;
        volume.children_len += 1;
        volume.depth = volume.depth.max(depth);
        if self.tables.children.get(first..at).is_some_and(|before| before.contains(&child)) {
            return Err(Fault::RepeatedSubvolume);
        }
        let slot =
            self.tables.children.get_mut(at).ok_or(Fault::TableFull { table: Table::Children, has })?;
        *slot = child;
        self.children += 1;
        Ok(())
    }

    fn hash(&self, name: TokenSpan) -> u32 {
        name.of(self.text)
            .bytes()
            .fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
    }

    /// The bucket of a hash: one for each entry of the lent table, so that a lookup among a thousand bricks is one step.
    fn bucket(&self, hash: u32) -> usize {
        hash as usize % self.buckets().max(1)
    }

    fn buckets(&self) -> usize {
        // Only entries in use hold a bucket's head: entries behind them may hold anything.
        self.volumes.checked_ilog2().map_or(0, |log| 1 << log)
    }

    fn find(&self, name: TokenSpan, hash: u32) -> Option<VolumeIndex> {
        let name = name.of(self.text);
        let head = self.tables.volumes.get(..self.volumes)?.get(self.bucket(hash))?.bucket;
        let mut next = head.get();
        while let Some(index) = next {
            let entry = self.tables.volumes.get(index.as_usize())?;
            if entry.hash == hash && entry.name.of(self.text) == name {
                return Some(index);
            }
            next = entry.next_in_bucket.get();
        }
        None
    }

    /// Puts a volume into its bucket. When the number of buckets doubles, all are filled anew.
    fn insert(&mut self, index: usize, hash: u32) {
        let grown = self.volumes.is_power_of_two() || self.volumes == 1;
        if !grown {
            return self.link(index, hash);
        }
        for entry in self.tables.volumes.iter_mut().take(self.volumes) {
            entry.bucket = Link::default();
            entry.next_in_bucket = Link::default();
        }
        for each in 0..self.volumes {
            let hash = self.tables.volumes.get(each).map_or(0, |entry| entry.hash);
            self.link(each, hash);
        }
    }

    fn link(&mut self, index: usize, hash: u32) {
        let bucket = self.bucket(hash);
        let to = Link::to(VolumeIndex(index as u16));
        let before = match self.tables.volumes.get_mut(bucket) {
            Some(entry) => core::mem::replace(&mut entry.bucket, to),
            None => return,
        };
        if let Some(entry) = self.tables.volumes.get_mut(index) {
            entry.next_in_bucket = before;
        }
    }
}
