//! Decimal numbers and JSON strings, written.

/// Digits of `value` in decimal.
pub fn digits(value: u64) -> usize {
    value.checked_ilog10().map_or(1, |log| log as usize + 1)
}

/// Writes `value` in decimal into a slice that is as long as its digits.
pub fn write_digits(mut value: u64, out: &mut [u8]) {
    for byte in out.iter_mut().rev() {
        *byte = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

pub fn push_digits(value: u64, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + digits(value), 0);
    write_digits(value, &mut out[start..]);
}

/// The letter behind the backslash, `u` for those without one of their own, 0 for bytes that stand for themselves.
const fn escape_of(byte: u8) -> u8 {
    match byte {
        b'"' => b'"',
        b'\\' => b'\\',
        8 => b'b',
        9 => b't',
        10 => b'n',
        12 => b'f',
        13 => b'r',
        0..=31 => b'u',
        _ => 0,
    }
}

/// Bytes of a string inside its quotes.
pub fn escaped_len(text: &[u8]) -> usize {
    text.iter()
        .map(|&byte| match escape_of(byte) {
            0 => 1,
            b'u' => 6,
            _ => 2,
        })
        .sum()
}

/// Hands the bytes of a string inside its quotes to `put`, in pieces.
pub fn escape(text: &[u8], mut put: impl FnMut(&[u8])) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut done = 0;
    for (at, &byte) in text.iter().enumerate() {
        let letter = escape_of(byte);
        if letter == 0 {
            continue;
        }
        put(&text[done..at]);
        done = at + 1;
        if letter == b'u' {
            put(&[b'\\', b'u', b'0', b'0', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        } else {
            put(&[b'\\', letter]);
        }
    }
    put(&text[done..]);
}
