//! `brickwire volfile` and `brickwire graph`: the client graph of a volume. Both need the volfile
//! only, so they work on volumes that this client cannot open.

use brickwire_core::volfile::{self, Limits, OptionEntry, Tables, VolumeEntry, VolumeIndex};
use brickwire_std::Volume;
use serde_json::{Value, json};

use crate::args::{GraphFormat, OnUri};
use crate::connect::{options, parse};
use crate::failure::Failure;
use crate::output;
use crate::settings::Settings;

fn fetch(uri: &str, settings: &Settings) -> Result<String, Failure> {
    parse(uri)?;
    Ok(Volume::connect(uri, &options(settings))?.volfile()?)
}

pub(crate) fn volfile(on: &OnUri, settings: &Settings) -> Result<(), Failure> {
    let text = fetch(&on.uri, settings)?;
    if settings.json {
        return output::json(&json!({ "volfile": text }));
    }
    output::line(text.trim_end_matches('\n'))
}

pub(crate) fn graph(on: &OnUri, format: GraphFormat, settings: &Settings) -> Result<(), Failure> {
    let text = fetch(&on.uri, settings)?;
    let limits = Limits::default();
    let needs = volfile::needs(text.as_bytes(), &limits).map_err(Failure::new)?;
    let mut volumes = vec![VolumeEntry::default(); needs.volumes as usize];
    let mut options = vec![OptionEntry::default(); needs.options as usize];
    let mut children = vec![VolumeIndex::default(); needs.children as usize];
    let tables = Tables { volumes: &mut volumes, options: &mut options, children: &mut children };
    let file = volfile::parse(text.as_bytes(), tables, &limits).map_err(Failure::new)?;
    match (format, settings.json) {
        (GraphFormat::Json, _) | (GraphFormat::Text, true) => output::json(&as_json(&file)),
        (GraphFormat::Dot, _) => as_dot(&file),
        (GraphFormat::Text, false) => as_text(&file),
    }
}

fn as_json(file: &volfile::Volfile<'_>) -> Value {
    let volumes: Vec<Value> = file
        .volumes()
        .map(|volume| {
            let options: serde_json::Map<String, Value> = volume
                .options()
                .map(|(key, value)| (key.to_string(), value.to_string().into()))
                .collect();
            let children: Vec<String> =
                volume.children().map(|child| child.name().to_string()).collect();
            json!({
                "name": volume.name().to_string(),
                "type": volume.type_name().to_string(),
                "options": options,
                "subvolumes": children,
            })
        })
        .collect();
    json!({ "top": file.top().name().to_string(), "volumes": volumes })
}

fn as_dot(file: &volfile::Volfile<'_>) -> Result<(), Failure> {
    let quoted = |text: String| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    output::line("digraph volfile {")?;
    for volume in file.volumes() {
        let name = volume.name().to_string();
        let label = quoted(format!("{name}\n{}", volume.type_name())).replace('\n', "\\n");
        output::line(format_args!("  {} [label={label}];", quoted(name.clone())))?;
        for child in volume.children() {
            output::line(format_args!(
                "  {} -> {};",
                quoted(name.clone()),
                quoted(child.name().to_string())
            ))?;
        }
    }
    output::line("}")
}

fn as_text(file: &volfile::Volfile<'_>) -> Result<(), Failure> {
    // Depth first with a list of its own: a volfile may be deeper than the stack.
    let mut pending = vec![(file.top(), 0)];
    while let Some((volume, depth)) = pending.pop() {
        let indent = "  ".repeat(depth);
        let place = match (volume.option("remote-host"), volume.option("remote-subvolume")) {
            (Some(host), Some(brick)) => format!("  {host}:{brick}"),
            _ => String::new(),
        };
        output::line(format_args!("{indent}{}  {}{place}", volume.name(), volume.type_name()))?;
        let children: Vec<_> = volume.children().collect();
        pending.extend(children.into_iter().rev().map(|child| (child, depth + 1)));
    }
    Ok(())
}
