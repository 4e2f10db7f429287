//! The intent log: changes in progress are written down first, so that the next start after a crash
//! completes or reverts them.
//!
//! A change of names takes several steps (the name, the handle, `gfid2path`), and a process can die
//! between any two. The file `.glusterfs/brickwire` has a slot for each change in progress, with
//! its names and gfids, but not with its intended result. The result is read from disk: each object
//! is completed, or removed if it has no name. A new object gets its handle last, so an object
//! without a handle was not created. A brick that is stopped in order removes the file.
//!
//! After a crash of the machine the slots may be older than the directories. Then every handle is
//! checked: see [`Brick::sweep`].

use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::{Mutex, PoisonError};

use brickwire_core::xdr::{Errno, Gfid};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno as Os;

use super::handles::{Object, handle_path, is_dir, is_symlink};
use super::stat::{gfid_of, read_gfid};
use super::{Brick, gfid2path};

const PATH: &str = ".glusterfs/brickwire";
const HEADER: usize = 4096;
const SLOT: usize = 1024;
/// More slots than a server has threads.
const SLOTS: usize = 64;
const NAMES_MAX: usize = 2;
const GFIDS_MAX: usize = 2;

/// The log of a brick.
#[derive(Debug)]
pub(super) struct IntentLog {
    root: OwnedFd,
    file: OwnedFd,
    free: Mutex<Vec<u8>>,
    /// The machine crashed while the brick was served, so slots may be older than the directories.
    cut_off: bool,
}

/// A change in progress. Dropping it ends the change.
#[derive(Debug)]
pub(super) struct Intent<'a> {
    of: &'a IntentLog,
    slot: u8,
}

/// Content of a slot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Record {
    /// The second half of `names` is being created, not only named.
    making: bool,
    /// Names involved, with their directories.
    names: Vec<(Gfid, Vec<u8>)>,
    /// The inodes that have, had or will have these names.
    gfids: Vec<Gfid>,
}

impl Record {
    fn encode(&self, bytes: &mut [u8; SLOT]) {
        let mut at = 4;
        let mut put = |piece: &[u8]| {
            if let Some(place) = bytes.get_mut(at..at + piece.len()) {
                place.copy_from_slice(piece);
            }
            at += piece.len();
        };
        for (parent, name) in self.names.iter().take(NAMES_MAX) {
            put(&parent.0);
            put(&[name.len().min(255) as u8]);
            put(&name[..name.len().min(255)]);
        }
        for gfid in self.gfids.iter().take(GFIDS_MAX) {
            put(&gfid.0);
        }
        let count = |len: usize| len.min(2) as u8;
        bytes[..4].copy_from_slice(&[
            1,
            u8::from(self.making),
            count(self.names.len()),
            count(self.gfids.len()),
        ]);
    }

    /// `None` for a free slot, or a malformed one.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let (&[used, making, names, gfids], mut rest) = bytes.split_first_chunk()?;
        if used != 1 || usize::from(names) > NAMES_MAX || usize::from(gfids) > GFIDS_MAX {
            return None;
        }
        let mut record = Self { making: making == 1, ..Self::default() };
        for _ in 0..names {
            let (parent, after) = rest.split_first_chunk()?;
            let (len, after) = after.split_first()?;
            let (name, after) = after.split_at_checked(usize::from(*len))?;
            let bad = name.is_empty() || name.contains(&b'/') || name.contains(&0);
            if bad || matches!(name, b"." | b"..") {
                return None;
            }
            record.names.push((Gfid(*parent), name.to_vec()));
            rest = after;
        }
        for _ in 0..gfids {
            let (gfid, after) = rest.split_first_chunk()?;
            record.gfids.push(Gfid(*gfid));
            rest = after;
        }
        Some(record)
    }
}

impl IntentLog {
    fn begin(&self, making: bool, names: &[(&Gfid, &[u8])], gfids: &[Gfid]) -> Option<Intent<'_>> {
        let slot = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
        let intent = Intent { of: self, slot };
        let names = names.iter().map(|(parent, name)| (**parent, name.to_vec())).collect();
        let mut bytes = [0; SLOT];
        Record { making, names, gfids: gfids.to_vec() }.encode(&mut bytes);
        rustix::io::pwrite(&self.file, &bytes, offset(slot)).is_ok().then_some(intent)
    }

    /// Writes to the file's header whether the brick is being served.
    fn say(&self, in_use: bool) -> Result<(), Os> {
        let mut header = [0; HEADER];
        let text = format!(
            "brickwire 1\nboot {}\nserved {}\n",
            boot_id(),
            if in_use { "yes" } else { "no" }
        );
        header[..text.len()].copy_from_slice(text.as_bytes());
        rustix::io::pwrite(&self.file, &header, 0).map(|_| ())
    }
}

impl Drop for Intent<'_> {
    fn drop(&mut self) {
        // If the slot cannot be freed, it could not have been written either.
        let _ = rustix::io::pwrite(&self.of.file, &[0; 4], offset(self.slot));
        self.of.free.lock().unwrap_or_else(PoisonError::into_inner).push(self.slot);
    }
}

impl Drop for IntentLog {
    fn drop(&mut self) {
        // A brick that was stopped in order contains nothing that GlusterFS does not know. If the
        // file cannot be removed, its header says that no server uses it; the next start then
        // checks once more than needed.
        if self.say(false).is_ok() {
            let _ = rustix::fs::unlinkat(&self.root, PATH, AtFlags::empty());
        }
    }
}

fn offset(slot: u8) -> u64 {
    (HEADER + usize::from(slot) * SLOT) as u64
}

fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

impl IntentLog {
    /// Opens or creates the log of a brick, and returns the changes in progress when it was last
    /// used.
    fn open(root: &OwnedFd) -> Result<(Self, Vec<Record>), Os> {
        let flags = OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = rustix::fs::openat(root.as_fd(), PATH, flags, Mode::RUSR | Mode::WUSR)?;
        let mut bytes = vec![0; HEADER + SLOTS * SLOT];
        let len = rustix::io::pread(&file, &mut bytes[..], 0)?;
        let header = String::from_utf8_lossy(&bytes[..HEADER]).into_owned();
        let (mut records, mut cut_off) = (Vec::new(), false);
        if len == bytes.len()
            && header.starts_with("brickwire 1\n")
            && header.contains("\nserved yes\n")
        {
            records = bytes[HEADER..].chunks(SLOT).filter_map(Record::decode).collect();
            cut_off = !header.contains(&format!("\nboot {}\n", boot_id()));
        }
        let root = rustix::io::fcntl_dupfd_cloexec(root, 0)?;
        Ok((Self { root, file, free: Mutex::new((0..SLOTS as u8).collect()), cut_off }, records))
    }

    /// Frees the slots after everything in them is settled, on disk too, so that a full disk cannot
    /// prevent it.
    fn start(&self) -> Result<(), Os> {
        rustix::io::pwrite(&self.file, &[0; SLOTS * SLOT], HEADER as u64)?;
        self.say(true)?;
        rustix::fs::fsync(&self.file)
    }
}

impl Brick {
    /// Writes down that these names and inodes are about to change. Without room for it the change
    /// continues: it is then as safe as on a brick without such a log.
    pub(super) fn intend(
        &self,
        making: bool,
        names: &[(&Gfid, &[u8])],
        gfids: &[Gfid],
    ) -> Option<Intent<'_>> {
        self.intent_log.get()?.begin(making, names, gfids)
    }

    /// Completes or reverts the changes that a crash interrupted. Later changes are written to the
    /// log.
    pub(super) fn replay_intents(&self) -> Result<(), Os> {
        let (log, records) = IntentLog::open(&self.root)?;
        // A directory's handle may lead through one that another change was about to rewrite; in
        // the second pass it does not.
        for _ in 0..2 {
            for record in &records {
                self.replay_record(record);
            }
        }
        log.start()?;
        self.intent_log.get_or_init(|| log);
        Ok(())
    }

    fn replay_record(&self, record: &Record) {
        let mut holders = Vec::new();
        for (parent, name) in &record.names {
            let place = self.directory(parent);
            let object = place.as_ref().ok().and_then(|place| self.child(place, name).ok());
            if let (Ok(place), Some(object)) = (place, object) {
                let gfid = gfid_of(self.namespace(), &object.fd);
                holders.push((parent, name.as_slice(), place, object, gfid));
            }
        }
        for gfid in &record.gfids {
            let mine: Vec<_> = holders
                .iter()
                .filter(|(.., is)| *is == Some(*gfid) || record.making && is.is_none())
                .collect();
            let gone = |(parent, name): &&(Gfid, Vec<u8>)| {
                !mine.iter().any(|(mine, called, ..)| *mine == parent && *called == name.as_slice())
            };
            let gone: Vec<_> = record.names.iter().filter(gone).collect();
            for (parent, name, place, object, _) in &mine {
                let has_handle = self.has_handle(parent, name, object, gfid);
                if record.making && has_handle == Ok(false) {
                    let flags =
                        if is_dir(&object.stat) { AtFlags::REMOVEDIR } else { AtFlags::empty() };
                    let _ = rustix::fs::unlinkat(&place.fd, *name, flags);
                    continue;
                }
                let _ = self.mend_handle(parent, place, name, object, gfid);
                if !is_dir(&object.stat) {
                    let _ = gfid2path::add(self.namespace(), &object.fd, parent, name);
                    gone.iter().for_each(|(parent, name)| {
                        gfid2path::remove(self.namespace(), &object.fd, parent, name)
                    });
                }
            }
            if mine.is_empty() {
                self.replay_nameless(gfid, &gone);
            }
            self.unlink_new_handle(gfid);
        }
    }

    /// Settles an inode that has none of the names of its change.
    fn replay_nameless(&self, gfid: &Gfid, names: &[&(Gfid, Vec<u8>)]) {
        if self.is_orphan(gfid) {
            let _ = self.unlink_handle(gfid);
            self.unindex(gfid);
        } else if let Ok(object) = self.object(gfid)
            && !is_dir(&object.stat)
        {
            names.iter().for_each(|(parent, name)| {
                gfid2path::remove(self.namespace(), &object.fd, parent, name)
            });
        }
    }

    /// Whether an inode has a handle and no name.
    pub(super) fn is_orphan(&self, gfid: &Gfid) -> bool {
        let handle = rustix::fs::statat(&self.root, handle_path(gfid), AtFlags::SYMLINK_NOFOLLOW);
        let Ok(stat) = handle else { return false };
        if stat.st_nlink > 1 || *gfid == Gfid::ROOT {
            return false;
        }
        if !is_symlink(&stat) {
            return true;
        }
        // A directory's handle is a symlink: an orphan if it leads nowhere or to another directory.
        // A directory that cannot be looked for now is taken to be there.
        match self.object(gfid) {
            Ok(Object { fd, .. }) => {
                read_gfid(self.namespace(), &fd).is_ok_and(|is| is != Some(*gfid))
            }
            Err(error) => error == Errno::ESTALE,
        }
    }

    /// Whether the machine crashed while the brick was served. [`Brick::sweep`] is then needed.
    pub fn was_cut_off(&self) -> bool {
        self.intent_log.get().is_some_and(|log| log.cut_off)
    }

    /// Removes handles of inodes without a name. It checks each handle, so it takes a while; the
    /// brick may be in use meanwhile. Returns the number of removed handles.
    pub fn sweep(&self) -> u64 {
        let mut suspects = Vec::new();
        for first in 0..=255_u8 {
            let Ok(seconds) = self.list(&format!(".glusterfs/{first:02x}")) else { continue };
            for second in seconds {
                let Ok(handles) = self.list(&format!(".glusterfs/{first:02x}/{second}")) else {
                    continue;
                };
                let halves = handles.iter().filter_map(|name| name.strip_suffix(".new"));
                halves.filter_map(|name| Gfid::parse(name.as_bytes())).for_each(|gfid| {
                    let _one_at_a_time = self.hold_attrs(&gfid);
                    self.unlink_new_handle(&gfid);
                });
                let gfids = handles.iter().filter_map(|name| Gfid::parse(name.as_bytes()));
                suspects.extend(gfids.filter(|gfid| self.is_orphan(gfid)));
            }
        }
        if !suspects.is_empty() {
            // A removal or rename in progress is over after this time.
            std::thread::sleep(std::time::Duration::from_secs(2));
        }
        let mut removed = 0;
        for gfid in suspects {
            let _one_at_a_time = self.hold_attrs(&gfid);
            if self.inodes.get(&gfid).is_none()
                && self.is_orphan(&gfid)
                && self.unlink_handle(&gfid).is_ok()
            {
                self.unindex(&gfid);
                removed += 1;
            }
        }
        removed
    }

    fn list(&self, path: &str) -> Result<Vec<String>, Os> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let fd = rustix::fs::openat(&self.root, path, flags, Mode::empty())?;
        let entries = rustix::fs::Dir::read_from(&fd)?.flatten();
        let names = entries.filter_map(|entry| entry.file_name().to_str().ok().map(str::to_owned));
        Ok(names.filter(|name| !name.starts_with('.')).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_back_and_nonsense_is_none() {
        let record = Record {
            making: true,
            names: vec![(Gfid([1; 16]), vec![b'n'; 255]), (Gfid([2; 16]), b"\xff\n".to_vec())],
            gfids: vec![Gfid([3; 16]), Gfid([4; 16])],
        };
        let mut bytes = [0; SLOT];
        record.encode(&mut bytes);
        assert_eq!(Record::decode(&bytes), Some(record));
        assert_eq!(Record::decode(&[0; SLOT]), None);
        assert_eq!(Record::decode(&[1, 0, 9, 9, 0, 0]), None);
        let mut escape = [0; SLOT];
        let names = vec![(Gfid::ROOT, b"..".to_vec())];
        Record { making: true, names, gfids: Vec::new() }.encode(&mut escape);
        assert_eq!(Record::decode(&escape), None);
    }
}
