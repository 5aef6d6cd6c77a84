//! Whatever the decoder takes can be routed, packed, read back and rendered.
#![no_main]

use libfuzzer_sys::fuzz_target;
use penstock_codec::protobuf;

fuzz_target!(|body: &[u8]| {
    if let Some(puts) = protobuf::decode_put(body) {
        penstock_codec_fuzz::check(&puts);
    }
});
