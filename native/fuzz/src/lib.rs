//! What holds for every decoded request, however it came: shared by the fuzz targets.

use penstock_codec::payload::{fit, Columns, Joined};
use penstock_codec::puts::Given;
use penstock_codec::replies::{outcome_json, outcome_protobuf, Placed, Rendering};
use penstock_codec::{Puts, Router};

/// Routes and packs the request over one and over three partitions, reads the payloads back and renders them.
pub fn check(puts: &Puts) {
    for (ends, numbers) in
        [(vec![(1 << 63) - 1], vec![0]), (vec![1 << 61, 1 << 62, (1 << 63) - 1], vec![4, 0, 2]), (vec![], vec![])]
    {
        let mut router = Router::new(ends, numbers).unwrap();
        let only = router.only(puts);
        let mut turn = 0;
        let routed = router.route(puts, &mut turn);
        if let Some(only) = only {
            let [group] = routed.groups.as_slice() else { panic!("several partitions") };
            let mut payloads = [vec![0; only.payload_len(puts)], vec![0; group.payload_len(puts)]];
            only.write_payload(puts, &mut payloads[0]);
            group.write_payload(puts, &mut payloads[1]);
            assert_eq!(payloads[0], payloads[1]);
            assert!(routed.odd.is_empty() && group.indices.is_none() && turn == 0);
            assert_eq!((only.number, only.count, only.data_bytes), (group.number, group.count, group.data_bytes));
        }
        let mut seen = routed.odd.len();
        let mut placed = Vec::new();
        for group in &routed.groups {
            let mut payload = vec![0; group.payload_len(puts)];
            group.write_payload(puts, &mut payload);
            seen += group.count;
            let columns = Columns::open(&payload, 0, group.count).expect("a payload can be read");
            let all: Vec<usize> = (0..group.count).collect();
            let indices = group.indices.as_ref().map_or(all, |list| list.iter().map(|&index| index as usize).collect());
            assert_eq!(indices.len(), group.count);
            let mut bytes = 0;
            for (&index, (key, data)) in indices.iter().zip(columns) {
                assert_eq!(data, puts.data(index));
                assert_eq!(key.unwrap_or_default(), puts.key(index));
                assert_eq!(key.is_some(), puts.entries[index].key == Given::Text);
                bytes += data.len() as u64;
            }
            assert_eq!(bytes, group.data_bytes);
            render(&payload, (0, group.count));
            placed.push(Placed {
                partition: u64::from(group.number),
                base: 7,
                count: group.count,
                indices: group.indices.clone(),
            });
        }
        assert_eq!(seen, puts.entries.len());
        if routed.odd.is_empty() {
            let reply = outcome_json(seen, &placed, &[]).expect("every record has a place");
            serde_json::from_slice::<serde_json::Value>(&reply).expect("a reply is JSON");
            outcome_protobuf(seen, &placed, &[]).expect("every record has a place");
        }
    }
}

/// Renders records of a payload, if it is one: exactly as many bytes as were announced, and JSON when it says so.
pub fn render(payload: &[u8], range: (usize, usize)) {
    for protobuf in [false, true] {
        let Some(rendering) = Rendering::new(payload, range, 995, 1_764_000_000_000, protobuf) else { continue };
        let mut out = vec![0xaa; rendering.size];
        rendering.write(&mut out);
        if !protobuf {
            let listed = [b"[", out.as_slice(), b"]"].concat();
            let entries: Vec<serde_json::Value> = serde_json::from_slice(&listed).expect("entries are JSON");
            assert_eq!(entries.len(), range.1 - range.0);
        }
    }
}

/// Joins a payload, if it is one, with itself and with one that has no keys; what comes out is one, and holds the same records.
pub fn join(payload: &[u8], start: usize) {
    if let Some((taken, size)) = fit(payload, start, 3, 100, true) {
        assert!(taken == 1 || (taken <= 3 && size <= 100));
    }
    let other = b"\x92\xc0\x91\xc4\x01x".as_slice();
    let Some(joined) = Joined::new([payload, other, payload].into_iter()) else { return };
    let mut out = vec![0xaa; joined.size];
    joined.write(&mut out);
    // The data is not looked at when it is joined: it may be none.
    let Some((count, _)) = fit(payload, 0, usize::MAX, u64::MAX, false) else { return };
    let records = |bytes: &[u8], from: usize, stop: usize| {
        Columns::open(bytes, from, stop)
            .expect("a payload can be read")
            .map(|(key, data)| (key.map(<[u8]>::to_vec), data.to_vec()))
            .collect::<Vec<_>>()
    };
    let own = records(payload, 0, count);
    assert_eq!(records(&out, 0, count), own);
    assert_eq!(records(&out, count, count + 1), [(None, b"x".to_vec())]);
    assert_eq!(records(&out, count + 1, 2 * count + 1), own);
}
