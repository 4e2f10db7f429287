//! The older dictionary: an opaque whose own fields are not aligned, with text or raw values only
//! (docs/spec/01-wire.md, "Legacy binary dict").

use super::super::{Fault, NoRoom, Reader, Writer, XdrError};
use super::KEY_MAX;

/// A decoded dictionary: checked, borrowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LegacyDict<'a> {
    bytes: &'a [u8],
}

/// A key, and the value's bytes unchanged (text has its NUL).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LegacyPair<'a> {
    /// Key.
    pub key: &'a [u8],
    /// Value.
    pub value: &'a [u8],
}

impl<'a> LegacyDict<'a> {
    /// Checks the bytes of an opaque. An empty opaque is an empty dictionary.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, XdrError> {
        if bytes.is_empty() {
            return Ok(Self { bytes });
        }
        let mut r = Reader::new(bytes);
        let start = r;
        let count = r.i32("count")?;
        let max = r.left() / 9;
        if count < 0 || count as usize > max {
            let fault = Fault::TooLong { len: count as u32, max: max as u32 };
            return Err(start.error("count", fault));
        }
        let first = r;
        for _ in 0..count {
            pair(&mut r)?;
        }
        Ok(Self { bytes: r.since(&first) })
    }

    /// Reads an opaque of at most `max` bytes, and the dictionary in it.
    pub fn decode(r: &mut Reader<'a>, field: &'static str, max: usize) -> Result<Self, XdrError> {
        let start = *r;
        let bytes = r.opaque(field, max)?;
        Self::parse(bytes)
            .map_err(|error| XdrError { offset: start.offset() + 4 + error.offset, ..error })
    }

    /// The pairs, in the order of the record.
    pub fn pairs(&self) -> impl Iterator<Item = LegacyPair<'a>> + use<'a> {
        let mut r = Reader::new(self.bytes);
        // `parse` has checked them.
        core::iter::from_fn(move || if r.left() == 0 { None } else { pair(&mut r).ok() })
    }

    /// The value of a key, unchanged; of several, the first.
    pub fn get(&self, key: &[u8]) -> Option<&'a [u8]> {
        self.pairs().find(|pair| pair.key == key).map(|pair| pair.value)
    }

    /// The value of a key as text: up to its NUL.
    pub fn text(&self, key: &[u8]) -> Option<&'a [u8]> {
        let value = self.get(key)?;
        let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
        value.get(..end)
    }
}

fn pair<'a>(r: &mut Reader<'a>) -> Result<LegacyPair<'a>, XdrError> {
    let start = *r;
    let (key_len, value_len) = (r.i32("keylen")?, r.i32("vallen")?);
    let (Ok(key_len), Ok(value_len)) = (usize::try_from(key_len), usize::try_from(value_len))
    else {
        let got = if key_len < 0 { key_len } else { value_len };
        return Err(start.error(
            "keylen",
            Fault::Value { got: got as u32 as u64, expected: "no negative length" },
        ));
    };
    if key_len > KEY_MAX {
        return Err(
            start.error("keylen", Fault::TooLong { len: key_len as u32, max: KEY_MAX as u32 })
        );
    }
    let key = take(r, "key", key_len)?;
    let nul = r.fixed::<1>("key")?;
    if nul[0] != 0 || key.contains(&0) {
        return Err(start
            .error("key", Fault::Value { got: nul[0].into(), expected: "a NUL behind the key" }));
    }
    Ok(LegacyPair { key, value: take(r, "value", value_len)? })
}

fn take<'a>(r: &mut Reader<'a>, field: &'static str, len: usize) -> Result<&'a [u8], XdrError> {
    let before = *r;
    r.skip(field, len)?;
    Ok(r.since(&before))
}

/// Writes a dictionary of texts as an opaque. Pairs without a value are left out. Each value gets a
/// NUL, which is counted.
pub fn put_legacy(w: &mut Writer<'_>, pairs: &[(&str, Option<&[u8]>)]) -> Result<(), NoRoom> {
    let length_at = w.position();
    w.u32(0)?;
    let begin = w.position();
    w.u32(pairs.iter().filter(|(_, value)| value.is_some()).count() as u32)?;
    for (key, value) in pairs {
        let Some(value) = value else { continue };
        w.u32(key.len() as u32)?;
        w.u32(value.len() as u32 + 1)?;
        w.raw(key.as_bytes())?;
        w.raw(&[0])?;
        w.raw(value)?;
        w.raw(&[0])?;
    }
    let len = w.position() - begin;
    w.patch_u32(length_at, len as u32);
    w.pad(len)
}
