//! Counters, for whoever collects them: Prometheus' text over HTTP.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;

use brickwire_server::Handle;

use crate::failure::Failure;

/// Serves the counters at `http://ADDRESS/metrics`.
pub(super) fn serve(address: SocketAddr, handle: Handle) -> Result<(), Failure> {
    let server = tiny_http::Server::http(address)
        .map_err(|error| Failure::new(format_args!("cannot serve counters on {address}: {error}")))?;
    let spawned = std::thread::Builder::new().name("metrics".into()).spawn(move || {
        for request in server.incoming_requests() {
            let known = matches!(request.url(), "/metrics" | "/");
            let response = if known {
                tiny_http::Response::from_string(text(&handle))
            } else {
                tiny_http::Response::from_string("see /metrics\n").with_status_code(404)
            };
            // Whoever asked may have gone.
            let _ = request.respond(response);
        }
    });
    spawned.map(|_| ()).map_err(|error| Failure::local("a thread for counters", &error))
}

fn text(handle: &Handle) -> String {
    let counters = handle.counters();
    let mut text = String::new();
    for (name, kind, help, value) in [
        ("brickwire_connections", "gauge", "Connections that are open.", &counters.connections),
        ("brickwire_accepted_total", "counter", "Connections that were accepted.", &counters.accepted),
        (
            "brickwire_disconnected_total",
            "counter",
            "Connections that the server ended for what they sent or did not take.",
            &counters.disconnected,
        ),
    ] {
        let value = value.load(Ordering::Relaxed);
        // Writing to a String cannot fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
    }
    text
}
