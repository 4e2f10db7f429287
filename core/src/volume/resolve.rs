//! From a path to a gfid: one LOOKUP for each component, in the directory reached so far
//! (docs/spec/30-client-stack.md, "Path resolution").
//!
//! The path is in a buffer of the operation. The target of a symlink replaces its name there, so
//! all components before the current one are real directories, and `..` removes the one before it.

use super::OpError;
use super::machine::Machine;
use super::operation::{Kind, OpState};
use crate::fop::wire::{Body, Reply};
use crate::id::OpId;
use crate::names::{Name, NameIx};
use crate::xdr::{Errno, Gfid, Iatt};
use crate::xlator::{Entry, Fop};

/// Symlinks that one resolution follows.
const LINKS_MAX: u8 = 40;
/// Bytes of a name.
pub(super) const NAME_MAX: usize = 255;

/// The kind of object that an operation needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goal {
    /// The object that the path leads to. `follow`: a symlink at the end is followed.
    Object { follow: bool },
    /// The directory of the last name, and that name.
    Parent,
    /// The object that the path leads to, or the place where it would be.
    ObjectOrPlace { follow: bool },
}

/// The result of a resolution.
#[derive(Clone, Copy, Debug)]
pub(super) enum Found<'r> {
    /// An object, with the attributes that its LOOKUP returned.
    Object(Gfid, &'r Iatt),
    /// A directory that was reached without a LOOKUP of its own: the root, or the end of `a/b/..`.
    Directory(Gfid),
    /// A name in a directory. Either it was not looked up, or it does not exist.
    Place(Entry),
}

/// The component at or behind `pos`: its first byte, the byte behind it, and whether it is the last
/// one.
fn component(text: &[u8], pos: usize) -> Option<(usize, usize, bool)> {
    let rest = text.get(pos..)?;
    let from = pos + rest.iter().position(|byte| *byte != b'/')?;
    let name = text.get(from..)?;
    let to = from + name.iter().position(|byte| *byte == b'/').unwrap_or(name.len());
    let last = text.get(to..)?.iter().all(|byte| *byte == b'/');
    Some((from, to, last))
}

impl Machine<'_> {
    fn goal(kind: &Kind, path: u8) -> Goal {
        match kind {
            Kind::Stat { follow } => Goal::Object { follow: *follow },
            Kind::Open { flags, .. } if flags.has(super::OpenFlags::CREATE) => {
                // A symlink at the end counts as existing (open(2), O_EXCL).
                Goal::ObjectOrPlace { follow: !flags.has(super::OpenFlags::EXCLUSIVE) }
            }
            Kind::Link if path == 0 => Goal::Object { follow: false },
            Kind::Readlink => Goal::Object { follow: false },
            Kind::Mkdir { .. }
            | Kind::Rmdir
            | Kind::Unlink
            | Kind::Rename
            | Kind::Link
            | Kind::Symlink => Goal::Parent,
            _ => Goal::Object { follow: true },
        }
    }

    /// Begins to resolve one of the operation's paths.
    pub(super) fn resolve(&mut self, id: OpId, path: u8) {
        self.leave_inode(id);
        let Some(op) = self.ops.get_mut(id) else { return };
        op.state = OpState::Resolving;
        op.walk.path = path;
        op.walk.pos = 0;
        op.walk.parent = Gfid::ROOT;
        op.fop = None;
        self.resolve_next(id);
    }

    fn path_of(&self, id: OpId) -> Option<NameIx> {
        let op = self.ops.get(id)?;
        *op.names.get(usize::from(op.walk.path))?
    }

    /// Looks up the next component, or reports the directory that was reached.
    pub(super) fn resolve_next(&mut self, id: OpId) {
        let Some(path) = self.path_of(id) else { return };
        loop {
            let Some(op) = self.ops.get_mut(id) else { return };
            let goal = Self::goal(&op.kind, op.walk.path);
            let text = self.context.names.text(path);
            let Some((from, to, last)) = component(text, usize::from(op.walk.pos)) else {
                let reached = op.walk.parent;
                return self.found(id, Found::Directory(reached));
            };
            match text.get(from..to).unwrap_or_default() {
                b"." => op.walk.pos = to as u16,
                b".." => {
                    // Removes the component before this one, which is a real directory, and begins
                    // again at the root.
                    let before = text.get(..from).unwrap_or_default();
                    let end = before.iter().rposition(|byte| *byte != b'/').map_or(0, |at| at + 1);
                    let begin = before
                        .get(..end)
                        .and_then(|b| b.iter().rposition(|byte| *byte == b'/'))
                        .map_or(0, |at| at + 1);
                    op.walk.pos = 0;
                    op.walk.parent = Gfid::ROOT;
                    if self.context.names.splice(path, begin.min(end), to, b"").is_err() {
                        return self.finish(id, Err(OpError::Errno(Errno::ENAMETOOLONG)));
                    }
                }
                name if name.len() > NAME_MAX => {
                    return self.finish(id, Err(OpError::Errno(Errno::ENAMETOOLONG)));
                }
                name => {
                    let name = Name { buffer: path, at: from as u16, len: name.len() as u16 };
                    op.walk.name = name;
                    let at = Entry { parent: op.walk.parent, name };
                    if last && goal == Goal::Parent {
                        return self.found(id, Found::Place(at));
                    }
                    let gfid_req = self.context.new_gfid();
                    return self.wind(id, Fop::Lookup { at, gfid_req });
                }
            }
        }
    }

    /// Takes the answer to a LOOKUP or READLINK of a resolution.
    pub(super) fn component_answered(
        &mut self,
        id: OpId,
        result: Result<u32, Errno>,
        reply: Option<&Reply<'_>>,
    ) {
        let Some(op) = self.ops.get_mut(id) else { return };
        op.fop = None;
        if op.state == OpState::Following {
            return match (result, reply.map(|reply| &reply.body)) {
                (Ok(_), Some(Body::Readlink { path, .. })) => self.follow(id, path),
                (Ok(_), _) => self.finish(id, Err(OpError::BadAnswer("a transport's target"))),
                (Err(errno), _) => self.resolve_failed(id, errno),
            };
        }
        let name = op.walk.name;
        let goal = Self::goal(&op.kind, op.walk.path);
        let text = self.context.names.text(name.buffer);
        let end = name.at + name.len;
        let last = component(text, usize::from(end)).is_none();
        let stat = match (result, reply.map(|reply| &reply.body)) {
            (Ok(_), Some(Body::TwoIatts { before, .. })) => before,
            (Ok(_), _) => return self.finish(id, Err(OpError::BadAnswer("attributes"))),
            (Err(Errno::ENOENT), _) if last && matches!(goal, Goal::ObjectOrPlace { .. }) => {
                let at = Entry { parent: op.walk.parent, name };
                return self.found(id, Found::Place(at));
            }
            (Err(errno), _) => return self.resolve_failed(id, errno),
        };
        if stat.gfid == Gfid::NONE {
            return self.finish(id, Err(OpError::BadAnswer("a gfid")));
        }
        let stays =
            matches!(goal, Goal::Object { follow: false } | Goal::ObjectOrPlace { follow: false });
        let follow = !last || !stays;
        if stat.is_symlink() && follow {
            op.state = OpState::Following;
            return self.wind(id, Fop::Readlink { gfid: stat.gfid });
        }
        if last {
            return self.found(id, Found::Object(stat.gfid, stat));
        }
        if !stat.is_dir() {
            return self.finish(id, Err(OpError::Errno(Errno::ENOTDIR)));
        }
        op.walk.parent = stat.gfid;
        op.walk.pos = end;
        self.resolve_next(id);
    }

    /// Replaces the name of a symlink by its target.
    fn follow(&mut self, id: OpId, target: &[u8]) {
        let Some(op) = self.ops.get_mut(id) else { return };
        op.state = OpState::Resolving;
        op.walk.links += 1;
        if op.walk.links > LINKS_MAX {
            return self.finish(id, Err(OpError::Errno(Errno::ELOOP)));
        }
        if target.is_empty() || target.contains(&0) {
            return self.finish(id, Err(OpError::BadAnswer("a usable transport target")));
        }
        let name = op.walk.name;
        let (mut from, to) = (usize::from(name.at), usize::from(name.at + name.len));
        if target.first() == Some(&b'/') {
            from = 0;
            op.walk.parent = Gfid::ROOT;
        }
        op.walk.pos = from as u16;
        if self.context.names.splice(name.buffer, from, to, target).is_err() {
            return self.finish(id, Err(OpError::Errno(Errno::ENAMETOOLONG)));
        }
        self.resolve_next(id);
    }

    /// Ends a resolution with an error. After ESTALE (an object on the path was replaced meanwhile)
    /// it is begun once more at the root.
    pub(super) fn resolve_failed(&mut self, id: OpId, errno: Errno) {
        let Some(op) = self.ops.get_mut(id) else { return };
        if errno == Errno::ESTALE && !op.walk.again && op.names[0].is_some() {
            op.walk.again = true;
            return self.resolve(id, 0);
        }
        self.finish(id, Err(OpError::Errno(errno)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_and_trailing_slashes_are_no_components() {
        assert_eq!(component(b"//a//bc/", 0), Some((2, 3, false)));
        assert_eq!(component(b"//a//bc/", 3), Some((5, 7, true)));
        assert_eq!(component(b"//a//bc/", 7), None);
        assert_eq!(component(b"", 0), None);
        assert_eq!(component(b"///", 0), None);
    }
}
