//! The hot formats of Penstock without Python: PutRecords requests in, log payloads and frames, PutRecords and GetRecords replies.
//!
//! Every function here accepts less than the Python codec does and answers `None` for the rest: what is accepted gives
//! byte for byte what Python gives, what is not goes to Python, which decides and words the errors.

#![forbid(unsafe_code)]

mod base64;
pub mod frames;
pub mod json;
pub mod msgpack;
pub mod payload;
pub mod protobuf;
pub mod puts;
pub mod replies;
pub mod route;
mod text;

pub use puts::Puts;
pub use route::Router;
