//! Locks a file on request: tests need locks of several processes, and processes that can be
//! interrupted and killed. `locker FILE` reads one request a line and answers each with a line when
//! it is over.
//!
//! | request | effect |
//! |---|---|
//! | `flock sh\|ex\|un [now]` | flock(2), without waiting if `now` |
//! | `fcntl r\|w\|un START LEN [now]` | F_SETLKW, or F_SETLK if `now` |
//! | `test START LEN` | F_GETLK for a write lock |
//! | `close` | closes the file |
//! | `look` | opens the file once more and closes that descriptor |
//!
//! Answers are `ok`, `free`, `taken START LEN`, or the name of an error. SIGUSR1 interrupts a
//! waiting request.

use std::fs::File;
use std::io::{BufRead as _, Write as _};
use std::os::fd::AsRawFd as _;

extern "C" fn interrupted(_: libc::c_int) {}

fn main() {
    let path = std::env::args_os().nth(1).expect("a file");
    let handler: extern "C" fn(libc::c_int) = interrupted;
    // SAFETY: all zeroes is a sigaction with an empty mask and without SA_RESTART, so a waiting
    // call ends; the handler does nothing.
    let set = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as libc::sighandler_t;
        libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut())
    };
    assert_eq!(set, 0, "sigaction");
    let mut file =
        Some(File::options().read(true).write(true).open(&path).expect("the file opens"));
    println!("ok");
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("a request");
        let words: Vec<&str> = line.split(' ').collect();
        let done = match words.as_slice() {
            ["close"] => {
                file = None;
                Ok("ok".into())
            }
            ["look"] => File::open(&path).map(|_| "ok".into()),
            words => lock(file.as_ref().expect("an open file"), words),
        };
        let said = done.unwrap_or_else(|error| match error.raw_os_error() {
            Some(libc::EAGAIN) => "EAGAIN".into(),
            Some(libc::EINTR) => "EINTR".into(),
            _ => error.to_string(),
        });
        println!("{said}");
        std::io::stdout().flush().expect("somebody listens");
    }
}

fn lock(file: &File, words: &[&str]) -> std::io::Result<String> {
    let (words, now) = match words {
        [words @ .., "now"] => (words, true),
        words => (words, false),
    };
    let (command, kind, start, len) = match *words {
        ["flock", kind] => {
            let kind = match kind {
                "sh" => libc::LOCK_SH,
                "ex" => libc::LOCK_EX,
                _ => libc::LOCK_UN,
            };
            // SAFETY: the descriptor is open.
            let done = unsafe {
                libc::flock(file.as_raw_fd(), kind | if now { libc::LOCK_NB } else { 0 })
            };
            return if done == 0 { Ok("ok".into()) } else { Err(std::io::Error::last_os_error()) };
        }
        ["fcntl", kind, start, len] => {
            (if now { libc::F_SETLK } else { libc::F_SETLKW }, kind, start, len)
        }
        ["test", start, len] => (libc::F_GETLK, "w", start, len),
        _ => panic!("{words:?} is no request"),
    };
    let kind = match kind {
        "r" => libc::F_RDLCK,
        "w" => libc::F_WRLCK,
        _ => libc::F_UNLCK,
    };
    let number = |text: &str| text.parse().expect("a number");
    // SAFETY: all zeroes is a valid flock.
    let mut range: libc::flock = unsafe { std::mem::zeroed() };
    range.l_type = kind as libc::c_short;
    range.l_whence = libc::SEEK_SET as libc::c_short;
    (range.l_start, range.l_len) = (number(start), number(len));
    // SAFETY: the descriptor is open, and these commands take a flock.
    let done = unsafe { libc::fcntl(file.as_raw_fd(), command, &raw mut range) };
    if done != 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(match (command, libc::c_int::from(range.l_type)) {
        (libc::F_GETLK, libc::F_UNLCK) => "free".into(),
        (libc::F_GETLK, _) => format!("taken {} {}", range.l_start, range.l_len),
        _ => "ok".into(),
    })
}
