//! The description of a volume, and the check that volfiles can be written for it.

use core::fmt;

use super::options::{OptionError, check};
use super::value_type::is_word;
use crate::volfile::Token;
use crate::xdr::Gfid;

/// A volume as an administrator describes it.
#[derive(Clone, Copy, Debug)]
pub struct VolumeSpec<'a> {
    /// Letters, digits, `-` and `_`; at most [`NAME_BYTES_MAX`] bytes.
    pub name: &'a str,
    /// The id that bricks and clients compare.
    pub volume_id: Gfid,
    /// How its bricks share its files.
    pub shape: Shape,
    /// Its bricks, replica set by replica set.
    pub bricks: &'a [BrickSpec<'a>],
    /// Its options by their full names. The last one of several with the same name counts.
    pub options: &'a [(&'a str, &'a str)],
    /// The address family of connections to bricks, unless the option `transport.address-family` is
    /// set.
    pub family: Family,
}

/// A brick of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrickSpec<'a> {
    /// Host name or address of its server.
    pub host: &'a str,
    /// TCP port of its server. `None`: clients ask the portmapper on port 24007 of the host.
    pub port: Option<u16>,
    /// Absolute path, as clients send it in SETVOLUME.
    pub path: &'a str,
}

/// How the bricks of a volume share its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// Each file is on one brick.
    Distribute,
    /// Each file is on all bricks of one replica set.
    Replicate {
        /// Bricks of a set, at least 2.
        replica: u16,
        /// Whether the last brick of each set keeps names and attributes only. Needs sets of 3.
        arbiter: bool,
    },
}

/// An address family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Family {
    /// IPv4: glusterd's default for new volumes.
    #[default]
    Inet,
    /// IPv6.
    Inet6,
    /// Any to which the host name resolves.
    Any,
}

/// Why no volfile can be made for a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VolgenError<'a> {
    /// The name is empty, longer than [`NAME_BYTES_MAX`], a keyword of volfiles, begins with `-`,
    /// or has a byte other than letters, digits, `-` and `_`.
    Name(&'a str),
    /// No bricks, or more than a volfile can describe.
    BrickCount,
    /// The number of bricks is not a multiple of the replica count, the replica count is less than
    /// 2, or it is not 3 although there is an arbiter.
    Shape,
    /// The host is neither a host name nor an IP address.
    Host {
        /// The brick, counted from 0.
        brick: usize,
    },
    /// The port is 0.
    Port {
        /// The brick, counted from 0.
        brick: usize,
    },
    /// The path is not absolute, or has characters that a volfile cannot hold.
    Path {
        /// The brick, counted from 0.
        brick: usize,
    },
    /// Two bricks have the same host and path.
    SameBrick {
        /// The second of them, counted from 0.
        brick: usize,
    },
    /// An option is refused.
    Option(OptionError<'a>),
    /// The volume is not replicated, so it has no self-heal daemon.
    NotReplicated,
    /// The writer failed.
    Write,
}

/// Longest name of a volume, in bytes: `trusted.afr.NAME-client-65535` is the name of an extended
/// attribute, for which Linux has 255 bytes.
pub const NAME_BYTES_MAX: usize = 230;

/// Volfile indices have 16 bits; the other half is left for the translators above the bricks.
const BRICKS_MAX: usize = 32_000;

impl<'a> VolumeSpec<'a> {
    /// Whether volfiles can be written for this volume.
    ///
    /// # Errors
    ///
    /// The first thing found wrong: name, number of bricks, each brick, then options.
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

    /// The value of an option by its full name, if it is set.
    pub fn option(&self, key: &str) -> Option<&'a str> {
        self.options.iter().rev().find(|(name, _)| *name == key).map(|(_, value)| *value)
    }

    /// Whether a boolean option is on; `default` if it is not set or not a boolean.
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
                "volume name {name:?}: use letters, digits, _ and - (not first), at most \
                 {NAME_BYTES_MAX}, and no keyword of volfiles"
            ),
            Self::BrickCount => write!(f, "a volume needs 1 to {BRICKS_MAX} bricks"),
            Self::Shape => f.write_str(
                "the number of bricks must be a multiple of the replica count, which is at least 2 \
                 (3 with an arbiter)",
            ),
            Self::Host { brick } => {
                write!(f, "brick {brick}: its host is neither a host name nor an IP address")
            }
            Self::Port { brick } => write!(f, "brick {brick}: port 0 cannot be served"),
            Self::Path { brick } => {
                write!(
                    f,
                    "brick {brick}: its path must be absolute, without blanks, quotes and \
                     backslashes"
                )
            }
            Self::SameBrick { brick } => {
                write!(f, "brick {brick} has the host and path of an earlier brick")
            }
            Self::Option(error) => error.fmt(f),
            Self::NotReplicated => {
                f.write_str("the volume is not replicated, so it has no self-heal daemon")
            }
            Self::Write => f.write_str("the volfile could not be written"),
        }
    }
}

impl core::error::Error for VolgenError<'_> {}
