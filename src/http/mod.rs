//! HTTP/1.1 as pure functions over byte slices: what viewers and upstreams send is parsed here, what they
//! get is written here. No sockets, no clock.

pub mod chunked;
mod percent;
pub mod upstream;
pub mod url;

pub use chunked::{BodyDecoder, BodyError, Dechunker, Decoded};
pub use upstream::{Framing, ResponseError, ResponseHead, ResponseStatus, parse_response, request_head};
pub use url::{Scheme, Url, UrlError};
