//! HTTP/1.1 as pure functions over byte slices: what viewers and upstreams send is parsed here, what they
//! get is written here. No sockets, no clock.

pub mod chunked;
pub mod cookies;
mod date;
pub mod headers;
pub mod hls_answer;
pub mod request;
pub mod response;
pub mod route;
pub mod stream_answer;
pub mod upstream;
pub mod url;
pub mod via;

pub use chunked::{BodyDecoder, BodyError, Dechunker, Decoded};
pub use cookies::CookieJar;
pub use headers::{HeaderError, RequestHeaders};
pub use hls_answer::{
    ListKind, hls_list, hls_list_head_only, hls_not_found, hls_permission, hls_segment_head,
};
pub use request::{Method, Parsed, Persistence, Request, RequestError, Version, form_pairs, parse};
pub use response::{FileBody, HDHR_XML, Response, to_json};
pub use route::{HlsPart, HlsWant, Route, stream_route, tuner_number};
pub use stream_answer::{STREAM_INTERIM, StreamError, stream_error, stream_head, stream_head_only};
pub use upstream::{
    Framing, RequestFields, ResponseError, ResponseHead, ResponseStatus, parse_response, request_head,
};
pub use url::{Scheme, Url, UrlError};
pub use via::Via;
