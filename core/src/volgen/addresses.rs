//! The values of `auth.allow` and `auth.reject`: `ADDRESS,…` for the volume with all of its
//! directories, or `/DIRECTORY(ADDRESS|…),…` for mounts of these directories.

use super::value_type::ValueWrong;

/// One address of `auth.allow` or `auth.reject`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressRule<'a> {
    /// The directory whose mounts the rule is for; `/` is the volume itself. `None` for mounts of
    /// the volume and of each of its directories.
    pub directory: Option<&'a str>,
    /// The address or pattern: `*` stands for any characters, `?` for one.
    pub pattern: &'a str,
}

/// The rules of a list, in its order.
///
/// Either all entries have a directory or none has. A name of a directory cannot have a comma or a
/// parenthesis.
pub fn address_rules(
    list: &str,
) -> impl Iterator<Item = Result<AddressRule<'_>, ValueWrong>> + use<'_> {
    let with_directories = list.starts_with('/');
    list.split(',').flat_map(move |entry| {
        let parts = if with_directories { of_directory(entry) } else { Some((None, entry)) };
        let (directory, patterns) = parts.unwrap_or((None, ""));
        patterns.split('|').map(move |pattern| {
            // A bar separates addresses only inside parentheses.
            let fits = is_pattern(pattern) && (directory.is_some() || patterns == pattern);
            let rule = AddressRule { directory, pattern };
            fits.then_some(rule).ok_or(ValueWrong::NotAddresses)
        })
    })
}

/// `/DIRECTORY(ADDRESSES)` in its parts.
fn of_directory(entry: &str) -> Option<(Option<&str>, &str)> {
    let (directory, rest) = entry.split_once('(')?;
    let patterns = rest.strip_suffix(')')?;
    let fits = directory.starts_with('/') && !directory.contains(')');
    fits.then_some((Some(directory), patterns))
}

/// Host names and masks never match a client's address: accepting them would turn `auth.reject`
/// into a rule that rejects nobody.
fn is_pattern(address: &str) -> bool {
    let v6 = address.contains(':');
    let plain = |byte: u8| byte.is_ascii_digit() || b".*?".contains(&byte);
    let plain = |byte: u8| plain(byte) || v6 && (byte == b':' || byte.is_ascii_hexdigit());
    !address.is_empty() && address.bytes().all(plain)
}
