//! What a child reads that asks through us, because it does not verify whom it asks.

use crate::http::Url;
use crate::source::admission::Admission;
use crate::source::direct;

/// A source as it is asked for on behalf of a child.
#[derive(Clone, Debug)]
pub struct Relayed {
    /// Where it is.
    pub url: Url,
    /// The host that the source's own address names: what is meant for that host goes to no other.
    pub host: String,
    /// How its servers are asked.
    pub params: direct::Params,
    /// Where they may be.
    pub admission: Admission,
}

/// What stands for the relay's address in a child's arguments until that is known.
pub const RELAYED_ADDRESS: &str = "http://127.0.0.1/relayed.m3u8";
