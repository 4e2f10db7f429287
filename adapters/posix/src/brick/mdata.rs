//! Times of inodes that clients set: `trusted.glusterfs.mdata` (docs/spec/40-brick-server.md,
//! "Xattrs").

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use brickwire_core::rpc::Cred;
use brickwire_core::xdr::{Gfid, Iatt, Mdata};
use rustix::fs::{Stat, XattrFlags};

use super::files::{OpenFile, Work};
use super::handles::proc_path;
use super::inodes::{Cached, Inode};
use super::{Brick, Result, XattrNamespace, errno, hold};

/// Name of the xattr.
pub(super) const KEY: &[u8] = b"trusted.glusterfs.mdata";
/// Length of its value in bytes.
pub(super) const LEN: usize = 57;

/// Bits of a credential: the times that a call sets (docs/spec/30-client-stack.md,
/// "features/utime").
pub(super) const CTIME: u32 = 1;
pub(super) const MTIME: u32 = 2;
pub(super) const ATIME: u32 = 4;
/// Shift of the bits that stand for the parent directory's times.
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

/// The file system's times.
pub(super) fn of_stat(stat: &Stat) -> Times {
    let time = |seconds: i64, nanos: u64| (seconds, nanos.min(999_999_999) as u32);
    Times {
        ctime: time(stat.st_ctime, stat.st_ctime_nsec),
        mtime: time(stat.st_mtime, stat.st_mtime_nsec),
        atime: time(stat.st_atime, stat.st_atime_nsec),
    }
}

/// Puts times into an iatt.
pub(super) fn apply(times: &Times, iatt: &mut Iatt) {
    (iatt.ctime, iatt.ctime_nsec) = times.ctime;
    (iatt.mtime, iatt.mtime_nsec) = times.mtime;
    (iatt.atime, iatt.atime_nsec) = times.atime;
}

/// The stored times that a fop moves, and their new value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Move {
    flags: u32,
    time: (i64, u32),
    /// The client asked for it: an inode that has no stored times gets them.
    asked: bool,
}

impl Move {
    /// `own` are the times that the fop moves by its nature; `shift` is [`PARENT`] for those of a
    /// parent directory. `None` if it moves none.
    ///
    /// A client with features/utime names times with each fop, but not all that POSIX wants, and
    /// other clients name none. So what the fop changes is moved in any case, else other clients
    /// would keep what they have in their caches. Heals and rebalances (negative pids) change what
    /// is not to be seen: for them only named times are moved.
    pub(super) fn of(cred: &Cred<'_>, own: u32, shift: u32) -> Option<Self> {
        let asked = (cred.times.bits() >> shift) & (CTIME | MTIME | ATIME);
        let flags = if cred.pid < 0 { asked } else { asked | own };
        (flags != 0).then(|| Self { flags, time: time_of(cred), asked: asked != 0 })
    }

    /// Moves the times. ctime and mtime only move forward, and each change moves them by at least a
    /// nanosecond, even if they lie in the future: clients compare them to detect stale caches.
    pub(super) fn apply(&self, times: &mut Times) {
        let forward = |from: (i64, u32)| after(from).max(self.time);
        if self.flags & CTIME != 0 {
            times.ctime = forward(times.ctime);
        }
        if self.flags & MTIME != 0 {
            times.mtime = forward(times.mtime);
        }
        if self.flags & ATIME != 0 {
            times.atime = self.time;
        }
    }
}

/// The next nanosecond.
fn after((seconds, nanos): (i64, u32)) -> (i64, u32) {
    if nanos < 999_999_999 { (seconds, nanos + 1) } else { (seconds.saturating_add(1), 0) }
}

/// Time of a call: the client's if the credential has one, else this host's.
fn time_of(cred: &Cred<'_>) -> (i64, u32) {
    let (seconds, nanos) = match cred.time {
        (0, 0) => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            (now.as_secs(), now.subsec_nanos())
        }
        time => time,
    };
    (seconds.min(i64::MAX as u64) as i64, nanos.min(999_999_999))
}

/// Reads the times on disk.
fn load(namespace: XattrNamespace, fd: impl AsFd) -> Option<Times> {
    let mut bytes = [0; LEN];
    let len = namespace.get(proc_path(&fd), KEY, &mut bytes).ok()?;
    decode(bytes.get(..len)?)
}

pub(super) fn store(namespace: XattrNamespace, fd: impl AsFd, times: &Times) -> Result<()> {
    namespace.set(proc_path(&fd), KEY, &encode(times), XattrFlags::empty()).map_err(errno)
}

impl Brick {
    /// Clients' times of an inode; `fd` is any descriptor of it. `None` if it has none: the file
    /// system's count.
    pub(super) fn times(&self, gfid: &Gfid, fd: impl AsFd) -> Option<Times> {
        if self.options.disk_times {
            return None;
        }
        match self.inodes.get(gfid) {
            Some(inode) => cached(inode.namespace, &mut inode.times(), fd),
            None => load(self.namespace(), fd),
        }
    }

    /// Moves the stored times of an inode that a fop by gfid has changed; `own` as in [`Move::of`].
    pub(super) fn touch(&self, gfid: &Gfid, fd: impl AsFd, stat: &Stat, cred: &Cred<'_>, own: u32) {
        if let Some(to) = Move::of(cred, own, 0) {
            self.move_times(gfid, fd, stat, &to);
        }
    }

    /// Like `touch`, for the directory in which a fop has changed a name.
    pub(super) fn touch_parent(&self, gfid: &Gfid, fd: impl AsFd, stat: &Stat, cred: &Cred<'_>) {
        if let Some(to) = Move::of(cred, CTIME | MTIME, PARENT) {
            self.move_times(gfid, fd, stat, &to);
        }
    }

    fn move_times(&self, gfid: &Gfid, fd: impl AsFd, stat: &Stat, to: &Move) {
        if self.options.disk_times {
            return;
        }
        let inode = self.inodes.get(gfid);
        let _one_at_a_time = self.hold_attrs(gfid);
        match inode {
            Some(inode) => {
                // Written back at once, because this descriptor may be closed after the fop.
                let _ = touch_open(&inode, &fd, stat, to);
                write_back(&inode, fd);
            }
            None => {
                let stored = load(self.namespace(), &fd);
                if stored.is_none() && !to.asked {
                    return;
                }
                let mut times = stored.unwrap_or_else(|| of_stat(stat));
                to.apply(&mut times);
                // A full disk does not fail a change that is already done.
                let _ = store(self.namespace(), fd, &times);
            }
        }
    }

    /// Like `touch`, for the descriptor of a fop; an open file's times are written back later.
    pub(super) fn touch_work(&self, work: &Work, stat: &Stat, cred: &Cred<'_>, own: u32) {
        match work {
            Work::Open(file) => self.touch_file(file, stat, cred, own),
            Work::Now(fd, gfid) | Work::Direct(fd, gfid) => self.touch(gfid, fd, stat, cred, own),
        }
    }

    /// Like `touch`, for an open file.
    pub(super) fn touch_file(&self, file: &Arc<OpenFile>, stat: &Stat, cred: &Cred<'_>, own: u32) {
        if self.options.disk_times {
            return;
        }
        if let Some(to) = Move::of(cred, own, 0)
            && touch_open(&file.inode, &file.fd, stat, &to)
        {
            self.time_writer.put_off(file);
        }
    }

    /// Writes the times that a change of an open file will give it to the disk before the change.
    pub(super) fn write_ahead(&self, file: &OpenFile, stat: &Stat, cred: &Cred<'_>, own: u32) {
        let inode = &file.inode;
        let _the_newest_last = hold(&inode.stores);
        let stored = cached(inode.namespace, &mut inode.times(), &file.fd);
        if let Some(to) = Move::of(cred, own, 0)
            && !self.options.disk_times
            && (stored.is_some() || to.asked)
        {
            let mut times = stored.unwrap_or_else(|| of_stat(stat));
            to.apply(&mut times);
            // A full disk does not refuse the change.
            let _ = inode.namespace.set_open(&file.fd, KEY, &encode(&times));
        }
    }

    /// Sets all times of an inode.
    pub(super) fn set_times(&self, gfid: &Gfid, fd: impl AsFd, times: &Times) -> Result<()> {
        if self.options.disk_times {
            return Ok(());
        }
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

/// Moves the times of an open inode. Returns whether they have just become newer than those on
/// disk: then the caller schedules the write-back.
#[must_use]
pub(super) fn touch_open(inode: &Inode, fd: impl AsFd, stat: &Stat, to: &Move) -> bool {
    let mut cache = inode.times();
    let stored = cached(inode.namespace, &mut cache, &fd);
    if stored.is_none() && !to.asked {
        return false;
    }
    let mut times = stored.unwrap_or_else(|| of_stat(stat));
    to.apply(&mut times);
    cache.times = Some(Some(times));
    !std::mem::replace(&mut cache.dirty, true)
}

/// Writes the times of an open inode to the disk if they are newer.
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
        // A full disk must not fail a change that was made already; the times are written again
        // later.
        inode.times().dirty = true;
    }
}

/// Clients' times of an open inode.
pub(super) fn times_open(inode: &Inode, fd: impl AsFd) -> Option<Times> {
    cached(inode.namespace, &mut inode.times(), fd)
}

#[cfg(test)]
mod tests {
    use brickwire_core::rpc::TimeFlags;

    use super::*;

    #[test]
    fn the_example_of_a_real_brick_decodes_and_encodes_to_the_same_bytes() {
        let text = "010000000000000000000000006b03135e000000003b27099c000000006b03135e\
                    000000003b27099c000000006b030edf00000000049ac065";
        let bytes: Vec<u8> =
            (0..LEN).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect();
        let times = decode(&bytes).unwrap();
        assert_eq!(times.ctime, (0x6b03_135e, 0x3b27_099c));
        assert_eq!(times.atime, (0x6b03_0edf, 0x049a_c065));
        assert_eq!(encode(&times).as_slice(), bytes);
    }

    fn moved(times: Times, flags: u32, time: (u64, u32)) -> Times {
        let cred = Cred::v3(1, 0, 0).with_times(TimeFlags::from_bits(flags), time);
        let mut times = times;
        Move::of(&cred, 0, 0).expect("times that are asked for").apply(&mut times);
        times
    }

    #[test]
    fn times_of_changes_move_forward_if_only_by_a_nanosecond() {
        let times = Times { ctime: (10, 0), mtime: (10, 999_999_999), atime: (10, 0) };
        let after = moved(times, CTIME | MTIME | ATIME, (5, 0));
        assert_eq!(after, Times { ctime: (10, 1), mtime: (11, 0), atime: (5, 0) });
        assert_eq!(moved(times, MTIME, (11, 7)).mtime, (11, 7));
    }

    #[test]
    fn a_fop_moves_what_it_changes_although_the_client_names_no_times() {
        let client = Cred::v3(1, 0, 0);
        let to = Move::of(&client, CTIME | MTIME, 0).expect("a change");
        assert!(to.flags == CTIME | MTIME && !to.asked && to.time.0 > 1_500_000_000);
        assert!(Move::of(&client, 0, 0).is_none(), "a READ");
        assert!(Move::of(&Cred::v3(-6, 0, 0), CTIME | MTIME, 0).is_none(), "a heal");
    }
}
