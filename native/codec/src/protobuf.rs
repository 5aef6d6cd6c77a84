//! PutRecords as protobuf (clients.md 3.1).

use crate::puts::{Puts, Span, BODY_MAX};

const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const BYTES: u32 = 2;
const FIXED32: u32 = 5;

/// The request in `body`. None: Python has to look at it.
pub fn decode_put(body: &[u8]) -> Option<Puts> {
    if body.is_empty() || body.len() > BODY_MAX {
        return None;
    }
    let mut puts = Puts { bins: Vec::with_capacity(body.len()), ..Puts::default() };
    let (mut name, mut id) = (None, None);
    let mut fields = Fields(body);
    while let Some((number, kind)) = fields.tag()? {
        match (number, kind) {
            (1, BYTES) if name.is_none() => name = Some(fields.utf8()?),
            (30, BYTES) if id.is_none() => id = Some(fields.utf8()?),
            (2, BYTES) => {
                let entry = fields.bytes()?;
                record(entry, &mut puts)?;
            }
            (1 | 2 | 30, _) => return None,
            _ => fields.skip(kind)?,
        }
    }
    puts.stream_name = Some(name.unwrap_or_default().to_owned());
    puts.stream_id = Some(id.unwrap_or_default().to_owned());
    Some(puts)
}

fn record(entry: &[u8], puts: &mut Puts) -> Option<()> {
    let (mut data, mut key, mut id, mut hash) = (None, None, None, None);
    let mut fields = Fields(entry);
    while let Some((number, kind)) = fields.tag()? {
        match (number, kind) {
            (3, BYTES) if data.is_none() => data = Some(fields.bytes()?),
            (4, BYTES) if hash.is_none() => hash = Some(fields.utf8()?),
            (5, BYTES) if key.is_none() => key = Some(fields.utf8()?),
            (6, BYTES) if id.is_none() => id = Some(fields.utf8()?),
            (29, VARINT) => fields.skip(kind)?,
            (3..=6 | 29, _) => return None,
            _ => fields.skip(kind)?,
        }
    }
    let size = puts.push_data(data?);
    // A text that was not sent is an empty one here, as the protobuf library has it.
    let id = id.map_or(Span::EMPTY, |text| puts.span(text.as_bytes()));
    let hash = hash.map_or(Span::EMPTY, |text| puts.span(text.as_bytes()));
    puts.finish(size, Some(key.unwrap_or_default().as_bytes()), id, hash);
    Some(())
}

struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// Number and wire type of the next field; Some(None) at the end.
    fn tag(&mut self) -> Option<Option<(u32, u32)>> {
        if self.0.is_empty() {
            return Some(None);
        }
        let tag = u32::try_from(self.varint()?).ok()?;
        (tag >= 8).then_some(Some((tag >> 3, tag & 7)))
    }

    /// A varint in its shortest form.
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for (at, &byte) in self.0.iter().enumerate().take(10) {
            value |= u64::from(byte & 0x7f) << (7 * at);
            if byte < 0x80 {
                if (byte == 0 && at > 0) || (at == 9 && byte > 1) {
                    return None;
                }
                self.0 = &self.0[at + 1..];
                return Some(value);
            }
        }
        None
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let size = usize::try_from(self.varint()?).ok()?;
        self.take(size)
    }

    fn utf8(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    fn take(&mut self, size: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(size)?;
        self.0 = rest;
        Some(taken)
    }

    fn skip(&mut self, kind: u32) -> Option<()> {
        match kind {
            VARINT => self.varint().map(drop),
            FIXED64 => self.take(8).map(drop),
            BYTES => self.bytes().map(drop),
            FIXED32 => self.take(4).map(drop),
            _ => None,
        }
    }
}
