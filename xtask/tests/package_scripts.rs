//! The maintainer scripts of the Debian package, in a directory instead of a host: `DPKG_ROOT`.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

const LINK: &str = "etc/systemd/system/multi-user.target.wants/brickwire.service";
const UNIT: &str = "/lib/systemd/system/brickwire.service";

/// A host that runs systemd, where the service is enabled and has made its state directory.
struct Host {
    root: tempfile::TempDir,
}

impl Host {
    fn new() -> Self {
        let host = Self { root: tempfile::tempdir().unwrap() };
        for directory in ["run/systemd/system", "bin", "var/lib/brickwire/volumes"] {
            fs::create_dir_all(host.path(directory)).unwrap();
        }
        fs::create_dir_all(host.path(LINK).parent().unwrap()).unwrap();
        symlink(UNIT, host.path(LINK)).unwrap();
        fs::write(host.path("var/lib/brickwire/serve.lock"), "").unwrap();
        fs::write(host.path("var/lib/brickwire/change.lock"), "").unwrap();
        for tool in ["systemctl", "deb-systemd-invoke"] {
            let text = format!("#!/bin/sh\necho {tool} \"$@\" >> \"$DPKG_ROOT/calls\"\n");
            fs::write(host.path("bin").join(tool), text).unwrap();
            fs::set_permissions(host.path("bin").join(tool), PermissionsExt::from_mode(0o755))
                .unwrap();
        }
        host
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    /// Runs a script as dpkg does. Returns the calls of systemd's tools.
    fn run(&self, script: &str, args: &[&str]) -> String {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/debian");
        let path = format!("{}:/usr/bin:/bin", self.path("bin").display());
        let mut command = Command::new("sh");
        command.arg(scripts.join(script)).args(args);
        command.env("DPKG_ROOT", self.root.path()).env("PATH", path);
        assert!(command.status().unwrap().success(), "{script} {args:?}");
        let calls = fs::read_to_string(self.path("calls")).unwrap_or_default();
        let _ = fs::remove_file(self.path("calls"));
        calls
    }
}

#[test]
fn an_upgrade_lets_a_running_server_run_the_new_program() {
    let host = Host::new();
    let installed = host.run("postinst", &["configure", ""]);
    assert_eq!(installed, "systemctl --system daemon-reload\n", "nothing is started unasked");
    assert_eq!(host.run("prerm", &["upgrade", "0.2.0-1"]), "", "it serves until it is replaced");
    assert_eq!(host.run("postrm", &["upgrade", "0.2.0-1"]), "");
    let upgraded = host.run("postinst", &["configure", "0.1.0-1"]);
    assert!(upgraded.ends_with("deb-systemd-invoke try-restart brickwire.service\n"), "{upgraded}");
    assert!(host.path(LINK).is_symlink(), "an upgraded service stays enabled");
}

#[test]
fn a_purge_leaves_no_link_and_no_directory_but_volumes_that_somebody_made() {
    for with_volume in [false, true] {
        let host = Host::new();
        let volume = host.path("var/lib/brickwire/volumes/vms.toml");
        if with_volume {
            fs::write(&volume, "").unwrap();
        }
        assert_eq!(host.run("prerm", &["remove"]), "deb-systemd-invoke stop brickwire.service\n");
        assert_eq!(host.run("postrm", &["remove"]), "systemctl --system daemon-reload\n");
        assert!(!host.path(LINK).is_symlink());
        host.run("postrm", &["purge"]);
        assert_eq!(volume.exists(), with_volume);
        assert_eq!(host.path("var/lib/brickwire").exists(), with_volume);
    }
}
