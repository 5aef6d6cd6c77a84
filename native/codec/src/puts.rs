//! A decoded PutRecords request, by column, in the form in which records are stored.

use crate::{base64, msgpack};

/// A text of a record: absent, empty or there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    Absent,
    Empty,
    Text,
}

/// A span of `Puts::texts`; `Given` says whether the text was there at all.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub given: Given,
    pub start: u32,
    pub end: u32,
}

impl Span {
    pub const ABSENT: Self = Self { given: Given::Absent, start: 0, end: 0 };
    pub const EMPTY: Self = Self { given: Given::Empty, start: 0, end: 0 };
}

/// One record: where its columns end (they begin where those of the record before it end).
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub bin_end: u32,
    pub size: u32,
    pub key_end: u32,
    pub key: Given,
    pub id: Span,
    pub hash: Span,
}

/// The records of a request. `bins` and `keys` hold the MessagePack form of each record's data and partition key (nil
/// for one that is absent or empty), one behind the other.
#[derive(Debug, Default)]
pub struct Puts {
    pub stream_name: Option<String>,
    pub stream_id: Option<String>,
    pub bins: Vec<u8>,
    pub keys: Vec<u8>,
    pub texts: Vec<u8>,
    pub entries: Vec<Entry>,
    pub data_bytes: u64,
    pub largest: u32,
    pub longest_key: u32,
    pub any_key: bool,
    pub any_named: bool,
}

/// Requests beyond this are left to Python: offsets here are 32 bits.
pub const BODY_MAX: usize = 1 << 30;

impl Puts {
    /// Empty, with room for a body of this size.
    pub fn for_body(size: usize) -> Self {
        Self { bins: Vec::with_capacity(size / 4 * 3), ..Self::default() }
    }

    /// Stores `text`, which is Base64, as the data of the next record; its size.
    pub fn push_base64(&mut self, text: &[u8]) -> Option<u32> {
        let size = base64::decoded_len(text)?;
        msgpack::push_bin_head(size, &mut self.bins);
        base64::decode_into(text, &mut self.bins)?;
        Some(size as u32)
    }

    pub fn push_data(&mut self, data: &[u8]) -> u32 {
        msgpack::push_bin_head(data.len(), &mut self.bins);
        self.bins.extend_from_slice(data);
        data.len() as u32
    }

    /// Ends a record whose data has been pushed. `key` is UTF-8; an absent one is None.
    pub fn finish(&mut self, size: u32, key: Option<&[u8]>, id: Span, hash: Span) {
        let given = match key {
            None => Given::Absent,
            Some([]) => Given::Empty,
            Some(text) => {
                self.any_key = true;
                self.longest_key = self.longest_key.max(text.len() as u32);
                Given::Text
            }
        };
        match key {
            Some(text) if given == Given::Text => msgpack::push_str(text, &mut self.keys),
            _ => self.keys.push(msgpack::NIL),
        }
        self.data_bytes += u64::from(size);
        self.largest = self.largest.max(size);
        self.any_named |= id.given == Given::Text || hash.given == Given::Text;
        self.entries.push(Entry {
            bin_end: self.bins.len() as u32,
            size,
            key_end: self.keys.len() as u32,
            key: given,
            id,
            hash,
        });
    }

    /// Keeps a text; `text` is UTF-8.
    pub fn span(&mut self, text: &[u8]) -> Span {
        if text.is_empty() {
            return Span::EMPTY;
        }
        let start = self.texts.len() as u32;
        self.texts.extend_from_slice(text);
        Span { given: Given::Text, start, end: self.texts.len() as u32 }
    }

    pub fn text(&self, span: Span) -> &[u8] {
        &self.texts[span.start as usize..span.end as usize]
    }

    /// The MessagePack form of the data of record `index`.
    pub fn bin(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.entries[before].bin_end);
        &self.bins[start as usize..self.entries[index].bin_end as usize]
    }

    /// The data of record `index`.
    pub fn data(&self, index: usize) -> &[u8] {
        let bin = self.bin(index);
        &bin[bin.len() - self.entries[index].size as usize..]
    }

    /// The MessagePack form of the key of record `index`.
    pub fn packed_key(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.entries[before].key_end);
        &self.keys[start as usize..self.entries[index].key_end as usize]
    }

    /// The key of record `index`, empty when there is none.
    pub fn key(&self, index: usize) -> &[u8] {
        let mut reader = msgpack::Reader(self.packed_key(index));
        reader.str_or_nil().flatten().unwrap_or_default()
    }

    /// The first record whose key has more characters than `limit`, and how many it has.
    pub fn first_long_key(&self, limit: u64) -> Option<(usize, usize)> {
        if u64::from(self.longest_key) <= limit {
            return None; // bytes are no fewer than characters
        }
        (0..self.entries.len()).find_map(|index| {
            let key = self.key(index);
            let characters = key.iter().filter(|&&byte| byte & 0xc0 != 0x80).count();
            (characters as u64 > limit).then_some((index, characters))
        })
    }

    /// The first record with more bytes of data than `limit`, and how many it has.
    pub fn first_large(&self, limit: u64) -> Option<(usize, u32)> {
        if u64::from(self.largest) <= limit {
            return None;
        }
        self.entries.iter().map(|entry| entry.size).enumerate().find(|&(_, size)| u64::from(size) > limit)
    }
}
