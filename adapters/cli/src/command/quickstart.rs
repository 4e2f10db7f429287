//! `brickwire quickstart`: serves a volume, copies an image to it, reads the image back and
//! compares. The copy uses a socket, the volfile and a brick, as any client does.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Instant;

use brickwire_server::{Handle, Listen, Server, ServerOptions};
use brickwire_std::OpenOptions;
use indicatif::ProgressBar;
use serde_json::json;

use super::copy::{Destination, NewFile, Source, compare};
use super::serve;
use super::volume_config::{Bricks, ServerAddress, Shape, VolumeConfig, Xattrs};
use crate::args::{CopyOptions, Quickstart};
use crate::connect;
use crate::failure::Failure;
use crate::output;
use crate::settings::Settings;

/// The volume's name.
const VOLUME: &str = "demo";
/// The image's name on the volume.
const IMAGE: &str = "hello.img";
/// The image's size: large enough for holes, small enough to be copied at once.
const IMAGE_BYTES: u64 = 16 << 20;
/// Offsets and lengths of its data: the beginning, the middle, and an odd length across a block
/// boundary near the end.
const DATA: [(u64, usize); 3] = [(0, 1 << 20), (8 << 20, 2 << 20), ((16 << 20) - 300_000, 123_457)];
/// Bricks of the volume: one, because this client opens no replicated volumes yet.
const BRICKS: usize = 1;

pub(crate) fn run(args: &Quickstart, settings: &Settings) -> Result<(), Failure> {
    let start = Instant::now();
    let listen = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), args.port);
    let options = ServerOptions { listen: vec![Listen::Tcp(listen)], ..ServerOptions::default() };
    let mut server = Server::bind(&options).map_err(serve::cannot_listen)?;
    // Installed before there is a directory that a signal would leave behind.
    serve::stop_on_signal(server.handle())?;
    let stopper = Stopper(server.handle());
    let place = Directory::of(args.directory.as_deref())?;
    let port = server.addresses().first().map(SocketAddr::port);
    let reached = ServerAddress { host: listen.ip().to_string(), port, socket: None };
    let volume = describe(place.path());
    server.set_volumes(vec![volume.volume(&reached, &mut Bricks::new(true))?.volume]);
    let (news, ended) = mpsc::channel();
    spawn("server", &news, move || Event::Ended(server.run()))?;
    let uri = reached.uri(VOLUME);
    let (image, directory, settings_too) =
        (format!("{uri}/{IMAGE}"), place.path().to_owned(), settings.clone());
    // On a thread of its own, so that a signal in the middle of it ends the process without waiting
    // for the stopped server.
    spawn("quickstart", &news, move || {
        let copied = demonstrate(&image, &directory, &settings_too);
        Event::Copied(copied.map_err(|failure| failure.about(&image)))
    })?;
    let copied = match ended.recv() {
        Ok(Event::Copied(copied)) => copied?,
        Ok(Event::Ended(Ok(()))) => {
            return Err(Failure::new("stopped before the image was read back"));
        }
        Ok(Event::Ended(Err(error))) => return Err(serve::loop_ended(error)),
        Err(_) => return Err(panicked()),
    };
    let report =
        Report { uri, port, directory: place.path(), kept: place.is_kept(), copied, start };
    report.print(args.once, settings)?;
    if args.once {
        stopper.0.stop();
    }
    drop(news);
    match ended.recv() {
        Ok(Event::Ended(ended)) => ended.map_err(serve::loop_ended),
        _ => Err(panicked()),
    }
}

/// The end of a thread.
enum Event {
    Ended(std::io::Result<()>),
    Copied(Result<Copied, Failure>),
}

fn spawn(
    name: &str,
    news: &mpsc::Sender<Event>,
    work: impl FnOnce() -> Event + Send + 'static,
) -> Result<(), Failure> {
    let news = news.clone();
    let spawned = std::thread::Builder::new().name(name.into()).spawn(move || news.send(work()));
    spawned
        .map(|_| ())
        .map_err(|error| Failure::local(format_args!("a thread for the {name}"), &error))
}

fn panicked() -> Failure {
    Failure::new("the server's thread has panicked")
}

/// The volume, with its bricks in `directory`.
fn describe(directory: &Path) -> VolumeConfig {
    let shape = if BRICKS > 1 { Shape::Replica } else { Shape::Distribute };
    let bricks = (1..=BRICKS).map(|each| directory.join(format!("brick{each}"))).collect();
    // Without root the attributes go to user.*, where no other server reads them.
    VolumeConfig {
        name: VOLUME.into(),
        shape,
        bricks,
        xattrs: Xattrs::Any,
        ..VolumeConfig::default()
    }
}

/// The directory of the bricks: one that stays, or a temporary one.
enum Directory {
    Given(PathBuf),
    Temporary(tempfile::TempDir),
}

impl Directory {
    fn of(given: Option<&Path>) -> Result<Self, Failure> {
        match given {
            Some(path) => std::path::absolute(path)
                .map(Self::Given)
                .map_err(|error| Failure::local(path.display().to_string(), &error)),
            None => tempfile::Builder::new()
                .prefix("brickwire-")
                .tempdir()
                .map(Self::Temporary)
                .map_err(|error| Failure::local("a temporary directory", &error)),
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::Given(path) => path,
            Self::Temporary(directory) => directory.path(),
        }
    }

    fn is_kept(&self) -> bool {
        matches!(self, Self::Given(_))
    }
}

/// Stops the server when it is dropped, also after a failure.
struct Stopper(Handle);

impl Drop for Stopper {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// The copy, and how long it took.
struct Copied {
    data_bytes: u64,
    import_ms: f64,
    verify_ms: f64,
}

/// Makes an image, copies it to the volume, reads it back and compares.
fn demonstrate(uri: &str, directory: &Path, settings: &Settings) -> Result<Copied, Failure> {
    let here = || format!("an image in {}", directory.display());
    let local = make_image(directory).map_err(|error| Failure::local(here(), &error))?;
    let source = Source { local: &local, name: &directory.join(IMAGE), size: IMAGE_BYTES };

    let place = connect::open_path(uri, settings)?;
    // The image of an earlier run may be replaced, and nothing else.
    if place.volume.exists(&place.path)? {
        let earlier = place.volume.open_file(&place.path, &OpenOptions::new().read(true))?;
        compare(&source, &earlier, &place.path, &ProgressBar::hidden()).map_err(|_| {
            Failure::new(format_args!(
                "{uri}: is not the image of an earlier quickstart: rename it"
            ))
        })?;
    }
    let bar = output::progress("import", IMAGE_BYTES);
    let import = Instant::now();
    let copy = CopyOptions { force: true, ..CopyOptions::default() };
    let new = NewFile::check(&place, uri, None, copy.force)?;
    let mut target = Destination::open(new, &place, copy)?;
    target.copy_from(&source, &bar)?;
    let import_ms = ms(import);
    bar.set_message("verify");
    bar.reset();
    let verify = Instant::now();
    target.verify(&source, &bar)?;
    let verify_ms = ms(verify);
    target.commit()?;
    bar.finish_and_clear();
    let data_bytes = DATA.iter().map(|(_, len)| *len as u64).sum();
    Ok(Copied { data_bytes, import_ms, verify_ms })
}

fn ms(since: Instant) -> f64 {
    (since.elapsed().as_secs_f64() * 1e6).round() / 1e3
}

/// An image with data at a few places, none of it zero and no two words alike. It has no name:
/// files in the directory belong to its owner, and only the image on the volume stays.
fn make_image(directory: &Path) -> std::io::Result<File> {
    let file = tempfile::tempfile_in(directory)?;
    file.set_len(IMAGE_BYTES)?;
    for (at, len) in DATA {
        let words = (at..at + len as u64).step_by(8);
        let mut bytes: Vec<u8> = words.flat_map(|at| (!at).to_be_bytes()).collect();
        bytes.truncate(len);
        file.write_all_at(&bytes, at)?;
    }
    Ok(file)
}

/// The result, for printing.
struct Report<'a> {
    uri: String,
    port: Option<u16>,
    directory: &'a Path,
    kept: bool,
    copied: Copied,
    start: Instant,
}

impl Report<'_> {
    fn print(&self, once: bool, settings: &Settings) -> Result<(), Failure> {
        if settings.json {
            return output::json(&json!({
                "volume": VOLUME,
                "uri": self.uri,
                "image": format!("{}/{IMAGE}", self.uri),
                "image_bytes": IMAGE_BYTES,
                "data_bytes": self.copied.data_bytes,
                "import_ms": self.copied.import_ms,
                "verify_ms": self.copied.verify_ms,
                "ready_ms": ms(self.start),
                "directory": self.directory,
                "serving": !once,
            }));
        }
        let Copied { data_bytes, import_ms, verify_ms } = self.copied;
        let (uri, mib) = (&self.uri, IMAGE_BYTES >> 20);
        let directory = self.directory.display();
        output::line(format_args!(
            "volume {VOLUME}: {BRICKS} brick in {directory}, served at {uri}"
        ))?;
        output::line(format_args!(
            "{IMAGE}: {mib} MiB ({data_bytes} bytes of data, the rest holes) written and flushed \
            in \
             {import_ms} ms, read back and compared in {verify_ms} ms"
        ))?;
        if once {
            let fate = if self.kept { "is kept" } else { "is removed" };
            return output::line(format_args!("done in {} ms; {directory} {fate}", ms(self.start)));
        }
        output::line("")?;
        output::line("Try, from another terminal:")?;
        for command in self.commands() {
            output::line(format_args!("  {command}"))?;
        }
        output::line("")?;
        let fate = if self.kept { "its data stays" } else { "its data is removed then" };
        output::line(format_args!("Serving until Ctrl-C; {fate}."))
    }

    fn commands(&self) -> Vec<String> {
        let (us, uri) = (our_name(), &self.uri);
        let mut commands = vec![
            format!("{us} ls -l {uri}"),
            format!("{us} export --verify {uri}/{IMAGE} copy.img"),
            format!("{us} bench {uri}/bench.tmp --rw randread --iodepth 32 --size 64M"),
            format!(
                "qemu-img create -f qcow2 {uri}/disk.qcow2 10G       # QEMU with its gluster driver"
            ),
            format!("qemu-system-x86_64 -drive file={uri}/disk.qcow2,if=virtio"),
            format!("qemu-nbd -t -r -b 127.0.0.1 -f raw {uri}/{IMAGE}   # nbd://127.0.0.1"),
        ];
        if let Some(port) = self.port {
            let mount =
                format!("sudo mount -t glusterfs -o server-port={port} 127.0.0.1:/{VOLUME} /mnt");
            commands.push(format!("{mount}   # GlusterFS's client"));
        }
        commands
    }
}

/// How a shell starts this program: by its name if it is in PATH, else by its path.
fn our_name() -> String {
    let Ok(exe) = std::env::current_exe() else { return "brickwire".into() };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let same = |directory: PathBuf| {
        let there = directory.join("brickwire");
        there.canonicalize().is_ok_and(|there| there == exe)
    };
    if std::env::split_paths(&path).any(same) {
        return "brickwire".into();
    }
    let here = std::env::current_dir().ok();
    let near = here.and_then(|here| exe.strip_prefix(here).ok().map(Path::to_owned));
    near.unwrap_or(exe).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_has_holes_and_data_that_is_nowhere_alike() {
        let directory = tempfile::tempdir().unwrap();
        let file = make_image(directory.path()).unwrap();
        assert_eq!(file.metadata().unwrap().len(), IMAGE_BYTES);
        let mut seen = std::collections::HashSet::new();
        for (at, len) in DATA {
            let mut bytes = vec![0; len];
            file.read_exact_at(&mut bytes, at).unwrap();
            assert!(bytes.chunks_exact(8).all(|word| word != [0; 8] && seen.insert(word.to_vec())));
        }
        let mut hole = [1; 4096];
        file.read_exact_at(&mut hole, 4 << 20).unwrap();
        assert_eq!(hole, [0; 4096]);
    }
}
