//! SETVOLUME: a connection logs in to a brick.

use super::connections::{ClientKey, Login};
use super::state::{Handled, Host, State};
use super::storage::Storage;
use super::subdirectory::{Walked, names_of};
use super::{Brick, Exports, JobId};
use crate::id::ConnId;
use crate::rpc::handshake::{Opaque, Setvolume, SetvolumeReply};
use crate::rpc::{ReplyStatus, program};
use crate::xdr::{Decode, Encode, Errno, Gfid, LegacyDict, Reader};

/// Reason for refusing a login: the errno, and a text for the client's log.
#[derive(Clone, Copy)]
struct Refusal {
    errno: Errno,
    text: &'static [u8],
}

const fn refusal(errno: Errno, text: &'static str) -> Refusal {
    Refusal { errno, text: text.as_bytes() }
}

/// The text of a login's reply, cut to a length that fits every reply.
type Text = heapless::Vec<u8, 512>;

impl State<'_> {
    pub(super) fn setvolume<E: Exports, S: Storage>(
        &mut self,
        conn: ConnId,
        id: JobId,
        r: &mut Reader<'_>,
        host: &mut Host<'_, E, S>,
    ) -> Result<Handled, ReplyStatus> {
        let call = Setvolume::decode(r).map_err(|_| ReplyStatus::GarbageArgs)?;
        let dict = call.dict.dict();
        let path = dict.text(b"subdir-mount").unwrap_or_default();
        let exports = host.exports;
        let mut result = self.check(conn, &dict, exports).map(|brick| (brick, Gfid::ROOT));
        let mut text = Text::new();
        if let Ok((brick, _)) = result
            && names_of(path).next().is_some()
        {
            result = match self.walk(conn, id, brick.index, path, host) {
                Walked::To(found) => Ok((brick, found)),
                Walked::Later(handled) => return Ok(handled),
                Walked::Refused(errno) => Err(no_directory(errno, path, &mut text)),
            };
        }
        let mut volume_id: heapless::String<36> = heapless::String::new();
        let process = self.config.process_uuid.clone();
        let reply = match &result {
            Ok((brick, _)) => {
                // A uuid's text has 36 characters.
                let _ = core::fmt::write(&mut volume_id, format_args!("{}", brick.volume_id));
                // Real bricks answer with a stale errno 22 here; clients ignore it.
                (0, 0, &b"Success"[..])
            }
            Err(Refusal { errno, .. }) if !text.is_empty() => (-1, errno.to_wire(), &text[..]),
            Err(Refusal { errno, text }) => (-1, errno.to_wire(), *text),
        };
        let ok = result.is_ok();
        if let Some(connection) = self.connections.get_mut(conn) {
            connection.walk = None;
            connection.brick = result.as_ref().ok().map(|it| it.0.index).or(connection.brick);
            if ok {
                connection.client = ClientKey::of(dict.text(b"process-uuid").unwrap_or_default());
            }
            connection.login = result.ok().map(|(brick, root)| Login {
                brick: brick.index,
                read_only: brick.read_only,
                root,
            });
        }
        let said = |text: &'static str| ok.then_some(text.as_bytes());
        // Real bricks look the subdirectory up when the reply is otherwise complete.
        let admitted = ok || !text.is_empty();
        let pairs: [(&str, Option<&[u8]>); 6] = [
            ("ERROR", Some(reply.2)),
            ("process-uuid", admitted.then_some(process.as_bytes())),
            ("volume-id", ok.then_some(volume_id.as_bytes())),
            ("child_up", said("1")),
            ("clnt-lk-version", said("0")),
            ("transport-ptr", said("0")),
        ];
        let reply =
            SetvolumeReply { op_ret: reply.0, op_errno: reply.1, dict: Opaque::Texts(&pairs) };
        self.in_ring(id, |w| reply.encode(w).is_ok());
        Ok(Handled::Done)
    }

    /// Checks in the order of the real server (docs/spec/40-brick-server.md, "SETVOLUME").
    fn check<'e, E: Exports>(
        &self,
        conn: ConnId,
        dict: &LegacyDict<'_>,
        exports: &'e E,
    ) -> Result<Brick<'e>, Refusal> {
        let name = dict.text(b"remote-subvolume");
        let name = name.ok_or(refusal(Errno::EINVAL, "No remote-subvolume option specified"))?;
        let brick = exports.brick(name).ok_or(refusal(Errno::ENOENT, "Brick not found"))?;
        if dict.text(b"process-uuid").is_none_or(<[u8]>::is_empty) {
            return Err(refusal(Errno::EINVAL, "UUID not specified"));
        }
        let other = |id: &[u8]| !id.is_empty() && Gfid::parse(id) != Some(brick.volume_id);
        if dict.text(b"volume-id").is_some_and(other) {
            let text = "Volume-ID different, possible case of same brick re-used in another volume";
            return Err(refusal(Errno::EINVAL, text));
        }
        let fops = dict.text(b"fops-version").and_then(|text| core::str::from_utf8(text).ok());
        if fops.and_then(|text| text.parse().ok()) != Some(program::FOP) {
            return Err(refusal(Errno::EINVAL, "version mismatch: fops-version"));
        }
        let denied = || refusal(Errno::EACCES, "Authentication failed");
        let connection = self.connections.get(conn).ok_or_else(denied)?;
        if brick.privileged_ports_only && !connection.peer.privileged {
            return Err(denied());
        }
        if connection.brick.is_some_and(|before| before != brick.index) {
            return Err(refusal(Errno::EBUSY, "this connection is another brick's"));
        }
        match dict.text(b"username") {
            // A wrong password is refused even where the address alone would be admitted.
            Some(user) if !brick.logins.is_empty() => {
                let password = dict.text(b"password").unwrap_or_default();
                let known =
                    |login: &super::Login<'_>| login.user == user && login.password == password;
                if !brick.logins.iter().any(known) {
                    return Err(denied());
                }
            }
            _ => {
                let subdirectory = dict.text(b"subdir-mount").unwrap_or_default();
                let address = connection.peer.address.as_bytes();
                if !exports.admits(brick.index, address, subdirectory) {
                    return Err(denied());
                }
            }
        }
        Ok(brick)
    }
}

/// Refuses a mount because its path could not be resolved. Clients give up at once after ENOENT,
/// whatever the reason why there is no such directory, and try again after any other errno.
fn no_directory(errno: Errno, path: &[u8], text: &mut Text) -> Refusal {
    const BEFORE: &[u8] = b"subdirectory for mount \"";
    const AFTER: &[u8] = b"\" is not found";
    if matches!(errno, Errno::EIO | Errno::ENOMEM | Errno::ENOTCONN) {
        return refusal(errno, "the storage cannot look up the subdirectory for the mount");
    }
    let room = text.capacity() - BEFORE.len() - AFTER.len();
    for part in [BEFORE, path.get(..room).unwrap_or(path), AFTER] {
        // It fits: the path is cut.
        let _ = text.extend_from_slice(part);
    }
    refusal(Errno::ENOENT, "subdirectory for mount is not found")
}
