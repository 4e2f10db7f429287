//! `brickwire volume heal`: asks GlusterFS's self-heal daemon to heal now, over the daemon's own
//! socket, as glusterd does.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use brickwire_core::rpc::brick_op::{HealOp, TranslatorOp, TranslatorOpReply};
use brickwire_core::rpc::handshake::Opaque;
use brickwire_core::rpc::{CallHeader, Cred, Procedure, RecordMark, ReplyHeader, ReplyStatus};
use brickwire_core::xdr::{Decode as _, Encode as _, Reader, Writer};
use serde_json::{Map, Value, json};

use crate::failure::{Failure, one_line};
use crate::output;
use crate::settings::Settings;

/// Time for an answer: a busy daemon answers late, a stuck one never.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest reply: more than a daemon says of the bricks of one set.
const REPLY_MAX: usize = 1 << 20;

pub(super) fn run(
    name: &str,
    op: HealOp,
    daemon: Option<&Path>,
    settings: &Settings,
) -> Result<(), Failure> {
    let usual = PathBuf::from(format!("/var/run/gluster/shd-{name}.socket"));
    let path = daemon.unwrap_or(&usual);
    let failed = |error: &dyn std::fmt::Display| {
        Failure::new(format_args!(
            "self-heal daemon at {}: {error}: start it with -S {0}, or say --daemon SOCKET",
            path.display()
        ))
    };
    let stream = UnixStream::connect(path).map_err(|error| failed(&error))?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(|error| failed(&error))?;
    let mut said: Vec<String> = Vec::new();
    // The daemon's answer about a set that is not in its graph is empty.
    for set in 0_u32.. {
        let bricks =
            ask(&stream, &format!("{name}-replicate-{set}"), op).map_err(|error| failed(&error))?;
        if bricks.is_empty() {
            break;
        }
        said.extend(bricks);
    }
    if said.is_empty() {
        return Err(Failure::new(format_args!(
            "the self-heal daemon at {} serves no replicated volume {name}, or is still starting",
            path.display()
        )));
    }
    let named = said.iter().enumerate().map(|(at, text)| (format!("{name}-client-{at}"), text));
    if settings.json {
        let value =
            |text: &String| text.parse::<u64>().map_or_else(|_| json!(text), |count| json!(count));
        return output::json(&Value::Object(
            named.map(|(brick, text)| (brick, value(text))).collect::<Map<_, _>>(),
        ));
    }
    for (brick, text) in named {
        let text = one_line(text);
        match op {
            HealOp::Count => output::line(format_args!("{brick}: {text} entries to heal"))?,
            HealOp::Index | HealOp::Full => output::line(format_args!("{brick}: {text}"))?,
        }
    }
    Ok(())
}

/// The daemon's answer for each brick of a set.
fn ask(mut stream: &UnixStream, set: &str, op: HealOp) -> io::Result<Vec<String>> {
    let number = (op as u32).to_string();
    let input = [
        ("xl-op", Some(number.as_bytes())),
        ("count", Some(b"1")),
        ("xl-0", Some(set.as_bytes())),
        // The prefix of the daemon's answers.
        (set, Some(b"0")),
    ];
    let header =
        CallHeader { xid: 1, procedure: Procedure::TRANSLATOR_OP, cred: Cred::bootstrap() };
    let mut record = vec![0; 1024 + 3 * set.len()];
    let mut w = Writer::new(&mut record);
    let encoded = w.u32(0).and_then(|()| header.encode(&mut w));
    let encoded =
        encoded.and_then(|()| TranslatorOp { input: Opaque::Texts(&input) }.encode(&mut w));
    encoded.map_err(|_| io::Error::other("the volume's name is too long"))?;
    let len = w.position();
    w.patch_u32(0, RecordMark::last((len - RecordMark::LEN) as u32));
    stream.write_all(&record[..len])?;

    let mut mark = [0; RecordMark::LEN];
    stream.read_exact(&mut mark)?;
    let mark = RecordMark::parse(mark);
    let len = mark.len as usize;
    if !mark.last || len > REPLY_MAX {
        return Err(strange(&"a record in fragments, or too long"));
    }
    let mut reply = vec![0; len];
    stream.read_exact(&mut reply)?;
    let mut r = Reader::new(&reply);
    match ReplyHeader::decode(&mut r).map_err(|error| strange(&error))?.status {
        ReplyStatus::Success => {}
        status => return Err(strange(&format_args!("{status:?}"))),
    }
    let reply = TranslatorOpReply::decode(&mut r).map_err(|error| strange(&error))?;
    if reply.op_ret < 0 {
        return Err(strange(&String::from_utf8_lossy(reply.errstr)));
    }
    let output = reply.output.dict();
    let of = |brick: u32| {
        ["hardlinks", "status"]
            .iter()
            .find_map(|what| output.text(format!("0-{brick}-{what}").as_bytes()))
    };
    let texts = (0..).map_while(of);
    Ok(texts.map(|text| String::from_utf8_lossy(text).into_owned()).collect())
}

fn strange(what: &dyn std::fmt::Display) -> io::Error {
    io::Error::other(format!("unexpected answer: {what}"))
}
