//! `brickwire`: GlusterFS volumes at a shell.

mod args;
mod command;
mod connect;
mod failure;
mod output;
mod size;
mod sparse;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use args::{Args, Command};
use failure::Failure;

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        // What was asked for is printed as it is; what is wrong is said in one line, as everything else that is.
        Err(error) if !error.use_stderr() => error.exit(),
        Err(error) if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            error.exit()
        }
        Err(error) => {
            output::complain(&usage(&error.to_string()));
            return ExitCode::from(2);
        }
    };
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read our output has gone: that is their right.
        Err(Failure::PipeClosed) => ExitCode::SUCCESS,
        Err(Failure::Said(text) | Failure::Bare(text)) => {
            output::complain(&text);
            ExitCode::FAILURE
        }
        Err(Failure::Usage(text)) => {
            output::complain(&text);
            ExitCode::from(2)
        }
    }
}

/// What clap says in paragraphs, in one line: what is wrong, what may have been meant, and where more is said.
fn usage(said: &str) -> String {
    let paragraph = |text: &str| text.lines().map(str::trim).collect::<Vec<_>>().join(" ");
    let mut paragraphs = said.split("\n\n");
    let wrong = paragraph(paragraphs.next().unwrap_or_default());
    let mut line = wrong.strip_prefix("error: ").unwrap_or(&wrong).to_owned();
    let mut command = "brickwire".to_owned();
    for text in paragraphs {
        if let Some(tip) = text.trim_start().strip_prefix("tip: ") {
            line = format!("{line}; {}", paragraph(tip));
        } else if let Some(usage) = text.trim_start().strip_prefix("Usage: ") {
            let words = usage.split_whitespace().skip(1);
            let is_command = |word: &&str| word.bytes().all(|byte| byte.is_ascii_lowercase());
            command.extend(words.take_while(is_command).flat_map(|word| [" ", word]));
        }
    }
    format!("{line}: see {command} --help")
}

fn run(args: &Args) -> Result<(), Failure> {
    let global = &args.global;
    match &args.command {
        Command::Uri { uri } => command::uri::run(uri, global.json),
        Command::Volfile { uri } => command::graph::volfile(uri, global),
        Command::Graph { uri, format } => command::graph::graph(uri, *format, global),
        Command::Info { uri } => command::info::run(uri, global),
        Command::Ls { uri, long } => command::list::ls(uri, *long, global),
        Command::Stat { uri } => command::list::stat(uri, global),
        Command::Cat { uri } => {
            command::export::cat(uri, global).map_err(|failure| failure.about(uri))
        }
        Command::Mkdir { uri, parents } => command::file_ops::mkdir(uri, *parents, global),
        Command::Rm { uri, recursive } => command::file_ops::rm(uri, *recursive, global),
        Command::Mv { from, to } => command::file_ops::mv(from, to, global),
        Command::Truncate { uri, size } => {
            command::file_ops::truncate(uri, *size, global).map_err(|failure| failure.about(uri))
        }
        Command::Create { uri, size, prealloc } => {
            command::file_ops::create(uri, *size, *prealloc, global)
                .map_err(|failure| failure.about(uri))
        }
        Command::Import { file, uri, verify } => {
            command::import::run(file, uri, *verify, global).map_err(|failure| failure.about(uri))
        }
        Command::Export { uri, file, verify } => {
            command::export::run(uri, file, *verify, global).map_err(|failure| failure.about(uri))
        }
        Command::Bench(bench) => {
            command::bench::run(bench, global).map_err(|failure| failure.about(&bench.uri))
        }
        Command::Quickstart(quickstart) => command::quickstart::run(quickstart, global),
        Command::Serve(serve) => command::serve::run(serve, global),
        Command::Volume(volume) => command::volume::run(volume, global),
        Command::Completions { shell } => command::completions::run(*shell),
    }
}
