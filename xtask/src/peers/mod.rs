//! Runs test suites of other projects on a volume of glusterfsd and on one of `brickwire serve`,
//! and compares the results test by test.
//!
//! No suite is part of this repository. `tools` says where each is looked for. Everything runs in
//! a network namespace with its own mounts, so no port, mount or user of the machine is touched.

mod place;
mod report;
mod results;
mod suite;
mod tools;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::cluster::Cluster;
use crate::command::{cargo, run, workspace};
use crate::measure::target;
use crate::namespace;
use place::{Place, Places};
use results::Saved;
pub use suite::Suite;
use tools::Tools;

/// The suites and tests to run.
#[derive(Clone, Debug, Default)]
pub struct Peers {
    /// The suites; all that are at hand if empty.
    pub suites: Vec<Suite>,
    /// Where suites are that are not in packages, built.
    pub dir: Option<PathBuf>,
    /// Only tests whose name contains this; the report is not written then.
    pub only: Option<String>,
    /// The longest time for each suite.
    pub time: Option<Duration>,
}

/// Runs the suites on both servers, prints the comparison and writes it to `PAGE`. Fails
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
        let saved = both(*suite, &tools, &places, options)?;
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

/// Runs one suite on both servers, test by test, so that a run that is cut short compares what it
/// has done. Results of earlier runs stay for tests that this one does not reach.
fn both(suite: Suite, tools: &Tools, places: &Places<'_>, options: &Peers) -> Result<Saved> {
    let (only, [glusterfsd, ours]) = (options.only.as_deref(), places.all());
    println!("\n=== {} ===", suite.name());
    let Some(tests) = suite.list(tools, &glusterfsd)? else {
        let run = |place: &Place<'_>| {
            place.clear()?;
            suite.run_all(tools, place, only)
        };
        return Ok(Saved { glusterfsd: run(&glusterfsd)?, ours: run(&ours)?, tests: 0 });
    };
    let mut saved = match only {
        None => Saved::load(suite)?.unwrap_or_default(),
        Some(_) => Saved::default(),
    };
    saved.tests = tests.len();
    saved.glusterfsd.retain(|test, _| tests.contains(test));
    saved.ours.retain(|test, _| tests.contains(test));
    let end = options.time.map(|time| Instant::now() + time);
    for test in spread(tests).iter().filter(|test| only.is_none_or(|only| test.contains(only))) {
        if end.is_some_and(|end| Instant::now() >= end) {
            println!("the time is over");
            break;
        }
        let outcomes = [&glusterfsd, &ours].map(|place| suite.run(tools, place, test));
        let [on_glusterfsd, on_ours] = outcomes;
        let (on_glusterfsd, on_ours) = (on_glusterfsd?, on_ours?);
        println!("{test}: glusterfsd {on_glusterfsd}, ours {on_ours}");
        saved.glusterfsd.insert(test.clone(), on_glusterfsd);
        saved.ours.insert(test.clone(), on_ours);
        if only.is_none() {
            saved.store(suite)?;
        }
    }
    Ok(saved)
}

/// The tests in an order in which neighbours, which are alike, are far from each other: a run that
/// is cut short has then tried something of everything.
fn spread(mut tests: Vec<String>) -> Vec<String> {
    tests.sort_by_key(|test| {
        let hash = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        (test.bytes().fold(0xcbf2_9ce4_8422_2325, hash), test.clone())
    });
    tests
}

fn write_report() -> Result<()> {
    let path = workspace().join("docs/peers.md");
    std::fs::write(&path, report::page()?).with_context(|| path.display().to_string())?;
    println!("the tables of all suites that were run are in {}", path.display());
    Ok(())
}
