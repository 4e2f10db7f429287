//! A server in the test's process, whose allocations, open files and waits can be observed.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use brickwire_posix::{Brick, BrickOptions};
use brickwire_server::{Access, Backend, BrickService, Handle, Listen, Server, ServerOptions};
use brickwire_std::{Gfid, Volume};

/// A server of one brick on its own thread.
#[allow(missing_debug_implementations)]
pub struct InProcess {
    dir: tempfile::TempDir,
    port: u16,
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

impl InProcess {
    /// Serves the directory as the volume `v`. `None` if the file system stores no `trusted.*`
    /// xattrs.
    pub fn at(dir: tempfile::TempDir) -> Option<Self> {
        Self::with(dir, |brick| Arc::new(brick))
    }

    /// As [`InProcess::at`], with a backend that wraps the brick.
    pub fn with(
        dir: tempfile::TempDir,
        around: impl FnOnce(Brick) -> Arc<dyn Backend>,
    ) -> Option<Self> {
        let id = Gfid(*b"steady volume id");
        let options = BrickOptions { volume_id: id, ..BrickOptions::default() };
        match Brick::open(dir.path(), options) {
            Ok(brick) => Some(Self::serving(dir, id, around(brick))),
            Err(error) => {
                println!("skipped: {error}");
                None
            }
        }
    }

    /// Serves any backend. The directory is removed when the server is dropped.
    pub fn serving(dir: tempfile::TempDir, id: Gfid, backend: Arc<dyn Backend>) -> Self {
        let listen = vec![Listen::Tcp(([127, 0, 0, 1], 0).into())];
        let mut server =
            Server::bind(&ServerOptions { listen, ..ServerOptions::default() }).expect("a server");
        let port = server.addresses()[0].port();
        let text = format!(
            "volume v-client-0\n    type protocol/client\n    option remote-host 127.0.0.1\n    \
             option remote-port {port}\n    \
             option remote-subvolume /within\nend-volume\n\nvolume v-utime\n    type \
             features/utime\n    subvolumes \
             v-client-0\nend-volume\n\nvolume v\n    type debug/io-stats\n    subvolumes \
             v-utime\nend-volume\n"
        );
        server.set_volumes(vec![brickwire_server::Volume {
            name: "v".into(),
            id,
            volfiles: BTreeMap::from([("v".into(), text)]),
            bricks: vec![BrickService {
                name: "/within".into(),
                access: Access::default(),
                backend,
            }],
        }]);
        let handle = server.handle();
        let thread = std::thread::spawn(move || server.run().expect("it serves"));
        Self { dir, port, handle, thread: Some(thread) }
    }

    /// Opens the volume with our client.
    pub fn volume(&self) -> Volume {
        Volume::open(&format!("gluster://127.0.0.1:{}/v", self.port)).expect("a volume")
    }

    /// The brick's directory.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for InProcess {
    fn drop(&mut self) {
        self.handle.stop();
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || matches!(ended, Some(Ok(()))));
    }
}
