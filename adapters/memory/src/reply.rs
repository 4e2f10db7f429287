//! Replies. Xdata and lists are collected in buffers of their own. Then everything is encoded at
//! once, into the server's memory, or into a buffer of the storage if it is longer.

use super::arena::Arena;
use super::{Result, Stop};
use brickwire_core::fop::FopNumber;
use brickwire_core::fop::wire::{Body, Direntps, Dirents, Reply};
use brickwire_core::server::{Call, Counts, Place, Submitted};
use brickwire_core::xdr::{Dict, Encode, Errno, Iatt, NoRoom, Value, Writer, padded};

/// Pairs of a dictionary, encoded one by one.
#[derive(Debug)]
pub(super) struct Pairs<'a> {
    bytes: &'a mut [u8],
    len: usize,
    count: u32,
    /// The request asked for keys, so the reply has a dictionary even if none of them exists. The
    /// shard translator of C clients otherwise takes the inode for unknown.
    pub(super) is_asked_for: bool,
}

impl<'a> Pairs<'a> {
    pub(super) fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, len: 0, count: 0, is_asked_for: false }
    }

    pub(super) fn clear(&mut self) {
        (self.len, self.count, self.is_asked_for) = (0, 0, false);
    }

    pub(super) fn put(&mut self, key: &[u8], value: &Value<'_>) -> Result<()> {
        let mut w = Writer::new(self.bytes.get_mut(self.len..).unwrap_or_default());
        (|| {
            put_key(&mut w, key)?;
            value.encode(&mut w)
        })()
        .map_err(too_long)?;
        self.len += w.position();
        self.count += 1;
        Ok(())
    }

    /// Adds a raw value of `len` bytes, which `fill` writes.
    pub(super) fn put_bytes(
        &mut self,
        key: &[u8],
        len: usize,
        fill: impl FnOnce(&mut [u8]),
    ) -> Result<()> {
        // 6: raw bytes.
        self.put_kind(6, key, len, fill)
    }

    fn put_kind(
        &mut self,
        kind: u32,
        key: &[u8],
        len: usize,
        fill: impl FnOnce(&mut [u8]),
    ) -> Result<()> {
        let mut w = Writer::new(self.bytes.get_mut(self.len..).unwrap_or_default());
        (|| {
            put_key(&mut w, key)?;
            w.u32(kind)?;
            w.u32(len as u32)
        })()
        .map_err(too_long)?;
        let begin = self.len + w.position();
        let room = self.bytes.get_mut(begin..begin + padded(len));
        let (value, padding) = room.ok_or(Errno::ERANGE)?.split_at_mut(len);
        padding.fill(0);
        fill(value);
        self.len = begin + padded(len);
        self.count += 1;
        Ok(())
    }

    /// Adds a text of `len` bytes, which `fill` writes.
    pub(super) fn put_text(
        &mut self,
        key: &[u8],
        len: usize,
        fill: impl FnOnce(&mut [u8]),
    ) -> Result<()> {
        // Type 5 is text; the length counts the NUL.
        self.put_kind(5, key, len + 1, |room| {
            if let Some((nul, text)) = room.split_last_mut() {
                *nul = 0;
                fill(text);
            }
        })
    }

    /// Bytes left for a list.
    pub(super) fn capacity(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn dict(&self) -> Dict<'_> {
        if self.count == 0 {
            return if self.is_asked_for { Dict::Pairs(&[]) } else { Dict::Null };
        }
        let pairs = self.bytes.get(..self.len).unwrap_or_default();
        Dict::Wire { pairs, head: [self.len as u32, self.count, self.count] }
    }
}

fn put_key(w: &mut Writer<'_>, key: &[u8]) -> Result<(), NoRoom> {
    w.u32(key.len() as u32 + 1)?;
    w.raw(key)?;
    w.raw(&[0])?;
    w.pad(key.len() + 1)
}

fn too_long(_: NoRoom) -> Stop {
    Stop::Errno(Errno::ERANGE)
}

/// Destination of the reply to one call.
#[derive(Debug)]
pub(super) struct Out<'a, 'w, 'm> {
    number: FopNumber,
    counts: Counts,
    writer: &'a mut Writer<'w>,
    pub(super) arena: &'a mut Arena<'m>,
    /// Xdata.
    pub(super) keys: Pairs<'a>,
    /// Pairs of a dictionary, or entries of a list, in the body.
    pub(super) pairs: Pairs<'a>,
    /// A buffer reserved for a reply that must be sent once the call has changed something.
    reserved: Option<Place>,
    pub(super) done: Option<Submitted>,
}

impl<'a, 'w, 'm> Out<'a, 'w, 'm> {
    pub(super) fn new(
        call: &Call<'_>,
        writer: &'a mut Writer<'w>,
        arena: &'a mut Arena<'m>,
        keys: &'a mut [u8],
        list: &'a mut [u8],
    ) -> Self {
        Self {
            number: call.request.number(),
            counts: call.counts,
            writer,
            arena,
            keys: Pairs::new(keys),
            pairs: Pairs::new(list),
            reserved: None,
            done: None,
        }
    }

    pub(super) fn fail(&mut self, errno: Errno) -> Result<()> {
        self.give_back();
        self.encode(&Reply::plain(-1, errno.to_wire()), None)
    }

    /// Success without a body.
    pub(super) fn done(&mut self) -> Result<()> {
        self.success(0, 0, Body::None)
    }

    /// Success with a body.
    pub(super) fn body(&mut self, body: Body<'_>) -> Result<()> {
        self.success(0, 0, body)
    }

    /// Success with a result, an errno that carries information, xdata and a body.
    pub(super) fn success(&mut self, op_ret: i32, op_errno: i32, body: Body<'_>) -> Result<()> {
        self.put_counts()?;
        let Self { number, writer, arena, keys, reserved, .. } = self;
        let reply = Reply { op_ret, op_errno, xdata: keys.dict(), body };
        let submitted = encode(*number, writer, arena, reserved, &reply, None)?;
        self.done = Some(submitted);
        Ok(())
    }

    /// Success with the data of a READ.
    pub(super) fn data(&mut self, op_errno: i32, stat: Iatt, data: Option<Place>) -> Result<()> {
        self.put_counts()?;
        let size = data.map_or(0, |data| data.len);
        let Self { number, writer, arena, keys, reserved, .. } = self;
        let reply = Reply {
            op_ret: size as i32,
            op_errno,
            xdata: keys.dict(),
            body: Body::Read { stat, size },
        };
        let submitted = encode(*number, writer, arena, reserved, &reply, data)?;
        self.done = Some(submitted);
        Ok(())
    }

    /// Success with the collected pairs.
    pub(super) fn dict(&mut self) -> Result<()> {
        self.put_counts()?;
        let Self { number, writer, arena, keys, pairs, reserved, .. } = self;
        let none = Iatt::default();
        let body = Body::Dict { dict: pairs.dict(), before: none, after: none };
        let reply = Reply { op_ret: 0, op_errno: 0, xdata: keys.dict(), body };
        let submitted = encode(*number, writer, arena, reserved, &reply, None)?;
        self.done = Some(submitted);
        Ok(())
    }

    /// Reserves what the reply with the collected pairs needs, before anything is changed.
    pub(super) fn dict_will_fit(&mut self) -> Result<()> {
        let none = Iatt::default();
        let body = Body::Dict { dict: self.pairs.dict(), before: none, after: none };
        let reply = Reply { op_ret: 0, op_errno: 0, xdata: Dict::Null, body };
        // The lock counts need room, too.
        let len = Sized(&reply, self.number).encoded_len() + COUNTS;
        if len > self.writer.left() {
            self.reserved = Some(place(self.arena, len)?);
        }
        Ok(())
    }

    /// Success with the entries that were encoded one by one.
    pub(super) fn entries(&mut self, count: i32, op_errno: i32, list: Listed) -> Result<()> {
        // The keys in it were those of single entries.
        self.keys.clear();
        self.put_counts()?;
        let Self { number, writer, arena, keys, pairs, reserved, .. } = self;
        let bytes = pairs.bytes.get(..pairs.len).unwrap_or_default();
        let body = match list {
            Listed::Dirents => Body::Dirents(Dirents::encoded(bytes)),
            Listed::Direntps => Body::Direntps(Direntps::encoded(bytes)),
        };
        let reply = Reply { op_ret: count, op_errno, xdata: keys.dict(), body };
        let submitted = encode(*number, writer, arena, reserved, &reply, None)?;
        self.done = Some(submitted);
        Ok(())
    }

    /// Adds an entry to a list.
    pub(super) fn link(
        &mut self,
        item: impl FnOnce(&mut Writer<'_>, Dict<'_>) -> Result<(), NoRoom>,
    ) -> Result<()> {
        let mut w = Writer::new(self.pairs.bytes.get_mut(self.pairs.len..).unwrap_or_default());
        let result = w.u32(1).and_then(|()| item(&mut w, self.keys.dict()));
        result.map_err(too_long)?;
        self.pairs.len += w.position();
        Ok(())
    }

    /// Whether a further entry of this length fits, with its link and the end of the list.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.pairs.len + bytes + 8 <= self.pairs.capacity()
    }

    /// Ends a list.
    pub(super) fn end_list(&mut self) -> Result<()> {
        let mut w = Writer::new(self.pairs.bytes.get_mut(self.pairs.len..).unwrap_or_default());
        w.u32(0).map_err(too_long)?;
        self.pairs.len += w.position();
        Ok(())
    }

    /// Success with a path, which `fill` writes.
    pub(super) fn path(
        &mut self,
        stat: Iatt,
        len: usize,
        fill: impl FnOnce(&mut [u8]),
    ) -> Result<()> {
        self.put_counts()?;
        let Self { number, writer, arena, keys, pairs, reserved, .. } = self;
        let path = pairs.bytes.get_mut(..len).ok_or(Errno::ERANGE)?;
        fill(path);
        let reply = Reply {
            op_ret: len as i32,
            op_errno: 0,
            xdata: keys.dict(),
            body: Body::Readlink { stat, path },
        };
        let submitted = encode(*number, writer, arena, reserved, &reply, None)?;
        self.done = Some(submitted);
        Ok(())
    }

    fn encode(&mut self, reply: &Reply<'_>, data: Option<Place>) -> Result<()> {
        let Self { number, writer, arena, reserved, .. } = self;
        let submitted = encode(*number, writer, arena, reserved, reply, data)?;
        self.done = Some(submitted);
        Ok(())
    }

    /// Frees a reserved buffer that was not used.
    pub(super) fn give_back(&mut self) {
        if let Some(place) = self.reserved.take() {
            self.arena.release(place.buffer);
        }
    }

    fn put_counts(&mut self) -> Result<()> {
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
            if let Some(value) = value {
                self.keys.put(key.as_bytes(), &Value::Int(value))?;
            }
        }
        for (key, value) in uints {
            if let Some(value) = value {
                self.keys.put(key.as_bytes(), &Value::Uint(value))?;
            }
        }
        Ok(())
    }
}

/// Type of the entries of a list.
#[derive(Clone, Copy, Debug)]
pub(super) enum Listed {
    Dirents,
    Direntps,
}

/// A buffer for a reply. A length that exceeds the whole arena fails at once; waiting would not
/// help.
pub(super) fn place(arena: &mut Arena<'_>, len: usize) -> Result<Place> {
    if len > arena.longest() {
        return Err(Errno::ERANGE.into());
    }
    let len = len as u32;
    let buffer = arena.reserve(len).ok_or(Stop::Busy)?;
    Ok(Place { buffer, at: 0, len })
}

fn encode(
    number: FopNumber,
    writer: &mut Writer<'_>,
    arena: &mut Arena<'_>,
    reserved: &mut Option<Place>,
    reply: &Reply<'_>,
    data: Option<Place>,
) -> Result<Submitted> {
    let failed = reply.op_ret < 0;
    let reserved = reserved.take();
    if reply.encode(number, writer).is_ok() {
        if let Some(reserved) = reserved {
            arena.release(reserved.buffer);
        }
        return Ok(Submitted::Done { failed, data });
    }
    writer.rewind();
    // The reply to a READ is short apart from its data, so replies with data never come here. If
    // one did, its data would not be sent.
    if let Some(data) = data {
        arena.release(data.buffer);
        return Err(Errno::EIO.into());
    }
    let len = Sized(reply, number).encoded_len();
    let place = match reserved {
        Some(reserved) if reserved.len as usize >= len => Place { len: len as u32, ..reserved },
        Some(reserved) => {
            arena.release(reserved.buffer);
            return Err(Errno::EIO.into());
        }
        None => place(arena, len)?,
    };
    // The buffer has the measured length.
    let _ = reply.encode(number, &mut Writer::new(arena.bytes_mut(place.buffer)));
    Ok(Submitted::Done { failed, data: Some(place) })
}

/// A reply whose encoded length is measured.
struct Sized<'a, 'b>(&'a Reply<'b>, FopNumber);

impl Encode for Sized<'_, '_> {
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
        self.0.encode(self.1, w)
    }
}

/// Bytes of all counts in xdata: five pairs of a long key and a number.
const COUNTS: usize = 5 * 64;
