//! Opens a file on a brick: GETSPEC, PORTBYBRICK, SETVOLUME, LOOKUP, OPEN.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use brickwire_bench_common::Failure;

use crate::args::{Args, Mode};
use crate::wire::{Call, Proc, Reply, exchange, fop, said};

/// The open file, as READ and WRITE name it.
#[derive(Clone, Copy)]
pub(crate) struct OpenFile {
    pub(crate) gfid: [u8; 16],
    pub(crate) fd: u64,
}

/// One connection to the one brick of a volume, with one file open on it.
pub(crate) struct Session {
    brick: TcpStream,
    file: OpenFile,
    path: String,
    /// glusterd counts the client as mounted while this connection is open.
    _glusterd: Box<dyn Stream>,
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

impl Session {
    pub(crate) fn start(args: &Args) -> Result<Self, Failure> {
        let glusterd =
            |why| format!("volume \"{}\" at {}: {why}", args.common.volume, args.common.server);
        let mut stream = connect_glusterd(&args.common.server).map_err(glusterd)?;
        let target = BrickTarget::ask(&mut *stream, &args.common.volume).map_err(glusterd)?;
        let brick = |why| format!("brick {}:{}: {why}", target.host, target.subvolume);
        let port = target.port().map_err(brick)?;
        let mut connection = connect_tcp(&target.host, port).map_err(brick)?;
        target.set_volume(&mut connection).map_err(brick)?;
        let create = matches!(args.mode, Mode::Fill);
        let file = open(&mut connection, &args.common.path, create)
            .map_err(|why| format!("{}: {why}", args.common.path))?;
        Ok(Self { brick: connection, file, path: args.common.path.clone(), _glusterd: stream })
    }

    pub(crate) fn file(&self) -> OpenFile {
        self.file
    }

    pub(crate) fn brick(&mut self) -> &mut TcpStream {
        &mut self.brick
    }

    /// Fills the file with bytes other than zero, so that no read meets a hole.
    pub(crate) fn fill(&mut self, size: u64) -> Result<(), Failure> {
        let OpenFile { gfid, fd } = self.file;
        let failed = |path: &str, why: Refused| format!("fill {path}: {why}");
        let truncate = Call::to_brick(XID, fop(24), 3).raw(&gfid).u64(fd).u64(size).no_xdata();
        fop_exchange(&mut self.brick, truncate, &[]).map_err(|why| failed(&self.path, why))?;
        let data = data(FILL_BYTES);
        for at in (0..size).step_by(FILL_BYTES) {
            let len = (size - at).min(FILL_BYTES as u64) as usize;
            let write =
                Call::to_brick(XID, fop(13), 3).raw(&gfid).u64(fd).u64(at).u32(len as u32).u32(0);
            let done = fop_exchange(&mut self.brick, write.no_xdata(), &data[..len])
                .map_err(|why| failed(&self.path, why))?;
            if done.0 as usize != len {
                return Err(format!(
                    "fill {}: {} bytes of {len} written at {at}",
                    self.path, done.0
                ));
            }
        }
        let fsync = Call::to_brick(XID, fop(16), 0).raw(&gfid).u64(fd).u32(0).no_xdata();
        fop_exchange(&mut self.brick, fsync, &[]).map_err(|why| failed(&self.path, why))?;
        Ok(())
    }

    pub(crate) fn stop(mut self) -> Result<(), Failure> {
        let release =
            Call::to_brick(XID, fop(41), 0).raw(&self.file.gfid).u64(self.file.fd).no_xdata();
        fop_exchange(&mut self.brick, release, &[])
            .map_err(|why| format!("release {}: {why}", self.path))?;
        self.brick.shutdown(Shutdown::Both).map_err(|e| format!("close: {}", said(&e)))
    }
}

/// Bytes without a zero among them.
pub(crate) fn data(len: usize) -> Vec<u8> {
    let mut word = 0x2545_f491_4f6c_dd1d_u64;
    let byte = |_| {
        word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (word >> 56) as u8 | 1
    };
    (0..len).map(byte).collect()
}

/// The brick's address in the volfile.
struct BrickTarget {
    host: String,
    subvolume: String,
    /// User name and password, which glusterd hands to clients on its own machine.
    login: Vec<(&'static str, String)>,
}

impl BrickTarget {
    fn ask(glusterd: &mut dyn Stream, volume: &str) -> Result<Self, Failure> {
        let call = Call::to_glusterd(XID, GETSPEC).u32(1).opaque(volume.as_bytes());
        let call = call.dict1(&[("max-op-version", "100000"), ("min-op-version", "1")]);
        let mut reply = exchange(glusterd, call, &[])?;
        let (ret, errno) = (reply.i32("op_ret")?, reply.i32("op_errno")?);
        if ret <= 0 || errno != 0 {
            return Err(format!("no volfile: {}", io::Error::from_raw_os_error(errno)));
        }
        Self::from_volfile(&String::from_utf8_lossy(reply.opaque("spec")?))
    }

    /// Understands the form that glusterd writes: one option a line.
    fn from_volfile(text: &str) -> Result<Self, Failure> {
        let lines: Vec<Vec<&str>> =
            text.lines().map(|line| line.split_whitespace().collect()).collect();
        let has = |word: &str| lines.iter().filter(|line| ***line == ["type", word]).count();
        if has("protocol/client") != 1 || has("features/shard") != 0 {
            return Err("only volumes of one brick, without shards, can be replayed to".into());
        }
        let option = |name: &str| {
            let value = lines.iter().find_map(|line| match line[..] {
                ["option", key, value] if key == name => Some(value.to_owned()),
                _ => None,
            });
            value.ok_or_else(|| format!("the volfile has no option {name}"))
        };
        let login =
            ["username", "password"].into_iter().filter_map(|key| Some((key, option(key).ok()?)));
        Ok(Self {
            host: option("remote-host")?,
            subvolume: option("remote-subvolume")?,
            login: login.collect(),
        })
    }

    /// Asks glusterd on the brick's host over TCP: a unix socket does not serve portmap.
    fn port(&self) -> Result<u16, Failure> {
        let mut glusterd = connect_tcp(&self.host, GLUSTERD)?;
        let call = Call::to_glusterd(XID, PORTBYBRICK).opaque(self.subvolume.as_bytes());
        let mut reply = exchange(&mut glusterd, call, &[])?;
        // op_errno is 0 even when there is no such brick (docs/spec/01-wire.md, "PORTBYBRICK").
        let (ret, _, _) = (reply.i32("op_ret")?, reply.u32("op_errno")?, reply.u32("status")?);
        let port = reply.u32("port")?;
        let port = u16::try_from(port).ok().filter(|port| *port != 0 && ret == 0);
        port.ok_or_else(|| "glusterd knows no port of it: is it running?".into())
    }

    fn set_volume(&self, brick: &mut TcpStream) -> Result<(), Failure> {
        let process = format!(
            "CTX_ID:{}-GRAPH_ID:0-PID:{}-HOST:replay-PC_NAME:replay-RECON_NO:-0",
            random_uuid()?,
            std::process::id()
        );
        let mut pairs = vec![
            ("remote-subvolume", self.subvolume.as_str()),
            ("process-uuid", &process),
            ("process-name", "brickwire-replay"),
            ("fops-version", "1298437"),
            ("client-version", "10.3"),
            ("clnt-lk-version", "1"),
            ("opversion", "100000"),
        ];
        pairs.extend(self.login.iter().map(|(key, value)| (*key, value.as_str())));
        let mut reply = exchange(brick, Call::to_brick(XID, SETVOLUME, 0).dict1(&pairs), &[])?;
        let (ret, errno) = (reply.i32("op_ret")?, reply.i32("op_errno")?);
        // A success says errno 22 (docs/spec/01-wire.md, "SETVOLUME").
        if ret == 0 {
            Ok(())
        } else {
            Err(format!("refused us: {}", io::Error::from_raw_os_error(errno)))
        }
    }
}

fn open(brick: &mut TcpStream, path: &str, create: bool) -> Result<OpenFile, Failure> {
    let mut names = path.split('/').filter(|name| !name.is_empty()).peekable();
    let mut gfid = ROOT;
    while let Some(name) = names.next() {
        let last = names.peek().is_none();
        let lookup = Call::to_brick(XID, fop(27), 0).raw(&[0; 16]).raw(&gfid).u32(0);
        match fop_exchange(brick, lookup.opaque(name.as_bytes()).no_xdata(), &[]) {
            Ok((_, mut reply)) => gfid.copy_from_slice(reply.take(16, "gfid")?),
            Err(Refused::Errno(ENOENT)) if last && create => return create_file(brick, gfid, name),
            Err(why) => return Err(format!("lookup of \"{name}\": {why}")),
        }
    }
    if gfid == ROOT {
        return Err("names no file".into());
    }
    let call = Call::to_brick(XID, fop(11), 0).raw(&gfid).u32(O_RDWR).no_xdata();
    let (_, mut reply) = fop_exchange(brick, call, &[]).map_err(|why| format!("open: {why}"))?;
    Ok(OpenFile { gfid, fd: fd(&mut reply)? })
}

fn create_file(brick: &mut TcpStream, parent: [u8; 16], name: &str) -> Result<OpenFile, Failure> {
    let uuid = random_uuid()?.replace('-', "");
    let gfid =
        u128::from_str_radix(&uuid, 16).map_err(|e| format!("uuid {uuid}: {e}"))?.to_be_bytes();
    let call = Call::to_brick(XID, fop(23), 0x1f).raw(&parent).u32(O_RDWR).u32(0o644).u32(0);
    // The brick gives the file the gfid of this one pair, type 7 (docs/spec/01-wire.md, "Worked
    // dumps").
    let call =
        call.opaque(name.as_bytes()).u32(36).u32(1).u32(1).opaque(b"gfid-req\0").u32(7).raw(&gfid);
    let (_, mut reply) = fop_exchange(brick, call, &[]).map_err(|why| format!("create: {why}"))?;
    reply.take(148, "stat")?;
    Ok(OpenFile { gfid, fd: fd(&mut reply)? })
}

fn fd(reply: &mut Reply) -> Result<u64, Failure> {
    let high = reply.u32("fd")?;
    Ok(u64::from(high) << 32 | u64::from(reply.u32("fd")?))
}

/// Why a fop gave nothing: the volume's own answer, or no answer that could be read.
enum Refused {
    Errno(i32),
    Failed(Failure),
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refused::Errno(ENOENT) => f.write_str("no such file (run --fill first)"),
            Refused::Errno(errno) => write!(f, "{}", io::Error::from_raw_os_error(*errno)),
            Refused::Failed(why) => f.write_str(why),
        }
    }
}

impl From<Failure> for Refused {
    fn from(why: Failure) -> Self {
        Refused::Failed(why)
    }
}

/// A fop whose reply begins with op_ret, op_errno and xdata: all but READ.
fn fop_exchange(
    brick: &mut TcpStream,
    call: Call,
    payload: &[u8],
) -> Result<(i32, Reply), Refused> {
    let mut reply = exchange(brick, call, payload)?;
    let (ret, errno) = (reply.i32("op_ret")?, reply.i32("op_errno")?);
    if ret < 0 {
        return Err(Refused::Errno(errno));
    }
    reply.skip_xdata()?;
    Ok((ret, reply))
}

fn connect_glusterd(server: &str) -> Result<Box<dyn Stream>, Failure> {
    if !server.starts_with('/') {
        return Ok(Box::new(connect_tcp(server, GLUSTERD)?));
    }
    let stream = UnixStream::connect(server).map_err(|e| e.to_string())?;
    stream.set_read_timeout(Some(ANSWER_MAX)).map_err(|e| e.to_string())?;
    Ok(Box::new(stream))
}

fn connect_tcp(host: &str, port: u16) -> Result<TcpStream, Failure> {
    let mut why = "the name has no address".to_owned();
    for address in (host, port).to_socket_addrs().map_err(|e| e.to_string())? {
        match TcpStream::connect_timeout(&address, CONNECT_MAX) {
            Ok(stream) => {
                let set = stream.set_nodelay(true).and(stream.set_read_timeout(Some(ANSWER_MAX)));
                set.and(stream.set_write_timeout(Some(ANSWER_MAX))).map_err(|e| e.to_string())?;
                return Ok(stream);
            }
            Err(e) => why = format!("connect to {address}: {e}"),
        }
    }
    Err(why)
}

fn random_uuid() -> Result<String, Failure> {
    let text = fs::read_to_string("/proc/sys/kernel/random/uuid");
    Ok(text.map_err(|e| format!("/proc/sys/kernel/random/uuid: {e}"))?.trim().to_owned())
}

const GETSPEC: Proc = Proc(14_398_633, 2, 2);
const SETVOLUME: Proc = Proc(14_398_633, 2, 1);
const PORTBYBRICK: Proc = Proc(34_123_456, 1, 1);
/// Outside of the replay one call is in flight at a time, so one xid is enough.
const XID: u32 = 1;
/// glusterd's TCP port.
const GLUSTERD: u16 = 24007;
const ROOT: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const O_RDWR: u32 = 2;
const ENOENT: i32 = 2;
const CONNECT_MAX: Duration = Duration::from_secs(10);
const ANSWER_MAX: Duration = Duration::from_secs(60);
const FILL_BYTES: usize = 1 << 20;
