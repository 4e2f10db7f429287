//! Errors of the command line, in one line.

use std::ffi::OsString;

use clap::CommandFactory as _;

use crate::args::Args;

/// Commands of other programs, and the ones that do their work here.
const KNOWN_ELSEWHERE: [(&str, &str); 10] = [
    ("cp", "import copies to a volume, export from it"),
    ("copy", "import copies to a volume, export from it"),
    ("put", "import copies to a volume"),
    ("upload", "import copies to a volume"),
    ("get", "export copies from a volume"),
    ("download", "export copies from a volume"),
    ("df", "info prints a volume's space"),
    ("rmdir", "rm removes an empty directory"),
    ("touch", "create makes a file: brickwire create URI 0"),
    ("mount", "mount -t glusterfs HOST:/VOLUME DIRECTORY, of GlusterFS's client, mounts a volume"),
];

/// clap's paragraphs as one line: the error, what may have been meant, and where to read more.
pub(crate) fn one_line(said: &str, args: impl Iterator<Item = OsString>) -> String {
    let paragraph = |text: &str| text.lines().map(str::trim).collect::<Vec<_>>().join(" ");
    let mut paragraphs = said.split("\n\n");
    let wrong = paragraph(paragraphs.next().unwrap_or_default());
    let mut line = wrong.strip_prefix("error: ").unwrap_or(&wrong).to_owned();
    let elsewhere = line.strip_prefix("unrecognized subcommand '").and_then(|rest| {
        let name = rest.strip_suffix('\'')?;
        KNOWN_ELSEWHERE.iter().find(|(known, _)| *known == name)
    });
    for text in paragraphs {
        if let Some(tip) = text.trim_start().strip_prefix("tip: ")
            && elsewhere.is_none()
        {
            line = format!("{line}; {}", paragraph(tip));
        }
    }
    if let Some((_, instead)) = elsewhere {
        line = format!("{line}: {instead}");
    }
    format!("{line}: see {} --help", command_in(args))
}

/// The command with its subcommands that a command line names.
fn command_in(args: impl Iterator<Item = OsString>) -> String {
    let mut command = Args::command();
    let mut name = command.get_name().to_owned();
    for arg in args.skip(1) {
        let found = command.get_subcommands().find(|sub| arg.to_str() == Some(sub.get_name()));
        if let Some(found) = found.cloned() {
            name = format!("{name} {}", found.get_name());
            command = found;
        }
    }
    name
}
