//! What a payload holds (`penstock.log.payload`): `[keys, data]`, read without making anything of it.

use crate::msgpack::{Reader, NIL};

/// The columns of a payload from record `start` on, which `stop - start` records can be read from.
pub struct Columns<'a> {
    keys: Option<Reader<'a>>,
    data: Reader<'a>,
    pub count: usize,
}

impl<'a> Columns<'a> {
    /// None for what is no payload, holds no record `stop - 1`, or a key that is no UTF-8.
    pub fn open(payload: &'a [u8], start: usize, stop: usize) -> Option<Self> {
        let mut reader = Reader(payload);
        if reader.byte()? != 0x92 {
            return None;
        }
        let mut key_count = None;
        let mut keys = None;
        if *reader.0.first()? == NIL {
            reader.byte()?;
        } else {
            let count = reader.array()?;
            key_count = Some(count);
            for index in 0..count {
                if index == start {
                    keys = Some(reader.clone());
                }
                if let Some(text) = reader.str_or_nil()? {
                    std::str::from_utf8(text).ok()?;
                }
            }
        }
        let count = reader.array()?;
        if start >= stop || stop > count || key_count.is_some_and(|keys| keys != count) {
            return None;
        }
        for _ in 0..start {
            reader.bin()?;
        }
        let data = reader.clone();
        for _ in start..count {
            reader.bin()?;
        }
        if !reader.0.is_empty() {
            return None;
        }
        Some(Self { keys, data, count: stop - start })
    }
}

/// Key and data of each record; what cannot be read was found by `open`.
impl<'a> Iterator for Columns<'a> {
    type Item = (Option<&'a [u8]>, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        self.count = self.count.checked_sub(1)?;
        let key = match &mut self.keys {
            Some(keys) => keys.str_or_nil()?,
            None => None,
        };
        Some((key, self.data.bin()?))
    }
}

/// Bytes of data in records `start` to `stop`.
pub fn data_bytes(payload: &[u8], start: usize, stop: usize) -> Option<u64> {
    Some(Columns::open(payload, start, stop)?.map(|(_, data)| data.len() as u64).sum())
}
