//! The part of MessagePack that payloads are made of, in the shortest form, as msgspec writes it.

pub const NIL: u8 = 0xc0;

/// The head of `length` things of one kind: those with the length in the head byte (none: `fixed` 0), then in 1, 2, 4
/// bytes behind it (`heads`, 0 where there is no such form).
fn head(length: usize, fixed: (u8, usize), heads: [u8; 3]) -> ([u8; 5], usize) {
    let mut bytes = [0; 5];
    if length < fixed.1 {
        bytes[0] = fixed.0 | length as u8;
        return (bytes, 1);
    }
    let long = (length as u32).to_be_bytes();
    if heads[0] != 0 && length <= 0xff {
        bytes[0] = heads[0];
        bytes[1] = long[3];
        (bytes, 2)
    } else if length <= 0xffff {
        bytes[0] = heads[1];
        bytes[1..3].copy_from_slice(&long[2..]);
        (bytes, 3)
    } else {
        bytes[0] = heads[2];
        bytes[1..].copy_from_slice(&long);
        (bytes, 5)
    }
}

fn array_head(length: usize) -> ([u8; 5], usize) {
    head(length, (0x90, 16), [0, 0xdc, 0xdd])
}

pub fn array_head_len(length: usize) -> usize {
    array_head(length).1
}

/// Writes the head of an array to the front of `out`; how many bytes it took.
pub fn write_array_head(length: usize, out: &mut [u8]) -> usize {
    let (bytes, size) = array_head(length);
    out[..size].copy_from_slice(&bytes[..size]);
    size
}

pub fn push_bin_head(length: usize, out: &mut Vec<u8>) {
    let (bytes, size) = head(length, (0, 0), [0xc4, 0xc5, 0xc6]);
    out.extend_from_slice(&bytes[..size]);
}

pub fn push_str(text: &[u8], out: &mut Vec<u8>) {
    let (bytes, size) = head(text.len(), (0xa0, 32), [0xd9, 0xda, 0xdb]);
    out.extend_from_slice(&bytes[..size]);
    out.extend_from_slice(text);
}

/// Reads values from the front of a slice.
#[derive(Clone)]
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    pub fn take(&mut self, size: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(size)?;
        self.0 = rest;
        Some(taken)
    }

    /// A big-endian number of `size` bytes, at most 4.
    fn number(&mut self, size: usize) -> Option<usize> {
        Some(self.take(size)?.iter().fold(0, |value, &byte| value << 8 | usize::from(byte)))
    }

    /// Length of the array that begins here.
    pub fn array(&mut self) -> Option<usize> {
        match self.byte()? {
            head @ 0x90..=0x9f => Some(usize::from(head & 15)),
            0xdc => self.number(2),
            0xdd => self.number(4),
            _ => None,
        }
    }

    pub fn bin(&mut self) -> Option<&'a [u8]> {
        let size = match self.byte()? {
            0xc4 => self.number(1),
            0xc5 => self.number(2),
            0xc6 => self.number(4),
            _ => None,
        }?;
        self.take(size)
    }

    /// A string's bytes, which may be no UTF-8, or Some(None) for nil.
    pub fn str_or_nil(&mut self) -> Option<Option<&'a [u8]>> {
        let size = match self.byte()? {
            NIL => return Some(None),
            head @ 0xa0..=0xbf => Some(usize::from(head & 31)),
            0xd9 => self.number(1),
            0xda => self.number(2),
            0xdb => self.number(4),
            _ => None,
        }?;
        self.take(size).map(Some)
    }
}
