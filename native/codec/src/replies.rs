//! Replies to PutRecords and GetRecords, JSON and protobuf. Sizes are known before anything is written: a reply is one
//! allocation, filled once.

use crate::base64;
use crate::payload::Columns;
use crate::text::{digits, escape, escaped_len, push_digits, write_digits};

/// Records of a request in one partition; `indices` None: all of them.
pub struct Placed {
    pub partition: u64,
    pub base: u64,
    pub count: usize,
    pub indices: Option<Vec<u32>>,
}

/// A record that was not stored.
pub struct Failed {
    pub index: usize,
    pub code: String,
    pub message: String,
}

/// What became of each record, in the order of the request.
#[derive(Clone, Copy)]
enum Row<'a> {
    Unknown,
    Stored(usize, u64),
    Failed(&'a Failed),
}

/// None when places do not fit the request.
fn rows<'a>(total: usize, placed: &[Placed], failed: &'a [Failed]) -> Option<Vec<Row<'a>>> {
    let mut rows = vec![Row::Unknown; total];
    for (number, place) in placed.iter().enumerate() {
        place.base.checked_add(place.count as u64)?;
        match &place.indices {
            None if place.count == total => {
                rows.iter_mut().zip(place.base..).for_each(|(row, sequence)| *row = Row::Stored(number, sequence));
            }
            Some(indices) if indices.len() == place.count => {
                for (&index, sequence) in indices.iter().zip(place.base..) {
                    *rows.get_mut(index as usize)? = Row::Stored(number, sequence);
                }
            }
            _ => return None,
        }
    }
    for one in failed {
        *rows.get_mut(one.index)? = Row::Failed(one);
    }
    let known = rows.iter().all(|row| !matches!(row, Row::Unknown));
    known.then_some(rows)
}

fn partition_name(number: u64) -> String {
    format!("shardId-{number:010}")
}

/// The reply to PutRecords as JSON (clients.md 1.3).
pub fn outcome_json(total: usize, placed: &[Placed], failed: &[Failed]) -> Option<Vec<u8>> {
    let rows = rows(total, placed, failed)?;
    let before: Vec<String> = placed
        .iter()
        .map(|place| format!("{{\"partition_id\":\"{}\",\"sequence_number\":\"", partition_name(place.partition)))
        .collect();
    let mut out = Vec::with_capacity(64 + total * 84);
    out.extend_from_slice(b"{\"failed_record_count\":");
    push_digits(failed.len() as u64, &mut out);
    out.extend_from_slice(b",\"records\":[");
    for (index, row) in rows.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        match row {
            Row::Stored(place, sequence) => {
                out.extend_from_slice(before[place].as_bytes());
                push_digits(sequence, &mut out);
                out.extend_from_slice(b"\"}");
            }
            Row::Failed(one) => {
                out.extend_from_slice(b"{\"error_code\":\"");
                escape(one.code.as_bytes(), |piece| out.extend_from_slice(piece));
                out.extend_from_slice(b"\",\"error_message\":\"");
                escape(one.message.as_bytes(), |piece| out.extend_from_slice(piece));
                out.extend_from_slice(b"\"}");
            }
            Row::Unknown => return None,
        }
    }
    out.extend_from_slice(b"]}");
    Some(out)
}

const FAILED_COUNT: u64 = 21;
const RESULTS: u64 = 22;
const RESULT_PARTITION: u64 = 23;
const RESULT_SEQUENCE: u64 = 24;
const RESULT_CODE: u64 = 25;
const RESULT_MESSAGE: u64 = 26;
const RECORDS: u64 = 16;
const KEY: u64 = 17;
const SEQUENCE: u64 = 18;
const DATA: u64 = 19;
const TIMESTAMP: u64 = 27;
const TIMESTAMP_TYPE: u64 = 28;

fn push_varint(mut value: u64, out: &mut Vec<u8>) {
    while value > 0x7f {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn varint_len(value: u64) -> usize {
    value.checked_ilog2().map_or(1, |log| log as usize / 7 + 1)
}

fn push_bytes(field: u64, value: &[u8], out: &mut Vec<u8>) {
    push_varint(field << 3 | 2, out);
    push_varint(value.len() as u64, out);
    out.extend_from_slice(value);
}

fn bytes_len(field: u64, size: usize) -> usize {
    varint_len(field << 3) + varint_len(size as u64) + size
}

/// The reply to PutRecords as a PutRecordsResult (clients.md 3.1).
pub fn outcome_protobuf(total: usize, placed: &[Placed], failed: &[Failed]) -> Option<Vec<u8>> {
    let rows = rows(total, placed, failed)?;
    let names: Vec<String> = placed.iter().map(|place| partition_name(place.partition)).collect();
    let mut out = Vec::with_capacity(16 + total * 48);
    push_varint(FAILED_COUNT << 3, &mut out);
    push_varint(failed.len() as u64, &mut out);
    let mut sequence_text = Vec::with_capacity(20);
    for row in rows {
        let [first, second]: [(u64, &[u8]); 2] = match row {
            Row::Stored(place, sequence) => {
                sequence_text.clear();
                push_digits(sequence, &mut sequence_text);
                [(RESULT_PARTITION, names[place].as_bytes()), (RESULT_SEQUENCE, &sequence_text)]
            }
            Row::Failed(one) => [(RESULT_CODE, one.code.as_bytes()), (RESULT_MESSAGE, one.message.as_bytes())],
            Row::Unknown => return None,
        };
        push_varint(RESULTS << 3 | 2, &mut out);
        push_varint((bytes_len(first.0, first.1.len()) + bytes_len(second.0, second.1.len())) as u64, &mut out);
        push_bytes(first.0, first.1, &mut out);
        push_bytes(second.0, second.1, &mut out);
    }
    Some(out)
}

/// Fills a slice from the front.
struct Filler<'a>(&'a mut [u8]);

impl Filler<'_> {
    fn space(&mut self, size: usize) -> &mut [u8] {
        let (front, rest) = std::mem::take(&mut self.0).split_at_mut(size);
        self.0 = rest;
        front
    }

    fn put(&mut self, bytes: &[u8]) {
        self.space(bytes.len()).copy_from_slice(bytes);
    }

    fn digits(&mut self, value: u64) {
        write_digits(value, self.space(digits(value)));
    }

    fn varint(&mut self, mut value: u64) {
        while value > 0x7f {
            self.put(&[value as u8 | 0x80]);
            value >>= 7;
        }
        self.put(&[value as u8]);
    }

    fn head(&mut self, field: u64, size: usize) {
        self.varint(field << 3 | 2);
        self.varint(size as u64);
    }
}

/// Records `start` to `stop` of a frame, as they are to be written.
pub struct Rendering<'a> {
    payload: &'a [u8],
    start: usize,
    stop: usize,
    /// Sequence number of record `start`.
    first: u64,
    append_ms: u64,
    protobuf: bool,
    /// Bytes of the form, and of the data in it.
    pub size: usize,
    pub data_bytes: u64,
}

const JSON_SEQUENCE: &[u8] = b"{\"sequence_number\":\"";
const JSON_DATA: &[u8] = b"\",\"data\":\"";
const JSON_TIMESTAMP: &[u8] = b"\",\"timestamp\":";
const JSON_TYPE: &[u8] = b",\"timestamp_type\":\"CreateTime\"";
const JSON_KEY: &[u8] = b",\"partition_key\":\"";
const TYPE: &[u8] = b"CreateTime";

impl<'a> Rendering<'a> {
    /// None for what is no payload, or has no such records. `base` is the frame's first sequence number.
    pub fn new(payload: &'a [u8], range: (usize, usize), base: u64, append_ms: u64, protobuf: bool) -> Option<Self> {
        let (start, stop) = range;
        let first = base.checked_add(start as u64)?;
        base.checked_add(stop as u64)?;
        let mut new = Self { payload, start, stop, first, append_ms, protobuf, size: 0, data_bytes: 0 };
        for ((key, data), sequence) in new.columns()?.zip(first..) {
            new.data_bytes += data.len() as u64;
            new.size += if protobuf {
                bytes_len(RECORDS, new.entry_len(key, data, sequence))
            } else {
                let key = key.map_or(0, |key| JSON_KEY.len() + escaped_len(key) + 1);
                digits(sequence) + base64::encoded_len(data.len()) + key
            };
        }
        if !protobuf {
            let fixed =
                JSON_SEQUENCE.len() + JSON_DATA.len() + JSON_TIMESTAMP.len() + digits(append_ms) + JSON_TYPE.len() + 2;
            new.size += (stop - start) * fixed - 1;
        }
        Some(new)
    }

    fn columns(&self) -> Option<Columns<'a>> {
        Columns::open(self.payload, self.start, self.stop)
    }

    fn entry_len(&self, key: Option<&[u8]>, data: &[u8], sequence: u64) -> usize {
        let key = key.filter(|key| !key.is_empty()).map_or(0, |key| bytes_len(KEY, key.len()));
        let when = varint_len(TIMESTAMP << 3) + varint_len(self.append_ms) + bytes_len(TIMESTAMP_TYPE, TYPE.len());
        key + bytes_len(SEQUENCE, digits(sequence)) + bytes_len(DATA, data.len()) + when
    }

    /// Writes the form into `out`, which is `size` long.
    pub fn write(&self, out: &mut [u8]) {
        let mut out = Filler(out);
        let Some(columns) = self.columns() else { return };
        let mut when = [0; 20];
        let when = &mut when[..digits(self.append_ms)];
        write_digits(self.append_ms, when);
        for (number, (key, data)) in columns.enumerate() {
            let sequence = self.first + number as u64;
            if self.protobuf {
                self.write_protobuf(key, data, sequence, &mut out);
                continue;
            }
            if number > 0 {
                out.put(b",");
            }
            out.put(JSON_SEQUENCE);
            out.digits(sequence);
            out.put(JSON_DATA);
            base64::encode_to(data, out.space(base64::encoded_len(data.len())));
            out.put(JSON_TIMESTAMP);
            out.put(when);
            out.put(JSON_TYPE);
            if let Some(key) = key {
                out.put(JSON_KEY);
                escape(key, |piece| out.put(piece));
                out.put(b"\"");
            }
            out.put(b"}");
        }
    }

    fn write_protobuf(&self, key: Option<&[u8]>, data: &[u8], sequence: u64, out: &mut Filler) {
        out.head(RECORDS, self.entry_len(key, data, sequence));
        if let Some(key) = key.filter(|key| !key.is_empty()) {
            out.head(KEY, key.len());
            out.put(key);
        }
        out.head(SEQUENCE, digits(sequence));
        out.digits(sequence);
        out.head(DATA, data.len());
        out.put(data);
        out.varint(TIMESTAMP << 3);
        out.varint(self.append_ms);
        out.head(TIMESTAMP_TYPE, TYPE.len());
        out.put(TYPE);
    }
}
