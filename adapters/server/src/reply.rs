//! Encodes a brick's replies into the vector of [`Backend::execute`](crate::Backend::execute), with
//! the lock and fd counts that the server adds.

use brickwire_core::fop::FopNumber;
use brickwire_core::fop::wire::{Body, Reply, Request};
use brickwire_core::server::{Call, Counts};
use brickwire_core::xdr::{Dict, Encode, Errno, NoRoom, Pair, Value, Writer};

/// Destination of the reply to one call.
#[derive(Debug)]
pub struct Out<'a> {
    bytes: &'a mut Vec<u8>,
    number: FopNumber,
    counts: Counts,
    /// A LOOKUP that asks for keys gets a dictionary even if none of them is there: the shard
    /// translator of C clients takes an inode for unknown otherwise.
    has_dict: bool,
}

/// A key of xdata and its value, kept until the reply is encoded.
pub type Key = (Vec<u8>, Owned);

/// An owned value of xdata.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // Named after the wire values.
pub enum Owned {
    Bytes(Vec<u8>),
    Text(Vec<u8>),
    Int(i64),
    Uint(u64),
}

impl Owned {
    /// The wire value, borrowed.
    pub fn value(&self) -> Value<'_> {
        match self {
            Self::Bytes(bytes) => Value::Ptr(bytes),
            Self::Text(text) => Value::Str(text),
            Self::Int(n) => Value::Int(*n),
            Self::Uint(n) => Value::Uint(*n),
        }
    }
}

/// A reply with its fop number, so that it can be measured and encoded.
struct Sized<'a, 'b>(&'a Reply<'b>, FopNumber);

impl Encode for Sized<'_, '_> {
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
        self.0.encode(self.1, w)
    }
}

impl<'a> Out<'a> {
    /// Destination for the reply to `call`.
    pub fn new(call: &Call<'_>, bytes: &'a mut Vec<u8>) -> Self {
        let has_dict =
            matches!(&call.request, Request::Lookup(r) if !matches!(r.xdata, Dict::Null));
        Self { bytes, number: call.request.number(), counts: call.counts, has_dict }
    }

    /// Replaces whatever was encoded by a failure.
    pub fn fail(&mut self, errno: Errno) {
        self.bytes.clear();
        self.put(&Reply::plain(-1, errno.to_wire()));
    }

    /// Encodes success without a body.
    pub fn done(&mut self) {
        self.success(0, 0, &[], Body::None);
    }

    /// Encodes success with a body.
    pub fn body(&mut self, body: Body<'_>) {
        self.success(0, 0, &[], body);
    }

    /// Encodes success with a result, an errno (READ and READDIR say ENOENT at the end), xdata and
    /// a body.
    pub fn success(&mut self, op_ret: i32, op_errno: i32, keys: &[Key], body: Body<'_>) {
        let mut pairs: Vec<Pair<'_>> =
            keys.iter().map(|(key, value)| Pair { key, value: value.value() }).collect();
        let Counts { inodelk, posixlk, entrylk, parent_entrylk, open_fd, open_active_fd } =
            self.counts;
        let ints = [
            ("glusterfs.inodelk-count", inodelk),
            ("glusterfs.posixlk-count", posixlk),
            ("glusterfs.entrylk-count", entrylk),
            ("glusterfs.parent-entrylk", parent_entrylk),
        ];
        let uints = [
            ("glusterfs.open-fd-count", open_fd),
            ("glusterfs.open-active-fd-count", open_active_fd),
        ];
        for (key, value) in ints {
            pairs.extend(value.map(|value| Pair { key: key.as_bytes(), value: Value::Int(value) }));
        }
        for (key, value) in uints {
            pairs
                .extend(value.map(|value| Pair { key: key.as_bytes(), value: Value::Uint(value) }));
        }
        let is_null = pairs.is_empty() && !self.has_dict;
        let xdata = if is_null { Dict::Null } else { Dict::Pairs(&pairs) };
        self.put(&Reply { op_ret, op_errno, xdata, body });
    }

    fn put(&mut self, reply: &Reply<'_>) {
        let sized = Sized(reply, self.number);
        let at = self.bytes.len();
        self.bytes.resize(at + sized.encoded_len(), 0);
        // The room is of the length that was measured.
        let _ = sized.encode(&mut Writer::new(self.bytes.get_mut(at..).unwrap_or_default()));
    }

    /// Appends the data of a READ after its body.
    pub fn data(&mut self, data: &[u8]) {
        self.bytes.extend_from_slice(data);
    }
}
