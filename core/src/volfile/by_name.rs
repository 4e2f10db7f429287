//! Volumes by name: a digital search tree over hashes of the names, whose links lie in the entries
//! themselves. It needs no memory of its own, works with a lent table of any length, and is never
//! deeper than `DEPTH_MAX`.

use super::error::Fault;
use super::{Link, Token, VolumeEntry, VolumeIndex};

/// 32 levels for the bits of a hash, and as many for names whose hashes are all the same.
const DEPTH_MAX: u32 = 64;

/// FNV-1a. The result is mixed once more, because the tree consumes the lowest bits first.
pub(super) fn hash(name: Token<'_>) -> u32 {
    let hash = name
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    hash ^ (hash >> 13)
}

/// The volume of that name among `volumes`, which are all in the tree.
pub(super) fn find(volumes: &[VolumeEntry], text: &[u8], name: Token<'_>) -> Option<VolumeIndex> {
    let hash = hash(name);
    let mut at = VolumeIndex(0);
    let mut bits = hash;
    for _ in 0..DEPTH_MAX {
        let entry = volumes.get(at.as_usize())?;
        if entry.hash == hash && entry.name.of(text) == name {
            return Some(at);
        }
        at = if bits & 1 == 0 { entry.left.get()? } else { entry.right.get()? };
        bits >>= 1;
    }
    None
}

/// Puts the volume at `index`, the last one of `volumes`, into the tree. Its name is not there yet.
pub(super) fn insert(volumes: &mut [VolumeEntry], index: VolumeIndex) -> Result<(), Fault> {
    if index == VolumeIndex(0) {
        return Ok(());
    }
    let mut bits = volumes.get(index.as_usize()).map_or(0, |entry| entry.hash);
    let mut at = VolumeIndex(0);
    // One level less than `find` descends: the new entry goes on the next one.
    for _ in 1..DEPTH_MAX {
        let Some(entry) = volumes.get_mut(at.as_usize()) else { break };
        let link = if bits & 1 == 0 { &mut entry.left } else { &mut entry.right };
        let Some(next) = link.get() else {
            *link = Link::to(index);
            return Ok(());
        };
        at = next;
        bits >>= 1;
    }
    // Thirty names with one hash are not an accident. Without this bound a peer could choose names
    // that take quadratic time.
    Err(Fault::CollidingNames)
}
