//! Options for opening a file.

use brickwire_core::volume::OpenFlags;

/// Options for opening a file, like [`std::fs::OpenOptions`].
#[derive(Clone, Copy, Debug)]
pub struct OpenOptions {
    read: bool,
    write: bool,
    extra: OpenFlags,
    mode: u32,
}

impl OpenOptions {
    /// No option set. At least one of `read` and `write` is needed.
    pub fn new() -> Self {
        Self { read: false, write: false, extra: OpenFlags(0), mode: 0o600 }
    }

    /// Opens for reading.
    pub fn read(mut self, read: bool) -> Self {
        self.read = read;
        self
    }

    /// Opens for writing.
    pub fn write(mut self, write: bool) -> Self {
        self.write = write;
        self
    }

    fn set(mut self, flag: OpenFlags, on: bool) -> Self {
        self.extra = if on { self.extra.and(flag) } else { self.extra.without(flag) };
        self
    }

    /// Creates the file if it does not exist.
    pub fn create(self, create: bool) -> Self {
        self.set(OpenFlags::CREATE, create)
    }

    /// Creates the file and fails with EEXIST if it exists.
    pub fn create_new(self, create: bool) -> Self {
        self.set(OpenFlags::CREATE.and(OpenFlags::EXCLUSIVE), create)
    }

    /// Truncates the file to size 0.
    pub fn truncate(self, truncate: bool) -> Self {
        self.set(OpenFlags::TRUNCATE, truncate)
    }

    /// Bypasses the brick's page cache (O_DIRECT). Offsets and lengths must be aligned to the
    /// disk's blocks.
    pub fn direct(self, direct: bool) -> Self {
        self.set(OpenFlags::DIRECT, direct)
    }

    /// Each write is on stable storage when it returns (O_SYNC).
    pub fn sync(self, sync: bool) -> Self {
        self.set(OpenFlags::SYNC, sync)
    }

    /// Permission bits of a new file, 0600 by default.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    pub(crate) fn flags(&self) -> OpenFlags {
        let access = match (self.read, self.write) {
            (_, false) => OpenFlags::READ,
            (false, true) => OpenFlags::WRITE,
            (true, true) => OpenFlags::READ_WRITE,
        };
        access.and(self.extra)
    }

    pub(crate) fn permissions(&self) -> u32 {
        self.mode
    }
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self::new()
    }
}
