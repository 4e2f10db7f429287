//! Files and directories that somebody has put into a brick by hand get a gfid when a client first
//! looks them up (docs/spec/40-brick-server.md, "gfid assignment").
//!
//! Copies of a replica must get one gfid, so there only a client may choose it. Elsewhere the brick
//! chooses if no client does: the C client's distribute proposes none at first, and never stops
//! looking up what it then finds without one.

use std::os::fd::AsFd;

use brickwire_core::fop::wire::Lookup;
use brickwire_core::xdr::{Errno, Gfid};
use rustix::fs::XattrFlags;
use rustix::io::Errno as Os;
use rustix::rand::GetRandomFlags;
use xxhash_rust::xxh64::xxh64;

use super::handles::proc_path;
use super::names::proposed_gfid;
use super::stat::{GFID, read_gfid};
use super::{Brick, Result, errno};

impl Brick {
    /// Gives what a LOOKUP found without gfid one. The caller holds the names of the directory.
    pub(super) fn adopt(&self, r: &Lookup<'_>, fd: impl AsFd, is_dir: bool) -> Result<Gfid> {
        let proposed = proposed_gfid(&r.xdata);
        let chosen = match (self.options.replicated, is_dir) {
            (true, _) => None,
            (false, true) => Some(self.directory_gfid(&r.pargfid, r.bname)),
            (false, false) if proposed.is_some() => None,
            (false, false) => random_gfid(),
        };
        self.not_an_index(&r.pargfid)?;
        let mut free = None;
        for gfid in [chosen, proposed].into_iter().flatten() {
            match self.find(&gfid, true) {
                Ok(_) => {}
                Err(Errno::ESTALE) => {
                    free = Some(gfid);
                    break;
                }
                // Nothing says that the gfid is free. The other one would be wrong for a directory.
                Err(error) => return Err(error),
            }
        }
        let gfid = free.ok_or(Errno::ENODATA)?;
        match self.namespace().set(proc_path(&fd), GFID, &gfid.0, XattrFlags::CREATE) {
            Ok(()) => Ok(gfid),
            // A LOOKUP by a name in another directory gave the file one meanwhile.
            Err(Os::EXIST) => read_gfid(self.namespace(), &fd)?.ok_or(Errno::EEXIST),
            Err(error) => Err(errno(error)),
        }
    }

    /// The same on each brick of a distributed volume, where a directory must have one gfid.
    fn directory_gfid(&self, parent: &Gfid, name: &[u8]) -> Gfid {
        let text = [&self.options.volume_id.0[..], &parent.0, name].concat();
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&xxh64(&text, 1).to_be_bytes());
        bytes[8..].copy_from_slice(&xxh64(&text, 2).to_be_bytes());
        Gfid::v4(bytes)
    }
}

fn random_gfid() -> Option<Gfid> {
    let mut bytes = [0; 16];
    let len = rustix::rand::getrandom(&mut bytes[..], GetRandomFlags::empty()).ok()?;
    (len == bytes.len()).then(|| Gfid::v4(bytes))
}

#[cfg(test)]
mod tests {
    use brickwire_core::xdr::Dict;

    use super::super::BrickOptions;
    use super::super::handles::Object;
    use super::*;

    #[test]
    fn a_file_that_two_lookups_adopt_at_once_gets_one_gfid() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let dir = tempfile::tempdir().expect("a directory");
        let brick = Brick::open(dir.path(), BrickOptions::default()).expect("a brick");
        std::fs::write(dir.path().join("f"), b"hello").expect("a file");
        let root = brick.object(&Gfid::ROOT).expect("the root");
        let Object { fd, .. } = brick.child(&root, b"f").expect("the file");
        let xdata = Dict::Null;
        let lookup = Lookup { gfid: Gfid::NONE, pargfid: Gfid::ROOT, flags: 0, bname: b"f", xdata };
        // Both have seen the file without gfid.
        let first = brick.adopt(&lookup, &fd, false).expect("a gfid");
        assert_eq!(brick.adopt(&lookup, &fd, false), Ok(first));
    }
}
