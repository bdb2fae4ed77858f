//! What is answered under which path.

mod blocks;
mod channels;
#[cfg(test)]
mod described;
mod device;
mod documents;
mod dvr;
mod guide;
mod health;
mod items;
mod jobs;
mod lineup;
mod metrics;
mod numbers;
mod page;
mod playlists;
mod profiles;
mod recovery;
mod rules;
mod tuners;
mod upnp;
mod viewers;

use std::rc::Rc;

use crate::http::{Method, Request, Response, tuner_number};
use crate::store::{ChannelError, StoreError};

use super::access;
use super::call::{Call, refusal};
use super::client::client;
use super::soap;
use crate::control::jobs::JobKind;
use crate::control::state::State;
use documents::ApiDocument;
use numbers::{number, viewer};
use page::PageRoute;
use upnp::Service;

/// A path that is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Route {
    Healthz,
    Metrics,
    Discover,
    Description,
    ServiceDescription(Service),
    ServiceControl(Service),
    StatusJson,
    TunerStatus(u32),
    LineupJson,
    LineupXml,
    LineupM3u,
    GuideXml {
        is_packed: bool,
    },
    GuideStatus,
    LineupStatus,
    LineupPost,
    LineupPage,
    Items,
    Groups,
    Duplicates,
    Channels,
    Profiles,
    Profile,
    Channel(i64),
    ChannelOrder,
    Sources(i64),
    SourceOrder(i64),
    SameKey(i64),
    Source(i64, i64),
    HealthClear(i64),
    HealthClearAll,
    PlaylistSync,
    AutoPrioritize,
    AutoPrioritizeCache,
    Jobs,
    JobRun(i64),
    JobCancel(i64),
    Automation,
    Playlists,
    Playlist(i64),
    PlaylistRefresh(i64),
    PlaylistList(i64),
    Rules,
    Rule(i64),
    Blocks,
    Block(i64),
    BlockChannels(i64),
    BlockOrder(i64),
    Dvr,
    DvrLineups,
    /// What a recorder would be asked or told.
    DvrAct,
    DvrMappings,
    DvrMapping(i64),
    Tuners,
    Recovery,
    Kick(u64, u64),
    Page(PageRoute),
    Document(ApiDocument),
    Events,
}

impl Route {
    fn find(path: &str) -> Option<Self> {
        let pieces: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
        Some(match *pieces.as_slice() {
            ["healthz"] => Self::Healthz,
            ["metrics"] => Self::Metrics,
            ["discover.json"] => Self::Discover,
            ["device.xml"] | ["upnp", "device.xml"] => Self::Description,
            ["upnp", "scpd", file] => Self::ServiceDescription(Service::of_path(file.strip_suffix(".xml")?)?),
            ["upnp", "control", service] => Self::ServiceControl(Service::of_path(service)?),
            ["status.json"] => Self::StatusJson,
            [tuner, "vstatus"] => Self::TunerStatus(tuner_number(tuner.strip_prefix("tuner")?)?),
            ["lineup.json"] => Self::LineupJson,
            ["lineup.xml"] => Self::LineupXml,
            ["lineup.m3u"] => Self::LineupM3u,
            ["guide.xml"] => Self::GuideXml { is_packed: false },
            ["guide.xml.gz"] => Self::GuideXml { is_packed: true },
            ["api", "guide"] => Self::GuideStatus,
            ["lineup_status.json"] => Self::LineupStatus,
            ["lineup.post"] => Self::LineupPost,
            ["lineup.html"] => Self::LineupPage,
            ["api", "items"] => Self::Items,
            ["api", "groups"] => Self::Groups,
            ["api", "suggestions", "duplicates"] => Self::Duplicates,
            ["api", "channels"] => Self::Channels,
            ["api", "profiles"] => Self::Profiles,
            ["api", "profiles", _name] => Self::Profile,
            ["api", "channels", "reorder"] => Self::ChannelOrder,
            ["api", "channels", "dvr"] => Self::DvrMappings,
            ["api", "channels", channel, "dvr"] => Self::DvrMapping(number(channel)?),
            ["api", "channels", _channel, "dvr", "reverse-sync"] => Self::DvrAct,
            ["api", "channels", channel, "sources", "reorder"] => Self::SourceOrder(number(channel)?),
            ["api", "channels", channel, "sources", "same-key"] => Self::SameKey(number(channel)?),
            ["api", "channels", channel] => Self::Channel(number(channel)?),
            ["api", "channels", channel, "sources"] => Self::Sources(number(channel)?),
            ["api", "channels", "sources", "health", "clear"] => Self::HealthClearAll,
            ["api", "channels", channel, "sources", "health", "clear"] => {
                Self::HealthClear(number(channel).unwrap_or(NO_CHANNEL))
            }
            ["api", "channels", channel, "sources", source] => {
                Self::Source(number(channel)?, number(source)?)
            }
            ["api", "admin", "jobs", "playlist-sync", "run"] => Self::PlaylistSync,
            ["api", "admin", "jobs", "auto-prioritize", "run"] => Self::AutoPrioritize,
            ["api", "admin", "jobs", "auto-prioritize", "cache", "clear"] => Self::AutoPrioritizeCache,
            ["api", "admin", "jobs"] => Self::Jobs,
            ["api", "admin", "jobs", run] => Self::JobRun(number(run)?),
            ["api", "admin", "jobs", run, "cancel"] => Self::JobCancel(number(run)?),
            ["api", "admin", "automation"] => Self::Automation,
            ["api", "playlists"] => Self::Playlists,
            ["api", "playlists", playlist] => Self::Playlist(number(playlist)?),
            ["api", "playlists", playlist, "refresh"] => Self::PlaylistRefresh(number(playlist)?),
            ["api", "playlists", playlist, "list"] => Self::PlaylistList(number(playlist)?),
            ["api", "rules"] => Self::Rules,
            ["api", "rules", rule] => Self::Rule(number(rule)?),
            ["api", "dynamic-channels"] => Self::Blocks,
            ["api", "dynamic-channels", block] => Self::Block(number(block)?),
            ["api", "dynamic-channels", block, "channels"] => Self::BlockChannels(number(block)?),
            ["api", "dynamic-channels", block, "channels", "reorder"] => Self::BlockOrder(number(block)?),
            ["api", "admin", "dvr"] => Self::Dvr,
            ["api", "admin", "dvr", "lineups"] => Self::DvrLineups,
            ["api", "admin", "dvr", "test" | "sync" | "reverse-sync"] => Self::DvrAct,
            ["api", "admin", "tuners"] => Self::Tuners,
            ["api", "admin", "tuners", "recovery"] => Self::Recovery,
            ["api", "admin", "viewers", id, "kick"] => {
                let (session, viewer) = viewer(id)?;
                Self::Kick(session, viewer)
            }
            ["api", "admin", "events"] => Self::Events,
            ["api", "openapi.json"] => Self::Document(ApiDocument::Routes),
            ["api", "tuners.schema.json"] => Self::Document(ApiDocument::Tuners),
            [""] | ["ui"] => Self::LineupPage,
            ["ui", ref rest @ ..] => Self::Page(PageRoute::find(rest)?),
            _ => return None,
        })
    }

    /// Whether what is asked stands in a body.
    fn takes_body(self, method: Method) -> bool {
        match self {
            Self::Channels
            | Self::Sources(_)
            | Self::Profiles
            | Self::Playlists
            | Self::Rules
            | Self::Blocks
            | Self::DvrAct
            | Self::Recovery
            | Self::Page(_)
            | Self::ServiceControl(_) => method == Method::Post,
            Self::Playlist(_)
            | Self::Channel(_)
            | Self::Source(..)
            | Self::ChannelOrder
            | Self::Block(_)
            | Self::BlockOrder(_)
            | Self::SourceOrder(_) => method == Method::Patch,
            Self::Profile
            | Self::Rule(_)
            | Self::Automation
            | Self::PlaylistList(_)
            | Self::Dvr
            | Self::DvrMapping(_) => method == Method::Put,
            Self::Healthz
            | Self::Metrics
            | Self::Discover
            | Self::LineupJson
            | Self::LineupXml
            | Self::LineupM3u
            | Self::GuideXml { .. }
            | Self::GuideStatus
            | Self::LineupStatus
            | Self::LineupPost
            | Self::LineupPage
            | Self::Items
            | Self::Groups
            | Self::PlaylistRefresh(_)
            | Self::Description
            | Self::StatusJson
            | Self::TunerStatus(_)
            | Self::ServiceDescription(_)
            | Self::HealthClear(_)
            | Self::HealthClearAll
            | Self::PlaylistSync
            | Self::AutoPrioritize
            | Self::AutoPrioritizeCache
            | Self::Jobs
            | Self::JobRun(_)
            | Self::JobCancel(_)
            | Self::Duplicates
            | Self::SameKey(_)
            | Self::BlockChannels(_)
            | Self::DvrLineups
            | Self::DvrMappings
            | Self::Kick(..)
            | Self::Events
            | Self::Document(_)
            | Self::Tuners => false,
        }
    }

    fn methods(self) -> &'static [Method] {
        match self {
            Self::Healthz
            | Self::Metrics
            | Self::Discover
            | Self::Description
            | Self::ServiceDescription(_)
            | Self::StatusJson
            | Self::TunerStatus(_)
            | Self::LineupJson
            | Self::LineupXml
            | Self::LineupM3u
            | Self::GuideXml { .. }
            | Self::GuideStatus
            | Self::LineupStatus
            | Self::LineupPage
            | Self::Items
            | Self::Groups
            | Self::Duplicates
            | Self::Jobs
            | Self::JobRun(_)
            | Self::BlockChannels(_)
            | Self::DvrLineups
            | Self::DvrMappings
            | Self::Document(_)
            | Self::Tuners => &[Method::Get, Method::Head],
            Self::Automation | Self::Dvr | Self::DvrMapping(_) => &[Method::Get, Method::Head, Method::Put],
            Self::Profile | Self::Rule(_) => &[Method::Get, Method::Head, Method::Put, Method::Delete],
            Self::Channels
            | Self::Sources(_)
            | Self::Profiles
            | Self::Playlists
            | Self::Rules
            | Self::Blocks => &[Method::Get, Method::Head, Method::Post],
            Self::Channel(_) | Self::Playlist(_) | Self::Block(_) => {
                &[Method::Get, Method::Head, Method::Patch, Method::Delete]
            }
            Self::ChannelOrder | Self::SourceOrder(_) | Self::BlockOrder(_) => &[Method::Patch],
            Self::PlaylistList(_) => &[Method::Put],
            Self::Source(..) => &[Method::Patch, Method::Delete],
            Self::LineupPost
            | Self::ServiceControl(_)
            | Self::SameKey(_)
            | Self::PlaylistSync
            | Self::PlaylistRefresh(_)
            | Self::AutoPrioritize
            | Self::AutoPrioritizeCache
            | Self::JobCancel(_)
            | Self::HealthClear(_)
            | Self::HealthClearAll
            | Self::DvrAct
            | Self::Kick(..)
            | Self::Recovery => &[Method::Post],
            Self::Page(page) => page.methods(),
            // An answer without end has no head of its own.
            Self::Events => &[Method::Get],
        }
    }
}

fn name(method: Method) -> &'static str {
    match method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Patch => "PATCH",
        Method::Delete => "DELETE",
        Method::Options => "OPTIONS",
        Method::Other => "another",
    }
}

/// A list that is handed over, compressed or not, and what clients call one.
const UPLOAD_BYTES_MAX: usize = 16 * 1024 * 1024;
const UPLOAD_TYPES: &[&str] = &[
    "audio/x-mpegurl",
    "audio/mpegurl",
    "application/x-mpegurl",
    "application/vnd.apple.mpegurl",
    "application/gzip",
    "application/octet-stream",
    "application/x-www-form-urlencoded",
    "text/plain",
];

/// What is no channel's id, where a path with a wrong id is answered with 400.
const NO_CHANNEL: i64 = 0;

/// True for what is sent for as long as the page is open that asks for it.
pub(super) fn is_events(request: &Request) -> bool {
    Route::find(request.path()) == Some(Route::Events)
}

/// True for requests that take as long as somebody else's server: they have their own limits.
pub(super) fn has_own_timeout(call: &Call) -> bool {
    matches!(
        Route::find(call.request.path()),
        Some(Route::PlaylistSync | Route::PlaylistRefresh(_) | Route::PlaylistList(_))
    )
}

/// The longest body that is taken. Whoever may ask without a password has less to say.
pub(super) fn body_bytes_max(request: &Request, state: &State) -> usize {
    match Route::find(request.path()) {
        Some(Route::ServiceControl(_)) => soap::BODY_BYTES_MAX.min(state.params.json_body_bytes_max),
        Some(Route::PlaylistList(_)) => UPLOAD_BYTES_MAX,
        Some(_) | None => state.params.json_body_bytes_max,
    }
}

/// Counts a request against whoever sends it. Whoever asks whether we live is always answered, and so is this host, which has other
/// ways to keep itself busy.
pub(super) fn admit(call: &Call, state: &State) -> Result<(), Response> {
    let client = client(call, &state.params.trusted_proxies);
    if client.is_here || Route::find(call.request.path()) == Some(Route::Healthz) {
        return Ok(());
    }
    let asked = state.doors.borrow_mut().ask(state.clock.now(), client.address);
    asked.map_err(|wait| access::too_many("too many requests came from this address", wait))
}

/// How a request's body comes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Body {
    /// With so many bytes, perhaps none.
    Stated(usize),
    /// In chunks.
    Chunks,
}

/// Looks at how a body comes, before it has come: only some routes take one, and JSON is all they take.
pub(super) fn body(call: &Call, state: &State) -> Result<Body, Response> {
    let request = &call.request;
    let bytes_max = body_bytes_max(request, state);
    let route = Route::find(request.path());
    let takes_body = route.is_some_and(|route| route.takes_body(call.method()));
    let stated = request.content_length();
    if !takes_body {
        let has_body = request.is_chunked() || stated.is_some_and(|bytes| bytes > 0);
        let refused = || refusal(413, "this route takes no body");
        return if has_body { Err(refused()) } else { Ok(Body::Stated(0)) };
    }
    let taken: &[&str] = match route {
        Some(Route::ServiceControl(_)) => &["text/xml", "application/xml"],
        Some(Route::PlaylistList(_)) => UPLOAD_TYPES,
        Some(Route::Page(_)) => &["application/x-www-form-urlencoded"],
        // What curl calls a body unless it is told otherwise; a page of another site is told by its Origin.
        Some(_) | None => &["application/json", "application/x-www-form-urlencoded"],
    };
    let content_type =
        call.header("content-type").map(|text| text.split(';').next().unwrap_or_default().trim());
    if let Some(named) =
        content_type.filter(|named| !taken.iter().any(|known| known.eq_ignore_ascii_case(named)))
    {
        return Err(refusal(415, &format!("the body cannot be {named:?}; allowed: {}", taken[0])));
    }
    let coding = call.header("content-encoding").filter(|coding| !coding.eq_ignore_ascii_case("identity"));
    if let Some(coding) = coding {
        return Err(refusal(415, &format!("the body cannot be coded as {coding:?}; allowed: identity")));
    }
    if request.is_chunked() {
        return Ok(Body::Chunks);
    }
    // A form without fields may come without a body.
    let stated = stated
        .or(matches!(route, Some(Route::Page(_))).then_some(0))
        .ok_or_else(|| refusal(411, "this route takes a body; say in Content-Length how long it is"))?;
    usize::try_from(stated).ok().filter(|bytes| *bytes <= bytes_max).map(Body::Stated).ok_or_else(|| {
        refusal(413, &format!("the body cannot have {stated} bytes; allowed: 0 to {bytes_max}"))
    })
}

/// True for what only administrators are let in to.
pub(super) fn is_administration(path: &str) -> bool {
    let is_in =
        |folder: &str| path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    is_in("/api") || is_in("/ui")
}

/// Checks everything that can be checked before the body has come.
pub(super) fn check(call: &Call, state: &State) -> Result<(), Response> {
    if is_administration(call.request.path()) {
        access::admin(call, &state.params, &mut state.doors.borrow_mut(), state.clock.now())?;
    }
    let route = Route::find(call.request.path())
        .filter(|route| *route != Route::Metrics || state.params.has_metrics)
        .ok_or_else(|| refusal(404, "there is nothing under this path"))?;
    if !route.methods().contains(&call.method()) {
        let allowed = route.methods().iter().map(|method| name(*method)).collect::<Vec<_>>().join(", ");
        let sentence = format!("the method cannot be {}; allowed: {allowed}", name(call.method()));
        return Err(refusal(405, &sentence).header("Allow", &allowed));
    }
    Ok(())
}

/// Answers. The connection leaves the body out when the method is `HEAD`.
pub(super) async fn answer(call: Call, state: Rc<State>) -> Response {
    match check(&call, &state) {
        Ok(()) => serve(&call, &state).await.unwrap_or_else(|refused| refused),
        Err(refused) => refused,
    }
}

async fn serve(call: &Call, state: &Rc<State>) -> Result<Response, Response> {
    let route = Route::find(call.request.path()).expect("`check` has found it");
    match (route, call.method()) {
        (Route::Healthz, _) => Ok(Response::new(200).body("application/json", r#"{"status":"ok"}"#)),
        (Route::Metrics, _) => metrics::show(call, state).await,
        (Route::Discover, _) => Ok(device::discover(call, state)),
        (Route::Description, _) => Ok(device::description(call, state)),
        (Route::ServiceDescription(service), _) => Ok(upnp::description(service)),
        (Route::ServiceControl(service), _) => Ok(upnp::control(call, state, service)),
        (Route::StatusJson, _) => device::status(state).await,
        (Route::TunerStatus(tuner), _) => device::tuner_status(state, tuner).await,
        (Route::LineupJson, _) => Ok(lineup::json(call, state)),
        (Route::LineupXml, _) => Ok(lineup::xml(call, state)),
        (Route::LineupM3u, _) => Ok(lineup::m3u(call, state)),
        (Route::GuideXml { is_packed }, _) => guide::file(call, state, is_packed),
        (Route::GuideStatus, _) => Ok(guide::status(state)),
        (Route::LineupStatus, _) => Ok(device::lineup_status(state)),
        (Route::LineupPage, _) => Ok(Response::new(302).header("Location", "/ui/")),
        (Route::LineupPost, _) => device::lineup_post(call, state),
        (Route::Items, _) => items::list(call, state).await,
        (Route::Duplicates, _) => items::duplicates(call, state).await,
        (Route::Groups, _) => items::groups(call, state).await,
        (Route::Channels, Method::Post) => channels::create(call, state).await,
        (Route::Channels, _) => channels::list(call, state).await,
        (Route::Channel(channel), Method::Patch) => channels::change(call, state, channel).await,
        (Route::Channel(channel), Method::Delete) => channels::delete(state, channel).await,
        (Route::Channel(channel), _) => channels::show(state, channel).await,
        (Route::ChannelOrder, _) => channels::reorder(call, state).await,
        (Route::SameKey(channel), _) => channels::add_same_key(state, channel).await,
        (Route::SourceOrder(channel), _) => channels::reorder_sources(call, state, channel).await,
        (Route::Sources(channel), Method::Post) => channels::add_source(call, state, channel).await,
        (Route::Sources(channel), _) => channels::sources(call, state, channel).await,
        (Route::Source(channel, source), Method::Patch) => {
            channels::change_source(call, state, channel, source).await
        }
        (Route::Source(channel, source), _) => channels::remove_source(state, channel, source).await,
        (Route::Profiles, Method::Post) => profiles::create(call, state).await,
        (Route::Profiles, _) => profiles::list(state).await,
        (Route::Profile, Method::Put) => profiles::replace(call, state).await,
        (Route::Profile, Method::Delete) => profiles::delete(call, state).await,
        (Route::Profile, _) => profiles::show(call, state).await,
        (Route::HealthClear(channel), _) => health::clear(state, channel).await,
        (Route::HealthClearAll, _) => health::clear_all(state).await,
        (Route::PlaylistSync, _) => playlists::read_all(call, state).await,
        (Route::Playlists, Method::Post) => playlists::create(call, state).await,
        (Route::AutoPrioritize, _) => jobs::run(state, JobKind::AutoPrioritize, false).await,
        (Route::AutoPrioritizeCache, _) => jobs::clear_cache(state).await,
        (Route::Jobs, _) => jobs::list(call, state).await,
        (Route::JobRun(run), _) => jobs::show(state, run).await,
        (Route::JobCancel(run), _) => jobs::cancel_run(state, run).await,
        (Route::Automation, Method::Put) => jobs::change_automation(call, state).await,
        (Route::Automation, _) => jobs::automation(state).await,
        (Route::Playlists, _) => playlists::list(state).await,
        (Route::Playlist(playlist), Method::Patch) => playlists::change(call, state, playlist).await,
        (Route::Playlist(playlist), Method::Delete) => playlists::delete(state, playlist).await,
        (Route::Playlist(playlist), _) => playlists::show(state, playlist).await,
        (Route::PlaylistRefresh(playlist), _) => playlists::refresh(call, state, playlist).await,
        (Route::PlaylistList(playlist), _) => playlists::upload(call, state, playlist).await,
        (Route::Rules, Method::Post) => rules::create(call, state).await,
        (Route::Rules, _) => rules::list(state).await,
        (Route::Rule(rule), Method::Put) => rules::replace(call, state, rule).await,
        (Route::Rule(rule), Method::Delete) => rules::delete(state, rule).await,
        (Route::Rule(rule), _) => rules::show(state, rule).await,
        (Route::Blocks, Method::Post) => blocks::create(call, state).await,
        (Route::Blocks, _) => blocks::list(call, state).await,
        (Route::Block(block), Method::Patch) => blocks::patch(call, state, block).await,
        (Route::Block(block), Method::Delete) => rules::delete(state, block).await,
        (Route::Block(block), _) => blocks::show(state, block).await,
        (Route::BlockChannels(block), _) => blocks::channels(call, state, block).await,
        (Route::BlockOrder(block), _) => blocks::reorder(call, state, block).await,
        (Route::Dvr | Route::DvrMapping(_), Method::Put) | (Route::DvrAct, _) => Err(dvr::refused()),
        (Route::Dvr, _) => Ok(dvr::config()),
        (Route::DvrLineups, _) => dvr::lineups(call),
        (Route::DvrMappings, _) => dvr::mappings(call, state).await,
        (Route::DvrMapping(channel), _) => dvr::mapping(state, channel).await,
        (Route::Tuners, _) => tuners::status(call, state).await,
        (Route::Recovery, _) => recovery::trigger(call, state).await,
        (Route::Kick(session, viewer), _) => viewers::kick(state, session, viewer).await,
        (Route::Document(document), _) => Ok(document.answer()),
        (Route::Page(page), _) => page::serve(call, state, page).await,
        (Route::Events, _) => unreachable!("the connection answers it itself"),
    }
}

/// What is answered when the store did not do something.
fn store_refusal(error: &StoreError) -> Response {
    match error {
        StoreError::Busy(busy) => refusal(503, &busy.to_string()).header("Retry-After", "1"),
        StoreError::Panicked | StoreError::Unreadable(_) | StoreError::Sqlite(_) => {
            // SQLite's own words are for the log.
            log::error!("{error}: {:?}", std::error::Error::source(error).map(ToString::to_string));
            refusal(500, &error.to_string())
        }
    }
}

fn channel_refusal(error: &ChannelError) -> Response {
    let status = match error {
        ChannelError::ItemNotFound { .. }
        | ChannelError::ChannelNotFound { .. }
        | ChannelError::SourceNotFound { .. }
        | ChannelError::ProfileNotFound { .. }
        | ChannelError::PlaylistNotFound { .. }
        | ChannelError::RuleNotFound { .. } => 404,
        ChannelError::GuideNumberTaken { .. }
        | ChannelError::SourceExists { .. }
        | ChannelError::ProfileExists { .. }
        | ChannelError::ProfileInUse { .. }
        | ChannelError::PlaylistExists { .. }
        | ChannelError::PlaylistIsSet { .. }
        | ChannelError::TooManyPlaylists { .. }
        | ChannelError::TooManyRules { .. }
        | ChannelError::TooManyProfiles { .. } => 409,
        ChannelError::Invalid { .. } | ChannelError::Pattern(_) => 400,
        ChannelError::Store(error) => return store_refusal(error),
    };
    refusal(status, &error.to_string())
}

/// Whether any route takes this body, for tests of hostile bytes.
#[must_use]
#[cfg(any(test, feature = "sim"))]
pub fn is_body(bytes: &[u8]) -> bool {
    // Each of them reads it, whatever the others say.
    let taken = [channels::takes(bytes), profiles::takes(bytes), recovery::takes(bytes)];
    taken.contains(&true)
}

#[cfg(test)]
mod tests;
