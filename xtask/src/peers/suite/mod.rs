//! The suites: how each is started, and what its output says of each test.

mod fsx;
mod ganesha;
mod gateway;
mod iotests;
mod ltp;
mod pjdfstest;
mod samba;
mod xfstests;

use anyhow::{Result, bail};
use clap::ValueEnum;

use super::place::Place;
use super::results::{Outcome, Results};
use super::tools::Tools;

/// A suite of another project.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Suite {
    /// POSIX semantics of names, permissions and times.
    Pjdfstest,
    /// Random reads, writes and truncations of one file, compared with a copy in memory.
    Fsx,
    /// File-system calls of the Linux Test Project.
    Ltp,
    /// The generic tests of xfstests' group `quick` that apply to a network file system.
    Xfstests,
    /// QEMU's iotests of raw images.
    IotestsRaw,
    /// QEMU's iotests of qcow2 images.
    IotestsQcow2,
    /// A tree in and out through Samba's vfs_glusterfs.
    Samba,
    /// A tree in and out through NFS-Ganesha's FSAL_GLUSTER.
    Ganesha,
}

impl Suite {
    pub(super) const ALL: [Self; 8] = [
        Self::Pjdfstest,
        Self::Fsx,
        Self::Ltp,
        Self::Xfstests,
        Self::IotestsRaw,
        Self::IotestsQcow2,
        Self::Samba,
        Self::Ganesha,
    ];

    /// The name on the command line.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Pjdfstest => "pjdfstest",
            Self::Fsx => "fsx",
            Self::Ltp => "ltp",
            Self::Xfstests => "xfstests",
            Self::IotestsRaw => "iotests-raw",
            Self::IotestsQcow2 => "iotests-qcow2",
            Self::Samba => "samba",
            Self::Ganesha => "ganesha",
        }
    }

    /// Where it comes from, for the report.
    pub(super) fn source(self) -> &'static str {
        match self {
            Self::Pjdfstest => "the crate pjdfstest 0.2.2",
            Self::Fsx => "the crate fsx 0.3.2, one test for each seed and mix of operations",
            Self::Ltp => {
                "the Linux Test Project's system calls on files, `DIR/ltp`, built by the user"
            }
            Self::Xfstests => {
                "the generic tests of group quick without those that need a block device, \
                 `DIR/xfstests`, built by the user"
            }
            Self::IotestsRaw | Self::IotestsQcow2 => {
                "QEMU's iotests of the group quick without those that need the qtest accelerator, \
                 from Debian's source package with Debian's programs, images on the mount"
            }
            Self::Samba => {
                "302 files through Debian's Samba with vfs_glusterfs, copied in and out by \
                 smbclient and compared byte by byte, also with the mount"
            }
            Self::Ganesha => {
                "302 files through Debian's NFS-Ganesha with FSAL_GLUSTER, copied in and out by \
                 libnfs's nfs-cp and compared byte by byte, also with the mount"
            }
        }
    }

    /// Finds or installs what it needs.
    pub(super) fn prepare(self, tools: &Tools) -> Result<()> {
        match self {
            Self::Pjdfstest => tools.install("pjdfstest").map(drop),
            Self::Fsx => tools.install("fsx").map(drop),
            Self::Ltp => tools.named("ltp/runtest/syscalls").map(drop),
            Self::Xfstests => tools.named("xfstests/check").map(drop),
            Self::IotestsRaw | Self::IotestsQcow2 => tools.iotests().map(drop),
            Self::Samba => samba::prepare(),
            Self::Ganesha => ganesha::prepare(),
        }
    }

    /// The names of its tests; `None` if it runs all at once.
    pub(super) fn list(self, tools: &Tools, place: &Place<'_>) -> Result<Option<Vec<String>>> {
        match self {
            Self::Pjdfstest => return Ok(None),
            Self::Fsx => Ok(fsx::list()),
            Self::Ltp => ltp::list(tools),
            Self::Xfstests => xfstests::list(tools),
            Self::IotestsRaw => iotests::list(tools, place, "raw"),
            Self::IotestsQcow2 => iotests::list(tools, place, "qcow2"),
            Self::Samba => Ok(samba::list()),
            Self::Ganesha => Ok(ganesha::list()),
        }
        .map(Some)
    }

    /// Runs all tests of a suite that has no list.
    pub(super) fn run_all(
        self,
        tools: &Tools,
        place: &Place<'_>,
        only: Option<&str>,
    ) -> Result<Results> {
        pjdfstest::run(tools, place, only)
    }

    /// Runs one test.
    pub(super) fn run(self, tools: &Tools, place: &Place<'_>, test: &str) -> Result<Outcome> {
        match self {
            Self::Pjdfstest => bail!("pjdfstest runs all tests at once"),
            Self::Fsx => fsx::run(tools, place, test),
            Self::Ltp => ltp::run(tools, place, test),
            Self::Xfstests => xfstests::run(tools, place, test),
            Self::IotestsRaw => iotests::run(tools, place, "raw", test),
            Self::IotestsQcow2 => iotests::run(tools, place, "qcow2", test),
            Self::Samba => samba::run(place, test),
            Self::Ganesha => ganesha::run(place, test),
        }
    }
}

/// The exit status of timeout(1) for a test that it ended.
const TIMED_OUT: [i32; 2] = [124, 137];
