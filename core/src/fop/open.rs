//! Flags of opening a file.

/// Flags of OPEN and CREATE on the wire (docs/spec/01-wire.md, "Open flags on the wire"), which
/// equal Linux's on x86.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct OpenFlags(pub u32);

impl OpenFlags {
    /// Read only.
    pub const READ: OpenFlags = OpenFlags(0);
    /// Write only.
    pub const WRITE: OpenFlags = OpenFlags(1);
    /// Read and write.
    pub const READ_WRITE: OpenFlags = OpenFlags(2);
    /// Make the file if it is not there.
    pub const CREATE: OpenFlags = OpenFlags(0o100);
    /// With `CREATE`: fail if it is there.
    pub const EXCLUSIVE: OpenFlags = OpenFlags(0o200);
    /// Truncate it to size 0.
    pub const TRUNCATE: OpenFlags = OpenFlags(0o1000);
    /// Writes go to the end.
    pub const APPEND: OpenFlags = OpenFlags(0o2000);
    /// Past the server's page cache.
    pub const DIRECT: OpenFlags = OpenFlags(0o40000);
    /// Each write is on disk when it is answered.
    pub const SYNC: OpenFlags = OpenFlags(0o10000);
    /// Only if it is a directory.
    pub const DIRECTORY: OpenFlags = OpenFlags(0o200000);

    /// Both.
    pub const fn and(self, other: OpenFlags) -> OpenFlags {
        OpenFlags(self.0 | other.0)
    }

    /// Without these.
    pub const fn without(self, other: OpenFlags) -> OpenFlags {
        OpenFlags(self.0 & !other.0)
    }

    /// Are all bits of `other` set? (Access modes: ask [`OpenFlags::writes`].)
    pub const fn has(self, other: OpenFlags) -> bool {
        self.0 & other.0 == other.0
    }

    /// The flags that CREATE's new file is open with: read and write if no flag was given, as on a
    /// real brick. NFS-Ganesha creates a file read-only and then writes to it.
    pub const fn of_new_file(self) -> OpenFlags {
        if self.0 == 0 { Self::READ_WRITE } else { self }
    }

    /// May this handle read?
    pub const fn reads(self) -> bool {
        self.0 & 3 != 1
    }

    /// May this handle write?
    pub const fn writes(self) -> bool {
        self.0 & 3 != 0
    }
}
