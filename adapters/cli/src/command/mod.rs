//! One module for each command, or for a few that belong together.

pub(crate) mod bench;
pub(crate) mod completions;
pub(crate) mod copy;
pub(crate) mod file_ops;
pub(crate) mod graph;
pub(crate) mod info;
pub(crate) mod list;
pub(crate) mod man;
pub(crate) mod quickstart;
pub(crate) mod serve;
pub(crate) mod uri;
pub(crate) mod volume;
pub(crate) mod volume_config;
