//! The typed dictionary at the end of every request and in every reply (docs/spec/01-wire.md,
//! "Typed XDR dict").

use super::super::{Decode, Encode, Fault, NoRoom, Reader, Writer, XdrError};
use super::{DICT_MAX, KEY_MAX, PAIRS_MAX, Value};

/// The smallest pair: two length words, a four-byte key, a type.
const PAIR_MIN: usize = 12;

/// A key and its value. The key's NUL is counted on the wire and left out here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair<'a> {
    /// Key: any bytes except NUL, as in names.
    pub key: &'a [u8],
    /// Value.
    pub value: Value<'a>,
}

/// A dictionary: none, a decoded one, or one to be encoded.
#[derive(Clone, Copy, Debug, Default)]
pub enum Dict<'a> {
    /// No dictionary, which means the same as an empty one.
    #[default]
    Null,
    /// A decoded dictionary: checked, borrowed, re-encoded to the same bytes.
    Wire {
        /// The pairs.
        pairs: &'a [u8],
        /// The three words before the pairs.
        head: [u32; 3],
    },
    /// A dictionary to be encoded.
    Pairs(&'a [Pair<'a>]),
}

impl<'a> Dict<'a> {
    /// The pairs, in the order of the record.
    pub fn pairs(&self) -> Pairs<'a> {
        match *self {
            Self::Null => Pairs::Slice(&[]),
            Self::Wire { pairs, .. } => Pairs::Wire(Reader::new(pairs)),
            Self::Pairs(pairs) => Pairs::Slice(pairs),
        }
    }

    /// The value of a key; of several, the last (docs/spec/01-wire.md, "Typed XDR dict").
    pub fn get(&self, key: impl AsRef<[u8]>) -> Option<Value<'a>> {
        self.pairs().filter(|(name, _)| *name == key.as_ref()).last().map(|(_, value)| value)
    }
}

impl PartialEq for Dict<'_> {
    /// The same keys with the same values in the same order. NULL equals empty.
    fn eq(&self, other: &Self) -> bool {
        self.pairs().eq(other.pairs())
    }
}

impl Eq for Dict<'_> {}

/// Iterates over pairs: key without its NUL, and value.
#[derive(Clone, Debug)]
pub enum Pairs<'a> {
    /// Of a record.
    Wire(Reader<'a>),
    /// Of a slice.
    Slice(&'a [Pair<'a>]),
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a [u8], Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            // They were checked when the dictionary was decoded.
            Self::Wire(r) if r.left() > 0 => pair(r).ok(),
            Self::Wire(_) => None,
            Self::Slice(pairs) => {
                let (first, rest) = pairs.split_first()?;
                *pairs = rest;
                Some((first.key, first.value))
            }
        }
    }
}

fn pair<'a>(r: &mut Reader<'a>) -> Result<(&'a [u8], Value<'a>), XdrError> {
    let start = *r;
    let key = r.opaque("key", KEY_MAX)?;
    let key = key.strip_suffix(&[0]).unwrap_or(key);
    if key.contains(&0) {
        return Err(
            start.error("key", Fault::Value { got: 0, expected: "text without a NUL inside" })
        );
    }
    Ok((key, Value::decode(r)?))
}

impl<'a> Decode<'a> for Dict<'a> {
    fn decode(r: &mut Reader<'a>) -> Result<Self, XdrError> {
        let start = *r;
        let (size, count, pairs) = (r.u32("xdr_size")?, r.u32("count")?, r.u32("pairs")?);
        if count as i32 == -1 && pairs == 0 {
            return Ok(if size == 0 {
                Self::Null
            } else {
                Self::Wire { pairs: &[], head: [size, count, 0] }
            });
        }
        if (count as i32) < -1 {
            return Err(
                start.error("count", Fault::Value { got: count.into(), expected: "-1 or more" })
            );
        }
        if pairs > PAIRS_MAX || pairs as usize * PAIR_MIN > r.left() {
            let max = PAIRS_MAX.min((r.left() / PAIR_MIN) as u32);
            return Err(start.error("pairs", Fault::TooLong { len: pairs, max }));
        }
        let first = *r;
        for _ in 0..pairs {
            pair(r)?;
        }
        let bytes = r.since(&first);
        if bytes.len() > DICT_MAX {
            return Err(start
                .error("dict", Fault::TooLong { len: bytes.len() as u32, max: DICT_MAX as u32 }));
        }
        Ok(Self::Wire { pairs: bytes, head: [size, count, pairs] })
    }
}

impl Encode for Dict<'_> {
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
        match *self {
            Self::Null => {
                w.u32(0)?;
                w.i32(-1)?;
                w.u32(0)
            }
            Self::Wire { pairs, head } => {
                for word in head {
                    w.u32(word)?;
                }
                w.raw(pairs)
            }
            Self::Pairs(pairs) => {
                let at = w.position();
                w.u32(0)?;
                w.u32(pairs.len() as u32)?;
                w.u32(pairs.len() as u32)?;
                for Pair { key, value } in pairs {
                    w.u32(key.len() as u32 + 1)?;
                    w.raw(key)?;
                    w.raw(&[0])?;
                    w.pad(key.len() + 1)?;
                    value.encode(w)?;
                }
                // The receiver splits a WRITE by this size before it decodes the dictionary, so it
                // must be exact (docs/spec/01-wire.md, "READ and WRITE payload").
                w.patch_u32(at, (w.position() - at - 12) as u32);
                Ok(())
            }
        }
    }
}
