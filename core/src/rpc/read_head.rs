//! Where the payload of a READ reply begins: the one thing about a fop that whoever splits records has to know.

use crate::xdr::{Fault, Iatt, XdrError};

/// Bytes of a READ reply's body before its xdata: result, attributes, size.
const READ_BEFORE_XDATA: usize = 8 + Iatt::LEN + 4;
/// With so many bytes of a READ reply's body it is known where its payload begins.
pub(crate) const READ_DECIDES_AT: usize = READ_BEFORE_XDATA + 4;
/// Bytes of an xdata's head.
const XDATA_HEAD: usize = 12;
/// The longest xdata of a READ reply that is believed.
const READ_XDATA_MAX: u32 = 64 << 10;

/// How many bytes of a READ reply's body stand before its payload; `None` if `body` is too short to tell. The receiver
/// splits a record there before it has all of it.
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
