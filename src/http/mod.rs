//! get is written here. No sockets, no clock.

mod percent;
pub mod url;

pub use url::{Scheme, Url, UrlError};
