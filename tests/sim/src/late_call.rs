//! A call that a disk executes later, with everything that it needs.

use brickwire_core::fop::FopNumber;
use brickwire_core::fop::wire::Request;
use brickwire_core::rpc::Cred;
use brickwire_core::server::{BrickIx, Call, Counts, HandleId, Payload, Target};
use brickwire_core::xdr::{Decode, Encode, Reader, Writer};

/// A call, owned.
#[derive(Clone, Debug)]
pub struct LateCall {
    brick: BrickIx,
    number: FopNumber,
    /// Credential and request, encoded.
    text: Vec<u8>,
    target: Target,
    second: Target,
    opened: bool,
    opens: Option<HandleId>,
    counts: Counts,
    payload: Vec<u8>,
}

impl LateCall {
    /// Copies a call, with this payload.
    pub fn new(call: &Call<'_>, payload: Vec<u8>) -> Self {
        let mut text = vec![0; call.cred.encoded_len() + call.request.encoded_len()];
        let mut w = Writer::new(&mut text);
        call.cred.encode(&mut w).expect("room of the measured length");
        call.request.encode(&mut w).expect("room of the measured length");
        let Call { brick, target, second, opened, opens, counts, .. } = *call;
        let number = call.request.number();
        Self { brick, number, text, target, second, opened, opens, counts, payload }
    }

    /// The call as it was.
    pub fn with<T>(&self, then: impl FnOnce(&Call<'_>) -> T) -> T {
        let mut r = Reader::new(&self.text);
        let cred = Cred::decode(&mut r).expect("it was encoded here");
        let request = Request::decode(self.number, &mut r).expect("it was encoded here");
        then(&Call {
            brick: self.brick,
            cred,
            request,
            target: self.target,
            second: self.second,
            opened: self.opened,
            opens: self.opens,
            payload: Payload::Bytes(&self.payload),
            counts: self.counts,
        })
    }
}
