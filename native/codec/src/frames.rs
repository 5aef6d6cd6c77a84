//! Frames of the log and batches of its journal (docs/log-format.md). `src/penstock/log/files/format.py` says what is right.

use crc32c::{crc32c, crc32c_append};

/// Bytes of a frame's header; the payload follows.
pub const FRAME: usize = 64;
/// Bytes that name a partition: stream id and number.
pub const IDENT: usize = 24;
/// Bytes of the header of a batch.
pub const BATCH: usize = 36;
/// Bytes of the header of a run within a batch.
pub const RUN: usize = 44;

const FRAME_MAGIC: &[u8; 4] = b"PkFr";
const BATCH_MAGIC: &[u8; 4] = b"PkJb";
/// The checksum of a frame, and that of a batch, covers everything behind magic, salt and itself.
const CRC_FROM: usize = 12;

/// What a frame's header says, but for its salt and name. `offset` is where it begins in its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub offset: u64,
    pub length: u32,
    pub records: u32,
    pub durable: u32,
    pub base: u64,
    pub append_ms: u64,
}

/// The header of a frame with this payload; `head.offset` and `head.length` are not looked at.
#[must_use]
pub fn pack_frame(name: &[u8; IDENT], salt: u32, head: &Head, payload: &[u8]) -> Option<[u8; FRAME]> {
    let length = u32::try_from(payload.len()).ok()?;
    let mut out = [0; FRAME];
    out[0..4].copy_from_slice(FRAME_MAGIC);
    out[4..8].copy_from_slice(&salt.to_le_bytes());
    out[12..16].copy_from_slice(&length.to_le_bytes());
    out[16..20].copy_from_slice(&head.records.to_le_bytes());
    out[20..24].copy_from_slice(&head.durable.to_le_bytes());
    out[24..32].copy_from_slice(&head.base.to_le_bytes());
    out[32..40].copy_from_slice(&head.append_ms.to_le_bytes());
    out[40..64].copy_from_slice(name);
    let crc = crc32c_append(crc32c(&out[CRC_FROM..]), payload);
    out[8..12].copy_from_slice(&crc.to_le_bytes());
    Some(out)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

/// The intact frame that `bytes` begin with, of this partition and segment; it begins at `offset` of the file.
fn frame(bytes: &[u8], offset: u64, name: &[u8; IDENT], salt: u32) -> Option<Head> {
    let head = Head {
        offset,
        length: u32_at(bytes, 12)?,
        records: u32_at(bytes, 16)?,
        durable: u32_at(bytes, 20)?,
        base: u64_at(bytes, 24)?,
        append_ms: u64_at(bytes, 32)?,
    };
    if &bytes[0..4] != FRAME_MAGIC || u32_at(bytes, 4)? != salt || bytes.get(40..FRAME)? != name {
        return None;
    }
    let whole = bytes.get(..FRAME.checked_add(head.length as usize)?)?;
    if head.records == 0 || u64::from(head.durable) > offset || u32_at(bytes, 8)? != crc32c(&whole[CRC_FROM..]) {
        return None;
    }
    Some(head)
}

/// Consecutive intact frames that lie in `view` as a whole, from `position` on, which is `offset` of the file.
#[must_use]
pub fn frames_in(view: &[u8], mut position: usize, mut offset: u64, name: &[u8; IDENT], salt: u32) -> Vec<Head> {
    let mut heads = Vec::new();
    while let Some(head) = view.get(position..).and_then(|rest| frame(rest, offset, name, salt)) {
        let size = FRAME + head.length as usize;
        position += size;
        offset += size as u64;
        heads.push(head);
    }
    heads
}

/// Bytes for one segment: of which partition, where, and in which pieces they come.
pub struct Run<'a> {
    pub name: &'a [u8; IDENT],
    pub base: u64,
    pub salt: u32,
    pub offset: u32,
    pub data: Vec<&'a [u8]>,
}

impl Run<'_> {
    fn length(&self) -> usize {
        self.data.iter().map(|piece| piece.len()).sum()
    }
}

/// Bytes of a batch with these runs.
#[must_use]
pub fn batch_len(runs: &[Run<'_>]) -> usize {
    BATCH + runs.iter().map(|run| RUN + run.length()).sum::<usize>()
}

/// Writes a batch into `out`, which has `batch_len` bytes. False: there is more than its fields can say.
#[must_use]
pub fn write_batch(salt: u32, generation: u64, number: u64, runs: &[Run<'_>], out: &mut [u8]) -> bool {
    let (Ok(count), Ok(following)) = (u32::try_from(runs.len()), u32::try_from(out.len() - BATCH)) else {
        return false;
    };
    out[0..4].copy_from_slice(BATCH_MAGIC);
    out[4..8].copy_from_slice(&salt.to_le_bytes());
    out[12..16].copy_from_slice(&count.to_le_bytes());
    out[16..20].copy_from_slice(&following.to_le_bytes());
    out[20..28].copy_from_slice(&generation.to_le_bytes());
    out[28..36].copy_from_slice(&number.to_le_bytes());
    let mut at = BATCH;
    for run in runs {
        let Ok(length) = u32::try_from(run.length()) else {
            return false;
        };
        out[at..at + 24].copy_from_slice(run.name);
        out[at + 24..at + 32].copy_from_slice(&run.base.to_le_bytes());
        out[at + 32..at + 36].copy_from_slice(&run.salt.to_le_bytes());
        out[at + 36..at + 40].copy_from_slice(&run.offset.to_le_bytes());
        out[at + 40..at + 44].copy_from_slice(&length.to_le_bytes());
        at += RUN;
        for piece in &run.data {
            out[at..at + piece.len()].copy_from_slice(piece);
            at += piece.len();
        }
    }
    let crc = crc32c(&out[CRC_FROM..]);
    out[8..12].copy_from_slice(&crc.to_le_bytes());
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &[u8; IDENT] = b"ssssssssssssssssssss\x07\x00\x00\x00";

    fn file(payloads: &[&[u8]]) -> Vec<u8> {
        let mut out = vec![0; 64];
        for (i, payload) in payloads.iter().enumerate() {
            let head = Head { offset: 0, length: 0, records: 2, durable: 64, base: 2 * i as u64, append_ms: 5 };
            out.extend(pack_frame(NAME, 9, &head, payload).unwrap());
            out.extend(*payload);
        }
        out
    }

    #[test]
    fn frames_come_back() {
        let file = file(&[b"abc", b"", b"defg"]);
        let heads = frames_in(&file, 64, 64, NAME, 9);
        assert_eq!(heads.iter().map(|head| head.length).collect::<Vec<_>>(), [3, 0, 4]);
        assert_eq!(heads[2].offset as usize, 64 + 64 + 3 + 64);
        assert!(frames_in(&file, 64, 64, NAME, 8).is_empty());
        assert!(frames_in(&file, 64, 63, NAME, 9).is_empty(), "durable behind its own place");
        assert!(frames_in(&file, file.len() + 5, 64, NAME, 9).is_empty());
    }

    #[test]
    fn damage_and_ends_stop() {
        let whole = file(&[b"abc", b"defg"]);
        for at in 64..whole.len() {
            let mut file = whole.clone();
            file[at] ^= 1;
            let expected = usize::from(at >= 64 + 64 + 3);
            assert_eq!(frames_in(&file, 64, 64, NAME, 9).len(), expected, "byte {at}");
            assert_eq!(frames_in(&whole[..at], 64, 64, NAME, 9).len(), expected, "cut at {at}");
        }
    }
}
