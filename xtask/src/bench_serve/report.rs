//! The tables of `docs/bench-serve.md`.

use std::fmt::Write as _;

use anyhow::Result;

use super::process::Memory;
use super::tools::{NO_FINI, Sample};
use super::{Bench, Case, Measure, Measured, SIZE};
use crate::measure::{largest, load, machine, median, smallest, with_range, wrapped};

/// The goals, relative to glusterfsd: least IOPS, most CPU time, most memory.
const IOPS_GOAL: f64 = 2.0;
const CPU_GOAL: f64 = 0.5;
const MEMORY_GOAL: f64 = 0.1;

impl<const N: usize> Measure<N> {
    /// The rounds' ratios of one server to another.
    fn ratios(&self, of: usize, to: usize, get: impl Fn(&Sample) -> f64) -> Vec<f64> {
        self.samples[of].iter().zip(&self.samples[to]).map(|(of, to)| get(of) / get(to)).collect()
    }

    fn median(&self, of: usize, get: impl Fn(&Sample) -> f64) -> f64 {
        median(self.samples[of].iter().map(get).collect())
    }

    /// IOPS of a server that takes no time, relative to a server's: limited by the least CPU time
    /// that the client needed in any round.
    fn bound(&self, to: usize) -> f64 {
        let client: Vec<f64> =
            self.samples.iter().flatten().map(|sample| sample.client_cpu / 10_000.0).collect();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let at_once = cores.min(self.case.depth as usize) as f64;
        at_once / smallest(&client) / self.median(to, |s| s.iops)
    }

    fn numbers(&self, t: &mut String, names: [&str; N]) -> std::fmt::Result {
        for (at, name) in
            names.into_iter().enumerate().filter(|(at, _)| !self.samples[*at].is_empty())
        {
            let iops: Vec<f64> = self.samples[at].iter().map(|sample| sample.iops).collect();
            let spread = (largest(&iops) - smallest(&iops)) / median(iops) * 100.0;
            writeln!(
                t,
                "| {} | {name} | {:.0} | {spread:.0} % | {:.0} | {:.0} | {:.3} | {:.3} |",
                self.case.name(),
                self.median(at, |s| s.iops),
                self.median(at, |s| s.p50_us),
                self.median(at, |s| s.p99_us),
                self.median(at, |s| s.server_cpu),
                self.median(at, |s| s.client_cpu),
            )?;
        }
        Ok(())
    }
}

const NUMBERS: &str = "| case | server | IOPS | spread | p50 us | p99 us | server CPU s per \
    10,000 | client CPU s per \
                       10,000 |\n|---|---|---:|---:|---:|---:|---:|---:|";

impl Measured {
    pub(super) fn report(&self, bench: &Bench, before: &str) -> Result<String> {
        let mut text = String::new();
        let t = &mut text;
        writeln!(t, "# Bench of the server\n")?;
        writeln!(
            t,
            "Made by `cargo xtask bench-serve --seconds {} --rounds {}`.\n",
            bench.seconds, bench.rounds
        )?;
        writeln!(t, "{}", machine()?)?;
        writeln!(t, "Load average {before} before and {} after.\n", load())?;
        writeln!(
            t,
            "`brickwire serve` and glusterfsd serve a directory each, on the same disk: one file \
             of \
             {SIZE}, full of data and in the page cache. The client is fio on the C library: the \
             engine gfapi at depth 1, gfapi_async beyond. (gfapi_async looks for completions \
             every 100 us, which would hide everything else at depth 1.) `{NO_FINI}` skips the \
             library's tear-down in each run. The servers take turns within each round. A ratio \
             is the median of the rounds' ratios, with the smallest and the largest in brackets. \
             An absolute number is the median of the rounds; spread is (largest - smallest) / \
             median. CPU seconds are the process's own, from `/proc/PID/stat`; the client's \
             count the whole process without its start. Client and server share the machine, and \
             the C library needs much of it. The bound estimates the ratio of a server that takes \
             no time: at depth 1 only the client's own CPU time is left of an operation; beyond, \
             the client has all cores.\n"
        )?;
        for (variant, measures) in &self.gfapi {
            writeln!(
                t,
                "## The C library, volume options: {}\n\n{}.\n",
                variant.name,
                upper(variant.what)
            )?;
            if !variant.options.is_empty() {
                let options: Vec<String> =
                    variant.options.iter().map(|(key, value)| format!("`{key} {value}`")).collect();
                writeln!(t, "Set for both: {}.\n", options.join(", "))?;
            }
            writeln!(
                t,
                "| case | ours/glusterfsd IOPS | bound | ours/glusterfsd server CPU per I/O |\n\
                 |---|---:|---:|---:|"
            )?;
            for each in measures {
                let (iops, cpu) =
                    (each.ratios(1, 0, |s| s.iops), each.ratios(1, 0, |s| s.server_cpu));
                let (iops, bound, cpu) = (with_range(iops), each.bound(0), with_range(cpu));
                writeln!(t, "| {} | {iops} | {bound:.2} | {cpu} |", each.case.name())?;
            }
            writeln!(t, "\n{NUMBERS}")?;
            measures.iter().try_for_each(|each| each.numbers(t, ["glusterfsd", "ours"]))?;
            writeln!(t)?;
        }
        self.write_own(t)?;
        self.write_memory(t)?;
        self.write_counts(t)?;
        self.write_goals(t)?;
        Ok(wrapped(&text))
    }

    fn write_own(&self, t: &mut String) -> std::fmt::Result {
        writeln!(t, "## Our own client\n")?;
        writeln!(
            t,
            "`brickwire bench` on both servers. For comparison, fio's engine nbd on `nbdkit file` \
             through a unix socket, on the file that ours serves: it shows how fast one file over \
             a socket can be. At depth 1 on a virtual machine, most of an operation is the two \
             wake-ups of another core that every server needs, nbdkit too. The ratio of nbdkit to \
             glusterfsd is therefore about what can be reached.\n\n| case | ours/glusterfsd IOPS \
             | nbdkit/glusterfsd IOPS | ours/nbdkit IOPS | ours/glusterfsd server CPU per \
             I/O | ours/nbdkit server CPU per I/O |\n|---|---:|---:|---:|---:|---:|"
        )?;
        for each in &self.own {
            let ratio = |of: usize, to: usize, get: fn(&Sample) -> f64| {
                let absent = each.samples[of].is_empty() || each.samples[to].is_empty();
                if absent { "-".to_owned() } else { with_range(each.ratios(of, to, get)) }
            };
            writeln!(
                t,
                "| {} | {} | {} | {} | {} | {} |",
                each.case.name(),
                ratio(1, 0, |s| s.iops),
                ratio(2, 0, |s| s.iops),
                ratio(1, 2, |s| s.iops),
                ratio(1, 0, |s| s.server_cpu),
                ratio(1, 2, |s| s.server_cpu),
            )?;
        }
        writeln!(t, "\n{NUMBERS}")?;
        self.own
            .iter()
            .try_for_each(|each| each.numbers(t, ["glusterfsd", "ours", "nbdkit (fio nbd)"]))?;
        writeln!(t)
    }

    fn write_memory(&self, t: &mut String) -> std::fmt::Result {
        writeln!(
            t,
            "## Memory of the server\n\nIn MiB, after all cases with the defaults. The peak is of \
             resident memory, with the pages of the program and its libraries.\n\n| server | \
             peak | private anonymous | program and libraries \
             |\n|---|---:|---:|---:|"
        )?;
        for (name, memory) in ["glusterfsd", "ours"].into_iter().zip(&self.memory) {
            let Memory { peak, anonymous, file } = memory;
            writeln!(t, "| {name} | {peak:.1} | {anonymous:.1} | {file:.1} |")?;
        }
        writeln!(t)
    }

    fn write_counts(&self, t: &mut String) -> std::fmt::Result {
        writeln!(
            t,
            "## System calls\n\nSystem calls of the server for one operation of the C library \
             (performance translators off), counted by \
             strace.\n\n| case | glusterfsd | ours |\n|---|---:|---:|"
        )?;
        for (case, [real, ours]) in &self.calls {
            writeln!(t, "| {} | {real:.2} | {ours:.2} |", case.name())?;
        }
        writeln!(t)
    }

    fn write_goals(&self, t: &mut String) -> std::fmt::Result {
        writeln!(t, "## Goals\n\n| goal | wanted | measured | met |\n|---|---:|---:|---|")?;
        let mut row = |what: String, wanted: f64, least: bool, got: f64| {
            let met = if least { got >= wanted } else { got <= wanted };
            let (side, met) = (if least { ">=" } else { "<=" }, if met { "yes" } else { "no" });
            writeln!(t, "| {what} | {side} {wanted} | {got:.3} | {met} |")
        };
        let small = |case: &Case| case.is_small();
        for (variant, measures) in &self.gfapi {
            for each in measures.iter().filter(|each| small(each.case)) {
                let name = format!("{}, {}", each.case.name(), variant.name);
                let ratio = |get: fn(&Sample) -> f64| median(each.ratios(1, 0, get));
                row(
                    format!("{name}: IOPS relative to glusterfsd"),
                    IOPS_GOAL,
                    true,
                    ratio(|s| s.iops),
                )?;
                row(
                    format!("{name}: server CPU relative to glusterfsd"),
                    CPU_GOAL,
                    false,
                    ratio(|s| s.server_cpu),
                )?;
            }
        }
        for each in self.own.iter().filter(|each| small(each.case)) {
            let ratio = median(each.ratios(1, 0, |s| s.iops));
            row(
                format!("{}, our client: IOPS relative to glusterfsd", each.case.name()),
                IOPS_GOAL,
                true,
                ratio,
            )?;
        }
        let [real, ours] = &self.memory;
        row(
            "peak memory relative to glusterfsd".into(),
            MEMORY_GOAL,
            false,
            ours.peak / real.peak,
        )?;
        row(
            "private memory relative to glusterfsd".into(),
            MEMORY_GOAL,
            false,
            ours.anonymous / real.anonymous,
        )?;
        Ok(())
    }
}

fn upper(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}
