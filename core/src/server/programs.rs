//! Dispatches calls to their program, and answers the small programs: DUMP, portmap, handshake.

use super::state::{Handled, Host, State};
use super::storage::{Payload, Place, Storage};
use super::wait_queues::WaitQueue;
use super::{Exports, JobId};
use crate::id::ConnId;
use crate::rpc::dump::{DumpArgs, PingReply, ProgramEntry, put_dump};
use crate::rpc::handshake::{
    GetVolumeInfo, GetVolumeInfoReply, Getspec, GetspecReply, Opaque, SetLkVer, SetLkVerReply,
};
use crate::rpc::portmap::{PortByBrick, PortByBrickReply};
use crate::rpc::{CallHeader, PeerError, Procedure, ReplyStatus, program};
use crate::xdr::{Decode, Encode, Errno, Reader, Writer};

/// The programs that every port serves.
const PROGRAMS: &[ProgramEntry<'static>] = &[
    ProgramEntry { name: b"GlusterFS 4.x v1", number: 1_298_437, version: 400 },
    ProgramEntry { name: b"GlusterFS Handshake", number: 14_398_633, version: 2 },
    ProgramEntry { name: b"GF-DUMP", number: 123_451_501, version: 1 },
    PORTMAP,
];
/// The programs that DUMP lists. Portmap is left out: the C client takes a server that lists it for
/// glusterd, asks it for the brick's port, dials that, finds portmap again, and never ends. A
/// client whose volfile says `remote-port` needs no portmap; one that asks is answered.
const LISTED: &[ProgramEntry<'static>] = &[PROGRAMS[0], PROGRAMS[1], PROGRAMS[2]];
const PORTMAP: ProgramEntry<'static> =
    ProgramEntry { name: b"Gluster Portmap", number: 34_123_456, version: 1 };

/// Bytes of a GETSPEC reply besides the text: a daemon's reply also has a path for its pid file.
const GETSPEC_FRAME: usize = 160;
/// Prefix of the key by which a volume's self-heal daemon asks for its volfile.
const SHD: &[u8] = b"shd/";

impl State<'_> {
    /// Handles one call. Bytes that are not a call end the connection.
    pub(super) fn handle<E: Exports, S: Storage>(
        &mut self,
        conn: ConnId,
        record: &[u8],
        payload: Option<Payload<'_>>,
        host: &mut Host<'_, E, S>,
    ) -> Result<Handled, PeerError> {
        let mut r = Reader::new(record);
        let header = CallHeader::decode(&mut r)?;
        let Procedure { program, version, number } = header.procedure;
        if program == program::FOP && version == program::FOP_V400 {
            return Ok(self.fop(conn, &header, &mut r, payload, host));
        }
        let id = match self.begin(conn, header.xid) {
            Ok(id) => id,
            Err(handled) => return Ok(handled),
        };
        let known = PROGRAMS.iter().find(|each| each.number == u64::from(program));
        let status = match known {
            None => Some(ReplyStatus::ProgUnavail),
            Some(known) if known.version != u64::from(version) => {
                let only = known.version as u32;
                Some(ReplyStatus::ProgMismatch { low: only, high: only })
            }
            // Procedure 0 of any program does nothing and succeeds.
            Some(_) if number == 0 => Some(ReplyStatus::Success),
            Some(_) => None,
        };
        if let Some(status) = status {
            self.ready_short(id, status, None, self.now);
            return Ok(Handled::Done);
        }
        match self.small_program(conn, id, header.procedure, &mut r, host) {
            Ok(handled) => Ok(handled),
            Err(status) => {
                self.ready_short(id, status, None, self.now);
                Ok(Handled::Done)
            }
        }
    }

    fn small_program<E: Exports, S: Storage>(
        &mut self,
        conn: ConnId,
        id: JobId,
        procedure: Procedure,
        r: &mut Reader<'_>,
        host: &mut Host<'_, E, S>,
    ) -> Result<Handled, ReplyStatus> {
        let garbage = |_| ReplyStatus::GarbageArgs;
        match procedure {
            Procedure::DUMP => {
                DumpArgs::decode(r).map_err(garbage)?;
                self.in_ring(id, |w| put_dump(w, LISTED).is_ok());
            }
            Procedure::PING => self.encoded(id, &PingReply::default()),
            Procedure::PORTBYBRICK => {
                let brick = PortByBrick::decode(r).map_err(garbage)?.brick;
                let reply = match host.exports.port(brick) {
                    Some(port) => {
                        PortByBrickReply { port: port.into(), ..PortByBrickReply::default() }
                    }
                    None => PortByBrickReply { op_ret: -1, ..PortByBrickReply::default() },
                };
                self.encoded(id, &reply);
            }
            Procedure::SETVOLUME => return self.setvolume(conn, id, r, host),
            Procedure::GETSPEC => {
                let spec = Getspec::decode(r).map_err(garbage)?;
                return Ok(self.getspec(conn, id, &spec, host));
            }
            Procedure::GET_VOLUME_INFO => {
                let info = GetVolumeInfo::decode(r).map_err(garbage)?;
                self.volume_info(id, &info, host.exports);
            }
            Procedure::SET_LK_VER => {
                let SetLkVer { lk_ver, .. } = SetLkVer::decode(r).map_err(garbage)?;
                self.encoded(id, &SetLkVerReply { op_ret: 0, op_errno: 0, lk_ver });
            }
            _ => return Err(ReplyStatus::ProcUnavail),
        }
        Ok(Handled::Done)
    }

    fn encoded(&mut self, id: JobId, reply: &impl Encode) {
        self.in_ring(id, |w| reply.encode(w).is_ok());
    }

    /// Answers GETSPEC with a volfile, encoded in a buffer of the storage.
    fn getspec<E: Exports, S: Storage>(
        &mut self,
        conn: ConnId,
        id: JobId,
        spec: &Getspec<'_>,
        host: &mut Host<'_, E, S>,
    ) -> Handled {
        let exports = host.exports;
        let key = spec.key.strip_prefix(b"/").unwrap_or(spec.key);
        let Some(text) = exports.volfile(key) else {
            let refused = GetspecReply {
                op_ret: -1,
                op_errno: Errno::ENOENT.to_wire(),
                spec: b"",
                xdata: Opaque::Bytes(b""),
            };
            self.encoded(id, &refused);
            return Handled::Done;
        };
        let room = (text.len() + GETSPEC_FRAME) as u32;
        let Some(buffer) = host.storage.reserve(room) else {
            self.take_back(conn, id);
            return Handled::NotNow { wants: Some(WaitQueue::Storage) };
        };
        // A self-heal daemon takes no volfile that does not name a pid file. GlusterFS's packages
        // create the directory.
        let mut pidfile: heapless::String<64> = heapless::String::new();
        let volume = key.strip_prefix(SHD).and_then(|volume| exports.volume_id(volume));
        let pidfile = volume.and_then(|id| {
            let written =
                core::fmt::write(&mut pidfile, format_args!("/var/run/gluster/shd-{id}.pid"));
            written.ok().map(|()| pidfile.as_bytes())
        });
        let daemons = [("pidfile", pidfile)];
        let xdata = if pidfile.is_some() { Opaque::Texts(&daemons) } else { Opaque::Bytes(b"") };
        let reply = GetspecReply { op_ret: text.len() as i32, op_errno: 0, spec: text, xdata };
        let mut w = Writer::new(host.storage.bytes_mut(buffer));
        if reply.encode(&mut w).is_err() {
            host.storage.release(buffer);
            self.ready_short(id, ReplyStatus::SystemErr, None, self.now);
            return Handled::Done;
        }
        let len = w.position() as u32;
        self.ready_short(id, ReplyStatus::Success, Some(Place { buffer, at: 0, len }), self.now);
        if let Some(connection) = self.connections.get_mut(conn) {
            connection.fetched_volfile = true;
        }
        Handled::Done
    }

    fn volume_info<E: Exports>(&mut self, id: JobId, info: &GetVolumeInfo<'_>, exports: &E) {
        let volume = info.dict.dict().text(b"volname");
        let found = volume.and_then(|name| exports.volume_id(name));
        let mut text: heapless::String<36> = heapless::String::new();
        // A gfid's text has 36 characters.
        let _ = core::fmt::write(&mut text, format_args!("{}", found.unwrap_or_default()));
        let pairs = [("volume_id", found.map(|_| text.as_bytes()))];
        let (op_ret, op_errno) = if found.is_some() { (0, 0) } else { (-1, 22) };
        self.encoded(
            id,
            &GetVolumeInfoReply { op_ret, op_errno, errstr: b"", dict: Opaque::Texts(&pairs) },
        );
    }
}
