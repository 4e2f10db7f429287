//! The files that rules read.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// Directories without text of the project: build products, captures, fuzzing corpora.
const SKIPPED: [&str; 7] = [
    ".git",
    "target",
    "fuzz/target",
    "fuzz/corpus",
    "fuzz/artifacts",
    "fuzz/coverage",
    "core/testdata",
];

/// A file of text and its path from the root of the repository.
#[derive(Clone, Debug)]
pub struct File {
    /// Path from the root of the repository, with `/` between its parts.
    pub path: String,
    /// The whole content.
    pub text: String,
}

impl File {
    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    pub(crate) fn is_markdown(&self) -> bool {
        self.path.ends_with(".md")
    }
}

/// The repository: the text files to check, and the path of everything that is there.
#[derive(Debug, Default)]
pub struct Tree {
    files: Vec<File>,
    paths: BTreeSet<String>,
}

impl Tree {
    /// Reads the repository at `root`.
    pub fn read(root: &Path) -> io::Result<Self> {
        let mut tree = Self::default();
        tree.walk(root, PathBuf::new(), true)?;
        Ok(tree)
    }

    /// A tree of given files, for tests.
    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let mut tree = Self::default();
        for (path, text) in files {
            let whole = Path::new(path);
            tree.paths.extend(whole.ancestors().map(|part| part.to_string_lossy().into_owned()));
            tree.files.push(File { path: (*path).into(), text: (*text).into() });
        }
        tree
    }

    fn walk(&mut self, root: &Path, below: PathBuf, checked: bool) -> io::Result<()> {
        for entry in fs::read_dir(root.join(&below))? {
            let entry = entry?;
            let path = below.join(entry.file_name());
            let name = path.to_string_lossy().into_owned();
            let build_product = name == ".git" || name.ends_with("target");
            let checked = checked && !SKIPPED.contains(&name.as_str());
            self.paths.insert(name.clone());
            if entry.file_type()?.is_dir() {
                if !build_product {
                    self.walk(root, path, checked)?;
                }
            } else if checked && [".rs", ".md"].iter().any(|end| name.ends_with(end)) {
                self.files.push(File { text: fs::read_to_string(root.join(&path))?, path: name });
            }
        }
        Ok(())
    }

    /// The Rust and Markdown files to check.
    pub fn files(&self) -> &[File] {
        &self.files
    }

    /// Is there a file or directory of this path from the root?
    pub(crate) fn has(&self, path: &str) -> bool {
        self.paths.contains(path.trim_end_matches('/'))
    }

    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.files.iter().find(|file| file.path == path).map(|file| file.text.as_str())
    }

    /// Is this the name of a directory or file at the root?
    pub(crate) fn has_at_root(&self, name: &str) -> bool {
        !name.is_empty() && !name.contains('/') && self.paths.contains(name)
    }
}
