//! What a volume is made of, and whether that makes a volume.

use core::fmt;

use super::options::{OptionError, check};
use super::value_type::is_word;
use crate::volfile::Token;
use crate::xdr::Gfid;

/// A volume, as an administrator describes it.
#[derive(Clone, Copy, Debug)]
pub struct VolumeSpec<'a> {
    /// Its name: letters, digits, `-` and `_`.
    pub name: &'a str,
    /// Its id.
    pub volume_id: Gfid,
    /// What its bricks are to each other.
    pub shape: Shape,
    /// Its bricks; those of one replica set stand together.
    pub bricks: &'a [BrickSpec<'a>],
    /// Its options, as `gluster volume set` names them. Of several with the same name the last one counts.
    pub options: &'a [(&'a str, &'a str)],
    /// By which kind of address clients reach the bricks, unless the option `transport.address-family` says it.
    pub family: Family,
}

/// A brick of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrickSpec<'a> {
    /// The host that serves it: a name or an address.
    pub host: &'a str,
    /// The port where it is served. Without it, clients ask the portmapper on port 24007 of the host.
    pub port: Option<u16>,
    /// Its path: what clients log in to, byte for byte.
    pub path: &'a str,
}

/// What the bricks of a volume are to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// Every file is on one of them.
    Distribute,
    /// Every file is on one set of `replica` bricks.
    Replicate {
        /// How many bricks a set has.
        replica: u16,
        /// Does the last brick of each set keep names and attributes only? For sets of three.
        arbiter: bool,
    },
}

/// A kind of addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Family {
    /// IPv4, as glusterd has it for a new volume.
    #[default]
    Inet,
    /// IPv6.
    Inet6,
    /// Either, as the host's name resolves.
    Any,
}

/// Why no volfile can be made for a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VolgenError<'a> {
    /// Letters, digits, `-` and `_` are allowed in its name, not a `-` at its beginning, no keyword of volfiles, and
    /// [`NAME_BYTES_MAX`] of them.
    Name(&'a str),
    /// No bricks, or more than a volfile can have volumes.
    BrickCount,
    /// The number of bricks is not a multiple of the replica count, which is 2 at least, and 3 with an arbiter.
    Shape,
    /// Neither a host name nor an internet address.
    Host {
        /// The brick, counted from 0.
        brick: usize,
    },
    /// The port 0.
    Port {
        /// The brick, counted from 0.
        brick: usize,
    },
    /// Not an absolute path, or one that a volfile cannot hold.
    Path {
        /// The brick, counted from 0.
        brick: usize,
    },
    /// A brick that is there twice.
    SameBrick {
        /// The second of them, counted from 0.
        brick: usize,
    },
    /// An option.
    Option(OptionError<'a>),
    /// There are no self-heal daemons for a volume that is not replicated.
    NotReplicated,
    /// What is written to takes no more.
    Write,
}

/// `trusted.afr.NAME-client-65535` is the name of an extended attribute, and Linux has 255 bytes for those.
pub const NAME_BYTES_MAX: usize = 230;

/// A volfile has at most 65535 volumes. The rest is for the translators above.
const BRICKS_MAX: usize = 32_000;

impl<'a> VolumeSpec<'a> {
    /// Can this be a volume?
    pub fn check(&self) -> Result<(), VolgenError<'a>> {
        let name_byte = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if self.name.len() > NAME_BYTES_MAX
            || !is_word(self.name)
            || self.name.starts_with('-')
            || !self.name.bytes().all(name_byte)
        {
            return Err(VolgenError::Name(self.name));
        }
        if self.bricks.is_empty() || self.bricks.len() > BRICKS_MAX {
            return Err(VolgenError::BrickCount);
        }
        if let Shape::Replicate { replica, arbiter } = self.shape
            && (replica < 2
                || arbiter && replica != 3
                || !self.bricks.len().is_multiple_of(usize::from(replica)))
        {
            return Err(VolgenError::Shape);
        }
        for (at, brick) in self.bricks.iter().enumerate() {
            brick.check(at)?;
            let same = |other: &BrickSpec<'_>| other.host == brick.host && other.path == brick.path;
            if self.bricks.iter().take(at).any(same) {
                return Err(VolgenError::SameBrick { brick: at });
            }
        }
        for (key, value) in self.options {
            check(key, value).map_err(VolgenError::Option)?;
        }
        Ok(())
    }

    /// What an option is set to.
    pub fn option(&self, key: &str) -> Option<&'a str> {
        self.options.iter().rev().find(|(name, _)| *name == key).map(|(_, value)| *value)
    }

    /// Whether an option is on, or `default` if it is not set.
    pub fn is_on(&self, key: &str, default: bool) -> bool {
        self.option(key).and_then(|value| Token::from(value).to_bool().ok()).unwrap_or(default)
    }
}

impl BrickSpec<'_> {
    fn check<'a>(&self, brick: usize) -> Result<(), VolgenError<'a>> {
        if Token::from(self.host).to_host().is_err() || !is_word(self.host) {
            return Err(VolgenError::Host { brick });
        }
        if self.port == Some(0) {
            return Err(VolgenError::Port { brick });
        }
        if !self.path.starts_with('/') || !is_word(self.path) {
            return Err(VolgenError::Path { brick });
        }
        Ok(())
    }
}

impl fmt::Display for VolgenError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(
                f,
                "a volume cannot be called {name:?}: letters, digits, - (not first) and _, {NAME_BYTES_MAX} at most, and no \
                 word of volfiles"
            ),
            Self::BrickCount => write!(f, "a volume has from 1 to {BRICKS_MAX} bricks"),
            Self::Shape => f.write_str(
                "the number of bricks is no multiple of the replica count, which is at least 2, and 3 with an arbiter",
            ),
            Self::Host { brick } => write!(f, "brick {brick}: neither a host name nor an internet address"),
            Self::Port { brick } => write!(f, "brick {brick}: nothing can be served on port 0"),
            Self::Path { brick } => {
                write!(f, "brick {brick}: not an absolute path without blanks, quotes and backslashes")
            }
            Self::SameBrick { brick } => write!(f, "brick {brick} is there already"),
            Self::Option(error) => error.fmt(f),
            Self::NotReplicated => f.write_str("nothing to heal in a volume that is not replicated"),
            Self::Write => f.write_str("no room for the volfile"),
        }
    }
}

impl core::error::Error for VolgenError<'_> {}
