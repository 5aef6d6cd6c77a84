//! Segments that may be damaged. The first byte says how: bytes as they are, or frames with checksums that are right but for a change.
#![no_main]

use libfuzzer_sys::fuzz_target;
use penstock_codec::frames::{frames_in, pack_frame, Head, FRAME};

const NAME: &[u8; 24] = b"ssssssssssssssssssss\x07\x00\x00\x00";

fuzz_target!(|bytes: &[u8]| {
    let Some((&how, rest)) = bytes.split_first() else { return };
    let mut file = Vec::new();
    if how & 1 == 0 {
        file.extend(rest);
    } else {
        for (i, payload) in rest.split(|&byte| byte == how).enumerate() {
            let head = Head { offset: 0, length: 0, records: 1 + i as u32, durable: 0, base: i as u64, append_ms: 5 };
            file.extend(pack_frame(NAME, 9, &head, payload).unwrap());
            file.extend(payload);
        }
    }
    let whole = frames_in(&file, 0, 0, NAME, 9);
    if how & 1 == 1 {
        assert_eq!(whole.iter().map(|head| FRAME + head.length as usize).sum::<usize>(), file.len());
    }
    for head in &whole {
        let end = head.offset as usize + FRAME + head.length as usize;
        assert!(end <= file.len() && head.records > 0);
    }
    if let Some(last) = whole.last() {
        let at = how as usize * file.len() / 256;
        file[at] ^= 1 + (how >> 1);
        let damaged = frames_in(&file, 0, 0, NAME, 9);
        assert!(damaged.len() < whole.len() || at >= last.offset as usize + FRAME + last.length as usize);
    }
});
