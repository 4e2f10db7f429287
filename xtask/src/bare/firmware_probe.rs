//! A firmware with a client: tables in a static, every call of the boundary, and a look at every
//! answer. Each function is exported, so that none of it is left out of the code.
#![no_std]
#![allow(improper_ctypes_definitions)]

use brickwire_core::memory::ConstStaticCell;
use brickwire_core::volume::{
    Answer, Closed, Config, Endpoint, InUse, Intake, NewError, Op, Output, Server, SessionStatus,
    SubmitError, Volume,
};
use brickwire_core::xdr::Iatt;
use brickwire_core::{ConnId, Instant, Limits, OpId};

static CONFIG: ConstStaticCell<Config> = ConstStaticCell::new(Config::new());

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

fn configure(config: &mut Config, host: &str, volume: &str, entropy: &[u8; 32]) -> Option<()> {
    config.volume = volume.try_into().ok()?;
    config.servers.push(Server::Tcp { host: host.try_into().ok()?, port: 24007 }).ok()?;
    config.entropy = *entropy;
    Some(())
}

#[unsafe(no_mangle)]
pub fn probe_new(
    place: &mut Option<Volume<'static>>,
    host: &str,
    volume: &str,
    entropy: &[u8; 32],
) -> Option<NewError> {
    let config = CONFIG.try_take()?;
    configure(config, host, volume, entropy)?;
    let memory = brickwire_core::memory!(Limits::FIRMWARE)?;
    match Volume::new(config, Limits::FIRMWARE, memory, Instant::ZERO) {
        Ok(volume) => {
            *place = Some(volume);
            None
        }
        Err(error) => Some(error),
    }
}

#[unsafe(no_mangle)]
pub fn probe_submit(v: &mut Volume<'_>, op: Op<'_>, now: Instant) -> Result<OpId, SubmitError> {
    v.submit(op, now)
}

#[unsafe(no_mangle)]
pub fn probe_cancel(v: &mut Volume<'_>, op: OpId, now: Instant) {
    v.cancel(op, now);
}

#[unsafe(no_mangle)]
pub fn probe_poll(v: &mut Volume<'_>, now: Instant) -> Option<Output> {
    v.poll(now)
}

#[unsafe(no_mangle)]
pub fn probe_endpoint<'v>(v: &'v Volume<'_>, conn: ConnId) -> Option<Endpoint<'v>> {
    v.endpoint(conn)
}

#[unsafe(no_mangle)]
pub fn probe_connected(v: &mut Volume<'_>, conn: ConnId, now: Instant) {
    v.connected(conn, now);
}

#[unsafe(no_mangle)]
pub fn probe_closed(v: &mut Volume<'_>, conn: ConnId, why: Closed, now: Instant) {
    v.closed(conn, why, now);
}

#[unsafe(no_mangle)]
pub fn probe_intake(v: &Volume<'_>, conn: ConnId) -> Intake {
    v.intake(conn)
}

#[unsafe(no_mangle)]
pub fn probe_received(v: &mut Volume<'_>, conn: ConnId, bytes: &[u8], now: Instant) -> usize {
    v.received(conn, bytes, now)
}

#[unsafe(no_mangle)]
pub fn probe_placed(v: &mut Volume<'_>, conn: ConnId, bytes: usize, now: Instant) {
    v.placed(conn, bytes, now);
}

#[unsafe(no_mangle)]
pub fn probe_outgoing(v: &Volume<'_>, conn: ConnId, send: &mut dyn FnMut(&[u8], Option<u32>)) {
    for record in v.outgoing(conn) {
        send(record.head, record.data.map(|data| data.len));
        send(record.tail, None);
    }
}

#[unsafe(no_mangle)]
pub fn probe_sent(v: &mut Volume<'_>, conn: ConnId, bytes: usize, now: Instant) {
    v.sent(conn, bytes, now);
}

#[unsafe(no_mangle)]
pub fn probe_elapsed(v: &mut Volume<'_>, now: Instant) {
    v.elapsed(now);
}

#[unsafe(no_mangle)]
pub fn probe_deadline(v: &Volume<'_>) -> Option<Instant> {
    v.deadline().map(|deadline| deadline.at)
}

#[unsafe(no_mangle)]
pub fn probe_answer(v: &Volume<'_>, op: OpId, tell: &mut dyn FnMut(&[u8], Option<&Iatt>)) {
    match v.answer(op) {
        Answer::Stat(stat) | Answer::Opened { stat, .. } => tell(b"", Some(stat)),
        Answer::Link(target) => tell(target, None),
        Answer::Xattrs(dict) => {
            for (key, value) in dict.pairs() {
                tell(value.as_bytes().unwrap_or(key), None);
            }
        }
        Answer::Entries { entries, .. } => {
            for entry in entries.iter() {
                tell(entry.name, Some(&entry.stat));
            }
        }
        _ => {}
    }
}

#[unsafe(no_mangle)]
pub fn probe_status<'v>(v: &'v Volume<'_>, up: &mut usize) -> (SessionStatus<'v>, InUse) {
    *up = v.bricks().filter(|brick| brick.connections > 0).count();
    (v.session_status(), v.in_use())
}
