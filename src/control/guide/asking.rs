//! How the servers of guides are asked.

use crate::control::fetch;
use crate::control::state::State;
use crate::http::{CookieJar, RequestHeaders, Url};
use crate::source::direct;

/// How a server is asked that no playlist has named.
pub(super) fn params(state: &State, headers: RequestHeaders) -> direct::Params {
    let trust = &state.params.trust;
    direct::Params {
        user_agent: state.params.user_agent.clone(),
        via: None,
        headers,
        cookies: CookieJar::default(),
        connect_timeout: fetch::TIMEOUT,
        header_timeout: fetch::TIMEOUT,
        startup_timeout: fetch::TIMEOUT,
        tls: trust.client(trust.verifies(None)),
    }
}

/// What a playlist names, as it may be asked for: what its own servers are told goes to no other.
pub(in crate::control) fn hint_params(
    state: &State,
    playlist: &str,
    guide: &str,
    of_playlist: &direct::Params,
) -> direct::Params {
    let host = |url: &str| Url::parse(url).ok().map(|url| url.host().to_ascii_lowercase());
    let is_same = host(playlist).is_some_and(|known| host(guide) == Some(known));
    if is_same { of_playlist.clone() } else { params(state, RequestHeaders::NONE) }
}
