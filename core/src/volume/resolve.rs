//! From a path to a gfid: LOOKUP by LOOKUP, in the directory reached so far
//! (docs/spec/30-client-stack.md, "Path resolution").
//!
//! The path stands in a buffer of the operation. A symlink is followed by putting what it says in its place, so what is
//! before the component at hand consists of real directories only, and `..` takes the one before it away.

use super::OpError;
use super::machine::Machine;
use super::operation::{Kind, OpState};
use crate::fop::wire::{Body, Reply};
use crate::id::OpId;
use crate::names::{Name, NameIx};
use crate::xdr::{Errno, Gfid, Iatt};
use crate::xlator::{Entry, Fop};

/// Symlinks that one walk follows.
const LINKS_MAX: u8 = 40;
/// Bytes of a name.
pub(super) const NAME_MAX: usize = 255;

/// What a walk is to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goal {
    /// What the path leads to; a symlink at the end is followed or not.
    Object { follow: bool },
    /// The directory that the last name is in, and that name.
    Parent,
    /// What the path leads to, or the place where it would be.
    ObjectOrPlace { follow: bool },
}

/// What a walk has found.
#[derive(Clone, Copy, Debug)]
pub(super) enum Found<'r> {
    /// An object, with attributes as just looked up.
    Object(Gfid, &'r Iatt),
    /// A directory that was reached without a look at its last name: the root, or the end of `a/b/..`.
    Directory(Gfid),
    /// A name in a directory; whether anything is there was not asked, or nothing is.
    Place(Entry),
}

/// The component at or behind `pos`: where it begins and ends, and whether it is the last.
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
                // What must be new is not what a symlink leads to: the name is taken (open(2), O_EXCL).
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

    /// Begins to walk one of the operation's paths.
    pub(super) fn resolve(&mut self, id: OpId, path: u8) {
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

    /// Looks up the next component, or is there.
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
                    // The component before this one is a real directory: without it, from the root again.
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

    /// A LOOKUP or READLINK of a walk is answered.
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

    /// Puts what a symlink says in the place of its name.
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

    /// ESTALE: something on the path was replaced meanwhile. Once more from the root, then it is the answer.
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
