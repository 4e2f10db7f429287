//! Requests, in the order of their fields on the wire (docs/spec/01-wire.md, "Request and reply
//! table"). The last field is always xdata. The payload of WRITE and PUT follows it to the end of
//! the record.

use super::super::FopNumber;
use super::{ActiveLocks, NAME_MAX, PATH_MAX};
use crate::xdr::{
    Decode, Dict, Encode, Fault, Flock, Gfid, Iatt, NoRoom, Reader, Writer, XdrError,
};

/// Reads and writes a field of each type.
macro_rules! field {
    (read $r:ident u32 $name:ident) => {
        $r.u32(stringify!($name))?
    };
    (read $r:ident i32 $name:ident) => {
        $r.i32(stringify!($name))?
    };
    (read $r:ident u64 $name:ident) => {
        $r.u64(stringify!($name))?
    };
    (read $r:ident i64 $name:ident) => {
        $r.i64(stringify!($name))?
    };
    (read $r:ident Name $name:ident) => {
        $r.string(stringify!($name), NAME_MAX)?
    };
    (read $r:ident Path $name:ident) => {
        $r.string(stringify!($name), PATH_MAX)?
    };
    (read $r:ident LeaseId $name:ident) => {
        *$r.fixed(stringify!($name))?
    };
    (read $r:ident Iatt $name:ident) => {
        Iatt::decode_unchecked($r)?
    };
    (read $r:ident $type:ident $name:ident) => {
        $type::decode($r)?
    };
    (write $w:ident u32 $value:expr) => {
        $w.u32($value)?
    };
    (write $w:ident i32 $value:expr) => {
        $w.i32($value)?
    };
    (write $w:ident u64 $value:expr) => {
        $w.u64($value)?
    };
    (write $w:ident i64 $value:expr) => {
        $w.i64($value)?
    };
    (write $w:ident Name $value:expr) => {
        $w.opaque($value)?
    };
    (write $w:ident Path $value:expr) => {
        $w.opaque($value)?
    };
    (write $w:ident LeaseId $value:expr) => {
        $w.fixed(&$value)?
    };
    (write $w:ident $type:ident $value:expr) => {
        $value.encode($w)?
    };
}

/// The Rust type of a field.
macro_rules! type_of {
    ($a:lifetime Name) => { &$a [u8] };
    ($a:lifetime Path) => { &$a [u8] };
    ($a:lifetime LeaseId) => { [u8; 16] };
    ($a:lifetime Flock) => { Flock<$a> };
    ($a:lifetime Dict) => { Dict<$a> };
    ($a:lifetime ActiveLocks) => { ActiveLocks<$a> };
    ($a:lifetime $type:ident) => { $type };
}

/// Changes a gfid field that names the root.
macro_rules! reroot {
    (Gfid $field:expr, $root:ident) => {
        if $field == Gfid::ROOT {
            $field = $root;
        }
    };
    ($type:ident $field:expr, $root:ident) => {};
}

macro_rules! requests {
    ($($(#[$meta:meta])* $name:ident { $($field:ident: $type:ident,)* })+) => {
        $(
            $(#[$meta])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            // Fields have the wire's names: docs/spec/01-wire.md, "Request and reply table".
            #[allow(missing_docs)]
            pub struct $name<'a> {
                $(pub $field: type_of!('a $type),)*
                /// Further keys.
                pub xdata: Dict<'a>,
            }

            impl<'a> Decode<'a> for $name<'a> {
                fn decode(r: &mut Reader<'a>) -> Result<Self, XdrError> {
                    Ok(Self { $($field: field!(read r $type $field),)* xdata: Dict::decode(r)? })
                }
            }

            impl Encode for $name<'_> {
                fn encode(&self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
                    $(field!(write w $type self.$field);)*
                    self.xdata.encode(w)
                }
            }
        )+

        /// Any request.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs)] // One variant a fop.
        #[allow(clippy::large_enum_variant)] // Lives on the stack for the length of one call.
        pub enum Request<'a> {
            $($name($name<'a>),)+
        }

        impl<'a> Request<'a> {
            /// The number of the fop.
            pub const fn number(&self) -> FopNumber {
                match self {
                    $(Self::$name(_) => FopNumber::$name,)+
                }
            }

            /// The request with every gfid of the root, in whatever field, replaced by `root`.
            pub fn with_root(mut self, root: Gfid) -> Self {
                match &mut self {
                    $(Self::$name(_request) => { $(reroot!($type _request.$field, root);)* })+
                }
                self
            }

            /// Decodes the arguments of a fop; a payload is left in the reader.
            pub fn decode(number: FopNumber, r: &mut Reader<'a>) -> Result<Self, XdrError> {
                match number {
                    $(FopNumber::$name => Ok(Self::$name($name::decode(r)?)),)+
                    FopNumber::Null | FopNumber::Compound => {
                        let got = number as u32;
                        let expected = "a fop with arguments";
                        Err(r.error("procedure", Fault::Value { got: got.into(), expected }))
                    }
                }
            }
        }

        impl Encode for Request<'_> {
            fn encode(&self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
                match self {
                    $(Self::$name(request) => request.encode(w),)+
                }
            }
        }
    };
}

requests! {
    /// Attributes by gfid.
    Stat { gfid: Gfid, }
    /// The target of a symlink.
    Readlink { gfid: Gfid, size: u32, }
    /// Makes a file, device, pipe or socket.
    Mknod { pargfid: Gfid, dev: u64, mode: u32, umask: u32, bname: Name, }
    /// Makes a directory.
    Mkdir { pargfid: Gfid, mode: u32, umask: u32, bname: Name, }
    /// Removes a name.
    Unlink { pargfid: Gfid, bname: Name, xflags: u32, }
    /// Removes a directory. Its fields are in another order than UNLINK's.
    Rmdir { pargfid: Gfid, xflags: i32, bname: Name, }
    /// Makes a symlink.
    Symlink { pargfid: Gfid, bname: Name, umask: u32, linkname: Path, }
    /// Renames: `oldgfid` and `newgfid` are the parents.
    Rename { oldgfid: Gfid, newgfid: Gfid, oldbname: Name, newbname: Name, }
    /// Adds a name: `oldgfid` is the file, `newgfid` the parent of the name.
    Link { oldgfid: Gfid, newgfid: Gfid, newbname: Name, }
    /// Sets the size by gfid.
    Truncate { gfid: Gfid, offset: u64, }
    /// Opens a file.
    Open { gfid: Gfid, flags: u32, }
    /// Reads.
    Read { gfid: Gfid, fd: i64, offset: u64, size: u32, flag: u32, }
    /// Writes; the payload follows.
    Write { gfid: Gfid, fd: i64, offset: u64, size: u32, flag: u32, }
    /// Space and inodes.
    Statfs { gfid: Gfid, }
    /// Tells the brick that an owner closes.
    Flush { gfid: Gfid, fd: i64, }
    /// Makes durable: `data` 1 leaves metadata out.
    Fsync { gfid: Gfid, fd: i64, data: u32, }
    /// Sets xattrs by gfid.
    Setxattr { gfid: Gfid, flags: u32, dict: Dict, }
    /// Reads one xattr (`namelen` 1) or all (0).
    Getxattr { gfid: Gfid, namelen: u32, name: Name, }
    /// Removes an xattr.
    Removexattr { gfid: Gfid, name: Name, }
    /// Opens a directory.
    Opendir { gfid: Gfid, }
    /// Makes a directory durable.
    Fsyncdir { gfid: Gfid, fd: i64, data: i32, }
    /// May the caller do this?
    Access { gfid: Gfid, mask: u32, }
    /// Makes and opens a file.
    Create { pargfid: Gfid, flags: u32, mode: u32, umask: u32, bname: Name, }
    /// Sets the size of an open file.
    Ftruncate { gfid: Gfid, fd: i64, offset: u64, }
    /// Attributes of an open file.
    Fstat { gfid: Gfid, fd: i64, }
    /// A POSIX lock.
    Lk { gfid: Gfid, fd: i64, cmd: u32, kind: u32, flock: Flock, }
    /// Finds a name in a directory, or a gfid, and returns its attributes.
    Lookup { gfid: Gfid, pargfid: Gfid, flags: u32, bname: Name, }
    /// Entries of a directory.
    Readdir { gfid: Gfid, fd: i64, offset: u64, size: u32, }
    /// A lock on a range of an inode.
    Inodelk { gfid: Gfid, cmd: u32, kind: u32, flock: Flock, volume: Name, }
    /// The same by fd.
    Finodelk { gfid: Gfid, fd: i64, cmd: u32, kind: u32, flock: Flock, volume: Name, }
    /// A lock on a name in a directory (`namelen` 1) or on all (0).
    Entrylk { gfid: Gfid, cmd: u32, kind: u32, namelen: u64, name: Name, volume: Name, }
    /// The same by fd.
    Fentrylk { gfid: Gfid, fd: i64, cmd: u32, kind: u32, namelen: u64, name: Name, volume: Name, }
    /// Arithmetic on xattrs.
    Xattrop { gfid: Gfid, flags: u32, dict: Dict, }
    /// The same by fd.
    Fxattrop { gfid: Gfid, fd: i64, flags: u32, dict: Dict, }
    /// Reads one xattr, or all, by fd.
    Fgetxattr { gfid: Gfid, fd: i64, namelen: u32, name: Name, }
    /// Sets xattrs by fd.
    Fsetxattr { gfid: Gfid, fd: i64, flags: u32, dict: Dict, }
    /// Checksums of a range.
    Rchecksum { gfid: Gfid, fd: i64, offset: u64, len: u32, flags: u32, }
    /// Sets attributes by gfid: those of `valid`.
    Setattr { gfid: Gfid, stbuf: Iatt, valid: i32, }
    /// The same by fd.
    Fsetattr { gfid: Gfid, fd: i64, stbuf: Iatt, valid: i32, }
    /// Entries of a directory with attributes.
    Readdirp { gfid: Gfid, fd: i64, offset: u64, size: u32, }
    /// Frees the fd of a file.
    Release { gfid: Gfid, fd: i64, }
    /// Frees the fd of a directory.
    Releasedir { gfid: Gfid, fd: i64, }
    /// Removes an xattr by fd.
    Fremovexattr { gfid: Gfid, fd: i64, name: Name, }
    /// Reserves space: `flags` as of fallocate(2).
    Fallocate { gfid: Gfid, fd: i64, flags: u32, offset: u64, size: u64, }
    /// Frees a range.
    Discard { gfid: Gfid, fd: i64, offset: u64, size: u64, }
    /// Writes zeroes.
    Zerofill { gfid: Gfid, fd: i64, offset: u64, size: u64, }
    /// Passes a message between translators.
    Ipc { op: i32, }
    /// The next data (`what` 0) or hole (1).
    Seek { gfid: Gfid, fd: i64, offset: u64, what: i32, }
    /// A lease.
    Lease { gfid: Gfid, cmd: u32, lease_type: u32, lease_id: LeaseId, lease_flags: u32, }
    /// Returns the locks that are held.
    Getactivelk { gfid: Gfid, }
    /// Sets the locks that are held.
    Setactivelk { gfid: Gfid, locks: ActiveLocks, }
    /// Makes an inode without a name.
    Icreate { gfid: Gfid, mode: u32, }
    /// Names an inode. A 10.3 brick crashes on it, so it must never be sent.
    Namelink { pargfid: Gfid, bname: Name, }
    /// Makes a file with its content; the payload follows.
    Put {
        pargfid: Gfid, bname: Name, mode: u32, umask: u32, flag: u32, offset: u64, size: u32,
        xattr: Dict,
    }
    /// Copies a range from one file to another.
    CopyFileRange {
        source: Gfid, destination: Gfid, fd_in: i64, fd_out: i64, off_in: u64, off_out: u64,
        size: u32, flag: u32,
    }
}
