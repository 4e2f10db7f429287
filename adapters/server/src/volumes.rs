//! The served volumes, by name, and their bricks, by path; access control.

use std::collections::BTreeMap;
use std::sync::Arc;

use brickwire_core::server::{Brick, BrickIx, Exports, Login, subdirectory_names};
use brickwire_core::xdr::Gfid;

use crate::Backend;

/// A volume and its bricks.
#[derive(Clone)]
pub struct Volume {
    /// Name of the volume.
    pub name: String,
    /// Volume id, which clients compare after SETVOLUME.
    pub id: Gfid,
    /// Volfiles by GETSPEC key: at least one whose key is the volume's name.
    pub volfiles: BTreeMap<String, String>,
    /// Bricks of the volume that this server serves.
    pub bricks: Vec<BrickService>,
}

/// A served brick.
#[derive(Clone)]
pub struct BrickService {
    /// Name by which clients ask for it: `remote-subvolume` in the volfile.
    pub name: String,
    /// Access rules.
    pub access: Access,
    /// Executes its fops.
    pub backend: Arc<dyn Backend>,
}

/// Access rules of a brick.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Admitted addresses (`auth.allow`); an empty list admits all.
    pub allow: Vec<AddressRule>,
    /// Rejected addresses (`auth.reject`); they win over `allow`.
    pub reject: Vec<AddressRule>,
    /// Admit only source ports below 1024 (`server.allow-insecure off`).
    pub privileged_ports_only: bool,
    /// Refuse all changes with EROFS (`features.read-only on`).
    pub read_only: bool,
}

/// Addresses of clients, for mounts of one directory or of all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressRule {
    /// The directory of the volume that the client mounts; `/` is the volume itself. Mounts of
    /// directories below it are not meant. `None` means mounts of every directory.
    pub directory: Option<String>,
    /// The address, or a pattern with `*` and `?`.
    pub pattern: String,
}

impl AddressRule {
    fn covers(&self, address: &[u8], path: &[u8]) -> bool {
        let directory = self.directory.as_ref().map(String::as_bytes);
        directory.is_none_or(|directory| subdirectory_names(directory).eq(subdirectory_names(path)))
            && is_like(address, self.pattern.as_bytes())
    }
}

/// Effects of replacing the set of volumes.
#[derive(Default)]
pub(crate) struct Changes {
    /// All bricks with their backends, and removed ones with `None`.
    pub(crate) bricks: Vec<(BrickIx, Option<Arc<dyn Backend>>)>,
    /// At least one volfile differs.
    pub(crate) changed: bool,
}

fn texts(volumes: &[Volume]) -> Vec<&BTreeMap<String, String>> {
    volumes.iter().map(|volume| &volume.volfiles).collect()
}

/// All volumes: the core's `Exports`.
#[derive(Default)]
pub(crate) struct Volumes {
    pub(crate) volumes: Vec<Volume>,
    /// Bricks by index: positions of the volume, and of the brick in it.
    bricks: BTreeMap<BrickIx, (usize, usize)>,
    /// Next free brick index. An index is never used twice.
    next: u64,
    port: u16,
}

impl Volumes {
    pub(crate) fn new(port: u16) -> Self {
        Self { port, ..Self::default() }
    }

    /// Replaces the set of volumes. A brick with the name of a previous one keeps its index.
    pub(crate) fn set(&mut self, volumes: Vec<Volume>) -> Changes {
        let mut changes =
            Changes { changed: self.texts() != texts(&volumes), ..Changes::default() };
        let before: Vec<(BrickIx, String)> = self.named().collect();
        self.volumes = volumes;
        self.bricks.clear();
        for (at, volume) in self.volumes.iter().enumerate() {
            for (each, brick) in volume.bricks.iter().enumerate() {
                let old =
                    before.iter().find(|(_, name)| *name == brick.name).map(|(index, _)| *index);
                let index = old.unwrap_or_else(|| {
                    self.next += 1;
                    BrickIx(self.next - 1)
                });
                self.bricks.insert(index, (at, each));
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
        self.bricks.keys().filter_map(|index| Some((*index, self.get(*index)?.1.name.clone())))
    }

    fn get(&self, index: BrickIx) -> Option<(&Volume, &BrickService)> {
        let (volume, brick) = *self.bricks.get(&index)?;
        let volume = self.volumes.get(volume)?;
        Some((volume, volume.bricks.get(brick)?))
    }

    /// Says whether a brick refuses changes; `None` if there is no such brick.
    pub(crate) fn read_only(&self, index: BrickIx) -> Option<bool> {
        Some(self.get(index)?.1.access.read_only)
    }

    /// All bricks: index, volume name, brick name.
    pub(crate) fn all(&self) -> impl Iterator<Item = (BrickIx, &str, &str)> {
        self.bricks.keys().filter_map(|index| {
            let (volume, brick) = self.get(*index)?;
            Some((*index, volume.name.as_str(), brick.name.as_str()))
        })
    }

    /// Names of a brick's volume and of the brick.
    pub(crate) fn names(&self, index: BrickIx) -> Option<(String, String)> {
        let (volume, brick) = self.get(index)?;
        Some((volume.name.clone(), brick.name.clone()))
    }

    fn index_of(&self, name: &[u8]) -> Option<BrickIx> {
        let named = |index: &BrickIx| {
            self.get(*index).is_some_and(|(_, brick)| brick.name.as_bytes() == name)
        };
        self.bricks.keys().copied().find(named)
    }
}

impl Exports for Volumes {
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

    fn admits(&self, brick: BrickIx, address: &[u8], path: &[u8]) -> bool {
        let Some((_, brick)) = self.get(brick) else { return false };
        let matches = |rule: &AddressRule| rule.covers(address, path);
        let Access { allow, reject, .. } = &brick.access;
        // A unix socket has no address: file permissions decide who can connect to it.
        address.is_empty()
            || (!reject.iter().any(matches) && (allow.is_empty() || allow.iter().any(matches)))
    }

    fn volume_id(&self, volume: &[u8]) -> Option<Gfid> {
        self.volumes.iter().find(|each| each.name.as_bytes() == volume).map(|each| each.id)
    }
}

/// Matches an address with a pattern: `*` stands for any characters, `?` for one. A pattern that is
/// an IP address matches every spelling of it.
fn is_like(address: &[u8], pattern: &[u8]) -> bool {
    let parse = |text: &[u8]| std::str::from_utf8(text).ok()?.parse::<std::net::IpAddr>().ok();
    if let Some(named) = parse(pattern) {
        return parse(address) == Some(named.to_canonical());
    }
    // Position of the last `*` in the pattern, and the end of what it matches so far.
    let (mut a, mut p, mut star) = (0, 0, None);
    while a < address.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((a, p));
                p += 1;
            }
            Some(byte) if *byte == b'?' || byte.eq_ignore_ascii_case(&address[a]) => {
                (a, p) = (a + 1, p + 1)
            }
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
    use crate::{ReadOutcome, WriteOutcome};
    use brickwire_core::rpc::Cred;
    use brickwire_core::server::{Call, HandleId};
    use brickwire_core::xdr::Errno;

    struct Nothing;

    impl Backend for Nothing {
        fn execute(&self, _: &Call<'_>, _: &[u8], _: &mut Vec<u8>) -> bool {
            true
        }

        fn read(
            &self,
            _: HandleId,
            _: &Cred<'_>,
            _: u64,
            _: &mut [u8],
            _: bool,
        ) -> Option<Result<ReadOutcome, Errno>> {
            None
        }

        fn write(
            &self,
            _: HandleId,
            _: &Cred<'_>,
            _: u64,
            _: &[u8],
            _: bool,
        ) -> Option<Result<WriteOutcome, Errno>> {
            None
        }

        fn close(&self, _: HandleId, _: bool) -> bool {
            true
        }
    }

    fn volume(name: &str) -> Volume {
        let (access, backend) = (Access::default(), Arc::new(Nothing));
        let bricks = vec![BrickService { name: name.into(), access, backend }];
        Volume { name: name.into(), id: Gfid::NONE, volfiles: BTreeMap::new(), bricks }
    }

    #[test]
    fn a_brick_that_is_served_again_and_again_never_has_anothers_number() {
        let mut volumes = Volumes::new(1);
        volumes.set(vec![volume("stays")]);
        let stays = volumes.index_of(b"stays").expect("it is served");
        let mut last = stays;
        // More than 16 bits can count.
        for _ in 0..70_000 {
            volumes.set(vec![volume("stays"), volume("restarts")]);
            let index = volumes.index_of(b"restarts").expect("it is served");
            assert!(index > last);
            last = index;
            let gone = volumes.set(vec![volume("stays")]).bricks;
            assert!(gone.iter().any(|(index, backend)| *index == last && backend.is_none()));
        }
        assert_eq!(volumes.index_of(b"stays"), Some(stays));
        assert_eq!(volumes.bricks.len(), 1, "nothing is kept of what is gone");
    }

    #[test]
    fn rules_of_a_directory_are_for_mounts_of_that_directory() {
        let rule = |directory: Option<&str>, pattern: &str| AddressRule {
            directory: directory.map(str::to_owned),
            pattern: pattern.into(),
        };
        let mut volumes = Volumes::new(1);
        let mut admits = |allow: &[AddressRule], reject: &[AddressRule], path: &str| {
            let mut volume = volume("v");
            volume.bricks[0].access =
                Access { allow: allow.to_vec(), reject: reject.to_vec(), ..Access::default() };
            volumes.set(vec![volume]);
            volumes.admits(BrickIx(0), b"10.0.0.7", path.as_bytes())
        };
        let one = [rule(Some("/sub/dir"), "10.0.0.1"), rule(Some("/sub/dir"), "10.0.0.*")];
        for path in ["/sub/dir", "sub/dir/", "//sub/./dir"] {
            assert!(admits(&one, &[], path), "{path}");
            assert!(!admits(&[], &one, path), "{path}");
        }
        for path in ["", "/", "/sub", "/sub/dir/below", "/sub/dir/../dir"] {
            assert!(!admits(&one, &[], path), "{path}");
            assert!(admits(&[], &one, path), "{path}");
        }
        let root = [rule(Some("/"), "*")];
        assert!(admits(&root, &[], "") && admits(&root, &[], "/") && !admits(&root, &[], "/sub"));
        let all = [rule(None, "10.*")];
        assert!(admits(&all, &[], "") && admits(&all, &[], "/sub"));
        assert!(!admits(&all, &one, "/sub/dir") && admits(&all, &one, "/sub"));
        assert!(!admits(&all, &all, "/sub"));
    }

    #[test]
    fn an_address_is_rejected_however_auth_reject_spells_it() {
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
