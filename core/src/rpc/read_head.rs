//! The start of the payload in a READ reply. Splitting records needs to know this one thing about a
//! fop.

use crate::xdr::{Fault, Iatt, XdrError};

/// Bytes of a READ reply's body before its xdata: result, attributes, size.
const READ_BEFORE_XDATA: usize = 8 + Iatt::LEN + 4;
/// Bytes of a READ reply's body that suffice to find its payload.
pub(crate) const READ_DECIDES_AT: usize = READ_BEFORE_XDATA + 4;
/// Bytes of an xdata before its pairs.
const XDATA_HEAD: usize = 12;
/// The longest xdata that is accepted in a READ reply.
const READ_XDATA_MAX: u32 = 64 << 10;

/// Length of a READ reply's body before its payload; `None` if `body` is too short to tell. The
/// receiver splits the record there before all of it has arrived.
pub fn read_head_len(body: &[u8]) -> Result<Option<usize>, XdrError> {
    let Some(size) = body.get(READ_BEFORE_XDATA..).and_then(|rest| rest.first_chunk::<4>()) else {
        return Ok(None);
    };
    let size = u32::from_be_bytes(*size);
    if size > READ_XDATA_MAX {
        let fault = Fault::TooLong { len: size, max: READ_XDATA_MAX };
        return Err(XdrError { field: "xdr_size", offset: READ_BEFORE_XDATA as u32, fault });
    }
    Ok(Some(READ_BEFORE_XDATA + XDATA_HEAD + size as usize))
}
