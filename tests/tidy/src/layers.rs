//! Imports go down the layers only.

use crate::Finding;
use crate::comments::split;
use crate::tree::File;

/// Modules of `core/src` and what each may import of its siblings. `volume` and `server` stand
/// beside each other; `xlator` never sees a session, `rpc` never a fop, `xdr` nothing at all.
const LAYERS: [(&str, &[&str]); 21] = [
    ("diag", &[]),
    ("time", &[]),
    ("shift", &[]),
    ("names", &["shift"]),
    ("uri", &[]),
    ("volfile", &[]),
    ("xdr", &[]),
    ("id", &[]),
    ("config", &["time"]),
    ("timers", &["id", "time"]),
    ("slab", &["id"]),
    ("tables", &["slab"]),
    ("boundary", &["id", "time"]),
    ("volgen", &["volfile", "xdr"]),
    ("fop", &["xdr"]),
    ("gfid_hash", &["xdr"]),
    ("rpc", &["boundary", "diag", "id", "shift", "slab", "time", "xdr"]),
    (
        "xlator",
        &[
            "boundary",
            "config",
            "diag",
            "fop",
            "gfid_hash",
            "id",
            "names",
            "rpc",
            "slab",
            "time",
            "timers",
            "volfile",
            "xdr",
        ],
    ),
    (
        "volume",
        &[
            "boundary", "config", "diag", "fop", "id", "names", "rpc", "slab", "tables", "time",
            "timers", "volfile", "xdr", "xlator",
        ],
    ),
    (
        "server",
        &["boundary", "diag", "fop", "gfid_hash", "id", "rpc", "slab", "tables", "time", "xdr"],
    ),
    ("lib", &[]),
];

/// Every path that begins with `crate::` or climbs with `super::`, in the code of `core/src`.
pub(crate) fn check(file: &File) -> Vec<Finding> {
    let Some(inside) = file.path.strip_prefix("core/src/").filter(|_| file.is_rust()) else {
        return Vec::new();
    };
    let module = inside.split('/').next().unwrap_or_default().trim_end_matches(".rs");
    if module == "lib" {
        return Vec::new();
    }
    let finding =
        |line, message| Finding { rule: "layers", path: file.path.clone(), line, message };
    let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == module) else {
        return vec![finding(1, format!("module {module} has no place in the table of layers"))];
    };
    let code = split(&file.text).code;
    let mut findings = Vec::new();
    for (at, name) in imports(&code, depth(inside)) {
        let known = LAYERS.iter().any(|(layer, _)| *layer == name);
        if name != module && known && !allowed.contains(&name) {
            let line = code[..at].matches('\n').count() + 1;
            findings.push(finding(line, format!("{module} imports {name}, which is not below it")));
        }
        // A type of a module that is named at the root would hide where it comes from.
        if !known && name.starts_with(|c: char| c.is_ascii_uppercase()) {
            let line = code[..at].matches('\n').count() + 1;
            findings.push(finding(line, format!("name the module of crate::{name}")));
        }
    }
    findings
}

/// How many `super` lead from this file to the root of the crate.
fn depth(inside: &str) -> usize {
    let parts = inside.split('/').count();
    if inside.ends_with("/mod.rs") { parts - 1 } else { parts }
}

/// Position and first name of every path from the root of the crate.
fn imports(code: &str, depth: usize) -> Vec<(usize, &str)> {
    let to_root = "super::".repeat(depth);
    let mut found = Vec::new();
    for root in ["crate::", &to_root] {
        for (at, _) in code.match_indices(root) {
            let word_before = code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            if word_before || code[..at].ends_with("::") {
                continue;
            }
            let rest = &code[at + root.len()..];
            if let Some(group) = rest.strip_prefix('{') {
                found.extend(group_names(group).into_iter().map(|name| (at, name)));
            } else {
                found.push((at, first_name(rest)));
            }
        }
    }
    found
}

/// First names of the paths of a `{…}` group whose opening brace is behind us.
fn group_names(group: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let (mut level, mut expects) = (1, true);
    for (at, c) in group.char_indices() {
        match c {
            '{' => level += 1,
            '}' => level -= 1,
            ',' if level == 1 => expects = true,
            c if expects && (c.is_alphanumeric() || c == '_') => {
                names.push(first_name(&group[at..]));
                expects = false;
            }
            _ => {}
        }
        if level == 0 {
            break;
        }
    }
    names
}

fn first_name(path: &str) -> &str {
    path.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(path: &str, text: &str) -> Vec<String> {
        let file = File { path: path.into(), text: text.into() };
        check(&file).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn an_import_from_above_is_found() {
        let said = messages("core/src/rpc/a.rs", "use crate::volume::Limits;");
        assert_eq!(said, ["rpc imports volume, which is not below it"]);
        let said = messages("core/src/xdr/dict/mod.rs", "use super::super::{fop, slab::{A, B}};");
        assert_eq!(said.len(), 2);
        let said = messages("core/src/server/a.rs", "fn f(a: crate::volume::Op) {}");
        assert_eq!(said.len(), 1);
    }

    #[test]
    fn a_type_of_the_root_hides_its_module() {
        assert_eq!(
            messages("core/src/fop/a.rs", "use crate::Limits;"),
            ["name the module of crate::Limits"]
        );
    }

    #[test]
    fn a_new_module_needs_a_place() {
        assert_eq!(messages("core/src/new.rs", "").len(), 1);
    }

    #[test]
    fn imports_from_below_and_words_of_comments_are_left_alone() {
        let text =
            "//! [`crate::volume`]\nuse crate::xdr::{Reader, Writer};\nuse super::super::rpc;";
        assert_eq!(messages("core/src/rpc/transport/a.rs", text), [""; 0]);
    }
}
