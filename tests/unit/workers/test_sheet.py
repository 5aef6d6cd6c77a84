"""Small batches of several requests become one; each request still finds its own records, in the order of the requests."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from penstock.limits import UNLIMITED, PartitionRate
from penstock.log.base import Packed, PartitionRef
from penstock.log.payload import JOINED_BYTES, JOINED_RECORDS, SMALL_BYTES, decode, encode, join
from penstock.workers.messages import PutCall
from penstock.workers.sheet import Sheet

FREE = PartitionRate(write_bytes=UNLIMITED, write_records=UNLIMITED, read_bytes=UNLIMITED)
SLOW = PartitionRate(write_bytes=1000, write_records=10, read_bytes=1000)
REFS = [PartitionRef(name * 20, number) for name in "ab" for number in range(2)]

data = st.lists(st.binary(max_size=40), min_size=1, max_size=20)
keys = st.none() | st.text(min_size=1, max_size=5)


@st.composite
def columns(draw: st.DrawFn) -> tuple[list[str | None] | None, list[bytes]]:
    records = draw(data)
    found = draw(st.lists(keys, min_size=len(records), max_size=len(records)))
    return (found if any(found) else None), records


@given(st.lists(columns(), min_size=1, max_size=6))
def test_joined_payloads_hold_the_records_in_order(
    parts: list[tuple[list[str | None] | None, list[bytes]]],
) -> None:
    found_keys, found_data = decode(join([encode(*part) for part in parts]))
    assert found_data == [one for _, records in parts for one in records]
    expected = [key for some, records in parts for key in (some or [None] * len(records))]
    assert (found_keys or [None] * len(found_data)) == expected
    assert (found_keys is None) == all(some is None for some, _ in parts)


def _packed(ref: PartitionRef, records: list[bytes]) -> Packed:
    return Packed(ref, len(records), encode(None, records), sum(map(len, records)))


batches = st.tuples(
    st.sampled_from(REFS),
    st.lists(st.binary(max_size=8) | st.just(b"x" * (SMALL_BYTES // 3)), min_size=1, max_size=5),
    st.sampled_from([FREE, FREE, SLOW]),
)


@given(st.lists(batches, max_size=60))
def test_each_batch_finds_its_records(added: list[tuple[PartitionRef, list[bytes], PartitionRate]]) -> None:
    sheet = Sheet()
    places = [sheet.add(_packed(ref, records), rate) for ref, records, rate in added]
    payloads = sheet.payloads()
    call = sheet.call(payloads, -1)
    assert [batch.payload for batch in call.batches] == payloads
    order: dict[PartitionRef, list[tuple[int, int]]] = {}
    for (ref, records, rate), (at, behind) in zip(added, places, strict=True):
        batch = call.batches[at]
        assert (batch.stream_id, batch.number) == ref
        assert decode(batch.payload)[1][behind : behind + len(records)] == records
        assert (call.rates[batch.rate] if batch.rate >= 0 else FREE) == rate
        if rate is SLOW:
            assert batch.count == len(records), "what is counted stays on its own"
        order.setdefault(ref, []).append((at, behind))
    assert all(found == sorted(found) for found in order.values()), "nothing overtakes"
    assert sum(batch.count for batch in call.batches) == sum(len(records) for _, records, _ in added)
    for batch in call.batches:
        found = decode(batch.payload)[1]
        assert (batch.count, batch.size) == (len(found), sum(map(len, found)))


def _call(added: list[Packed], page: int = -1) -> PutCall:
    sheet = Sheet()
    for one in added:
        sheet.add(one, FREE)
    return sheet.call(sheet.payloads(), page)


def test_small_ones_become_one_but_not_without_end() -> None:
    many = _call([_packed(REFS[0], [b"x"])] * 1000)
    assert [batch.count for batch in many.batches] == [JOINED_RECORDS] * (1000 // JOINED_RECORDS)
    long = _call([_packed(REFS[0], [b"x" * 3000])] * 50)
    assert len(long.batches) > 4
    assert all(len(batch.payload) <= JOINED_BYTES for batch in long.batches)


def test_large_ones_are_left_alone() -> None:
    large = _packed(REFS[0], [b"x" * (SMALL_BYTES + 1)])
    small = _packed(REFS[0], [b"y"])
    call = _call([small, small, large, large, small])
    assert [batch.count for batch in call.batches] == [2, 1, 1, 1]


def test_in_the_tray_only_sizes_are_said() -> None:
    one, other = _packed(REFS[0], [b"x" * 9000]), _packed(REFS[1], [b"y"])
    call = _call([one, other], 7)
    assert call.page == 7
    assert [(batch.payload, batch.shared) for batch in call.batches] == [
        (b"", len(one.payload)),
        (b"", len(other.payload)),
    ]
