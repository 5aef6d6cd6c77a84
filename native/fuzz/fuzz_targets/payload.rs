//! Payloads that may be none: `start`, `stop`, then the payload.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let [start, stop, payload @ ..] = bytes {
        penstock_codec_fuzz::render(payload, (usize::from(*start), usize::from(*stop)));
        penstock_codec::payload::data_bytes(payload, usize::from(*start), usize::from(*stop));
        penstock_codec_fuzz::join(payload, usize::from(*start));
    }
});
