//! A client that works on names, one action after the other, and its model of the tree.

use brickwire_core::volume::{Op, OpError, OpenFlags, SetAttributes};

use crate::checkers::Violation;
use crate::checkers::tree::{Action, Told, Tree, Trees};
use crate::client::{Done, Got};
use crate::dice::Dice;
use crate::run::{must, usable};
use crate::scenario::{AUDITOR, ClientPlan, MS};
use crate::world::World;

/// After this time a call whose outcome is unknown has been executed, or never will be: kernels
/// have given up, and disks have done their late work.
const OUTCOME: u64 = 70_000 * MS;
/// More possible trees than this are too many: a look at everything leaves one.
const TREES: usize = 24;

/// The client, and all trees that it may have made.
#[derive(Debug)]
pub struct Names {
    client: usize,
    dice: Dice,
    trees: Trees,
}

impl Names {
    /// Starts the client, on the first volume.
    pub fn begin(world: &mut World) -> Self {
        let client = world.add_client(&ClientPlan {
            volume: 0,
            limits: AUDITOR,
            depth: 1,
            open: 1,
            op_timeout_ms: 60_000,
            lanes: 1,
        });
        world.names_client = Some(client);
        let dice = Dice::new(world.scenario.seed, "names");
        Self { client, dice, trees: Trees(vec![Tree::new()]) }
    }

    /// Works while the other clients do.
    pub fn work(&mut self, world: &mut World) -> Result<(), Violation> {
        for _ in 0..world.scenario.workload.operations {
            let action = self.action();
            // The model has judged the answer.
            let _ = self.act(world, &action)?;
            if self.trees.0.len() > TREES {
                self.look_at_everything(world)?;
            }
        }
        Ok(())
    }

    /// After the faults one tree is left, and it is the volume's.
    pub fn end(mut self, world: &mut World) -> Result<(), Violation> {
        usable(world, self.client)?;
        self.look_at_everything(world)?;
        must(world.ask(self.client, Op::Stop, Vec::new())?).map(drop)
    }

    fn act(&mut self, world: &mut World, action: &Action) -> Result<Answer, Violation> {
        let answer = self.ask(world, action)?;
        if matches!(answer, Err(OpError::Indeterminate(_) | OpError::TimedOut)) {
            world.pass(OUTCOME)?;
        }
        self.trees.happened(action, &answer)?;
        Ok(answer)
    }

    fn path(&mut self) -> String {
        let depth = self.dice.pick(&[1, 1, 2, 2, 3]);
        let parts: Vec<&str> = (0..depth).map(|_| self.dice.pick(&["a", "b", "c", "dd"])).collect();
        parts.join("/")
    }

    fn action(&mut self) -> Action {
        let one = self.path();
        let xattr = format!("user.x{}", self.dice.below(3));
        match self.dice.below(20) {
            0..=2 => Action::Create(one),
            3..=5 => Action::Mkdir(one),
            6 => Action::Rmdir(one),
            7 => Action::Unlink(one),
            8..=10 => Action::Rename(one, self.path()),
            11 => Action::Link(one, self.path()),
            12 => Action::Symlink(format!("nowhere-{}", self.dice.below(100)), one),
            13 => Action::Readlink(one),
            14 => Action::Stat(one),
            15 => Action::List(if self.dice.below(2) == 0 { String::new() } else { one }),
            16 => {
                let len = self.dice.pick(&[3, 70, 1500]);
                Action::SetXattr(one, xattr, vec![self.dice.below(256) as u8; len])
            }
            17 => Action::GetXattr(one, xattr),
            18 => Action::RemoveXattr(one, xattr),
            _ => Action::Chmod(one, self.dice.pick(&[0o600, 0o644, 0o750])),
        }
    }

    /// Looks at the whole tree: afterwards one tree is left, if there are no faults.
    fn look_at_everything(&mut self, world: &mut World) -> Result<(), Violation> {
        let mut directories = vec![String::new()];
        while let Some(directory) = directories.pop() {
            let answer = self.act(world, &Action::List(directory.clone()))?;
            let Ok(Told::Names(names)) = answer else { continue };
            for name in names {
                let path = if directory.is_empty() { name } else { format!("{directory}/{name}") };
                let _ = self.act(world, &Action::Readlink(path.clone()))?;
                let answer = self.act(world, &Action::Stat(path.clone()))?;
                if matches!(answer, Ok(Told::Stat { directory: true, .. })) {
                    directories.push(path);
                }
            }
        }
        Ok(())
    }

    fn op(&self, world: &mut World, op: Op<'_>) -> Result<Done, Violation> {
        world.ask(self.client, op, Vec::new())
    }

    /// Runs an action on the volume.
    fn ask(&self, world: &mut World, action: &Action) -> Result<Answer, Violation> {
        let op = match action {
            Action::Create(path) => return self.create(world, path),
            Action::List(path) => return self.list(world, path),
            Action::SetXattr(path, name, value) => {
                let (path, name, len) = (path.as_bytes(), name.as_bytes(), value.len() as u32);
                let op = Op::SetXattr { path, name, len, flags: 0 };
                let done = world.ask(self.client, op, value.clone())?;
                return Ok(done.result.map(|_| Told::Done));
            }
            Action::Mkdir(path) => Op::Mkdir { path: path.as_bytes(), mode: 0o755 },
            Action::Rmdir(path) => Op::Rmdir { path: path.as_bytes() },
            Action::Unlink(path) => Op::Unlink { path: path.as_bytes() },
            Action::Rename(from, to) => Op::Rename { from: from.as_bytes(), to: to.as_bytes() },
            Action::Link(from, to) => Op::Link { from: from.as_bytes(), to: to.as_bytes() },
            Action::Symlink(target, path) => {
                Op::Symlink { target: target.as_bytes(), path: path.as_bytes() }
            }
            Action::Readlink(path) => Op::Readlink { path: path.as_bytes() },
            Action::Stat(path) => Op::Stat { path: path.as_bytes(), follow: false },
            Action::GetXattr(path, name) => {
                Op::GetXattr { path: path.as_bytes(), name: name.as_bytes() }
            }
            Action::RemoveXattr(path, name) => {
                Op::RemoveXattr { path: path.as_bytes(), name: name.as_bytes() }
            }
            Action::Chmod(path, mode) => Op::SetAttributes {
                path: path.as_bytes(),
                set: SetAttributes { mode: Some(*mode), ..SetAttributes::default() },
            },
        };
        let done = self.op(world, op)?;
        Ok(done.result.map(|_| told(action, done.got)))
    }

    fn create(&self, world: &mut World, path: &str) -> Result<Answer, Violation> {
        let flags = OpenFlags::READ_WRITE.and(OpenFlags::CREATE).and(OpenFlags::EXCLUSIVE);
        let path = path.as_bytes();
        let done = self.op(world, Op::Open { path, flags, mode: 0o644 })?;
        if let Some(file) = done.got.opened() {
            // With faults it may report that the connection is gone; the handle is closed.
            self.op(world, Op::Close { file })?;
        }
        Ok(done.result.map(|_| Told::Done))
    }

    fn list(&self, world: &mut World, path: &str) -> Result<Answer, Violation> {
        let done = self.op(world, Op::OpenDir { path: path.as_bytes() })?;
        let dir = match done.result {
            Ok(_) => done.got.opened().expect("an open directory"),
            Err(error) => return Ok(Err(error)),
        };
        let (mut all, mut cookie) = (Vec::new(), 0);
        let result = loop {
            let done = self.op(world, Op::ReadDir { dir, cookie })?;
            if let Err(error) = done.result {
                break Err(error);
            }
            let Got::Entries { names, next, last } = done.got else { break Ok(()) };
            all.extend(names);
            match next {
                Some(next) if !last => cookie = next,
                _ => break Ok(()),
            }
        };
        self.op(world, Op::Close { file: dir })?;
        let names = all.into_iter().map(|name| String::from_utf8_lossy(&name).into_owned());
        // The files of the other clients are beside the tree.
        let mut names: Vec<String> =
            names.filter(|name| !(name.starts_with('.') || name.starts_with("file-"))).collect();
        names.sort();
        Ok(result.map(|()| Told::Names(names)))
    }
}

type Answer = Result<Told, OpError>;

fn told(action: &Action, got: Got) -> Told {
    match (action, got) {
        (Action::Stat(_), Got::Stat(stat)) => {
            Told::Stat { directory: stat.is_dir(), links: stat.nlink, mode: stat.mode & 0o7777 }
        }
        (_, Got::Link(target)) => Told::Link(String::from_utf8_lossy(&target).into_owned()),
        (Action::GetXattr(_, name), Got::Xattrs(mut found)) => {
            found.remove(name.as_bytes()).map_or(Told::Done, Told::Xattr)
        }
        _ => Told::Done,
    }
}
