//! Names against a model of a tree: directories, hard links, symlinks, renames, xattrs. An action
//! with an unknown outcome leaves two possible trees, until an answer excludes one.

use std::collections::BTreeMap;

use brickwire_core::volume::OpError;
use brickwire_core::xdr::Errno;

use super::Violation;

/// The model of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    nodes: BTreeMap<u32, Node>,
    next: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Node {
    kind: Kind,
    links: u32,
    mode: u32,
    xattrs: BTreeMap<String, Vec<u8>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Directory(BTreeMap<String, u32>),
    File,
    Symlink(String),
}

/// One change of the tree, or a look at it.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // They are named like the calls of POSIX.
pub enum Action {
    Create(String),
    Mkdir(String),
    Rmdir(String),
    Unlink(String),
    Rename(String, String),
    Link(String, String),
    Symlink(String, String),
    Readlink(String),
    Stat(String),
    List(String),
    SetXattr(String, String, Vec<u8>),
    GetXattr(String, String),
    RemoveXattr(String, String),
    Chmod(String, u32),
}

/// The result that the caller gets.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Told {
    Done,
    Names(Vec<String>),
    Link(String),
    Stat { directory: bool, links: u32, mode: u32 },
    Xattr(Vec<u8>),
}

/// The answer of an action in a tree.
pub type Answer = Result<Told, Errno>;

impl Tree {
    /// A tree with an empty root.
    pub fn new() -> Self {
        let root = Node::new(Kind::Directory(BTreeMap::new()), 0o755);
        Self { nodes: BTreeMap::from([(0, root)]), next: 1 }
    }

    fn directory(&self, node: u32) -> Result<&BTreeMap<String, u32>, Errno> {
        match &self.nodes[&node].kind {
            Kind::Directory(entries) => Ok(entries),
            Kind::File => Err(Errno::ENOTDIR),
            // All symlinks here dangle.
            Kind::Symlink(_) => Err(Errno::ENOENT),
        }
    }

    fn entries(&mut self, node: u32) -> &mut BTreeMap<String, u32> {
        match &mut self.nodes.get_mut(&node).expect("a node").kind {
            Kind::Directory(entries) => entries,
            other => panic!("{other:?} is no directory"),
        }
    }

    /// The directory of a path, and the last name in it.
    fn place<'p>(&self, path: &'p str) -> Result<(u32, &'p str), Errno> {
        let (parents, name) = path.rsplit_once('/').unwrap_or(("", path));
        let mut at = 0;
        for part in parents.split('/').filter(|part| !part.is_empty()) {
            at = *self.directory(at)?.get(part).ok_or(Errno::ENOENT)?;
        }
        self.directory(at)?;
        Ok((at, name))
    }

    fn find(&self, path: &str) -> Result<u32, Errno> {
        if path.is_empty() {
            return Ok(0);
        }
        let (at, name) = self.place(path)?;
        self.directory(at)?.get(name).copied().ok_or(Errno::ENOENT)
    }

    /// The object at a path; a symlink at the end is followed.
    fn find_target(&self, path: &str) -> Result<u32, Errno> {
        let node = self.find(path)?;
        if matches!(self.nodes[&node].kind, Kind::Symlink(_)) {
            Err(Errno::ENOENT)
        } else {
            Ok(node)
        }
    }

    fn add(&mut self, path: &str, kind: Kind, mode: u32) -> Answer {
        let (at, name) = self.place(path)?;
        if self.directory(at)?.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        let node = self.next;
        self.next += 1;
        self.nodes.insert(node, Node::new(kind, mode));
        self.entries(at).insert(name.to_owned(), node);
        Ok(Told::Done)
    }

    fn drop_link(&mut self, node: u32) {
        let entry = self.nodes.get_mut(&node).expect("a node");
        entry.links -= 1;
        if entry.links == 0 {
            self.nodes.remove(&node);
        }
    }

    fn is_within(&self, at: u32, top: u32) -> bool {
        at == top
            || match &self.nodes[&top].kind {
                Kind::Directory(entries) => {
                    entries.values().any(|child| self.is_within(at, *child))
                }
                _ => false,
            }
    }

    fn rename(&mut self, from: &str, to: &str) -> Answer {
        // Both directories are resolved before the names in them, as in rename(2).
        let (old, old_name) = self.place(from)?;
        let (new, new_name) = self.place(to)?;
        let node = *self.directory(old)?.get(old_name).ok_or(Errno::ENOENT)?;
        let replaced = self.directory(new)?.get(new_name).copied();
        if replaced == Some(node) {
            return Ok(Told::Done);
        }
        let is_dir = self.directory(node).is_ok();
        if is_dir && self.is_within(new, node) {
            return Err(Errno::EINVAL);
        }
        if let Some(replaced) = replaced {
            // The replaced directory contains the object that replaces it.
            if self.directory(replaced).is_ok() && self.is_within(old, replaced) {
                return Err(Errno::ENOTEMPTY);
            }
            match (is_dir, self.directory(replaced)) {
                (true, Ok(entries)) if !entries.is_empty() => return Err(Errno::ENOTEMPTY),
                (true, Err(_)) => return Err(Errno::ENOTDIR),
                (false, Ok(_)) => return Err(Errno::EISDIR),
                _ => self.drop_link(replaced),
            }
        }
        self.entries(old).remove(old_name);
        self.entries(new).insert(new_name.to_owned(), node);
        Ok(Told::Done)
    }

    /// Does an action.
    pub fn act(&mut self, action: &Action) -> Answer {
        match action {
            Action::Create(path) => self.add(path, Kind::File, 0o644),
            Action::Mkdir(path) => self.add(path, Kind::Directory(BTreeMap::new()), 0o755),
            Action::Symlink(target, path) => self.add(path, Kind::Symlink(target.clone()), 0o777),
            Action::Rmdir(path) => {
                let (at, name) = self.place(path)?;
                let node = self.find(path)?;
                match &self.nodes[&node].kind {
                    Kind::Directory(entries) if entries.is_empty() => {}
                    Kind::Directory(_) => return Err(Errno::ENOTEMPTY),
                    _ => return Err(Errno::ENOTDIR),
                }
                self.entries(at).remove(name);
                self.drop_link(node);
                Ok(Told::Done)
            }
            Action::Unlink(path) => {
                let (at, name) = self.place(path)?;
                let node = self.find(path)?;
                if self.directory(node).is_ok() {
                    return Err(Errno::EISDIR);
                }
                self.entries(at).remove(name);
                self.drop_link(node);
                Ok(Told::Done)
            }
            Action::Rename(from, to) => self.rename(from, to),
            Action::Link(from, to) => {
                let node = self.find(from)?;
                let (at, name) = self.place(to)?;
                if self.directory(node).is_ok() {
                    return Err(Errno::EPERM);
                }
                if self.directory(at)?.contains_key(name) {
                    return Err(Errno::EEXIST);
                }
                self.nodes.get_mut(&node).expect("a node").links += 1;
                self.entries(at).insert(name.to_owned(), node);
                Ok(Told::Done)
            }
            Action::Readlink(path) => match &self.nodes[&self.find(path)?].kind {
                Kind::Symlink(target) => Ok(Told::Link(target.clone())),
                _ => Err(Errno::EINVAL),
            },
            Action::Stat(path) => {
                let node = &self.nodes[&self.find(path)?];
                let directory = matches!(node.kind, Kind::Directory(_));
                let subdirectories = match &node.kind {
                    Kind::Directory(entries) => {
                        entries.values().filter(|child| self.directory(**child).is_ok()).count()
                            as u32
                    }
                    _ => 0,
                };
                let links = if directory { 2 + subdirectories } else { node.links };
                Ok(Told::Stat { directory, links, mode: node.mode })
            }
            Action::List(path) => {
                let node = self.find_target(path)?;
                Ok(Told::Names(self.directory(node)?.keys().cloned().collect()))
            }
            Action::SetXattr(path, name, value) => {
                let node = self.find_target(path)?;
                self.nodes
                    .get_mut(&node)
                    .expect("a node")
                    .xattrs
                    .insert(name.clone(), value.clone());
                Ok(Told::Done)
            }
            Action::GetXattr(path, name) => {
                let node = self.find_target(path)?;
                let value = self.nodes[&node].xattrs.get(name).cloned();
                value.map(Told::Xattr).ok_or(Errno::ENODATA)
            }
            Action::RemoveXattr(path, name) => {
                let node = self.find_target(path)?;
                let gone = self.nodes.get_mut(&node).expect("a node").xattrs.remove(name);
                gone.map(|_| Told::Done).ok_or(Errno::ENODATA)
            }
            Action::Chmod(path, mode) => {
                let node = self.find_target(path)?;
                self.nodes.get_mut(&node).expect("a node").mode = *mode;
                Ok(Told::Done)
            }
        }
    }
}

impl Node {
    fn new(kind: Kind, mode: u32) -> Self {
        Self { kind, links: 1, mode, xattrs: BTreeMap::new() }
    }
}

impl Default for Tree {
    fn default() -> Self {
        Self::new()
    }
}

/// All trees that the volume may have now.
#[derive(Clone, Debug)]
pub struct Trees(pub Vec<Tree>);

impl Trees {
    /// An action had this result: removes the trees in which it would have had another one.
    pub fn happened(
        &mut self,
        action: &Action,
        answer: &Result<Told, OpError>,
    ) -> Result<(), Violation> {
        let before = std::mem::take(&mut self.0);
        let mut after: Vec<Tree> = Vec::new();
        let mut expected_ones = Vec::new();
        for mut tree in before {
            let untouched = tree.clone();
            let expected = tree.act(action);
            match answer {
                Ok(told) if expected.as_ref() == Ok(told) => after.push(tree),
                // A full disk, or a full table of the server, changes nothing.
                Err(OpError::Errno(Errno::ENOSPC | Errno::EMFILE)) => after.push(untouched),
                Err(OpError::Errno(errno)) if expected.as_ref() == Err(errno) => {
                    after.push(untouched)
                }
                Ok(_) | Err(OpError::Errno(_)) => {}
                // The result is unknown.
                Err(_) => after.extend([untouched, tree]),
            }
            expected_ones.push(expected);
        }
        after.dedup();
        if after.is_empty() {
            let message =
                format!("{action:?} was answered {answer:?}; expected one of {expected_ones:?}");
            return Err(Violation::new("tree", message));
        }
        self.0 = after;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_outcome_leaves_two_trees_and_an_answer_one() {
        let mut trees = Trees(vec![Tree::new()]);
        let mkdir = Action::Mkdir("a".to_owned());
        trees.happened(&mkdir, &Err(OpError::TimedOut)).unwrap();
        assert_eq!(trees.0.len(), 2);
        trees.happened(&mkdir, &Err(OpError::Errno(Errno::EEXIST))).unwrap();
        assert_eq!(trees.0.len(), 1);
        let stat = Action::Stat("a".to_owned());
        assert!(trees.happened(&stat, &Err(OpError::Errno(Errno::ENOENT))).is_err());
    }
}
