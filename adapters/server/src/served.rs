//! What is served: volumes by name, bricks by path.

use std::collections::BTreeMap;
use std::sync::Arc;

use brickwire_core::server::{Brick, BrickIx, Exports, Login};
use brickwire_core::xdr::Gfid;

use crate::Backend;

/// A volume and its bricks.
#[derive(Clone)]
pub struct Volume {
    /// Name.
    pub name: String,
    /// Id.
    pub id: Gfid,
    /// Volfiles by their keys: at least the one named as the volume.
    pub volfiles: BTreeMap<String, String>,
    /// The bricks that this server has.
    pub bricks: Vec<BrickService>,
}

/// A brick as clients find it.
#[derive(Clone)]
pub struct BrickService {
    /// How clients name it: the `remote-subvolume` of the volfile.
    pub name: String,
    /// Who may use it.
    pub access: Access,
    /// What carries its fops out.
    pub backend: Arc<dyn Backend>,
}

/// Who may use a brick.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Addresses that may (`auth.allow`), with `*` for any rest; none is everybody.
    pub allow: Vec<String>,
    /// Addresses that may not (`auth.reject`).
    pub reject: Vec<String>,
    /// Only from ports below 1024 (`server.allow-insecure off`).
    pub privileged_ports_only: bool,
    /// Changes are refused (`features.read-only on`).
    pub read_only: bool,
}

/// What is different after a change.
#[derive(Default)]
pub(crate) struct Changes {
    /// Bricks that are there, and those that are not any more.
    pub(crate) bricks: Vec<(BrickIx, Option<Arc<dyn Backend>>)>,
    /// Some volfile is another one.
    pub(crate) changed: bool,
}

fn texts(volumes: &[Volume]) -> Vec<&BTreeMap<String, String>> {
    volumes.iter().map(|volume| &volume.volfiles).collect()
}

/// All volumes, as the core asks for them.
#[derive(Default)]
pub(crate) struct Served {
    pub(crate) volumes: Vec<Volume>,
    /// Bricks by index: volume and brick; an index is never given twice.
    bricks: Vec<Option<(usize, usize)>>,
    port: u16,
}

impl Served {
    pub(crate) fn new(port: u16) -> Self {
        Self { port, ..Self::default() }
    }

    /// Replaces what is served. A brick that was there before, under the same name, keeps its index.
    pub(crate) fn set(&mut self, volumes: Vec<Volume>) -> Changes {
        let mut changes = Changes { changed: self.texts() != texts(&volumes), ..Changes::default() };
        let before: Vec<(BrickIx, String)> = self.named().collect();
        self.volumes = volumes;
        self.bricks.iter_mut().for_each(|place| *place = None);
        for (at, volume) in self.volumes.iter().enumerate() {
            for (each, brick) in volume.bricks.iter().enumerate() {
                let old = before.iter().find(|(_, name)| *name == brick.name).map(|(index, _)| *index);
                let index = old.unwrap_or_else(|| {
                    self.bricks.push(None);
                    BrickIx(self.bricks.len() as u16 - 1)
                });
                self.bricks[usize::from(index.0)] = Some((at, each));
                changes.bricks.push((index, Some(Arc::clone(&brick.backend))));
            }
        }
        let gone = before.iter().filter(|(index, _)| self.get(*index).is_none());
        changes.bricks.extend(gone.map(|(index, _)| (*index, None)));
        changes
    }

    fn texts(&self) -> Vec<&BTreeMap<String, String>> {
        texts(&self.volumes)
    }

    fn named(&self) -> impl Iterator<Item = (BrickIx, String)> {
        let index = (0..self.bricks.len() as u16).map(BrickIx);
        index.filter_map(|index| Some((index, self.get(index)?.1.name.clone())))
    }

    fn get(&self, index: BrickIx) -> Option<(&Volume, &BrickService)> {
        let (volume, brick) = (*self.bricks.get(usize::from(index.0))?)?;
        let volume = self.volumes.get(volume)?;
        Some((volume, volume.bricks.get(brick)?))
    }

    /// Does a brick refuse changes?
    pub(crate) fn read_only(&self, index: BrickIx) -> Option<bool> {
        Some(self.get(index)?.1.access.read_only)
    }

    /// Bricks with their volumes.
    pub(crate) fn all(&self) -> impl Iterator<Item = (BrickIx, &str, &str)> {
        let indices = (0..self.bricks.len() as u16).map(BrickIx);
        indices.filter_map(|index| {
            let (volume, brick) = self.get(index)?;
            Some((index, volume.name.as_str(), brick.name.as_str()))
        })
    }

    /// Volume and brick by their names.
    pub(crate) fn names(&self, index: BrickIx) -> Option<(String, String)> {
        let (volume, brick) = self.get(index)?;
        Some((volume.name.clone(), brick.name.clone()))
    }

    fn index_of(&self, name: &[u8]) -> Option<BrickIx> {
        let named =
            |index: &BrickIx| self.get(*index).is_some_and(|(_, brick)| brick.name.as_bytes() == name);
        (0..self.bricks.len() as u16).map(BrickIx).find(named)
    }
}

impl Exports for Served {
    fn volfile(&self, key: &[u8]) -> Option<&[u8]> {
        let key = std::str::from_utf8(key).ok()?;
        let find = |volume: &'_ Volume| volume.volfiles.contains_key(key);
        self.volumes.iter().find(|volume| find(volume))?.volfiles.get(key).map(String::as_bytes)
    }

    fn brick(&self, name: &[u8]) -> Option<Brick<'_>> {
        let index = self.index_of(name)?;
        let (volume, brick) = self.get(index)?;
        const NO_LOGINS: &[Login<'static>] = &[];
        Some(Brick {
            index,
            volume_id: volume.id,
            privileged_ports_only: brick.access.privileged_ports_only,
            read_only: brick.access.read_only,
            logins: NO_LOGINS,
        })
    }

    fn port(&self, name: &[u8]) -> Option<u16> {
        self.index_of(name).map(|_| self.port)
    }

    fn admits(&self, brick: BrickIx, address: &[u8]) -> bool {
        let Some((_, brick)) = self.get(brick) else { return false };
        let matches = |pattern: &String| is_like(address, pattern.as_bytes());
        let Access { allow, reject, .. } = &brick.access;
        // A unix socket has no address: who reaches it may.
        address.is_empty() || (!reject.iter().any(matches) && (allow.is_empty() || allow.iter().any(matches)))
    }

    fn volume_id(&self, volume: &[u8]) -> Option<Gfid> {
        self.volumes.iter().find(|each| each.name.as_bytes() == volume).map(|each| each.id)
    }
}

/// Is an address one that a pattern names: `*` stands for any characters, `?` for one? An IPv6 address may be written in any way.
fn is_like(address: &[u8], pattern: &[u8]) -> bool {
    let parse = |text: &[u8]| std::str::from_utf8(text).ok()?.parse::<std::net::IpAddr>().ok();
    if let Some(named) = parse(pattern) {
        return parse(address) == Some(named.to_canonical());
    }
    // The last `*`, and what of the address it stands for so far.
    let (mut a, mut p, mut star) = (0, 0, None);
    while a < address.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((a, p));
                p += 1;
            }
            Some(byte) if *byte == b'?' || byte.eq_ignore_ascii_case(&address[a]) => (a, p) = (a + 1, p + 1),
            _ => {
                let Some((from, at)) = star else { return false };
                star = Some((from + 1, at));
                (a, p) = (from + 1, at + 1);
            }
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_meant_by_auth_reject_is_rejected_however_it_is_written() {
        for (address, pattern) in [
            ("10.0.0.7", "10.0.0.7"),
            ("10.0.0.7", "10.0.*"),
            ("10.0.0.7", "10.*.0.7"),
            ("10.0.0.7", "*"),
            ("10.0.0.7", "10.0.0.?"),
            ("10.0.0.7", "*.7"),
            ("10.0.0.7", "::ffff:10.0.0.7"),
            ("fd00::ab", "fd00:0:0::AB"),
            ("fd00::ab", "FD00::*"),
        ] {
            assert!(is_like(address.as_bytes(), pattern.as_bytes()), "{address} {pattern}");
        }
        for (address, pattern) in [
            ("10.0.0.77", "10.0.0.?"),
            ("10.0.0.7", "10.0.0.70"),
            ("110.0.0.7", "10.*"),
            ("fd00::ab", "fd00::abc"),
        ] {
            assert!(!is_like(address.as_bytes(), pattern.as_bytes()), "{address} {pattern}");
        }
    }
}
