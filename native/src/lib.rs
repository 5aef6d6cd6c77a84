//! `penstock_native`: the compiled codec as a Python module. All it does is hand bytes to `penstock_codec` and results
//! back; `penstock_native.pyi` describes it for Python.

#![forbid(unsafe_code)]

use penstock_codec::frames::{self, Head, Run, IDENT};
use penstock_codec::puts::{Given, Span};
use penstock_codec::replies::{self, Failed, Rendering};
use penstock_codec::{json, payload, protobuf, Puts, Router};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyTuple};

/// Raised when what Python may call changes: `penstock.codec` takes no module with another number.
const INTERFACE: u32 = 4;
/// From this many bytes on, other threads run meanwhile. Less is done sooner than a thread is woken.
const LARGE: usize = 1 << 16;

fn detached<T: Send>(py: Python<'_>, size: usize, work: impl FnOnce() -> T + Send) -> T {
    if size >= LARGE {
        py.detach(work)
    } else {
        work()
    }
}

/// A decoded PutRecords request.
#[pyclass(name = "Puts", module = "penstock_native")]
struct PyPuts {
    puts: Puts,
    count: usize,
}

/// The writable partitions of a stream, for `Puts.pack`.
#[pyclass(name = "Router", module = "penstock_native")]
struct PyRouter(Router);

/// Data, partition key, partition id, explicit hash key.
type Record<'py> = (Bound<'py, PyBytes>, Option<String>, Option<String>, Option<String>);
/// What belongs to the stream, partition, records, payload, bytes of data.
type Taken<'py> = (Bound<'py, PyAny>, u32, usize, Bound<'py, PyBytes>, u64);
/// Index, partition id and explicit hash key of a record that cannot go anywhere.
type Odd = (u32, Option<String>, Option<String>);
/// Partition, records, payload, bytes of data, indices.
type Packed<'py> = (u32, usize, Bound<'py, PyBytes>, u64, Option<Bound<'py, PyTuple>>);

#[pymethods]
impl PyRouter {
    #[new]
    fn new(ends: Vec<u64>, numbers: Vec<u32>) -> PyResult<Self> {
        Router::new(ends, numbers).map(Self).ok_or_else(|| PyValueError::new_err("ranges in order, one a partition"))
    }
}

#[pymethods]
impl PyPuts {
    #[getter]
    fn stream_name(&self) -> Option<&str> {
        self.puts.stream_name.as_deref()
    }

    #[getter]
    fn stream_id(&self) -> Option<&str> {
        self.puts.stream_id.as_deref()
    }

    #[getter]
    fn data_bytes(&self) -> u64 {
        self.puts.data_bytes
    }

    fn __len__(&self) -> usize {
        self.count
    }

    fn first_long_key(&self, limit: u64) -> Option<(usize, usize)> {
        self.puts.first_long_key(limit)
    }

    fn first_large(&self, limit: u64) -> Option<(usize, u32)> {
        self.puts.first_large(limit)
    }

    fn record<'py>(&self, py: Python<'py>, index: usize) -> PyResult<Record<'py>> {
        let Some(entry) = self.puts.entries.get(index).copied() else {
            return Err(PyValueError::new_err("no such record"));
        };
        let text = |given: Given, bytes: &[u8]| match given {
            Given::Absent => Ok(None),
            _ => String::from_utf8(bytes.to_vec()).map(Some).map_err(|_| PyValueError::new_err("no UTF-8")),
        };
        let span = |span: Span| text(span.given, self.puts.text(span));
        Ok((
            PyBytes::new(py, self.puts.data(index)),
            text(entry.key, self.puts.key(index))?,
            span(entry.id)?,
            span(entry.hash)?,
        ))
    }

    /// Routes the records and packs them by partition; they are gone then. See penstock_native.pyi.
    fn pack<'py>(
        &mut self,
        py: Python<'py>,
        router: &mut PyRouter,
        mut turn: u32,
    ) -> PyResult<(u32, Vec<Packed<'py>>, Vec<Odd>)> {
        let puts = std::mem::take(&mut self.puts);
        let routed = detached(py, puts.bins.len(), || router.0.route(&puts, &mut turn));
        let mut packed = Vec::with_capacity(routed.groups.len());
        for group in routed.groups {
            let size = group.payload_len(&puts);
            let payload = PyBytes::new_with(py, size, |out| {
                detached(py, size, || group.write_payload(&puts, out));
                Ok(())
            })?;
            let indices = group.indices.map(|indices| PyTuple::new(py, indices)).transpose()?;
            packed.push((group.number, group.count, payload, group.data_bytes, indices));
        }
        let text = |span: Span| std::str::from_utf8(puts.text(span)).ok().map(str::to_owned);
        let odd = routed.odd.iter().map(|&index| {
            let entry = &puts.entries[index as usize];
            (index, text(entry.id), text(entry.hash))
        });
        Ok((turn, packed, odd.collect()))
    }
}

fn wrapped(puts: Option<Puts>) -> Option<PyPuts> {
    puts.map(|puts| PyPuts { count: puts.entries.len(), puts })
}

/// A PutRecords body as JSON; None: Python has to decode it.
#[pyfunction]
fn decode_put_json(py: Python<'_>, body: &[u8]) -> Option<PyPuts> {
    wrapped(detached(py, body.len(), || json::decode_put(body)))
}

/// A PutRecords body as protobuf; None: Python has to decode it.
#[pyfunction]
fn decode_put_protobuf(py: Python<'_>, body: &[u8]) -> Option<PyPuts> {
    wrapped(detached(py, body.len(), || protobuf::decode_put(body)))
}

/// A PutRecords body as JSON whose records all go to one partition of one of `streams`: a router and what belongs to the stream, by name.
/// None: it has to be decoded and routed.
#[pyfunction]
fn take_put_json<'py>(py: Python<'py>, body: &[u8], streams: &Bound<'py, PyDict>) -> PyResult<Option<Taken<'py>>> {
    let Some(puts) = json::decode_put(body) else { return Ok(None) };
    let Some(name) = puts.stream_name.as_deref().filter(|_| puts.stream_id.as_deref().unwrap_or("").is_empty()) else {
        return Ok(None);
    };
    let Some(stream) = streams.get_item(name)? else { return Ok(None) };
    let (router, belongs): (Bound<'py, PyRouter>, Bound<'py, PyAny>) = stream.cast::<PyTuple>()?.extract()?;
    let Some(group) = router.borrow_mut().0.only(&puts) else { return Ok(None) };
    let payload = PyBytes::new_with(py, group.payload_len(&puts), |out| {
        group.write_payload(&puts, out);
        Ok(())
    })?;
    Ok(Some((belongs, group.number, group.count, payload, group.data_bytes)))
}

/// What Python passes as a place: partition, first sequence number, number of records, indices or None.
struct Place(replies::Placed);

impl<'py> FromPyObject<'_, 'py> for Place {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let (partition, base, count, indices): (u64, u64, usize, Option<Bound<'py, PyAny>>) = object.extract()?;
        let indices = indices.map(|indices| indices.try_iter()?.map(|index| index?.extract()).collect()).transpose()?;
        Ok(Self(replies::Placed { partition, base, count, indices }))
    }
}

fn outcome<'py>(
    total: usize,
    placed: &Bound<'py, PyList>,
    failed: &Bound<'py, PyDict>,
    write: impl Fn(usize, &[replies::Placed], &[Failed]) -> Option<Vec<u8>>,
) -> PyResult<Option<Bound<'py, PyBytes>>> {
    let py = failed.py();
    let placed: Vec<_> = placed.iter().map(|place| Ok(place.extract::<Place>()?.0)).collect::<PyResult<_>>()?;
    let failed: Vec<_> = failed
        .iter()
        .map(|(index, why)| {
            let (code, message) = why.extract()?;
            Ok(Failed { index: index.extract()?, code, message })
        })
        .collect::<PyResult<_>>()?;
    Ok(write(total, &placed, &failed).map(|reply| PyBytes::new(py, &reply)))
}

/// The reply to PutRecords as JSON; None: Python has to make it.
#[pyfunction]
fn encode_outcome_json<'py>(
    total: usize,
    placed: &Bound<'py, PyList>,
    failed: &Bound<'py, PyDict>,
) -> PyResult<Option<Bound<'py, PyBytes>>> {
    outcome(total, placed, failed, replies::outcome_json)
}

/// The reply to PutRecords as protobuf; None: Python has to make it.
#[pyfunction]
fn encode_outcome_protobuf<'py>(
    total: usize,
    placed: &Bound<'py, PyList>,
    failed: &Bound<'py, PyDict>,
) -> PyResult<Option<Bound<'py, PyBytes>>> {
    outcome(total, placed, failed, replies::outcome_protobuf)
}

fn render<'py>(
    py: Python<'py>,
    payload: &[u8],
    range: (usize, usize),
    base: u64,
    append_ms: u64,
    protobuf: bool,
) -> PyResult<Option<(Bound<'py, PyBytes>, u64)>> {
    let large = payload.len();
    let Some(rendering) = detached(py, large, || Rendering::new(payload, range, base, append_ms, protobuf)) else {
        return Ok(None);
    };
    let rendered = PyBytes::new_with(py, rendering.size, |out| {
        detached(py, large, || rendering.write(out));
        Ok(())
    })?;
    Ok(Some((rendered, rendering.data_bytes)))
}

/// Records `start` to `stop` of a payload as entries of a GetRecords reply in JSON, and the bytes of their data.
#[pyfunction]
fn render_json<'py>(
    py: Python<'py>,
    payload: &[u8],
    start: usize,
    stop: usize,
    base: u64,
    append_ms: u64,
) -> PyResult<Option<(Bound<'py, PyBytes>, u64)>> {
    render(py, payload, (start, stop), base, append_ms, false)
}

/// The same in protobuf.
#[pyfunction]
fn render_protobuf<'py>(
    py: Python<'py>,
    payload: &[u8],
    start: usize,
    stop: usize,
    base: u64,
    append_ms: u64,
) -> PyResult<Option<(Bound<'py, PyBytes>, u64)>> {
    render(py, payload, (start, stop), base, append_ms, true)
}

/// Bytes of data in records `start` to `stop` of a payload; None: Python has to look.
#[pyfunction]
fn data_bytes(py: Python<'_>, payload: &[u8], start: usize, stop: usize) -> Option<u64> {
    detached(py, payload.len(), || payload::data_bytes(payload, start, stop))
}

/// How many records from `start` on, and how many bytes of data they hold; see penstock_native.pyi.
#[pyfunction]
fn fit(payload: &[u8], start: usize, max_records: usize, budget: u64, one: bool) -> Option<(usize, u64)> {
    payload::fit(payload, start, max_records, budget, one)
}

/// Payloads as one, in order; None: Python has to join them.
#[pyfunction]
fn join_payloads<'py>(py: Python<'py>, payloads: &Bound<'py, PyList>) -> PyResult<Option<Bound<'py, PyBytes>>> {
    let payloads: Vec<Bound<'py, PyBytes>> =
        payloads.iter().map(|one| Ok(one.cast_into()?)).collect::<PyResult<_>>()?;
    let Some(joined) = payload::Joined::new(payloads.iter().map(|one| one.as_bytes())) else { return Ok(None) };
    let whole = PyBytes::new_with(py, joined.size, |out| {
        joined.write(out);
        Ok(())
    })?;
    Ok(Some(whole))
}

fn ident(name: &[u8]) -> PyResult<&[u8; IDENT]> {
    name.try_into().map_err(|_| PyValueError::new_err("a partition is named by 24 bytes"))
}

/// The header of a frame; None: Python has to make it.
#[pyfunction]
#[allow(clippy::too_many_arguments)]
fn pack_frame<'py>(
    py: Python<'py>,
    name: &[u8],
    salt: u32,
    durable: u32,
    base: u64,
    records: u32,
    append_ms: u64,
    payload: &[u8],
) -> PyResult<Option<Bound<'py, PyBytes>>> {
    let name = ident(name)?;
    let head = Head { offset: 0, length: 0, records, durable, base, append_ms };
    let packed = detached(py, payload.len(), || frames::pack_frame(name, salt, &head, payload));
    Ok(packed.map(|packed| PyBytes::new(py, &packed)))
}

/// Offset, length of the payload, records, durable bytes, first sequence number and append time of a frame.
type FrameHead = (u64, u32, u32, u32, u64, u64);

/// Consecutive intact frames that lie in `view` as a whole.
#[pyfunction]
fn frames_in(
    py: Python<'_>,
    view: &[u8],
    position: usize,
    offset: u64,
    name: &[u8],
    salt: u32,
) -> PyResult<Vec<FrameHead>> {
    let name = ident(name)?;
    let heads = detached(py, view.len(), || frames::frames_in(view, position, offset, name, salt));
    Ok(heads
        .iter()
        .map(|head| (head.offset, head.length, head.records, head.durable, head.base, head.append_ms))
        .collect())
}

/// A batch of a journal from its runs (partition, first sequence number and salt of the segment, offset, bytes, pieces); None: Python
/// has to make it.
#[pyfunction]
fn pack_batch<'py>(
    py: Python<'py>,
    salt: u32,
    generation: u64,
    number: u64,
    runs: &Bound<'py, PyList>,
) -> PyResult<Option<Bound<'py, PyBytes>>> {
    type Given<'py> = (Bound<'py, PyBytes>, u64, u32, u32, Bound<'py, PyAny>, Bound<'py, PyList>);
    let mut given = Vec::with_capacity(runs.len());
    for run in runs.iter() {
        let (name, base, salt, offset, _, pieces): Given<'py> = run.cast::<PyTuple>()?.extract()?;
        let mut data = Vec::with_capacity(pieces.len());
        for piece in pieces.iter() {
            let Ok(piece) = piece.cast_into::<PyBytes>() else {
                return Ok(None);
            };
            data.push(piece);
        }
        given.push((name, base, salt, offset, data));
    }
    let mut packed = Vec::with_capacity(given.len());
    for (name, base, salt, offset, data) in &given {
        let data = data.iter().map(|piece| piece.as_bytes()).collect();
        packed.push(Run { name: ident(name.as_bytes())?, base: *base, salt: *salt, offset: *offset, data });
    }
    let size = frames::batch_len(&packed);
    let mut whole = true;
    let batch = PyBytes::new_with(py, size, |out| {
        whole = detached(py, size, || frames::write_batch(salt, generation, number, &packed, out));
        Ok(())
    })?;
    Ok(whole.then_some(batch))
}

#[pymodule]
mod penstock_native {
    #[pymodule_export]
    use super::{
        data_bytes, decode_put_json, decode_put_protobuf, encode_outcome_json, encode_outcome_protobuf, fit, frames_in,
        join_payloads, pack_batch, pack_frame, render_json, render_protobuf, take_put_json, PyPuts, PyRouter,
    };
    #[pymodule_export]
    const INTERFACE: u32 = super::INTERFACE;
    #[pymodule_export]
    const VERSION: &str = env!("CARGO_PKG_VERSION");
}
