//! Statements to tables: names are resolved, limits are kept.

use super::error::{Fault, Table, VolfileError, line_feeds};
use super::grammar::{Statement, Statements};
use super::token::{Token, TokenSpan};
use super::view::Volfile;
use super::{
    Limits, Link, Needs, OptionEntry, Tables, TranslatorKind, VolumeEntry, VolumeIndex, by_name,
};

/// Parses a volfile into the lent tables. The first error in the text ends the parse, and the
/// tables are then undefined.
pub fn parse<'a>(
    text: &'a [u8],
    tables: Tables<'a>,
    limits: &Limits,
) -> Result<Volfile<'a>, VolfileError> {
    let statements = Statements::new(text, limits)?;
    let mut filler = Filler {
        text,
        statements,
        tables,
        limits: *limits,
        used: Needs::default(),
        volume: VolumeEntry::default(),
        line_at: (1, 0),
        unresolved: None,
    };
    let outcome = filler.fill();
    if let Some(unresolved) = filler.unresolved {
        return Err(unresolved.error);
    }
    match outcome {
        Err(VolfileError { fault: Fault::TableFull { table, has, .. }, .. }) => {
            // Counting is left until a table is too short, because most are long enough.
            let all = needs(text, limits)?;
            let needs = match table {
                Table::Volumes => all.volumes,
                Table::Options => all.options,
                Table::Children => all.children,
            };
            return Err(filler.statements.refuse(Fault::TableFull { table, has, needs }));
        }
        outcome => outcome?,
    }
    filler.mark_reachable();
    let Filler { tables, used, .. } = filler;
    Volfile::from_parts(text, tables.volumes, tables.options, tables.children, used)
        .ok_or_else(|| VolfileError::new(text, (Fault::NoVolume, 0), None))
}

/// Counts the entries that a volfile needs in each table. Names are not resolved: a text that can
/// be counted may still be refused by [`parse`].
pub fn needs(text: &[u8], limits: &Limits) -> Result<Needs, VolfileError> {
    let mut statements = Statements::new(text, limits)?;
    let mut needs = Needs::default();
    while let Some(statement) = statements.next()? {
        // No count exceeds the length of the text, so none overflows.
        match statement {
            Statement::Volume { .. } => needs.volumes = needs.volumes.saturating_add(1),
            Statement::Option { .. } => needs.options = needs.options.saturating_add(1),
            Statement::Child { .. } => needs.children = needs.children.saturating_add(1),
            Statement::Type { .. } | Statement::End => {}
        }
    }
    Ok(needs)
}

/// Fills the tables.
struct Filler<'a> {
    text: &'a [u8],
    statements: Statements<'a>,
    tables: Tables<'a>,
    limits: Limits,
    used: Needs,
    /// The volume that is being read. It enters its table, and can be found, when it is complete.
    volume: VolumeEntry,
    /// Number of a line, and an offset in it.
    line_at: (u32, usize),
    unresolved: Option<Unresolved>,
}

/// The first subvolume that was not found. The parse has failed; it continues only to learn whether
/// that subvolume is defined later and leads back to this volume, which its author needs to know.
struct Unresolved {
    error: VolfileError,
    /// The name being searched for: the subvolume, then the first one that is missing in its
    /// definition, and so on.
    awaited: TokenSpan,
    /// While the volume of that name is being read: the first subvolume missing in it.
    here: bool,
    missing: Option<TokenSpan>,
}

impl Filler<'_> {
    fn fill(&mut self) -> Result<(), VolfileError> {
        while let Some(statement) = self.statements.next()? {
            let taken = match statement {
                Statement::Volume { name } => self.begin(name),
                Statement::Type { name } => {
                    self.volume.type_name = name;
                    self.volume.kind = TranslatorKind::of(name.of(self.text));
                    Ok(())
                }
                Statement::Option { key, value } => self.option(key, value),
                Statement::Child { name } => self.child(name),
                Statement::End => self.end(),
            };
            taken.map_err(|fault| self.statements.refuse(fault))?;
            if self.unresolved.as_ref().is_some_and(Unresolved::is_settled) {
                break;
            }
        }
        Ok(())
    }

    fn begin(&mut self, span: TokenSpan) -> Result<(), Fault> {
        let name = span.of(self.text);
        if let Some(first) =
            self.find(name).and_then(|index| self.tables.volumes.get(index.as_usize()))
        {
            return Err(Fault::DefinedAgain { first_line: first.line });
        }
        let max = self.limits.volumes_max;
        if self.used.volumes >= u32::from(max) {
            return Err(Fault::TooManyVolumes { max });
        }
        room(&*self.tables.volumes, self.used.volumes, Table::Volumes)?;
        let line = self.line();
        self.volume = VolumeEntry {
            name: span,
            hash: by_name::hash(name),
            line,
            options_start: self.used.options,
            children_start: self.used.children,
            depth: 1,
            ..VolumeEntry::default()
        };
        if let Some(unresolved) = &mut self.unresolved {
            unresolved.reached(name == unresolved.awaited.of(self.text), line);
        }
        Ok(())
    }

    fn option(&mut self, key: TokenSpan, value: TokenSpan) -> Result<(), Fault> {
        let max = self.limits.options_per_volume_max;
        if self.volume.options_len >= max {
            return Err(Fault::TooManyOptions { max });
        }
        put(
            self.tables.options,
            &mut self.used.options,
            Table::Options,
            OptionEntry { key, value },
        )?;
        self.volume.options_len = self.volume.options_len.saturating_add(1);
        Ok(())
    }

    fn child(&mut self, span: TokenSpan) -> Result<(), Fault> {
        let name = span.of(self.text);
        let Some(child) = self.find(name) else { return self.miss(span) };
        let this = self.index();
        let max = self.limits;
        let Some(entry) = self.tables.volumes.get_mut(child.as_usize()) else { return Ok(()) };
        if entry.last_parent == Link::to(this) {
            return Err(Fault::RepeatedSubvolume);
        }
        if self.volume.children_len >= max.children_per_volume_max {
            return Err(Fault::TooManyChildren { max: max.children_per_volume_max });
        }
        if entry.depth >= max.depth_max {
            return Err(Fault::TooDeep { max: max.depth_max });
        }
        put(self.tables.children, &mut self.used.children, Table::Children, child)?;
        entry.last_parent = Link::to(this);
        entry.parents_len = entry.parents_len.saturating_add(1);
        self.volume.depth = self.volume.depth.max(entry.depth.saturating_add(1));
        self.volume.children_len = self.volume.children_len.saturating_add(1);
        self.volume.leads_back |= entry.leads_back;
        Ok(())
    }

    /// Notes a subvolume that is not defined so far.
    fn miss(&mut self, span: TokenSpan) -> Result<(), Fault> {
        match &mut self.unresolved {
            _ if span.of(self.text) == self.volume.name.of(self.text) => {
                return Err(Fault::OwnSubvolume);
            }
            Some(unresolved) if unresolved.here => {
                unresolved.missing = unresolved.missing.or(Some(span))
            }
            Some(_) => {}
            None => {
                let error = self.statements.refuse(Fault::UndefinedSubvolume);
                self.unresolved =
                    Some(Unresolved { error, awaited: span, here: false, missing: None });
                self.volume.leads_back = true;
            }
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), Fault> {
        let index = self.index();
        put(self.tables.volumes, &mut self.used.volumes, Table::Volumes, self.volume)?;
        by_name::insert(self.tables.volumes, index)?;
        if let Some(unresolved) = &mut self.unresolved {
            unresolved.read(self.volume.leads_back);
        }
        Ok(())
    }

    fn find(&self, name: Token<'_>) -> Option<VolumeIndex> {
        by_name::find(self.tables.volumes.get(..self.used.volumes as usize)?, self.text, name)
    }

    /// The index that the volume being read will have.
    fn index(&self) -> VolumeIndex {
        VolumeIndex(u16::try_from(self.used.volumes).unwrap_or(u16::MAX))
    }

    /// The line of the last token read. Each byte is examined once, for any number of volumes.
    fn line(&mut self) -> u32 {
        let (line, from) = self.line_at;
        let to = self.statements.offset() as usize;
        let line = line.saturating_add(line_feeds(self.text.get(from..to).unwrap_or_default()));
        self.line_at = (line, to);
        line
    }

    /// Marks the volumes that the top leads to. Children come before their parents, so one pass
    /// from the top down suffices.
    fn mark_reachable(&mut self) {
        let used = self.used.volumes as usize;
        for index in (0..used).rev() {
            let Some(entry) = self.tables.volumes.get_mut(index) else { continue };
            entry.reachable |= index.checked_add(1) == Some(used);
            if !entry.reachable {
                continue;
            }
            let start = entry.children_start as usize;
            let end = start.saturating_add(usize::from(entry.children_len));
            for child in self.tables.children.get(start..end).unwrap_or_default() {
                if let Some(child) = self.tables.volumes.get_mut(child.as_usize()) {
                    child.reachable = true;
                }
            }
        }
    }
}

impl Unresolved {
    /// A volume begins; `awaited` says whether it is the one that is searched for.
    fn reached(&mut self, awaited: bool, line: u32) {
        self.here = awaited;
        if awaited && self.error.fault == Fault::UndefinedSubvolume {
            self.error.fault = Fault::ForwardSubvolume { line };
        }
    }

    /// A volume has been read; `leads_back` says whether it leads to the volume with the missing
    /// subvolume.
    fn read(&mut self, leads_back: bool) {
        if !core::mem::take(&mut self.here) {
            return;
        }
        match (self.error.fault, self.missing.take()) {
            (Fault::ForwardSubvolume { line }, _) if leads_back => {
                self.error.fault = Fault::CyclicSubvolume { line };
            }
            (_, Some(missing)) => self.awaited = missing,
            // The search is over.
            (_, None) => self.awaited = TokenSpan::default(),
        }
    }

    fn is_settled(&self) -> bool {
        matches!(self.error.fault, Fault::CyclicSubvolume { .. })
            || self.awaited == TokenSpan::default()
    }
}

/// Checks that there is an entry at `used`. The number needed in all is counted later.
fn room<T>(table: &[T], used: u32, which: Table) -> Result<(), Fault> {
    let has = u32::try_from(table.len()).unwrap_or(u32::MAX);
    if used < has { Ok(()) } else { Err(Fault::TableFull { table: which, has, needs: 0 }) }
}

fn put<T>(table: &mut [T], used: &mut u32, which: Table, entry: T) -> Result<(), Fault> {
    room(table, *used, which)?;
    if let Some(slot) = table.get_mut(*used as usize) {
        *slot = entry;
    }
    *used = used.saturating_add(1);
    Ok(())
}
