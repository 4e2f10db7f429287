//! GlusterFS's C library without a mount: scripts of its calls, carried out by a small program.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::serve::Served;

/// The program `gfapi_script`, compiled when it is first needed.
fn program() -> &'static PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let root = xtask::command::workspace();
        let source = root.join("tests/gfapi/gfapi_script.c");
        // Tests run side by side: each process has its own copy.
        let to = root.join(format!("target/gfapi_script.{}", std::process::id()));
        let compiled = Command::new("cc")
            .args(["-O2", "-Wall", "-Wextra", "-Werror"])
            .arg(&source)
            .arg("-o")
            .arg(&to)
            .arg("-l:libgfapi.so.0")
            .status()
            .expect("a C compiler");
        assert!(compiled.success(), "{} does not compile", source.display());
        let kept = to.with_file_name("gfapi_script");
        std::fs::rename(&to, &kept).expect("the program");
        kept
    })
}

/// Carries out a script, one call a line (see `gfapi_script.c`), and returns what each call said.
pub fn script(served: &Served, volume: &str, script: &str) -> Vec<String> {
    let host = served.address().rsplit_once(':').expect("a port").0;
    let mut command = served.command(program());
    command.args([host, &served.port().to_string(), volume]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("gfapi_script starts");
    child.stdin.take().expect("piped").write_all(script.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "gfapi_script: {:?}", output.status);
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

/// Carries out a script in which each line says, behind ` -> `, what its call is to say.
#[track_caller]
pub fn expect(served: &Served, volume: &str, text: &str) {
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    let calls: Vec<(&str, &str)> =
        lines().map(|line| line.split_once(" -> ").expect("a call -> a result")).collect();
    let input: String = calls.iter().map(|(call, _)| format!("{call}\n")).collect();
    let said = script(served, volume, &input);
    let mut wrong = String::new();
    for (at, (call, wanted)) in calls.iter().enumerate() {
        let name = call.split(' ').next().unwrap_or_default();
        let said = said.get(at).map_or("nothing", String::as_str);
        if said != format!("{name} {wanted}") {
            wrong.push_str(&format!("{call}: said {said:?}, not {wanted:?}\n"));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// The byte at an offset of a file that `pwrite` wrote with a seed.
pub fn byte_at(offset: u64, seed: u8) -> u8 {
    let mixed = offset
        ^ (offset >> 8).wrapping_mul(31)
        ^ (offset >> 16).wrapping_mul(7)
        ^ (offset >> 24).wrapping_mul(101);
    mixed as u8 ^ seed
}
