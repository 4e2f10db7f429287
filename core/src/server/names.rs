//! Parts of a request that the server itself uses: fds, gfids, names, xdata.

use crate::fop::wire::Request;
use crate::xdr::{Dict, Errno, Gfid};

/// Bytes of the longest name in a directory.
const NAME_MAX: usize = 255;

/// The fds of a request: the first, and COPY_FILE_RANGE's second.
pub(super) fn fds(request: &Request<'_>) -> [Option<i64>; 2] {
    let fd = match request {
        Request::Read(r) => r.fd,
        Request::Write(r) => r.fd,
        Request::Flush(r) => r.fd,
        Request::Fsync(r) => r.fd,
        Request::Fsyncdir(r) => r.fd,
        Request::Ftruncate(r) => r.fd,
        Request::Fstat(r) => r.fd,
        Request::Lk(r) => r.fd,
        Request::Readdir(r) => r.fd,
        Request::Finodelk(r) => r.fd,
        Request::Fentrylk(r) => r.fd,
        Request::Fxattrop(r) => r.fd,
        Request::Fgetxattr(r) => r.fd,
        Request::Fsetxattr(r) => r.fd,
        Request::Rchecksum(r) => r.fd,
        Request::Fsetattr(r) => r.fd,
        Request::Readdirp(r) => r.fd,
        Request::Release(r) => r.fd,
        Request::Releasedir(r) => r.fd,
        Request::Fremovexattr(r) => r.fd,
        Request::Fallocate(r) => r.fd,
        Request::Discard(r) => r.fd,
        Request::Zerofill(r) => r.fd,
        Request::Seek(r) => r.fd,
        Request::CopyFileRange(r) => return [Some(r.fd_in), Some(r.fd_out)],
        _ => return [None; 2],
    };
    [Some(fd), None]
}

/// The inode that a request is about; `Gfid::NONE` if a name says which one, or nothing does.
pub(super) fn gfid(request: &Request<'_>) -> Gfid {
    match request {
        Request::Open(r) => r.gfid,
        Request::Opendir(r) => r.gfid,
        Request::Lookup(r) if r.bname.is_empty() && r.gfid == Gfid::NONE => r.pargfid,
        Request::Lookup(r) => r.gfid,
        Request::Stat(r) => r.gfid,
        Request::Readlink(r) => r.gfid,
        Request::Truncate(r) => r.gfid,
        Request::Access(r) => r.gfid,
        Request::Setattr(r) => r.gfid,
        Request::Setxattr(r) => r.gfid,
        Request::Getxattr(r) => r.gfid,
        Request::Removexattr(r) => r.gfid,
        Request::Xattrop(r) => r.gfid,
        Request::Link(r) => r.oldgfid,
        Request::Read(r) => r.gfid,
        Request::Write(r) => r.gfid,
        Request::Fsync(r) => r.gfid,
        Request::Fsyncdir(r) => r.gfid,
        Request::Ftruncate(r) => r.gfid,
        Request::Fstat(r) => r.gfid,
        Request::Readdir(r) => r.gfid,
        Request::Readdirp(r) => r.gfid,
        Request::Fxattrop(r) => r.gfid,
        Request::Fgetxattr(r) => r.gfid,
        Request::Fsetxattr(r) => r.gfid,
        Request::Fremovexattr(r) => r.gfid,
        Request::Rchecksum(r) => r.gfid,
        Request::Fsetattr(r) => r.gfid,
        Request::Fallocate(r) => r.gfid,
        Request::Discard(r) => r.gfid,
        Request::Zerofill(r) => r.gfid,
        Request::Seek(r) => r.gfid,
        Request::CopyFileRange(r) => r.source,
        _ => Gfid::NONE,
    }
}

/// Does only the answer say which inode the request is about?
pub(super) fn is_by_name(request: &Request<'_>) -> bool {
    match request {
        Request::Lookup(r) => !r.bname.is_empty(),
        Request::Stat(_) => true,
        _ => false,
    }
}

/// The xdata of requests whose replies may contain counts.
pub(super) fn xdata<'a>(request: &Request<'a>) -> Dict<'a> {
    match request {
        Request::Lookup(r) => r.xdata,
        Request::Write(r) => r.xdata,
        Request::Fsync(r) => r.xdata,
        Request::Fstat(r) => r.xdata,
        Request::Stat(r) => r.xdata,
        Request::Unlink(r) => r.xdata,
        Request::Getxattr(r) => r.xdata,
        Request::Fgetxattr(r) => r.xdata,
        _ => Dict::Null,
    }
}

/// Checks that the names of a request can be names of entries: not `.` or `..`, which clients
/// resolve themselves. LOOKUP may have no name. A LOOKUP of `.` in a directory is turned into one
/// of the directory itself.
pub fn check<'a>(request: Request<'a>) -> Result<Request<'a>, Errno> {
    let (first, second): (&[u8], &[u8]) = match &request {
        Request::Lookup(r) if r.bname.is_empty() => return Ok(request),
        Request::Lookup(r) if r.bname == b"." => {
            let mut lookup = *r;
            (lookup.gfid, lookup.pargfid, lookup.bname) = (r.pargfid, Gfid::NONE, b"");
            return Ok(Request::Lookup(lookup));
        }
        Request::Lookup(r) => (r.bname, b"x"),
        Request::Mknod(r) => (r.bname, b"x"),
        Request::Mkdir(r) => (r.bname, b"x"),
        Request::Unlink(r) => (r.bname, b"x"),
        Request::Rmdir(r) => (r.bname, b"x"),
        Request::Symlink(r) => (r.bname, b"x"),
        Request::Rename(r) => (r.oldbname, r.newbname),
        Request::Link(r) => (r.newbname, b"x"),
        Request::Create(r) => (r.bname, b"x"),
        Request::Namelink(r) => (r.bname, b"x"),
        Request::Put(r) => (r.bname, b"x"),
        _ => return Ok(request),
    };
    for name in [first, second] {
        if name.contains(&b'/') {
            return Err(Errno::EPERM);
        }
        if name.len() > NAME_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        if matches!(name, b"" | b"." | b"..") || name.contains(&0) {
            return Err(Errno::EINVAL);
        }
    }
    Ok(request)
}
