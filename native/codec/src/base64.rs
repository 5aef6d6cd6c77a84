//! Base64 with padding, strictly: what is not canonical is left to Python.

use base64_simd::{AsOut, STANDARD};

/// Appends the decoded bytes; None when `text` is no canonical Base64.
pub fn decode_into(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let start = out.len();
    out.resize(start + decoded_len(text)?, 0);
    let written = STANDARD.decode(text, out[start..].as_out()).ok()?.len();
    (start + written == out.len()).then_some(())
}

/// How many bytes `text` decodes to, from its length and padding alone.
pub fn decoded_len(text: &[u8]) -> Option<usize> {
    if text.len() % 4 != 0 {
        return None;
    }
    let padding = text.iter().rev().take(2).take_while(|&&byte| byte == b'=').count();
    Some((text.len() / 4 * 3).saturating_sub(padding))
}

pub fn encoded_len(size: usize) -> usize {
    size.div_ceil(3) * 4
}

/// Writes the text of `data`, which fills `out` exactly.
pub fn encode_to(data: &[u8], out: &mut [u8]) {
    let written = STANDARD.encode(data, out.as_out());
    debug_assert_eq!(written.len(), encoded_len(data.len()));
}
