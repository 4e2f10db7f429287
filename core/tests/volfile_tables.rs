//! Tables of a length that the test chooses; included by `volfile_*.rs`.
#![allow(dead_code)] // Every test file uses its own part.

use brickwire_core::volfile::{
    self, Limits, Needs, OptionEntry, Tables, Volfile, VolfileError, VolumeEntry, VolumeIndex,
};

pub(crate) struct Room {
    volumes: Vec<VolumeEntry>,
    options: Vec<OptionEntry>,
    children: Vec<VolumeIndex>,
}

impl Room {
    pub(crate) fn new(volumes: usize, options: usize, children: usize) -> Self {
        Self {
            volumes: vec![VolumeEntry::default(); volumes],
            options: vec![OptionEntry::default(); options],
            children: vec![VolumeIndex::default(); children],
        }
    }

    pub(crate) fn of(needs: Needs) -> Self {
        Self::new(needs.volumes as usize, needs.options as usize, needs.children as usize)
    }

    pub(crate) fn plenty() -> Self {
        Self::new(64, 512, 64)
    }

    pub(crate) fn parse<'a>(&'a mut self, text: &'a [u8]) -> Result<Volfile<'a>, VolfileError> {
        self.parse_within(text, &Limits::default())
    }

    pub(crate) fn parse_within<'a>(
        &'a mut self,
        text: &'a [u8],
        limits: &Limits,
    ) -> Result<Volfile<'a>, VolfileError> {
        let Self { volumes, options, children } = self;
        volfile::parse(text, Tables { volumes, options, children }, limits)
    }

    pub(crate) fn again<'a>(&'a self, text: &'a [u8], needs: Needs) -> Option<Volfile<'a>> {
        Volfile::from_parts(text, &self.volumes, &self.options, &self.children, needs)
    }
}
