//! What a payload holds (`penstock.log.payload`): `[keys, data]`, read and joined without making anything of it.

use crate::msgpack::{array_head_len, write_array_head, Reader, NIL};

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

/// The keys (None: no record has one), as they are written, how many records, and their data, as it is written and not looked at.
type Sections<'a> = (Option<&'a [u8]>, usize, &'a [u8]);

fn sections(payload: &[u8]) -> Option<Sections<'_>> {
    let mut reader = Reader(payload);
    if reader.byte()? != 0x92 {
        return None;
    }
    if *reader.0.first()? == NIL {
        reader.byte()?;
        let count = reader.array()?;
        return Some((None, count, reader.0));
    }
    let key_count = reader.array()?;
    let from = reader.0;
    for _ in 0..key_count {
        reader.str_or_nil()?;
    }
    let keys = &from[..from.len() - reader.0.len()];
    let count = reader.array()?;
    (count == key_count).then_some((Some(keys), count, reader.0))
}

/// Payloads as one, in order.
pub struct Joined<'a> {
    parts: Vec<Sections<'a>>,
    keyed: bool,
    count: usize,
    /// Bytes of the payload.
    pub size: usize,
}

impl<'a> Joined<'a> {
    /// None when one of them is none.
    pub fn new(payloads: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        let parts = payloads.map(sections).collect::<Option<Vec<_>>>()?;
        let keyed = parts.iter().any(|(keys, ..)| keys.is_some());
        let count = parts.iter().map(|part| part.1).sum();
        let data: usize = parts.iter().map(|part| part.2.len()).sum();
        let keys: usize = parts.iter().map(|(keys, count, _)| keys.map_or(*count, <[u8]>::len)).sum();
        let head = array_head_len(count);
        let size = 1 + if keyed { head + keys } else { 1 } + head + data;
        Some(Self { parts, keyed, count, size })
    }

    /// Writes it into `out`, which has `size` bytes.
    pub fn write(&self, out: &mut [u8]) {
        out[0] = 0x92;
        let mut at = 1;
        if self.keyed {
            at += write_array_head(self.count, &mut out[at..]);
            for (keys, count, _) in &self.parts {
                let taken = keys.map_or(*count, <[u8]>::len);
                match keys {
                    Some(keys) => out[at..at + taken].copy_from_slice(keys),
                    None => out[at..at + taken].fill(NIL),
                }
                at += taken;
            }
        } else {
            out[at] = NIL;
            at += 1;
        }
        at += write_array_head(self.count, &mut out[at..]);
        for (.., data) in &self.parts {
            out[at..at + data.len()].copy_from_slice(data);
            at += data.len();
        }
    }
}

/// How many of at most `max_records` records from `start` on hold `budget` bytes of data at most, and how many bytes they hold; with `one`
/// the first of them does not have to.
pub fn fit(payload: &[u8], start: usize, max_records: usize, budget: u64, one: bool) -> Option<(usize, u64)> {
    let (_, count, _) = sections(payload)?;
    let stop = count.min(start.checked_add(max_records)?);
    let (mut taken, mut size) = (0, 0);
    for (_, data) in Columns::open(payload, start, stop)? {
        let following = size + data.len() as u64;
        if following > budget && !(one && taken == 0) {
            break;
        }
        taken += 1;
        size = following;
    }
    Some((taken, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(payloads: &[&[u8]]) -> Option<Vec<u8>> {
        let joined = Joined::new(payloads.iter().copied())?;
        let mut out = vec![0xaa; joined.size];
        joined.write(&mut out);
        Some(out)
    }

    const KEYED: &[u8] = b"\x92\x91\xa1k\x91\xc4\x02ab";
    const BARE: &[u8] = b"\x92\xc0\x92\xc4\x00\xc4\x01c";

    #[test]
    fn payloads_become_one() {
        assert_eq!(joined(&[BARE, BARE]).unwrap(), b"\x92\xc0\x94\xc4\x00\xc4\x01c\xc4\x00\xc4\x01c");
        assert_eq!(joined(&[KEYED, BARE]).unwrap(), b"\x92\x93\xa1k\xc0\xc0\x93\xc4\x02ab\xc4\x00\xc4\x01c");
        assert_eq!(joined(&[KEYED; 9]).unwrap()[1], 0x99);
        assert_eq!(joined(&[KEYED; 16]).unwrap()[1], 0xdc);
        assert_eq!(joined(&[KEYED, b"\x92\x92\xa1k\xa1k\x91\xc4\x00"]), None, "more keys than data");
        assert_eq!(joined(&[KEYED, b""]), None);
    }

    #[test]
    fn what_fits() {
        assert_eq!(fit(BARE, 0, 9, 1, false), Some((2, 1)));
        assert_eq!(fit(BARE, 0, 1, 1, false), Some((1, 0)));
        assert_eq!(fit(BARE, 0, 9, 0, false), Some((1, 0)));
        assert_eq!(fit(BARE, 1, 9, 0, false), Some((0, 0)));
        assert_eq!(fit(BARE, 1, 9, 0, true), Some((1, 1)));
        assert_eq!(fit(KEYED, 0, 9, 1, true), Some((1, 2)));
        assert_eq!(fit(KEYED, 1, 9, 1, true), None, "there is no such record");
    }
}
