//! Times of inodes as clients set them: `trusted.glusterfs.mdata` (docs/spec/40-brick-server.md,
//! "Xattrs").

use std::os::fd::AsFd;
use std::sync::Arc;

use brickwire_core::rpc::Cred;
use brickwire_core::xdr::{Iatt, Mdata};
use rustix::fs::{Stat, XattrFlags};

use super::files::{OpenFile, Work};
use super::handles::proc_path;
use super::inodes::{Cached, Inode};
use super::{Brick, Result, XattrNamespace, errno, hold};

/// The xattr.
pub(super) const KEY: &[u8] = b"trusted.glusterfs.mdata";
/// Its bytes.
pub(super) const LEN: usize = 57;

/// Which times a call sets: bits of its credential (docs/spec/30-client-stack.md,
/// "features/utime").
pub(super) const CTIME: u32 = 1;
pub(super) const MTIME: u32 = 2;
pub(super) const ATIME: u32 = 4;
/// The parent's stand three bits higher.
pub(super) const PARENT: u32 = 3;

/// The three times of an inode.
pub(super) type Times = Mdata;

pub(super) fn decode(bytes: &[u8]) -> Option<Times> {
    let bytes: &[u8; LEN] = bytes.try_into().ok()?;
    if bytes[0] != 1 {
        return None;
    }
    let word = |at: usize| i64::from_be_bytes(bytes[at..at + 8].try_into().unwrap_or_default());
    let time = |at: usize| (word(at), word(at + 8).clamp(0, 999_999_999) as u32);
    Some(Times { ctime: time(9), mtime: time(25), atime: time(41) })
}

pub(super) fn encode(times: &Times) -> [u8; LEN] {
    let mut bytes = [0; LEN];
    bytes[0] = 1;
    for (at, (seconds, nanos)) in [(9, times.ctime), (25, times.mtime), (41, times.atime)] {
        bytes[at..at + 8].copy_from_slice(&seconds.to_be_bytes());
        bytes[at + 8..at + 16].copy_from_slice(&i64::from(nanos).to_be_bytes());
    }
    bytes
}

/// The disk's own times.
pub(super) fn of_stat(stat: &Stat) -> Times {
    let time = |seconds: i64, nanos: u64| (seconds, nanos.min(999_999_999) as u32);
    Times {
        ctime: time(stat.st_ctime, stat.st_ctime_nsec),
        mtime: time(stat.st_mtime, stat.st_mtime_nsec),
        atime: time(stat.st_atime, stat.st_atime_nsec),
    }
}

/// Puts times into attributes.
pub(super) fn apply(times: &Times, iatt: &mut Iatt) {
    (iatt.ctime, iatt.ctime_nsec) = times.ctime;
    (iatt.mtime, iatt.mtime_nsec) = times.mtime;
    (iatt.atime, iatt.atime_nsec) = times.atime;
}

/// Moves the times that `flags` name to the time of the call; ctime and mtime only forward.
pub(super) fn advance(times: &mut Times, flags: u32, (seconds, nanos): (u64, u32)) {
    let to = (seconds.min(i64::MAX as u64) as i64, nanos.min(999_999_999));
    if flags & CTIME != 0 {
        times.ctime = times.ctime.max(to);
    }
    if flags & MTIME != 0 {
        times.mtime = times.mtime.max(to);
    }
    if flags & ATIME != 0 {
        times.atime = to;
    }
}

/// Times as they are on disk.
fn load(namespace: XattrNamespace, fd: impl AsFd) -> Option<Times> {
    let mut bytes = [0; LEN];
    let len = namespace.get(proc_path(&fd), KEY, &mut bytes).ok()?;
    decode(bytes.get(..len)?)
}

pub(super) fn store(namespace: XattrNamespace, fd: impl AsFd, times: &Times) -> Result<()> {
    namespace.set(proc_path(&fd), KEY, &encode(times), XattrFlags::empty()).map_err(errno)
}

impl Brick {
    /// Times of an inode, of which `fd` is any descriptor.
    pub(super) fn times(&self, gfid: &brickwire_core::xdr::Gfid, fd: impl AsFd) -> Option<Times> {
        match self.inodes.get(gfid) {
            Some(inode) => cached(inode.namespace, &mut inode.times(), fd),
            None => load(self.namespace(), fd),
        }
    }

    /// Moves times as a call's credential says (shifted by `PARENT` for the parent's). An inode that has none gets them all.
    pub(super) fn touch(
        &self,
        gfid: &brickwire_core::xdr::Gfid,
        fd: impl AsFd,
        stat: &Stat,
        cred: &Cred<'_>,
        shift: u32,
    ) {
        let flags = (cred.times.bits() >> shift) & 7;
        if flags == 0 {
            return;
        }
        let inode = self.inodes.get(gfid);
        let _one_at_a_time = self.hold_attrs(gfid);
        match inode {
            Some(inode) => {
                // What others have open waits for nobody to write_back it.
                let _ = touch_open(&inode, &fd, stat, flags, cred.time);
                write_back(&inode, fd);
            }
            None => {
                let mut times = load(self.namespace(), &fd).unwrap_or_else(|| of_stat(stat));
                advance(&mut times, flags, cred.time);
                // A full disk is no reason to fail what was done already.
                let _ = store(self.namespace(), fd, &times);
            }
        }
    }

    /// The same for what a fop works on: an open file's times are settled later.
    pub(super) fn touch_work(&self, work: &Work, stat: &Stat, cred: &Cred<'_>) {
        match work {
            Work::Open(file) => self.touch_file(file, stat, cred),
            Work::Now(fd, gfid) | Work::Direct(fd, gfid) => self.touch(gfid, fd, stat, cred, 0),
        }
    }

    /// The same for an open file.
    pub(super) fn touch_file(&self, file: &Arc<OpenFile>, stat: &Stat, cred: &Cred<'_>) {
        let flags = cred.times.bits() & 7;
        if flags != 0 && touch_open(&file.inode, &file.fd, stat, flags, cred.time) {
            self.time_writer.put_off(file);
        }
    }

    /// Sets all times of an inode.
    pub(super) fn set_times(
        &self,
        gfid: &brickwire_core::xdr::Gfid,
        fd: impl AsFd,
        times: &Times,
    ) -> Result<()> {
        let inode = self.inodes.get(gfid);
        let _one_at_a_time = self.hold_attrs(gfid);
        if let Some(inode) = inode {
            let _the_newest_last = hold(&inode.stores);
            *inode.times() = Cached { times: Some(Some(*times)), dirty: false };
            return store(self.namespace(), fd, times);
        }
        store(self.namespace(), fd, times)
    }
}

fn cached(namespace: XattrNamespace, cache: &mut Cached, fd: impl AsFd) -> Option<Times> {
    match cache.times {
        Some(times) => times,
        None => {
            let times = load(namespace, fd);
            cache.times = Some(times);
            times
        }
    }
}

/// Moves times of an open inode. Says whether they have become newer than those on disk by that: they are to be settled then.
#[must_use]
pub(super) fn touch_open(
    inode: &Inode,
    fd: impl AsFd,
    stat: &Stat,
    flags: u32,
    time: (u64, u32),
) -> bool {
    let mut cache = inode.times();
    let mut times = cached(inode.namespace, &mut cache, &fd).unwrap_or_else(|| of_stat(stat));
    advance(&mut times, flags, time);
    cache.times = Some(Some(times));
    !std::mem::replace(&mut cache.dirty, true)
}

/// Writes times of an open inode that are newer than the disk's.
pub(super) fn write_back(inode: &Inode, fd: impl AsFd) {
    let _the_newest_last = hold(&inode.stores);
    let times = {
        let mut cache = inode.times();
        if !std::mem::take(&mut cache.dirty) {
            return;
        }
        cache.times
    };
    if let Some(Some(times)) = times
        && inode.namespace.set_open(fd, KEY, &encode(&times)).is_err()
    {
        // A full disk is no reason to fail what was done already: they are tried again.
        inode.times().dirty = true;
    }
}

/// The times of an open inode.
pub(super) fn times_open(inode: &Inode, fd: impl AsFd) -> Option<Times> {
    cached(inode.namespace, &mut inode.times(), fd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_a_real_brick_decodes_and_encodes_to_the_same_bytes() {
        let text = "010000000000000000000000006b03135e000000003b27099c000000006b03135e000000003b27099c\
                    000000006b030edf00000000049ac065";
        let bytes: Vec<u8> =
            (0..LEN).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect();
        let times = decode(&bytes).unwrap();
        assert_eq!(times.ctime, (0x6b03_135e, 0x3b27_099c));
        assert_eq!(times.atime, (0x6b03_0edf, 0x049a_c065));
        assert_eq!(encode(&times).as_slice(), bytes);
    }

    #[test]
    fn times_of_changes_only_move_forward() {
        let mut times = Times { ctime: (10, 0), mtime: (10, 0), atime: (10, 0) };
        advance(&mut times, CTIME | MTIME | ATIME, (5, 0));
        assert_eq!(times, Times { ctime: (10, 0), mtime: (10, 0), atime: (5, 0) });
        advance(&mut times, MTIME, (11, 7));
        assert_eq!(times.mtime, (11, 7));
    }
}
