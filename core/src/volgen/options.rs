//! The options of `gluster volume set`: which of them are accepted, and where each takes effect.

use core::fmt;

use super::non_volfile::{IGNORED, IGNORED_PREFIXES, REFUSED, REFUSED_PREFIXES, SERVER};
use super::short_names::complete;
use super::table::{LINES, SWITCHES};
use super::value_type::{ValueType, ValueWrong};
use crate::volfile::TranslatorKind;

/// Where an option takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target {
    /// In the client's volfile: it adds or removes this translator, or is one of its options. If
    /// several translators take it, this is the first.
    Volfile(TranslatorKind),
    /// In this server: see [`ServerOption`].
    Server(ServerOption),
    /// Nowhere: it makes no difference that a client could notice. The text says why.
    Ignored(&'static str),
}

/// An option that this server implements itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ServerOption {
    /// `server.allow-insecure`: clients may use source ports above 1023.
    AllowInsecure,
    /// `auth.allow`: addresses that may log in.
    AuthAllow,
    /// `auth.reject`: addresses that may not log in, even if `auth.allow` has them.
    AuthReject,
    /// `features.read-only`: fops that change something fail with EROFS.
    ReadOnly,
    /// `storage.owner-uid`: uid of the volume's root directory; -1 leaves it as it is.
    OwnerUid,
    /// `storage.owner-gid`: gid of the volume's root directory; -1 leaves it as it is.
    OwnerGid,
    /// `transport.address-family`: `inet` or `inet6`, for connections to bricks.
    AddressFamily,
}

/// An option that cannot be set to a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OptionError<'a> {
    /// The name as the caller gave it.
    pub key: &'a str,
    /// The reason.
    pub fault: OptionFault,
}

/// Why an option cannot be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OptionFault {
    /// GlusterFS 10 has no option of that name.
    Unknown,
    /// A short name that several options share; these are the first two.
    Ambiguous(&'static str, &'static str),
    /// A short name where a full one is needed: this one. See [`full_name`](super::full_name).
    Short(&'static str),
    /// GlusterFS has the option, and this server lacks the function that the text names.
    Unsupported(&'static str),
    /// The value is wrong.
    Value(ValueWrong),
}

/// Where the option takes effect, if it is accepted and its value is valid.
///
/// `key` is a full name; [`full_name`](super::full_name) completes short ones. A value that turns
/// off a function that this server does not have is accepted.
///
/// # Errors
///
/// One for each [`OptionFault`]; the error's `key` is the one given.
pub fn check<'a>(key: &'a str, value: &str) -> Result<Target, OptionError<'a>> {
    let fail = |fault| Err(OptionError { key, fault });
    if !key.contains('.') {
        return fail(OptionFault::Short(complete(key)?));
    }
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
            OptionFault::Ambiguous(first, second) => {
                write!(f, "may be {first} or {second}: use the full name")
            }
            OptionFault::Short(full) => write!(f, "use the full name, {full}"),
            OptionFault::Unsupported(lacking) => write!(f, "this server has no {lacking}"),
            OptionFault::Value(wrong) => wrong.fmt(f),
        }
    }
}

impl core::error::Error for OptionError<'_> {}
