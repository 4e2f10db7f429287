//! `cargo xtask package`: a Debian package of the program, with man pages, completions and the
//! unit.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command::{cargo, read, run, workspace};

/// The revision of the packaging of one version.
const REVISION: &str = "1";
const HOMEPAGE: &str = env!("CARGO_PKG_REPOSITORY");
const DESCRIPTION: &str = "\
GlusterFS volumes at a shell, and a server for them
 Lists, copies, creates and measures files on GlusterFS volumes by URI, without
 a mount and without GlusterFS's libraries, and serves directories, devices and
 files as GlusterFS volumes to QEMU, FUSE mounts and libgfapi programs.
";

/// Builds the program with a cargo profile, and the package of it. The package's path.
pub fn package(profile: &str) -> Result<PathBuf> {
    let program = build(profile)?;
    let out = workspace().join("target/package");
    let root = out.join("brickwire");
    match fs::remove_dir_all(&root) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).context("target/package/brickwire");
        }
        _ => {}
    }
    let version = format!("{}-{REVISION}", env!("CARGO_PKG_VERSION"));
    let architecture = read(Command::new("dpkg").arg("--print-architecture"))
        .context("dpkg is needed: apt install dpkg")?;
    let architecture = architecture.trim();
    let date = commit_date()?;

    let tree = Tree { root: root.clone() };
    tree.program(&program)?;
    tree.pages_and_completions(&program)?;
    tree.unit()?;
    tree.documents(&version, &date)?;
    tree.control(&program, &version, architecture)?;

    let package = out.join(format!("brickwire_{version}_{architecture}.deb"));
    let mut build = Command::new("dpkg-deb");
    build.args(["--root-owner-group", "--build"]).arg(&root).arg(&package);
    run(build.env("SOURCE_DATE_EPOCH", &date.seconds))?;
    println!("install with: apt install {}", package.display());
    Ok(package)
}

fn build(profile: &str) -> Result<PathBuf> {
    run(cargo().args(["build", "--package", "brickwire", "--locked", "--profile", profile]))?;
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| workspace().join("target"), PathBuf::from);
    let directory = if profile == "dev" { "debug" } else { profile };
    Ok(target.join(directory).join("brickwire"))
}

/// The date of the commit that is packaged: two builds of it are equal.
struct Date {
    seconds: String,
    /// As changelogs of Debian have it.
    text: String,
}

fn commit_date() -> Result<Date> {
    let log = |format: &str| {
        let mut git = Command::new("git");
        git.current_dir(workspace()).args(["log", "-1", "--date=rfc2822"]);
        read(git.arg(format!("--format={format}"))).map(|text| text.trim().to_owned())
    };
    Ok(Date { seconds: log("%ct")?, text: log("%cd")? })
}

/// The files of the package.
struct Tree {
    root: PathBuf,
}

impl Tree {
    /// Writes a file and makes its parent directories.
    fn write(&self, path: &str, contents: impl AsRef<[u8]>, mode: u32) -> Result<PathBuf> {
        let path = self.root.join(path);
        let parent = path.parent().context("a path has a parent")?;
        fs::create_dir_all(parent)?;
        fs::write(&path, contents).with_context(|| path.display().to_string())?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        for directory in
            parent.ancestors().take_while(|directory| directory.starts_with(&self.root))
        {
            fs::set_permissions(directory, fs::Permissions::from_mode(0o755))?;
        }
        Ok(path)
    }

    /// Writes a file compressed, without a time in it.
    fn write_compressed(&self, path: &str, contents: impl AsRef<[u8]>) -> Result<()> {
        let path = self.write(path, contents, 0o644)?;
        read(Command::new("gzip").args(["-9nf"]).arg(path)).map(drop)
    }

    fn program(&self, program: &Path) -> Result<()> {
        let path = self.write("usr/bin/brickwire", fs::read(program)?, 0o755)?;
        read(Command::new("strip").args(["--remove-section=.comment"]).arg(path))
            .context("strip is needed: apt install binutils")?;
        Ok(())
    }

    /// Both are made by the program, from its own help.
    fn pages_and_completions(&self, program: &Path) -> Result<()> {
        let pages = self.root.with_file_name("man");
        let _ = fs::remove_dir_all(&pages);
        read(Command::new(program).arg("man").arg(&pages))?;
        let mut count = 0;
        for page in fs::read_dir(&pages)? {
            let page = page?;
            let name = page.file_name().into_string().unwrap_or_default();
            self.write_compressed(&format!("usr/share/man/man1/{name}"), fs::read(page.path())?)?;
            count += 1;
        }
        if count == 0 {
            bail!("`brickwire man` has written no page");
        }
        for (shell, path) in [
            ("bash", "usr/share/bash-completion/completions/brickwire"),
            ("zsh", "usr/share/zsh/vendor-completions/_brickwire"),
            ("fish", "usr/share/fish/vendor_completions.d/brickwire.fish"),
        ] {
            let script = read(Command::new(program).args(["completions", shell]))?;
            self.write(path, script, 0o644)?;
        }
        Ok(())
    }

    fn unit(&self) -> Result<()> {
        let unit = fs::read_to_string(workspace().join("docs/brickwire.service"))?;
        let installed = unit
            .replace("/usr/local/bin/brickwire", "/usr/bin/brickwire")
            .replace(HOMEPAGE, "man:brickwire-serve(1)")
            .replace("docs/serve.md", "/usr/share/doc/brickwire/serve.md");
        if installed == unit {
            bail!("docs/brickwire.service does not start /usr/local/bin/brickwire");
        }
        self.write("lib/systemd/system/brickwire.service", installed, 0o644).map(drop)
    }

    fn documents(&self, version: &str, date: &Date) -> Result<()> {
        let top = workspace();
        let text = |name: &str| {
            fs::read_to_string(top.join(name)).with_context(|| format!("{name} is not there"))
        };
        let documents = "usr/share/doc/brickwire";
        let copyright = text("packaging/debian/copyright")?
            .replace("@LIBRARIES@", &libraries()?)
            .replace("@MIT@", indented(&text("LICENSE-MIT")?).trim_end());
        self.write(&format!("{documents}/copyright"), copyright, 0o644)?;
        let debian = format!(
            "brickwire ({version}) unstable; urgency=medium\n\n  * Version {}: see \
             changelog.gz.\n\n -- {}  {}\n",
            env!("CARGO_PKG_VERSION"),
            maintainer(),
            date.text
        );
        self.write_compressed(&format!("{documents}/changelog.Debian"), debian)?;
        self.write_compressed(&format!("{documents}/changelog"), text("CHANGELOG.md")?)?;
        self.write(&format!("{documents}/serve.md"), text("docs/serve.md")?, 0o644)?;
        Ok(())
    }

    fn control(&self, program: &Path, version: &str, architecture: &str) -> Result<()> {
        let mut sums = String::new();
        let mut bytes = 0;
        for path in files(&self.root)? {
            let relative = path.strip_prefix(&self.root)?.display().to_string();
            let sum = read(Command::new("md5sum").arg(&path))?;
            let sum = sum.split_whitespace().next().context("md5sum prints a sum")?;
            sums.push_str(&format!("{sum}  {relative}\n"));
            bytes += path.metadata()?.len();
        }
        let (maintainer, kib, libc) = (maintainer(), bytes.div_ceil(1024), libc_of(program)?);
        let control = format!(
            "Package: brickwire\nVersion: {version}\nArchitecture: {architecture}\nMaintainer: \
             {maintainer}\nInstalled-Size: {kib}\nDepends: libc6 (>= {libc}), libgcc-s1 (>= 4.2)\n\
             Section: net\nPriority: optional\nHomepage: {HOMEPAGE}\nDescription: {DESCRIPTION}"
        );
        self.write("DEBIAN/control", control, 0o644)?;
        self.write("DEBIAN/md5sums", sums, 0o644)?;
        for script in ["postinst", "prerm", "postrm"] {
            let text = fs::read(workspace().join("packaging/debian").join(script))?;
            self.write(&format!("DEBIAN/{script}"), text, 0o755)?;
        }
        Ok(())
    }
}

/// The person whom Debian's tools take from the environment.
fn maintainer() -> String {
    let variable =
        |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.into());
    format!(
        "{} <{}>",
        variable("DEBFULLNAME", "The brickwire authors"),
        variable("DEBEMAIL", "brickwire@users.noreply.github.com")
    )
}

/// Libraries that are linked in, with their licences.
fn libraries() -> Result<String> {
    let tree = read(cargo().args([
        "tree",
        "--package",
        "brickwire",
        "--edges",
        "normal",
        "--prefix",
        "none",
        "--no-dedupe",
        "--format",
        "{p} {l}",
    ]))?;
    // A crate of the workspace has its path in parentheses.
    let mut lines: Vec<String> = tree
        .lines()
        .filter(|line| !line.contains('/') || !line.contains(" ("))
        .filter(|line| !line.starts_with("brickwire"))
        .map(|line| format!(" {}", line.replace(" (proc-macro)", "")))
        .collect();
    lines.sort();
    lines.dedup();
    if lines.is_empty() {
        bail!("cargo tree lists no library");
    }
    Ok(lines.join("\n"))
}

/// Text of a licence as a field of the copyright file.
fn indented(text: &str) -> String {
    let line = |line: &str| if line.is_empty() { " .\n".into() } else { format!(" {line}\n") };
    text.lines().map(line).collect()
}

/// The newest version of the C library that the program asks for.
fn libc_of(program: &Path) -> Result<String> {
    let bytes = fs::read(program)?;
    let mark = b"GLIBC_2.";
    let versions = bytes.windows(mark.len() + 3).filter(|window| window.starts_with(mark));
    let newest = versions.filter_map(|window| {
        let digits = window[mark.len()..].split(|byte| !byte.is_ascii_digit()).next()?;
        std::str::from_utf8(digits).ok()?.parse::<u32>().ok()
    });
    let newest = newest.max().context("the program is not linked with the C library")?;
    Ok(format!("2.{newest}"))
}

fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut pending = vec![directory.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            match entry.file_type()?.is_dir() {
                true => pending.push(entry.path()),
                false => files.push(entry.path()),
            }
        }
    }
    files.sort();
    Ok(files)
}
