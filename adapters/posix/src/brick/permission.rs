//! May this caller do that? By mode bits; root may everything.

use brickwire_core::rpc::Cred;
use brickwire_core::xdr::Errno;
use brickwire_server::permission::allows;
pub(super) use brickwire_server::permission::in_group;
pub(super) use brickwire_server::permission::{EXECUTE, READ, WRITE};
use rustix::fs::Stat;

use super::Result;

pub(super) fn check(stat: &Stat, cred: &Cred<'_>, want: u32) -> Result<()> {
    if allows(stat.st_mode, stat.st_uid, stat.st_gid, cred, want) { Ok(()) } else { Err(Errno::EACCES) }
}

/// Only the owner, and root.
pub(super) fn owner(stat: &Stat, cred: &Cred<'_>) -> Result<()> {
    if cred.uid == 0 || cred.pid < 0 || cred.uid == stat.st_uid { Ok(()) } else { Err(Errno::EPERM) }
}

/// May a name be taken out of a directory? One with the sticky bit keeps what belongs to others.
pub(super) fn remove(directory: &Stat, entry: &Stat, cred: &Cred<'_>) -> Result<()> {
    check(directory, cred, WRITE | EXECUTE)?;
    let sticky = directory.st_mode & 0o1000 != 0;
    if sticky && cred.uid != directory.st_uid { owner(entry, cred) } else { Ok(()) }
}

/// The mode of a file whose data this caller changes, if it is another one then: nobody but root leaves setuid on what it wrote, or
/// setgid where that is more than a mark.
pub(super) fn mode_after_change(stat: &Stat, cred: &Cred<'_>) -> Option<u32> {
    let mode = stat.st_mode & 0o7777;
    let setgid = if mode & 0o010 != 0 { 0o2000 } else { 0 };
    let marks = mode & (0o4000 | setgid);
    (marks != 0 && cred.uid != 0 && cred.pid >= 0).then_some(mode & !marks)
}

/// The mode that a caller's file may have: setgid of a group that it is not in would make it a member.
pub(super) fn kept_mode(mode: u32, directory: bool, group: u32, cred: &Cred<'_>) -> u32 {
    let foreign = cred.uid != 0 && cred.pid >= 0 && !in_group(cred, group);
    if foreign && !directory { mode & !0o2000 } else { mode }
}
