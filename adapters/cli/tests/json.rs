//! `--json`: an object for every command that is done, and one on standard error for one that
//! fails.

mod common;

use std::process::Stdio;

use common::{Serving, brickwire, succeeds};
use serde_json::{Value, json};

struct Site {
    _brick: tempfile::TempDir,
    local: tempfile::TempDir,
    serving: Serving,
}

impl Site {
    fn new() -> Self {
        let brick = tempfile::tempdir().unwrap();
        let serving = Serving::serve(&["--volume", &format!("v={}", brick.path().display())]);
        Self { _brick: brick, local: tempfile::tempdir().unwrap(), serving }
    }

    fn uri(&self, path: &str) -> String {
        format!("{}/{path}", self.serving.uri())
    }
}

fn object(args: &[&str]) -> Value {
    serde_json::from_str(&succeeds(brickwire().args(args).arg("--json"))).unwrap()
}

#[test]
fn every_command_that_is_done_prints_what_it_did() {
    let site = Site::new();
    let file = site.local.path().join("a").display().to_string();
    let mut data = vec![7; 1 << 20];
    data.extend(vec![0; 3 << 20]);
    std::fs::write(&file, data).unwrap();
    let uri = site.uri("a.img");

    let import = object(&["import", "--verify", &file, &uri]);
    assert_eq!(import["bytes"], 4 << 20);
    assert_eq!(
        (&import["written_bytes"], &import["hole_bytes"]),
        (&json!(1 << 20), &json!(3 << 20))
    );
    assert_eq!((&import["verified"], &import["replaced"]), (&json!(true), &json!(false)));
    assert!(import["seconds"].as_f64().unwrap() > 0.0);
    assert_eq!((&import["from"], &import["to"]), (&json!(file), &json!(uri)));

    let back = site.local.path().join("b").display().to_string();
    let export = object(&["export", &uri, &back]);
    assert_eq!((&export["bytes"], &export["written_bytes"]), (&json!(4 << 20), &json!(1 << 20)));

    assert_eq!(object(&["create", &site.uri("c"), "1M"])["size"], 1 << 20);
    assert_eq!(object(&["truncate", &site.uri("c"), "2M"])["size"], 2 << 20);
    assert_eq!(object(&["mkdir", &site.uri("d")])["uri"], site.uri("d"));
    let mv = object(&["mv", &site.uri("c"), "d"]);
    assert_eq!((&mv["to"], &mv["renamed"]), (&json!(site.uri("d/c")), &json!(true)));
    assert_eq!(object(&["mv", "-n", &uri, "d/c"])["renamed"], false);
    assert_eq!(object(&["rm", "-r", &site.uri("d")])["directory"], true);
    let info = object(&["info", &uri]);
    assert_eq!((&info["size"], &info["copies"]), (&json!(4 << 20), &json!(1)));
    // Where the copy itself is on standard output, the object is not.
    let mut export = brickwire();
    export.args(["export", "--json", &uri, "-"]).stderr(Stdio::piped());
    let output = export.output().unwrap();
    assert_eq!(output.stdout.len(), 4 << 20);
    let said: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(said["bytes"], 4 << 20);
}

#[test]
fn every_failure_is_one_line_of_json_on_standard_error() {
    let site = Site::new();
    let none = site.uri("none");
    for (args, errno, status) in [
        (&["stat", &none][..], json!("ENOENT"), 1),
        (&["info", &none], json!("ENOENT"), 1),
        (&["rm", &none], json!("ENOENT"), 1),
        (&["export", &none, "/dev/null"], json!("ENOENT"), 1),
        (&["import", "/no/such/file", &none], json!("ENOENT"), 1),
        (&["create", &site.uri("a"), "9e9"], Value::Null, 2),
        (&["ls", "nonsense"], Value::Null, 2),
        (&["ls", &site.uri("").replace("/v/", "/w/")], Value::Null, 1),
        (&["frobnicate"], Value::Null, 2),
    ] {
        let output = brickwire().args(args).arg("--json").output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(status), 0), "{args:?}");
        assert_eq!(said.lines().count(), 1, "{args:?}: {said}");
        let error = &serde_json::from_str::<Value>(&said).unwrap()["error"];
        assert_eq!((&error["errno"], &error["status"]), (&errno, &json!(status)), "{said}");
        assert!(error["text"].as_str().is_some_and(|text| !text.is_empty()), "{said}");
    }
}
