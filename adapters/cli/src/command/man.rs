//! `brickwire man`: man pages, made from the help of the commands.

use std::path::Path;

use clap::CommandFactory as _;
use serde_json::json;

use crate::args::Args;
use crate::failure::Failure;
use crate::output;
use crate::settings::Settings;

/// Prints the program's page, or writes a page for each command to a directory.
pub(crate) fn run(directory: Option<&Path>, settings: &Settings) -> Result<(), Failure> {
    let Some(directory) = directory else {
        let mut page = Vec::new();
        let rendered = clap_mangen::Man::new(Args::command()).render(&mut page);
        rendered.map_err(Failure::new)?;
        return output::line(String::from_utf8_lossy(&page).trim_end());
    };
    let failed = |error: std::io::Error| Failure::local(directory.display(), &error);
    std::fs::create_dir_all(directory).map_err(failed)?;
    clap_mangen::generate_to(Args::command(), directory).map_err(failed)?;
    if settings.json {
        return output::json(&json!({ "command": "man", "directory": directory }));
    }
    Ok(())
}
