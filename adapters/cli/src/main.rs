//! `brickwire`: GlusterFS volumes at a shell.

mod args;
mod command;
mod connect;
mod failure;
mod log;
mod output;
mod settings;
mod size;
mod sparse;
mod toml_error;
mod usage;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use args::{Args, Command};
use failure::Failure;
use settings::Settings;

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        // Help that was asked for is printed as it is; errors are one line.
        Err(error) if !error.use_stderr() => error.exit(),
        Err(error) if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            error.exit()
        }
        Err(error) => {
            let json = std::env::args_os().any(|arg| arg == "--json");
            return ended(
                &Failure::usage(usage::one_line(&error.to_string(), std::env::args_os())),
                json,
            );
        }
    };
    log::start(args.common.verbose);
    match Settings::of(&args).and_then(|settings| run(&args.command, &settings)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) if failure.is_pipe_closed() => ExitCode::SUCCESS,
        Err(failure) => ended(&failure, args.common.json),
    }
}

fn ended(failure: &Failure, json: bool) -> ExitCode {
    output::fail(failure, json);
    ExitCode::from(failure.status())
}

fn run(command: &Command, settings: &Settings) -> Result<(), Failure> {
    use command::{bench, copy, file_ops, graph, info, list, man, quickstart, serve, uri, volume};
    match command {
        Command::Uri { uri } => uri::run(uri, settings.json),
        Command::Volfile(on) => graph::volfile(on, settings),
        Command::Graph { on, format } => graph::graph(on, *format, settings),
        Command::Info(on) => info::run(on, settings).map_err(|failure| failure.about(&on.uri)),
        Command::Ls(args) => list::ls(args, settings).map_err(|failure| failure.about(&args.uri)),
        Command::Stat(on) => list::stat(on, settings).map_err(|failure| failure.about(&on.uri)),
        Command::Cat(on) => {
            copy::export::cat(on, settings).map_err(|failure| failure.about(&on.uri))
        }
        Command::Mkdir(args) => {
            file_ops::mkdir(args, settings).map_err(|failure| failure.about(&args.uri))
        }
        Command::Rm(args) => {
            file_ops::rm(args, settings).map_err(|failure| failure.about(&args.uri))
        }
        Command::Mv(args) => {
            file_ops::mv(args, settings).map_err(|failure| failure.about(&args.from))
        }
        Command::Truncate(args) => {
            file_ops::truncate(args, settings).map_err(|failure| failure.about(&args.uri))
        }
        Command::Create(args) => {
            file_ops::create(args, settings).map_err(|failure| failure.about(&args.uri))
        }
        Command::Import(args) => {
            copy::import::run(args, settings).map_err(|failure| failure.about(&args.uri))
        }
        Command::Export(args) => {
            copy::export::run(args, settings).map_err(|failure| failure.about(&args.uri))
        }
        Command::Bench(args) => {
            bench::run(args, settings).map_err(|failure| failure.about(&args.uri))
        }
        Command::Quickstart(args) => quickstart::run(args, settings),
        Command::Serve(args) => serve::run(args, settings),
        Command::Volume(args) => volume::run(args, settings),
        Command::Completions { shell } => command::completions::run(*shell),
        Command::Man { directory } => man::run(directory.as_deref(), settings),
    }
}
