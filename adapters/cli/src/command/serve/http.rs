//! The part of HTTP that a page of counters needs.
//!
//! A few threads, each with one connection at a time and for a short time: a peer that opens
//! connections and sends nothing delays only other readers of the page, and takes neither
//! descriptors nor memory from the server's clients.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Connections served at once.
const THREADS: usize = 4;
/// Time for a request, and again for its answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// The longest request.
const REQUEST_MAX: usize = 8192;
const STACK: usize = 256 * 1024;

/// The answer to a request.
pub(super) struct Answer {
    pub(super) status: &'static str,
    pub(super) kind: &'static str,
    pub(super) text: String,
}

impl Answer {
    pub(super) fn plain(status: &'static str, text: &str) -> Self {
        Self { status, kind: "text/plain; charset=utf-8", text: text.into() }
    }
}

/// Answers GET and HEAD at an address until the process ends. Returns the bound address.
pub(super) fn serve(
    address: SocketAddr,
    answer: impl Fn(&str) -> Answer + Send + Sync + 'static,
) -> io::Result<SocketAddr> {
    let listener = Arc::new(TcpListener::bind(address)?);
    let answer = Arc::new(answer);
    for _ in 0..THREADS {
        let (listener, answer) = (Arc::clone(&listener), Arc::clone(&answer));
        std::thread::Builder::new().name("metrics".into()).stack_size(STACK).spawn(move || {
            loop {
                match listener.accept() {
                    // An error means that the peer has gone.
                    Ok((stream, _)) => _ = talk(stream, &*answer),
                    Err(_) => std::thread::sleep(PATIENCE),
                }
            }
        })?;
    }
    listener.local_addr()
}

fn talk(mut stream: TcpStream, answer: &dyn Fn(&str) -> Answer) -> io::Result<()> {
    let (answer, with_text) = match asked(&mut stream)? {
        Asked::For { path, with_text } => (answer(&path), with_text),
        Asked::Otherwise => (Answer::plain("405 Method Not Allowed", "GET /metrics\n"), true),
        Asked::Nothing => (Answer::plain("400 Bad Request", "GET /metrics\n"), true),
    };
    let Answer { status, kind, text } = answer;
    let len = text.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len}\r\n\
         Connection: close\r\n\r\n"
    );
    let until = Instant::now() + PATIENCE;
    write(&mut stream, head.as_bytes(), until)?;
    if with_text {
        write(&mut stream, text.as_bytes(), until)?;
    }
    // Closing a socket with unread input resets it, and the peer loses what it has not read yet:
    // read to the end first.
    stream.shutdown(Shutdown::Write)?;
    let mut rest = [0; 4096];
    while read(&mut stream, &mut rest, until)? > 0 {}
    Ok(())
}

enum Asked {
    For {
        path: String,
        with_text: bool,
    },
    /// Another method than GET and HEAD.
    Otherwise,
    /// Not HTTP, or longer than `REQUEST_MAX`.
    Nothing,
}

fn asked(stream: &mut TcpStream) -> io::Result<Asked> {
    let until = Instant::now() + PATIENCE;
    let (mut bytes, mut len) = (vec![0; REQUEST_MAX], 0);
    while len < bytes.len() {
        let n = read(stream, &mut bytes[len..], until)?;
        len += n;
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(&bytes[..len]) {
            Ok(httparse::Status::Complete(_)) => {
                let url = request.path.unwrap_or_default();
                let path = url.split_once('?').map_or(url, |(path, _)| path).to_owned();
                return Ok(match request.method {
                    Some("GET") => Asked::For { path, with_text: true },
                    Some("HEAD") => Asked::For { path, with_text: false },
                    _ => Asked::Otherwise,
                });
            }
            Ok(httparse::Status::Partial) if n > 0 => {}
            _ => return Ok(Asked::Nothing),
        }
    }
    Ok(Asked::Nothing)
}

/// The time left until `until`, as a socket timeout.
fn left(until: Instant) -> io::Result<Option<Duration>> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
}

fn read(stream: &mut TcpStream, room: &mut [u8], until: Instant) -> io::Result<usize> {
    stream.set_read_timeout(left(until)?)?;
    stream.read(room)
}

fn write(stream: &mut TcpStream, mut bytes: &[u8], until: Instant) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.set_write_timeout(left(until)?)?;
        let n = stream.write(bytes)?;
        bytes = &bytes[n..];
    }
    Ok(())
}
