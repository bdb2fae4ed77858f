//! What a child reads over HTTP: it asks through us, so that all sources are asked for alike.

use crate::http::Url;
use crate::source::admission::Admission;
use crate::source::direct;
use crate::source::error::{Kind, SourceError};
use crate::source::scheme::Scheme;

/// A source as it is asked for on behalf of a child.
#[derive(Clone, Debug)]
pub struct Relayed {
    /// Where it is.
    pub url: Url,
    /// The host that the source's own address names: what is meant for that host goes to no other.
    pub host: String,
    /// How its servers are asked.
    pub params: direct::Params,
    /// Which of them may be.
    pub admission: Admission,
}

impl Relayed {
    /// What stands at `address`, to which that of the source has led perhaps; `None` when the child is to read it by itself.
    ///
    /// # Errors
    /// When it is no usable address.
    pub fn of(
        source: &str,
        address: &str,
        params: direct::Params,
        admission: &Admission,
    ) -> Result<Option<Self>, SourceError> {
        if !Scheme::of(address).is_http() {
            return Ok(None);
        }
        let url = Url::parse(address).map_err(|error| {
            SourceError::new(Kind::Unusable, &format!("create upstream request: {error}"))
        })?;
        // A list may have led to others.
        let host = Url::parse(source).map_or_else(|_path| url.host().to_owned(), |url| url.host().to_owned());
        Ok(Some(Self { url, host, params, admission: admission.clone() }))
    }
}

/// What stands for the relay's address in a child's arguments until that is known.
pub const RELAYED_ADDRESS: &str = "http://127.0.0.1/relayed";
