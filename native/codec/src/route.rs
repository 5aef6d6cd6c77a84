//! Which partition each record goes to, and the payloads of those partitions.
//!
//! `partition_id` > `explicit_hash_key` > `partition_key` > round robin, as `penstock.model.routing` has it; a record that
//! cannot go anywhere is odd: Python says why.

use std::collections::HashMap;

use md5::{Digest, Md5};

use crate::msgpack;
use crate::puts::{Given, Puts, Span};

const HASH_MAX: u64 = (1 << 63) - 1;
const NAME_PREFIX: &[u8] = b"shardid-";
const ODD: u32 = u32::MAX;
const CACHED: usize = 1 << 12;
const CACHED_KEY: usize = 22;

/// The writable partitions of one state of a stream.
pub struct Router {
    /// Inclusive ends of the hash ranges, in order, and the partitions they belong to.
    ends: Vec<u64>,
    numbers: Vec<u32>,
    places: HashMap<u64, u32>,
    cache: Vec<Cached>,
    /// For each place the group that the request at hand has for it, ODD when none.
    groups: Vec<u32>,
}

/// A short key and its place. MD5 takes longer than all else that is done for a record.
#[derive(Clone, Copy, Default)]
struct Cached {
    size: u8,
    key: [u8; CACHED_KEY],
    place: u32,
}

/// Records of one partition. `indices` are their places in the request, None when they are all of it.
pub struct Group {
    pub number: u32,
    pub count: usize,
    pub data_bytes: u64,
    pub indices: Option<Vec<u32>>,
    bins: usize,
    keys: usize,
}

/// A request by partition, in the order in which the partitions appear, and the odd records.
pub struct Routed {
    pub groups: Vec<Group>,
    pub odd: Vec<u32>,
}

impl Router {
    /// None when `ends` and `numbers` do not belong together.
    pub fn new(ends: Vec<u64>, numbers: Vec<u32>) -> Option<Self> {
        let sorted = ends.windows(2).all(|pair| pair[0] <= pair[1]);
        if ends.len() != numbers.len() || !sorted || ends.len() >= ODD as usize {
            return None;
        }
        let places = numbers.iter().zip(0..).map(|(&number, place)| (u64::from(number), place)).collect();
        let groups = vec![ODD; ends.len()];
        Some(Self { ends, numbers, places, cache: Vec::new(), groups })
    }

    /// Routes the records of a request. `turn` is the place that round robin was at, and is moved on.
    pub fn route(&mut self, puts: &Puts, turn: &mut u32) -> Routed {
        let all = puts.entries.len();
        if self.numbers.len() == 1 && !puts.any_named && all > 0 {
            // One partition, and nothing that could name another.
            *turn = 0;
            return Routed { groups: vec![self.whole(0, puts)], odd: Vec::new() };
        }
        let mut groups: Vec<Group> = Vec::new();
        let mut odd = Vec::new();
        let mut touched = Vec::new();
        for (index, entry) in puts.entries.iter().enumerate() {
            let place = self.place(puts, index, turn);
            if place == ODD {
                odd.push(index as u32);
                continue;
            }
            let mut group = self.groups[place as usize];
            if group == ODD {
                group = groups.len() as u32;
                self.groups[place as usize] = group;
                touched.push(place);
                groups.push(Group {
                    number: self.numbers[place as usize],
                    count: 0,
                    data_bytes: 0,
                    indices: Some(Vec::new()),
                    bins: 0,
                    keys: 0,
                });
            }
            let group = &mut groups[group as usize];
            group.count += 1;
            group.data_bytes += u64::from(entry.size);
            group.bins += puts.bin(index).len();
            group.keys += puts.packed_key(index).len();
            if let Some(indices) = &mut group.indices {
                indices.push(index as u32);
            }
        }
        if let [only] = groups.as_mut_slice() {
            if only.count == all {
                only.indices = None;
            }
        }
        for place in touched {
            self.groups[place as usize] = ODD;
        }
        Routed { groups, odd }
    }

    /// All records of a request, where it is plain that they go to one partition: they are one record, or there is one partition and none
    /// names another. None: `route` them. A record without a place of its own is that too, for it takes its turn.
    pub fn only(&mut self, puts: &Puts) -> Option<Group> {
        let entry = puts.entries.first()?;
        if self.numbers.len() == 1 && !puts.any_named {
            return Some(self.whole(0, puts));
        }
        let named = [entry.id.given, entry.hash.given, entry.key].contains(&Given::Text);
        if puts.entries.len() > 1 || !named {
            return None;
        }
        let place = self.place(puts, 0, &mut 0);
        (place != ODD).then(|| self.whole(place as usize, puts))
    }

    fn whole(&self, place: usize, puts: &Puts) -> Group {
        Group {
            number: self.numbers[place],
            count: puts.entries.len(),
            data_bytes: puts.data_bytes,
            indices: None,
            bins: puts.bins.len(),
            keys: puts.keys.len(),
        }
    }

    fn place(&mut self, puts: &Puts, index: usize, turn: &mut u32) -> u32 {
        let entry = puts.entries[index];
        if entry.id.given == Given::Text {
            let number = partition_number(puts.text(entry.id));
            return number.and_then(|number| self.places.get(&number).copied()).unwrap_or(ODD);
        }
        if self.numbers.is_empty() {
            return ODD;
        }
        if entry.hash.given == Given::Text {
            return hash_key(puts, entry.hash).map_or(ODD, |value| self.by_hash(value));
        }
        if entry.key == Given::Text {
            return self.by_key(puts.key(index));
        }
        *turn = (*turn + 1) % self.numbers.len() as u32;
        *turn
    }

    fn by_key(&mut self, key: &[u8]) -> u32 {
        if self.numbers.len() == 1 {
            return 0;
        }
        if key.len() > CACHED_KEY {
            return self.by_hash(key_hash(key));
        }
        if self.cache.is_empty() {
            self.cache = vec![Cached::default(); CACHED];
        }
        let slot = spread(key) as usize % CACHED;
        let cached = &self.cache[slot];
        if usize::from(cached.size) == key.len() && &cached.key[..key.len()] == key {
            return cached.place;
        }
        let place = self.by_hash(key_hash(key));
        let mut fresh = Cached { size: key.len() as u8, place, ..Cached::default() };
        fresh.key[..key.len()].copy_from_slice(key);
        self.cache[slot] = fresh;
        place
    }

    /// The last range takes what a rounding leaves over.
    fn by_hash(&self, value: u64) -> u32 {
        self.ends.partition_point(|&end| end < value).min(self.ends.len() - 1) as u32
    }
}

impl Group {
    /// Bytes of the group's payload.
    pub fn payload_len(&self, puts: &Puts) -> usize {
        let head = msgpack::array_head_len(self.count);
        let keys = if puts.any_key { head + self.keys } else { 1 };
        1 + keys + head + self.bins
    }

    /// Writes the payload (`penstock.log.payload`) into `out`, which is exactly as long.
    pub fn write_payload(&self, puts: &Puts, out: &mut [u8]) {
        let mut at = 0;
        let mut put = |bytes: &[u8], out: &mut [u8]| {
            out[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        };
        let mut head = [0; 5];
        let size = msgpack::write_array_head(self.count, &mut head);
        put(&[0x92], out);
        if puts.any_key {
            put(&head[..size], out);
            match &self.indices {
                None => put(&puts.keys, out),
                Some(indices) => indices.iter().for_each(|&index| put(puts.packed_key(index as usize), out)),
            }
        } else {
            put(&[msgpack::NIL], out);
        }
        put(&head[..size], out);
        match &self.indices {
            None => put(&puts.bins, out),
            Some(indices) => indices.iter().for_each(|&index| put(puts.bin(index as usize), out)),
        }
    }
}

/// The hash of a partition key (`penstock.model.hashing`).
fn key_hash(key: &[u8]) -> u64 {
    let digest = Md5::digest(key);
    digest.iter().take(8).fold(0, |value, &byte| value << 8 | u64::from(byte)) & HASH_MAX
}

/// Spreads keys over the cache; anybody may choose keys that collide, and then has their MD5 computed.
fn spread(key: &[u8]) -> u64 {
    let mixed = key
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |value: u64, &byte| (value ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    mixed ^ mixed >> 32
}

/// The number in `shardId-0000000000` or `0`.
fn partition_number(text: &[u8]) -> Option<u64> {
    let digits = match text.split_at_checked(NAME_PREFIX.len()) {
        Some((name, rest)) if name.eq_ignore_ascii_case(NAME_PREFIX) => rest,
        _ => text,
    };
    number(digits)
}

fn hash_key(puts: &Puts, span: Span) -> Option<u64> {
    number(puts.text(span)).filter(|&value| value <= HASH_MAX)
}

/// A whole number of 1 to 19 digits.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 19 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0, |value, &byte| value * 10 + u64::from(byte - b'0')))
}
