//! Credentials: the caller, the timestamps to update, the lock owner (docs/spec/01-wire.md,
//! "Credentials").

use crate::xdr::{Decode, Encode, Fault, NoRoom, Reader, Writer, XdrError};

/// The largest body of a credential.
pub(super) const BODY_MAX: usize = 400;
const AUTH_NONE: u32 = 0;
const AUTH_SYS: u32 = 1;
const AUTH_V2: u32 = 390_039;
const AUTH_V3: u32 = 390_040;
/// More supplementary groups do not fit any credential.
const GROUPS_MAX: usize = 95;

/// The timestamps that a call updates (docs/spec/01-wire.md, "Timestamps and the v3 flags/ctime").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TimeFlags(u32);

impl TimeFlags {
    /// None.
    pub const NONE: TimeFlags = TimeFlags(0);

    /// From the bits on the wire.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The bits on the wire.
    pub const fn bits(self) -> u32 {
        self.0
    }
}

/// The form of a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CredVersion {
    /// AUTH_NONE: anonymous. Unknown flavors count as this, as on the real server.
    None,
    /// AUTH_SYS.
    Sys,
    /// AUTH_GLUSTERFS_v2: used until the peer's programs are known.
    V2,
    /// AUTH_GLUSTERFS_v3: with the caller's time.
    V3,
}

/// A caller. `groups` and `lk_owner` are borrowed; after decoding, from the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cred<'a> {
    /// Form.
    pub version: CredVersion,
    /// Process id; negative ones mark internal clients.
    pub pid: i32,
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// The timestamps to update (v3).
    pub times: TimeFlags,
    /// Time of the call: seconds and nanoseconds since 1970 (v3).
    pub time: (u64, u32),
    /// Supplementary groups, big-endian words.
    pub groups: &'a [u8],
    /// Lock owner.
    pub lk_owner: &'a [u8],
}

impl<'a> Cred<'a> {
    /// The credential for calls before the peer's programs are known: v2, root, internal lock
    /// owner.
    pub const fn bootstrap() -> Self {
        Self {
            version: CredVersion::V2,
            pid: 0,
            uid: 0,
            gid: 0,
            times: TimeFlags::NONE,
            time: (0, 0),
            groups: &[],
            lk_owner: &[0; 4],
        }
    }

    /// The credential of RELEASE and of the reopening of files: v3, root, no times.
    pub const fn housekeeping() -> Self {
        Self { version: CredVersion::V3, ..Self::bootstrap() }
    }

    /// A caller as bricks expect it: v3.
    pub const fn v3(pid: i32, uid: u32, gid: u32) -> Self {
        Self { pid, uid, gid, ..Self::housekeeping() }
    }

    /// Sets the timestamps to update. Without any, the time is not sent.
    pub const fn with_times(self, times: TimeFlags, time: (u64, u32)) -> Self {
        let time = if times.bits() == 0 { (0, 0) } else { time };
        Self { times, time, ..self }
    }

    /// Sets the supplementary groups, as big-endian words.
    pub const fn with_groups(self, groups: &'a [u8]) -> Self {
        Self { groups, ..self }
    }

    /// Sets the lock owner.
    pub const fn with_owner(self, lk_owner: &'a [u8]) -> Self {
        Self { lk_owner, ..self }
    }

    /// The groups that fit beside the lock owner: the list is cut, never the owner. The server's
    /// rule adds bytes of the owner to words of the list.
    fn fitting_groups(&self) -> &'a [u8] {
        let most = match self.version {
            CredVersion::V2 => 95,
            _ => 91_usize,
        };
        let most = most.saturating_sub(self.lk_owner.len()) * 4;
        self.groups.get(..most).unwrap_or(self.groups)
    }
}

impl Encode for Cred<'_> {
    /// Flavor, length and body.
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
        let flavor = match self.version {
            CredVersion::None => AUTH_NONE,
            CredVersion::Sys => AUTH_SYS,
            CredVersion::V2 => AUTH_V2,
            CredVersion::V3 => AUTH_V3,
        };
        w.u32(flavor)?;
        let length_at = w.position();
        w.u32(0)?;
        let groups = self.fitting_groups();
        match self.version {
            CredVersion::None => return Ok(()),
            CredVersion::Sys => {
                w.u32(0)?;
                w.opaque(b"")?;
                w.u32(self.uid)?;
                w.u32(self.gid)?;
                w.u32((groups.len() / 4) as u32)?;
                w.raw(groups)?;
            }
            CredVersion::V2 | CredVersion::V3 => {
                w.i32(self.pid)?;
                w.u32(self.uid)?;
                w.u32(self.gid)?;
                if self.version == CredVersion::V3 {
                    w.u32(self.times.bits())?;
                    w.u32(self.time.1)?;
                    w.u64(self.time.0)?;
                }
                w.u32((groups.len() / 4) as u32)?;
                w.raw(groups)?;
                w.opaque(self.lk_owner)?;
            }
        }
        w.patch_u32(length_at, (w.position() - length_at - 4) as u32);
        Ok(())
    }
}

impl<'a> Decode<'a> for Cred<'a> {
    fn decode(r: &mut Reader<'a>) -> Result<Self, XdrError> {
        let flavor = r.u32("cred.flavor")?;
        let at = r.offset() + 4;
        let body = r.opaque("cred.body", BODY_MAX)?;
        let version = match flavor {
            AUTH_SYS => CredVersion::Sys,
            AUTH_V2 => CredVersion::V2,
            AUTH_V3 => CredVersion::V3,
            _ => CredVersion::None,
        };
        let inner = decode_body(version, &mut Reader::new(body));
        inner.map_err(|error| XdrError { offset: at + error.offset, ..error })
    }
}

fn decode_body<'a>(version: CredVersion, r: &mut Reader<'a>) -> Result<Cred<'a>, XdrError> {
    let mut cred = Cred { version, lk_owner: &[], ..Cred::bootstrap() };
    match version {
        CredVersion::None => {}
        CredVersion::Sys => {
            r.u32("cred.stamp")?;
            r.opaque("cred.machine", 255)?;
            cred.uid = r.u32("cred.uid")?;
            cred.gid = r.u32("cred.gid")?;
            cred.groups = groups(r)?;
        }
        CredVersion::V2 | CredVersion::V3 => {
            cred.pid = r.i32("cred.pid")?;
            cred.uid = r.u32("cred.uid")?;
            cred.gid = r.u32("cred.gid")?;
            if version == CredVersion::V3 {
                cred.times = TimeFlags::from_bits(r.u32("cred.flags")?);
                let nanos = r.u32("cred.ctime_nsec")?;
                cred.time = (r.u64("cred.ctime_sec")?, nanos);
            }
            cred.groups = groups(r)?;
            cred.lk_owner = r.opaque("cred.lk_owner", BODY_MAX)?;
        }
    }
    Ok(cred)
}

fn groups<'a>(r: &mut Reader<'a>) -> Result<&'a [u8], XdrError> {
    let start = *r;
    let count = r.u32("cred.groups")? as usize;
    if count > GROUPS_MAX {
        return Err(start
            .error("cred.groups", Fault::TooLong { len: count as u32, max: GROUPS_MAX as u32 }));
    }
    let first = *r;
    r.skip("cred.groups", count * 4)?;
    Ok(r.since(&first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_groups_are_cut_and_the_owner_never_is() {
        let groups = [7_u8; 400];
        let cred = Cred { groups: &groups, ..Cred::v3(1, 2, 3).with_owner(&[1, 2, 3, 4]) };
        let mut room = [0; 512];
        let mut w = Writer::new(&mut room);
        cred.encode(&mut w).unwrap();
        let len = w.position();
        let back = Cred::decode(&mut Reader::new(&room[..len])).unwrap();
        assert_eq!(
            back.groups.len(),
            87 * 4,
            "as many as a 10.3 brick takes beside an owner of four bytes"
        );
        assert_eq!(back.lk_owner, [1, 2, 3, 4]);
    }
}
