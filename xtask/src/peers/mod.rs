//! Runs test suites of other projects on a volume of glusterfsd and on one of `brickwire serve`,
//! and compares the results test by test.
//!
//! No suite is part of this repository. [`tools`] says where each is looked for. Everything runs in
//! a network namespace with its own mounts, so no port, mount or user of the machine is touched.

mod place;
mod report;
mod results;
mod suite;
mod tools;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::cluster::Cluster;
use crate::command::{cargo, run, workspace};
use crate::measure::target;
use crate::namespace;
use place::Places;
use results::{Results, Saved};
pub use suite::Suite;
use tools::Tools;

/// What to run.
#[derive(Clone, Debug, Default)]
pub struct Peers {
    /// The suites; all that are at hand if empty.
    pub suites: Vec<Suite>,
    /// Where suites are that are not in packages, built.
    pub dir: Option<PathBuf>,
    /// Only tests whose name contains this; the report is not written then.
    pub only: Option<String>,
}

/// Runs the suites on both servers, prints the comparison and writes it to `docs/peers.md`. Fails
/// if a test passes on glusterfsd and fails on ours, unless the report names the reason.
pub fn peers(options: &Peers) -> Result<()> {
    let tools = Tools::new(options.dir.clone());
    // Here packages can be downloaded; in the namespace there is no network.
    let suites = available(options, &tools)?;
    if !namespace::is_isolated() {
        run(cargo().args(["build", "-p", "brickwire"]))?;
        println!("running in a network namespace of its own");
        return namespace::isolate();
    }
    place::add_users()?;
    let cluster = Cluster::attach_or_up()?;
    let places = Places::start(&cluster, &target().join("debug/brickwire"))?;
    for suite in &suites {
        let saved = both(*suite, &tools, &places, options.only.as_deref())?;
        println!("\n{}", report::summary(*suite, &saved));
        if options.only.is_none() {
            saved.store(*suite)?;
        }
    }
    drop(places);
    if options.only.is_none() {
        write_report()?;
    }
    let worse = report::unexplained(&suites)?;
    if options.only.is_none() && !worse.is_empty() {
        bail!("tests that pass on glusterfsd fail on ours: {}", worse.join(", "));
    }
    Ok(())
}

/// The wanted suites that are at hand. A suite that was named and is not at hand is an error.
fn available(options: &Peers, tools: &Tools) -> Result<Vec<Suite>> {
    let mut found = Vec::new();
    for suite in Suite::ALL {
        if !options.suites.is_empty() && !options.suites.contains(&suite) {
            continue;
        }
        match suite.prepare(tools) {
            Ok(()) => found.push(suite),
            Err(why) if options.suites.is_empty() => {
                println!("{}: left out: {why:#}", suite.name())
            }
            Err(why) => return Err(why.context(suite.name())),
        }
    }
    Ok(found)
}

/// One suite on glusterfsd and then on ours.
fn both(suite: Suite, tools: &Tools, places: &Places<'_>, only: Option<&str>) -> Result<Saved> {
    let mut results: [Results; 2] = Default::default();
    for (place, results) in places.all().iter().zip(&mut results) {
        println!("\n=== {} on {} ===", suite.name(), place.name());
        place.clear()?;
        *results = suite.run(tools, place, only)?;
    }
    let [glusterfsd, ours] = results;
    Ok(Saved { glusterfsd, ours })
}

fn write_report() -> Result<()> {
    let path = workspace().join("docs/peers.md");
    std::fs::write(&path, report::page()?).with_context(|| path.display().to_string())?;
    println!("the tables of all suites that were run are in {}", path.display());
    Ok(())
}
