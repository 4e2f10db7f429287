//! `brickwire uri`: the parts of a URI. No connection is made.

use serde_json::{Value, json};

use crate::connect::parse;
use crate::failure::Failure;
use crate::output;

pub(crate) fn run(text: &str, as_json: bool) -> Result<(), Failure> {
    let uri = parse(text).map_err(Failure::not_usage)?;
    let part = |part: Option<brickwire_core::uri::Component<'_>>| part.map(|part| part.to_string());
    let parts = [
        ("transport", Some(uri.transport().name().to_owned())),
        ("host", part(uri.host())),
        ("port", uri.port().map(|port| port.to_string())),
        ("socket", part(uri.socket())),
        ("volume", Some(uri.volume().to_string())),
        ("path", part(uri.path())),
    ];
    if as_json {
        let port = uri.port();
        let mut object: serde_json::Map<String, Value> = parts
            .into_iter()
            .map(|(key, value)| {
                (key.to_owned(), if key == "port" { json!(port) } else { json!(value) })
            })
            .collect();
        let bytes: Vec<u8> = uri.path().map(|path| path.bytes().collect()).unwrap_or_default();
        if let (_, Some(hex)) = output::name_json(&bytes) {
            object.insert("path_hex".to_owned(), hex);
        }
        return output::json(&Value::Object(object));
    }
    for (key, value) in parts {
        if let Some(value) = value {
            output::line(format_args!("{key:<10} {value}"))?;
        }
    }
    Ok(())
}
