//! The comparison of two servers, as a summary and as a page.

use std::fmt::Write as _;

use anyhow::Result;

use crate::measure::{machine, wrapped};

use super::Suite;
use super::results::{Outcome, Saved};

/// Tests that ours fails on purpose: suite, beginning of the test's name, reason.
const REFUSED: &[(Suite, &str, &str)] = &[];

fn reason(suite: Suite, test: &str) -> Option<&'static str> {
    let of = |entry: &&(Suite, &str, &str)| entry.0 == suite && test.starts_with(entry.1);
    REFUSED.iter().find(of).map(|entry| entry.2)
}

/// How many tests ended how on glusterfsd and on ours.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    both_pass: usize,
    both_fail: usize,
    only_glusterfsd: usize,
    only_ours: usize,
    skipped: usize,
}

impl Counts {
    fn of(saved: &Saved) -> Self {
        let mut counts = Self::default();
        for (_, glusterfsd, ours) in saved.pairs() {
            *match (glusterfsd, ours) {
                (Outcome::Passed, Outcome::Passed) => &mut counts.both_pass,
                (Outcome::Failed(_), Outcome::Failed(_)) => &mut counts.both_fail,
                (_, Outcome::Failed(_)) => &mut counts.only_glusterfsd,
                (Outcome::Failed(_), _) => &mut counts.only_ours,
                _ => &mut counts.skipped,
            } += 1;
        }
        counts
    }

    /// A row of the table; `tests` is the size of the suite, 0 if all were run.
    fn row(&self, tests: usize) -> String {
        let Self { both_pass, both_fail, only_glusterfsd, only_ours, skipped } = self;
        let run = both_pass + both_fail + only_glusterfsd + only_ours + skipped;
        let tests = tests.max(run);
        format!(
            "{run} of {tests} | {both_pass} | {both_fail} | {only_glusterfsd} | {only_ours} | \
             {skipped} |"
        )
    }
}

const HEAD: &str = "| suite | tests run | pass on both | fail on both | fail on ours only | fail \
    on glusterfsd \
                    only | skipped |\n|---|---:|---:|---:|---:|---:|---:|\n";

/// One suite's counts and the tests that differ.
pub(super) fn summary(suite: Suite, saved: &Saved) -> String {
    format!(
        "{HEAD}| {} | {}\n\n{}",
        suite.name(),
        Counts::of(saved).row(saved.tests),
        differences(suite, saved)
    )
}

fn differences(suite: Suite, saved: &Saved) -> String {
    let mut text = String::new();
    for (test, glusterfsd, ours) in saved.pairs() {
        let (which, why) = match (glusterfsd, ours) {
            (Outcome::Failed(_), Outcome::Failed(_)) => continue,
            (_, Outcome::Failed(why)) => ("ours", why),
            (Outcome::Failed(why), _) => ("glusterfsd", why),
            _ => continue,
        };
        let known = reason(suite, test).map_or_else(String::new, |why| format!(" ({why})"));
        let _infallible = writeln!(text, "| {} | {test} | {which} | {why}{known} |", suite.name());
    }
    text
}

/// Tests that fail on ours only and have no reason given.
pub(super) fn unexplained(suites: &[Suite]) -> Result<Vec<String>> {
    let mut worse = Vec::new();
    for suite in suites {
        let Some(saved) = Saved::load(*suite)? else { continue };
        let failing = saved.pairs().filter(|(test, glusterfsd, ours)| {
            matches!((glusterfsd, ours), (Outcome::Passed, Outcome::Failed(_)))
                && reason(*suite, test).is_none()
        });
        worse.extend(failing.map(|(test, ..)| format!("{} {test}", suite.name())));
    }
    Ok(worse)
}

/// The page: the latest run of each suite.
pub(super) fn page() -> Result<String> {
    let mut saved = Vec::new();
    for suite in Suite::ALL {
        if let Some(results) = Saved::load(suite)? {
            saved.push((suite, results));
        }
    }
    let mut t = String::new();
    write!(
        t,
        "# Suites of other projects\n\n\
         Made by `cargo xtask peers` (`--suite` for one suite, `--dir` for suites that are not in \
         packages). Each suite runs on a volume of one brick: on glusterfsd, and on `brickwire \
         serve`, through GlusterFS's own FUSE client (file servers: libgfapi), with bricks on the \
         same disk.\n\n{}\n\n",
        machine()?
    )?;
    t += HEAD;
    for (suite, results) in &saved {
        writeln!(t, "| {} | {}", suite.name(), Counts::of(results).row(results.tests))?;
    }
    writeln!(t, "\nThe suites:\n")?;
    for (suite, _) in &saved {
        writeln!(t, "- *{}*: {}", suite.name(), suite.source())?;
    }
    writeln!(t, "\n## Differences\n\n| suite | test | fails on | because |\n|---|---|---|---|")?;
    for (suite, results) in &saved {
        t += &differences(*suite, results);
    }
    writeln!(t, "\n## Fail on both\n\n| suite | test | on ours |\n|---|---|---|")?;
    for (suite, results) in &saved {
        for (test, glusterfsd, ours) in results.pairs() {
            if let (Outcome::Failed(_), Outcome::Failed(why)) = (glusterfsd, ours) {
                writeln!(t, "| {} | {test} | {why} |", suite.name())?;
            }
        }
    }
    Ok(wrapped(&t))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_counts_by_its_outcome_on_both_servers() {
        let outcomes = |list: &[(&str, Outcome)]| {
            list.iter().map(|(name, outcome)| ((*name).to_owned(), outcome.clone())).collect()
        };
        let failed = Outcome::failed("no");
        let saved = Saved {
            glusterfsd: outcomes(&[
                ("a", Outcome::Passed),
                ("b", Outcome::Passed),
                ("c", failed.clone()),
                ("d", failed.clone()),
                ("e", Outcome::Skipped),
            ]),
            ours: outcomes(&[
                ("a", Outcome::Passed),
                ("b", failed.clone()),
                ("c", Outcome::Passed),
                ("d", failed),
                ("f", Outcome::Passed),
            ]),
            tests: 9,
        };
        let counts = Counts::of(&saved);
        assert_eq!(counts.row(9), "6 of 9 | 1 | 1 | 1 | 1 | 2 |");
        let text = differences(Suite::Ltp, &saved);
        assert_eq!(text, "| ltp | b | ours | no |\n| ltp | c | glusterfsd | no |\n");
    }
}
