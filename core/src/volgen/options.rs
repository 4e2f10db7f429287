//! The options of `gluster volume set`: which are understood, and where each of them goes.

use core::fmt;

use super::non_volfile::{IGNORED, IGNORED_PREFIXES, REFUSED, REFUSED_PREFIXES, SERVER};
use super::table::{LINES, SWITCHES};
use super::value_type::{ValueType, ValueWrong};
use crate::volfile::TranslatorKind;

/// Where an option goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target {
    /// Into the volfile, to this translator: whether it is there, or an option of it. Of several, the first.
    Volfile(TranslatorKind),
    /// To this server: see [`ServerOption`].
    Server(ServerOption),
    /// Nowhere: it changes nothing here, and nobody can tell. Why, in a few words.
    Ignored(&'static str),
}

/// What this server itself takes from a volume's options.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ServerOption {
    /// `server.allow-insecure`: may clients come from ports above 1023?
    AllowInsecure,
    /// `auth.allow`: who may log in.
    AuthAllow,
    /// `auth.reject`: who may not, even if allowed.
    AuthReject,
    /// `features.read-only`: changes are refused.
    ReadOnly,
    /// `storage.owner-uid`: the owner of a new volume's root directory; -1 leaves it.
    OwnerUid,
    /// `storage.owner-gid`: its group; -1 leaves it.
    OwnerGid,
    /// `transport.address-family`: of the connections to bricks.
    AddressFamily,
}

/// An option that cannot be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OptionError<'a> {
    /// Its name.
    pub key: &'a str,
    /// Why not.
    pub fault: OptionFault,
}

/// Why an option cannot be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OptionFault {
    /// Nobody here knows an option of that name.
    Unknown,
    /// GlusterFS has it, and this server lacks what it needs: that.
    Unsupported(&'static str),
    /// Its value is wrong.
    Value(ValueWrong),
}

/// Where the option goes, if it is understood and its value is right. What turns off a function that this server does not
/// have is understood too.
pub fn check<'a>(key: &'a str, value: &str) -> Result<Target, OptionError<'a>> {
    let fail = |fault| Err(OptionError { key, fault });
    let Some((value_type, target)) = find(key) else {
        let mut prefixes = REFUSED_PREFIXES.iter();
        return match prefixes.find(|(prefix, _)| key.starts_with(prefix)) {
            Some((_, lacking)) => fail(OptionFault::Unsupported(lacking)),
            None => fail(OptionFault::Unknown),
        };
    };
    match value_type.check(value) {
        Ok(None) => Ok(target),
        Ok(Some(lacking)) => fail(OptionFault::Unsupported(lacking)),
        Err(wrong) => fail(OptionFault::Value(wrong)),
    }
}

fn find(key: &str) -> Option<(ValueType, Target)> {
    if let Some((_, translator, _)) = SWITCHES.iter().find(|(name, ..)| *name == key) {
        return Some((ValueType::Bool, Target::Volfile(*translator)));
    }
    if let Some(line) = LINES.iter().find(|line| line.key == key) {
        return Some((line.value, Target::Volfile(line.translator)));
    }
    if let Some((_, option, value)) = SERVER.iter().find(|(name, ..)| *name == key) {
        return Some((*value, Target::Server(*option)));
    }
    if let Some((_, value, why)) = IGNORED.iter().find(|(name, ..)| *name == key) {
        return Some((*value, Target::Ignored(why)));
    }
    if let Some((_, lacking)) = REFUSED.iter().find(|(name, _)| *name == key) {
        return Some((
            ValueType::Off(lacking),
            Target::Ignored("off is all that this server can do"),
        ));
    }
    let (_, why) = IGNORED_PREFIXES.iter().find(|(prefix, _)| key.starts_with(prefix))?;
    Some((ValueType::Word, Target::Ignored(why)))
}

impl fmt::Display for OptionError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "volume option {:?}: ", self.key)?;
        match &self.fault {
            OptionFault::Unknown => f.write_str("there is no such option"),
            OptionFault::Unsupported(lacking) => write!(f, "this server has no {lacking}"),
            OptionFault::Value(wrong) => wrong.fmt(f),
        }
    }
}

impl core::error::Error for OptionError<'_> {}
