//! Names against a model of a tree: directories, hard links, symlinks, renames, xattrs. With faults
//! an operation may have an unknown result; then the model holds both possible trees until an
//! answer excludes one.

mod client_server_sim;
mod server_harness;

use std::collections::BTreeMap;

use brickwire_core::volume::{Op, OpError, OpenFlags, SetAttributes};
use brickwire_core::xdr::Errno;
use client_server_sim::{Dice, Faults, Got, Simulation, seeds};

/// The model of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Tree {
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

#[derive(Clone, Debug)]
enum Action {
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
enum Told {
    Done,
    Names(Vec<String>),
    Link(String),
    Stat { directory: bool, links: u32, mode: u32 },
    Xattr(Vec<u8>),
}

type Answer = Result<Told, Errno>;

impl Tree {
    fn new() -> Self {
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

    fn act(&mut self, action: &Action) -> Answer {
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

fn path(dice: &mut Dice) -> String {
    let names = ["a", "b", "c", "dd"];
    let depth = [1, 1, 2, 2, 3][dice.below(5)];
    let parts: Vec<&str> = (0..depth).map(|_| names[dice.below(names.len())]).collect();
    parts.join("/")
}

fn action(dice: &mut Dice) -> Action {
    let one = path(dice);
    match dice.below(20) {
        0..=2 => Action::Create(one),
        3..=5 => Action::Mkdir(one),
        6 => Action::Rmdir(one),
        7 => Action::Unlink(one),
        8..=10 => Action::Rename(one, path(dice)),
        11 => Action::Link(one, path(dice)),
        12 => Action::Symlink(format!("nowhere-{}", dice.below(100)), one),
        13 => Action::Readlink(one),
        14 => Action::Stat(one),
        15 => Action::List(if dice.below(2) == 0 { String::new() } else { one }),
        16 => {
            let len = [3, 70, 3000][dice.below(3)];
            Action::SetXattr(
                one,
                format!("user.x{}", dice.below(3)),
                vec![dice.below(256) as u8; len],
            )
        }
        17 => Action::GetXattr(one, format!("user.x{}", dice.below(3))),
        18 => Action::RemoveXattr(one, format!("user.x{}", dice.below(3))),
        _ => Action::Chmod(one, [0o600, 0o644, 0o750][dice.below(3)]),
    }
}

/// Runs an action on the volume.
fn ask(sim: &mut Simulation, action: &Action) -> Result<Told, OpError> {
    let got = match action {
        Action::Create(path) => {
            let flags = OpenFlags::READ_WRITE.and(OpenFlags::CREATE).and(OpenFlags::EXCLUSIVE);
            let file = sim.open(path, flags)?;
            // With faults it may report that the connection is gone; the handle is closed all the
            // same.
            let _ = sim.do_(Op::Close { file });
            Got::Nothing
        }
        Action::Mkdir(path) => sim.do_(Op::Mkdir { path: path.as_bytes(), mode: 0o755 })?,
        Action::Rmdir(path) => sim.do_(Op::Rmdir { path: path.as_bytes() })?,
        Action::Unlink(path) => sim.do_(Op::Unlink { path: path.as_bytes() })?,
        Action::Rename(from, to) => {
            sim.do_(Op::Rename { from: from.as_bytes(), to: to.as_bytes() })?
        }
        Action::Link(from, to) => sim.do_(Op::Link { from: from.as_bytes(), to: to.as_bytes() })?,
        Action::Symlink(target, path) => {
            sim.do_(Op::Symlink { target: target.as_bytes(), path: path.as_bytes() })?
        }
        Action::Readlink(path) => sim.do_(Op::Readlink { path: path.as_bytes() })?,
        Action::Stat(path) => Got::Stat(sim.stat(path)?),
        Action::List(path) => {
            let mut names = sim.list(path)?;
            names.sort();
            return Ok(Told::Names(names));
        }
        Action::SetXattr(path, name, value) => {
            let (path, name, len) = (path.as_bytes(), name.as_bytes(), value.len() as u32);
            sim.ask(Op::SetXattr { path, name, len, flags: 0 }, value.clone()).result?;
            Got::Nothing
        }
        Action::GetXattr(path, name) => {
            match sim.do_(Op::GetXattr { path: path.as_bytes(), name: name.as_bytes() })? {
                Got::Xattrs(mut found) => {
                    return Ok(Told::Xattr(found.remove(name).expect("the one")));
                }
                other => other,
            }
        }
        Action::RemoveXattr(path, name) => {
            sim.do_(Op::RemoveXattr { path: path.as_bytes(), name: name.as_bytes() })?
        }
        Action::Chmod(path, mode) => {
            sim.set_attributes(
                path,
                SetAttributes { mode: Some(*mode), ..SetAttributes::default() },
            )?;
            Got::Nothing
        }
    };
    Ok(match got {
        Got::Link(target) => Told::Link(String::from_utf8(target).expect("text")),
        Got::Stat(stat) => {
            Told::Stat { directory: stat.is_dir(), links: stat.nlink, mode: stat.mode & 0o7777 }
        }
        _ => Told::Done,
    })
}

/// All trees that the volume may have now.
struct Worlds(Vec<Tree>);

impl Worlds {
    /// An action had this result: removes the trees in which it would have had another one.
    fn happened(&mut self, action: &Action, answer: &Result<Told, OpError>) {
        let before = self.0.clone();
        let mut after: Vec<Tree> = Vec::new();
        for mut tree in before.iter().cloned() {
            let untouched = tree.clone();
            let expected = tree.act(action);
            match answer {
                Ok(told) if expected.as_ref() == Ok(told) => after.push(tree),
                Err(OpError::Errno(errno)) if expected.as_ref() == Err(errno) => {
                    after.push(untouched)
                }
                Ok(_) | Err(OpError::Errno(_)) => {}
                // The result is unknown.
                Err(_) => after.extend([untouched, tree]),
            }
        }
        after.dedup();
        assert!(
            !after.is_empty(),
            "{action:?} was answered {answer:?}; expected one of {:?}",
            before.into_iter().map(|mut tree| tree.act(action)).collect::<Vec<_>>()
        );
        self.0 = after;
    }
}

fn run(seed: u64, faults: Faults, actions: usize) -> (u32, Simulation) {
    let mut sim = Simulation::new(seed, faults);
    let mut dice = Dice::new(seed ^ 0xa11);
    let mut worlds = Worlds(vec![Tree::new()]);
    let mut done = 0;
    for _ in 0..actions {
        let action = action(&mut dice);
        let answer = ask(&mut sim, &action);
        done += u32::from(answer.is_ok());
        worlds.happened(&action, &answer);
        assert!(faults != Faults::DELAYS_ONLY || worlds.0.len() == 1);
        if worlds.0.len() > 50 {
            look_at_everything(&mut sim, &mut worlds);
        }
    }
    sim.faults = Faults::default();
    sim.storage.hold = false;
    look_at_everything(&mut sim, &mut worlds);
    // The last RELEASE is in transit.
    sim.settle();
    assert_eq!(sim.storage.memory.usage().files, 0, "everything was closed");
    assert_eq!(sim.storage.memory.verify(), Ok(()));
    (done, sim)
}

/// Looks at the whole tree: afterwards one tree is left.
fn look_at_everything(sim: &mut Simulation, worlds: &mut Worlds) {
    let mut directories = vec![String::new()];
    while let Some(directory) = directories.pop() {
        let list = Action::List(directory.clone());
        let answer = ask(sim, &list);
        worlds.happened(&list, &answer);
        let Ok(Told::Names(names)) = answer else { continue };
        for name in names {
            let path = if directory.is_empty() { name } else { format!("{directory}/{name}") };
            for action in [Action::Stat(path.clone()), Action::Readlink(path.clone())] {
                let answer = ask(sim, &action);
                worlds.happened(&action, &answer);
                if matches!(answer, Ok(Told::Stat { directory: true, .. })) {
                    directories.push(path.clone());
                }
            }
        }
    }
}

#[test]
fn the_tree_is_what_was_made_of_it() {
    let mut done = 0;
    for seed in seeds(0..20) {
        done += run(seed, Faults::DELAYS_ONLY, 200).0;
    }
    assert!(done > 30, "only {done} actions did anything");
}

#[test]
fn the_tree_is_one_of_those_that_it_may_be_although_connections_break() {
    for seed in seeds(100..130) {
        run(seed, Faults { resets: 60, ..Faults::RESETS }, 120);
    }
}

#[test]
fn the_same_seed_makes_the_same_tree() {
    let one = run(9, Faults::RESETS, 60).1;
    let two = run(9, Faults::RESETS, 60).1;
    assert_eq!((one.trace(), one.steps), (two.trace(), two.steps));
    assert!(one.storage.memory == two.storage.memory);
}

#[test]
fn a_big_directory_is_listed_completely_with_any_faults() {
    for (seed, faults) in [(1, Faults::DELAYS_ONLY), (2, Faults::RESETS)] {
        let mut sim = Simulation::new(seed, Faults::default());
        let all: Vec<String> =
            (0..300).map(|n| format!("a-rather-long-name-of-a-file-{n:04}")).collect();
        for name in &all {
            let file = sim.open(name, OpenFlags::READ_WRITE.and(OpenFlags::CREATE)).unwrap();
            sim.do_(Op::Close { file }).unwrap();
        }
        sim.faults = faults;
        // A listing that broke off is begun again.
        let names = (0..100).find_map(|_| sim.list("").ok()).expect("a listing");
        assert_eq!(names, all);
    }
}

#[test]
fn symlinks_are_followed_in_the_middle_and_at_the_end_and_loops_end() {
    let mut sim = Simulation::new(3, Faults::DELAYS_ONLY);
    let symlink = |sim: &mut Simulation, target: &str, path: &str| {
        sim.do_(Op::Symlink { target: target.as_bytes(), path: path.as_bytes() }).unwrap();
    };
    sim.do_(Op::Mkdir { path: b"dir", mode: 0o755 }).unwrap();
    sim.do_(Op::Mkdir { path: b"dir/sub", mode: 0o755 }).unwrap();
    symlink(&mut sim, "dir/sub", "short");
    symlink(&mut sim, "../../short/file", "dir/sub/again");
    symlink(&mut sim, "loop-b", "loop-a");
    symlink(&mut sim, "loop-a", "loop-b");
    symlink(&mut sim, "short/new", "dangling");
    let create = OpenFlags::READ_WRITE.and(OpenFlags::CREATE);
    let file = sim.open("short/file", create).unwrap();
    sim.write(file, 0, b"through the link").unwrap();
    let again = sim.open("dir/sub/again", OpenFlags::READ).unwrap();
    assert_eq!(sim.read(again, 0, 100).unwrap(), b"through the link");
    assert_eq!(sim.open("loop-a", OpenFlags::READ), Err(OpError::Errno(Errno::ELOOP)));
    let new = sim.open("dangling", create).unwrap();
    sim.write(new, 0, b"x").unwrap();
    assert_eq!(sim.stat("dir/sub/new").unwrap().size, 1);
    assert!(sim.stat("dangling").unwrap().is_symlink(), "a look that does not follow");
    symlink(&mut sim, "nowhere", "taken");
    let must_be_new = sim.open("taken", create.and(OpenFlags::EXCLUSIVE));
    assert_eq!(
        must_be_new,
        Err(OpError::Errno(Errno::EEXIST)),
        "the name is taken, whatever it leads to"
    );
    assert_eq!(sim.stat("nowhere"), Err(OpError::Errno(Errno::ENOENT)));
}

#[test]
fn a_client_that_vanishes_leaves_nothing_with_the_server() {
    for seed in seeds(0..30) {
        let mut sim = Simulation::new(seed, Faults::DELAYS_ONLY);
        let create = OpenFlags::READ_WRITE.and(OpenFlags::CREATE);
        let files: Vec<_> = (0..4).map(|n| sim.open(&format!("f{n}"), create).unwrap()).collect();
        for (n, file) in files.iter().enumerate() {
            sim.submit(Op::Write { file: *file, offset: 0, len: 5000 }, vec![n as u8; 5000]);
            sim.submit(Op::Read { file: *file, offset: 0, len: 5000, fill: false }, vec![0; 5000]);
        }
        for _ in 0..seed * 3 {
            sim.step();
        }
        sim.client_vanishes();
        let usage = sim.server.usage();
        assert_eq!((usage.connections, usage.jobs, usage.files), (0, 0, 0), "seed {seed}");
        assert_eq!(
            (sim.storage.buffers(), sim.storage.memory.usage().files),
            (0, 0),
            "seed {seed}"
        );
    }
}
