//! Bricks as `gluster volume create` takes them: `[replica N [arbiter 1]] [transport tcp]
//! HOST:/DIR… [force]`, where HOST is this host.

use std::net::{ToSocketAddrs as _, UdpSocket};
use std::path::{Path, PathBuf};

use super::Shape;
use crate::failure::Failure;

/// The words after a volume's name.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Words {
    pub(crate) shape: Option<Shape>,
    pub(crate) replica: Option<u16>,
    pub(crate) bricks: Vec<PathBuf>,
}

impl Words {
    pub(crate) fn parse(words: &[PathBuf]) -> Result<Self, Failure> {
        let mut parsed = Self::default();
        let mut rest = words;
        while let [word, number, after @ ..] = rest {
            let (Some(word), Some(number)) = (word.to_str(), number.to_str()) else { break };
            let count: Option<u16> = number.parse().ok();
            match (word, count) {
                ("replica", Some(count)) => {
                    parsed.replica = Some(count);
                    parsed.shape = Some(parsed.shape.unwrap_or(Shape::Replica));
                }
                ("arbiter", Some(1)) => {
                    parsed.shape = Some(Shape::Arbiter);
                    // `replica 2 arbiter 1` and `replica 3 arbiter 1` are the same volume.
                    parsed.replica = Some(3);
                }
                ("transport", _) if number == "tcp" => {}
                ("transport", _) if number.starts_with("rdma") || number.starts_with("tcp,") => {
                    return Err(refused(&format!("transport {number}")));
                }
                (
                    "arbiter" | "stripe" | "disperse" | "disperse-data" | "redundancy"
                    | "thin-arbiter",
                    Some(_),
                ) => return Err(refused(&format!("{word} {number}"))),
                _ => break,
            }
            rest = after;
        }
        if let [bricks @ .., last] = rest
            && last.as_os_str() == "force"
            && bricks.iter().any(|brick| host_of(brick).is_some())
        {
            rest = bricks;
        }
        parsed.bricks = rest.to_vec();
        Ok(parsed)
    }
}

fn refused(what: &str) -> Failure {
    Failure::usage(format_args!(
        "{what}: brickwire has distribute, replica and arbiter volumes, over tcp"
    ))
}

/// The host of `HOST:/DIR`.
fn host_of(brick: &Path) -> Option<(&str, &str)> {
    let (host, path) = brick.to_str()?.split_once(':')?;
    let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    (!host.is_empty() && host.chars().all(is_host)).then_some((host, path))
}

/// The directory of a brick: `HOST:/DIR` is `/DIR` if HOST is this host.
pub(super) fn local_directory(brick: &Path) -> Result<PathBuf, Failure> {
    let Some((host, path)) = host_of(brick) else { return Ok(brick.to_owned()) };
    if !path.starts_with('/') {
        return Err(Failure::usage(format_args!(
            "brick {}: write HOST:/DIR, /DIR, or ./{0} for a directory of that name",
            brick.display()
        )));
    }
    if !is_this_host(host) {
        return Err(Failure::usage(format_args!(
            "brick {host}:{path}: {host} is no name or address of this host, and brickwire serves \
             bricks of its own host: write {path} if that is meant"
        )));
    }
    Ok(path.into())
}

fn is_this_host(host: &str) -> bool {
    let Ok(addresses) = (host, 0).to_socket_addrs() else { return false };
    // A socket can be bound to addresses of this host only.
    addresses.into_iter().any(|address| UdpSocket::bind(address).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Result<Words, Failure> {
        Words::parse(&text.split(' ').map(PathBuf::from).collect::<Vec<_>>())
    }

    fn paths(text: &str) -> Vec<PathBuf> {
        text.split(' ').map(PathBuf::from).collect()
    }

    #[test]
    fn the_words_of_gluster_volume_create_are_understood() {
        let replica = words("replica 3 transport tcp h:/a h:/b h:/c force").unwrap();
        assert_eq!((replica.shape, replica.replica), (Some(Shape::Replica), Some(3)));
        assert_eq!(replica.bricks, paths("h:/a h:/b h:/c"));
        for text in ["replica 2 arbiter 1 a b c", "replica 3 arbiter 1 a b c"] {
            let arbiter = words(text).unwrap();
            assert_eq!((arbiter.shape, arbiter.replica), (Some(Shape::Arbiter), Some(3)));
        }
        // Directories of such names.
        let plain = words("replica force").unwrap();
        assert_eq!((plain.shape, plain.bricks), (None, paths("replica force")));
        for text in ["disperse 3 h:/a h:/b h:/c", "transport rdma h:/a", "stripe 2 a b"] {
            assert!(words(text).unwrap_err().to_string().contains("distribute, replica"), "{text}");
        }
    }

    #[test]
    fn a_host_before_a_directory_is_this_one() {
        let local = |text: &str| local_directory(Path::new(text));
        assert_eq!(local("/a:/b").unwrap(), Path::new("/a:/b"));
        assert_eq!(local("./a:/b").unwrap(), Path::new("./a:/b"));
        assert_eq!(local("localhost:/srv/b").unwrap(), Path::new("/srv/b"));
        assert_eq!(local("127.0.0.1:/srv/b").unwrap(), Path::new("/srv/b"));
        assert!(local("192.0.2.1:/srv/b").unwrap_err().to_string().contains("write /srv/b"));
        assert!(local("host:srv").unwrap_err().to_string().contains("HOST:/DIR"));
    }
}
