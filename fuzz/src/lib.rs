//! Code shared by the fuzz targets.

pub mod both;
#[allow(missing_docs, clippy::missing_panics_doc)]
#[path = "../../core/tests/client_server_sim/mod.rs"]
pub mod client_server_sim;
pub mod peer;
pub mod server;
#[allow(missing_docs, clippy::missing_panics_doc)]
#[path = "../../core/tests/server_harness/mod.rs"]
pub mod server_harness;
pub mod session;
