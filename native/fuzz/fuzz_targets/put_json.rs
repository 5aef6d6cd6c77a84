//! Whatever the decoder takes, serde_json takes too, with the same meaning.
#![no_main]

use base64::prelude::{Engine, BASE64_STANDARD};
use libfuzzer_sys::fuzz_target;
use penstock_codec::json;
use penstock_codec::puts::{Given, Span};
use serde_json::Value;

fuzz_target!(|body: &[u8]| {
    let Some(puts) = json::decode_put(body) else { return };
    let value: Value = serde_json::from_slice(body).expect("what is taken is JSON");
    assert_eq!(value["stream_name"].as_str(), puts.stream_name.as_deref());
    assert_eq!(value["stream_id"].as_str(), puts.stream_id.as_deref());
    let none = Vec::new();
    let records = value["records"].as_array().unwrap_or(&none);
    assert_eq!(records.len(), puts.entries.len());
    for (index, record) in records.iter().enumerate() {
        let entry = &puts.entries[index];
        let span = |span: Span| (span.given != Given::Absent).then(|| puts.text(span));
        let text = |name: &str| record[name].as_str().map(str::as_bytes);
        assert_eq!(BASE64_STANDARD.decode(record["data"].as_str().unwrap()).unwrap(), puts.data(index));
        assert_eq!(text("partition_key"), (entry.key != Given::Absent).then(|| puts.key(index)));
        assert_eq!(text("partition_id"), span(entry.id));
        assert_eq!(text("explicit_hash_key"), span(entry.hash));
    }
    penstock_codec_fuzz::check(&puts);
});
