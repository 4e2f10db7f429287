//! Resolves the bricks' host names through the hosts file.
//!
//! glusterd refuses bricks on `localhost` and `127.*`, and a glusterd that listens on IPv6 needs a
//! name that has an IPv6 address. So `up` adds two marked lines to the hosts file, and `down`
//! removes them.

use std::path::Path;

use anyhow::{Context, Result};

/// Adds the cluster's lines, replacing those of an earlier cluster.
pub(super) fn add(prefix: &str) -> Result<()> {
    rewrite(|text| with_lines(text, prefix))
}

/// Removes the cluster's lines and changes no other byte.
pub(super) fn remove() -> Result<()> {
    rewrite(without_lines)
}

fn rewrite(change: impl Fn(&str) -> String) -> Result<()> {
    let file = Path::new(FILE);
    let before = std::fs::read_to_string(file).with_context(|| format!("{FILE} cannot be read"))?;
    let after = change(&before);
    if after == before {
        return Ok(());
    }
    // Written in place: in a container the file is a mount, which cannot be replaced by a rename.
    std::fs::write(file, after)
        .with_context(|| format!("{FILE} cannot be written: run this as root"))
}

fn with_lines(text: &str, prefix: &str) -> String {
    let mut text = without_lines(text);
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(&format!("127.0.0.1 {prefix} {prefix}4 {MARK}\n::1 {prefix} {prefix}6 {MARK}\n"));
    text
}

fn without_lines(text: &str) -> String {
    text.split_inclusive('\n').filter(|line| !line.trim_end().ends_with(MARK)).collect()
}

const FILE: &str = "/etc/hosts";
const MARK: &str = "# brickwire cluster";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn down_leaves_the_hosts_file_as_up_found_it() {
        let before = "127.0.0.1 localhost\n# a comment\n::1 localhost\n";
        let during = with_lines(before, "bricks");
        assert!(
            during.contains("127.0.0.1 bricks bricks4 ")
                && during.contains("\n::1 bricks bricks6 ")
        );
        assert_eq!(without_lines(&during), before);
        assert_eq!(with_lines(&during, "bricks"), during, "twice is once");
    }

    #[test]
    fn a_hosts_file_without_a_last_newline_keeps_its_last_entry() {
        assert!(
            with_lines("127.0.0.1 localhost", "b").starts_with("127.0.0.1 localhost\n127.0.0.1 b ")
        );
    }
}
