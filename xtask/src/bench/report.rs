//! The tables of `docs/bench.md`.

use std::fmt::Write as _;

use anyhow::Result;

use super::instructions::{self, Counted};
use super::sample::{Calls, Sample};
use super::tools::{C_SOURCE, SIZE, Tool};
use super::{Bench, CASES, Case};
use crate::measure::{largest, load, machine, median, smallest, with_range, wrapped};

/// The goal for memory, relative to the C library's.
const MEMORY_GOAL: f64 = 0.2;
/// The goal for start and tear-down together.
const START_STOP_GOAL_MS: f64 = 50.0;

/// All measurements.
pub(super) struct Measured {
    /// For each case and tool, a sample of each round.
    pub(super) cases: Vec<[Vec<Sample>; 4]>,
    /// For each case, a sample of the statically linked client.
    pub(super) alone: Vec<Sample>,
    pub(super) c_stops: Vec<f64>,
    /// Of the C library, the replay and our client.
    pub(super) calls: [Calls; 3],
    pub(super) instructions: Vec<Counted>,
}

impl Measured {
    fn median(&self, case: usize, tool: Tool, of: impl Fn(&Sample) -> f64) -> f64 {
        median(self.cases[case][tool as usize].iter().map(of).collect())
    }

    /// The rounds' ratios.
    fn ratios(&self, case: usize, tool: Tool, to: Tool, of: impl Fn(&Sample) -> f64) -> Vec<f64> {
        let [above, below] = [tool, to].map(|tool| &self.cases[case][tool as usize]);
        above.iter().zip(below).map(|(above, below)| of(above) / of(below)).collect()
    }

    fn ratio(&self, case: usize, tool: Tool, to: Tool, of: impl Fn(&Sample) -> f64) -> f64 {
        median(self.ratios(case, tool, to, of))
    }

    /// The median of the rounds' ratios, and the smallest and the largest.
    fn shown_ratio(
        &self,
        case: usize,
        tool: Tool,
        to: Tool,
        of: impl Fn(&Sample) -> f64,
    ) -> String {
        with_range(self.ratios(case, tool, to, of))
    }

    /// Start and tear-down in milliseconds, medians over all cases.
    fn start_stop(&self, tool: Tool) -> (f64, f64) {
        let samples = || self.cases.iter().flat_map(|case| &case[tool as usize]);
        let stops = if tool == Tool::C {
            self.c_stops.clone()
        } else {
            samples().filter_map(|sample| sample.stop).collect()
        };
        (median(samples().map(|sample| sample.start).collect()), median(stops))
    }

    pub(super) fn report(&self, bench: &Bench, before: &str) -> Result<String> {
        let mut text = String::new();
        let t = &mut text;
        writeln!(t, "# Bench\n")?;
        writeln!(
            t,
            "Made by `cargo xtask bench --seconds {} --rounds {}`.\n",
            bench.seconds, bench.rounds
        )?;
        writeln!(t, "{}", machine()?)?;
        writeln!(t, "Load average {before} before and {} after.\n", load())?;
        writeln!(
            t,
            "*C* is a program on libgfapi (`{C_SOURCE}`). *Ours* is the same program on \
             `brickwire-std` (`bench/client`). *Replay* is the upper bound that the brick sets \
             (`bench/replay`): calls encoded beforehand, one connection, no client logic. All of \
             them share the machine with the brick. Each works on one file of {SIZE}, full of \
             data. The tools take turns within each round. A ratio is the median of the rounds' \
             ratios, with the smallest and the largest in brackets. An absolute number is the \
             median of the rounds.\n"
        )?;
        self.write_ratios(t)?;
        self.write_numbers(t)?;
        self.write_memory(t)?;
        self.write_start_stop(t)?;
        self.write_calls(t)?;
        self.write_instructions(t)?;
        self.write_goals(t)?;
        Ok(wrapped(&text))
    }

    fn write_ratios(&self, t: &mut String) -> std::fmt::Result {
        writeln!(t, "## Ratios\n")?;
        writeln!(
            t,
            "| case | ours/replay IOPS | 2 connections/replay IOPS | ours/C IOPS | ours/C CPU \
             per operation |\n\
             |---|---:|---:|---:|---:|"
        )?;
        for (at, case) in CASES.iter().enumerate() {
            let ratio = |tool, to, of: fn(&Sample) -> f64| self.shown_ratio(at, tool, to, of);
            writeln!(
                t,
                "| {} | {} | {} | {} | {} |",
                case.name(),
                ratio(Tool::One, Tool::Replay, |s| s.iops),
                ratio(Tool::Two, Tool::Replay, |s| s.iops),
                ratio(Tool::One, Tool::C, |s| s.iops),
                ratio(Tool::One, Tool::C, |s| s.cpu),
            )?;
        }
        writeln!(t)
    }

    fn write_numbers(&self, t: &mut String) -> std::fmt::Result {
        writeln!(t, "## Numbers\n")?;
        writeln!(
            t,
            "Spread is (largest - smallest) / median of the rounds' IOPS.\n\n| case | tool | \
             IOPS | spread | MB/s | \
             p50 us | p99 us | CPU s per 10,000 | MiB |\n\
             |---|---|---:|---:|---:|---:|---:|---:|---:|"
        )?;
        for (at, case) in CASES.iter().enumerate() {
            for tool in Tool::ALL {
                let of = |of: fn(&Sample) -> f64| self.median(at, tool, of);
                let iops: Vec<f64> =
                    self.cases[at][tool as usize].iter().map(|sample| sample.iops).collect();
                let spread = largest(&iops) - smallest(&iops);
                writeln!(
                    t,
                    "| {} | {} | {:.0} | {:.0} % | {:.0} | {:.0} | {:.0} | {:.3} | {:.1} |",
                    case.name(),
                    tool.name(),
                    of(|s| s.iops),
                    spread / of(|s| s.iops) * 100.0,
                    of(|s| s.mb_per_s),
                    of(|s| s.p50),
                    of(|s| s.p99),
                    of(|s| s.cpu),
                    of(|s| s.rss),
                )?;
            }
        }
        writeln!(t)
    }

    fn write_memory(&self, t: &mut String) -> std::fmt::Result {
        writeln!(t, "## Memory\n")?;
        writeln!(
            t,
            "In MiB. *Resident* is the peak of the process. *Private* is the memory at its end \
             that \
             it shares with no other process. Ratios compare resident memory without the \
             *blocks*: the programs' own buffers. *In one file* is our program linked statically. \
             About 1.8 MiB of the resident memory otherwise are the system's libraries, which \
             other processes use too.\n\n| case | blocks | C resident | private | ours \
             resident | private | in one file | ours/C | in one file/C |\n\
             |---|---:|---:|---:|---:|---:|---:|---:|---:|"
        )?;
        for (at, case) in CASES.iter().enumerate() {
            let of = |tool, of: fn(&Sample) -> f64| self.median(at, tool, of);
            let (dynamic, alone) = self.memory_of_c(at, case);
            writeln!(
                t,
                "| {} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} | {dynamic:.2} | \
                 {alone:.2} |",
                case.name(),
                case.held_mib,
                of(Tool::C, |s| s.rss),
                of(Tool::C, |s| s.private),
                of(Tool::One, |s| s.rss),
                of(Tool::One, |s| s.private),
                self.alone[at].rss,
            )?;
        }
        writeln!(t)
    }

    /// Resident memory relative to the C library's, without the programs' blocks: of our client,
    /// and of the statically linked one.
    fn memory_of_c(&self, at: usize, case: &Case) -> (f64, f64) {
        let rss = |tool| self.median(at, tool, |s| s.rss);
        let ratio = |ours: f64| (ours - case.held_mib) / (rss(Tool::C) - case.held_mib);
        (ratio(rss(Tool::One)), ratio(self.alone[at].rss))
    }

    fn write_instructions(&self, t: &mut String) -> std::fmt::Result {
        writeln!(t, "## Instructions for one operation\n")?;
        writeln!(
            t,
            "Counted by valgrind, without the kernel; a busy machine does not change them \
             (`cargo xtask bench --instructions`). *Core* is brickwire-core from submission to \
             completion, against prepared answers. *Whole client* adds the loop, libc, the copy \
             of 4 KiB and the program itself.\n"
        )?;
        instructions::write_table(t, &self.instructions)?;
        writeln!(t)
    }

    fn write_start_stop(&self, t: &mut String) -> std::fmt::Result {
        writeln!(t, "## Start and tear-down\n")?;
        writeln!(
            t,
            "Start: from an empty process to an open file. Tear-down: from there to the end.\n\n\
             | tool | start ms | tear-down ms | \
             together ms |\n|---|---:|---:|---:|"
        )?;
        for tool in Tool::ALL {
            let (start, stop) = self.start_stop(tool);
            writeln!(t, "| {} | {start:.2} | {stop:.2} | {:.2} |", tool.name(), start + stop)?;
        }
        writeln!(t)
    }

    fn write_calls(&self, t: &mut String) -> std::fmt::Result {
        writeln!(t, "## System calls for one {}\n", CASES[0].name())?;
        writeln!(
            t,
            "Counted by strace in a run of one second, all threads, start included.\n\n| tool | \
             write | wait | read | \
             other |\n|---|---:|---:|---:|---:|"
        )?;
        for (tool, calls) in [Tool::C, Tool::Replay, Tool::One].into_iter().zip(&self.calls) {
            let Calls { write, wait, read, other } = calls;
            writeln!(t, "| {} | {write:.2} | {wait:.2} | {read:.2} | {other:.2} |", tool.name())?;
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
        for (at, case) in CASES.iter().enumerate() {
            let name = case.name();
            let iops = |tool| self.ratio(at, tool, Tool::Replay, |s| s.iops);
            if let Some(wanted) = case.goals.one {
                row(format!("{name}: IOPS relative to replay"), wanted, true, iops(Tool::One))?;
            }
            if let Some(wanted) = case.goals.two {
                row(
                    format!("{name}, 2 connections: IOPS relative to replay"),
                    wanted,
                    true,
                    iops(Tool::Two),
                )?;
            }
            let of_c = |of: fn(&Sample) -> f64| self.ratio(at, Tool::One, Tool::C, of);
            if let Some(wanted) = case.goals.cpu {
                row(format!("{name}: CPU relative to C"), wanted, false, of_c(|s| s.cpu))?;
            }
            let (dynamic, alone) = self.memory_of_c(at, case);
            row(
                format!("{name}: memory without blocks relative to C"),
                MEMORY_GOAL,
                false,
                dynamic,
            )?;
            row(format!("{name}: the same, in one file"), MEMORY_GOAL, false, alone)?;
        }
        let (start, stop) = self.start_stop(Tool::One);
        row("start and tear-down, ms".into(), START_STOP_GOAL_MS, false, start + stop)
    }
}
