//! What clients read of the device itself: who it is, what its tuners do, and its scan for channels.

use serde::Serialize;

use crate::control::admin::access::base_url;
use crate::control::admin::call::{Call, refusal};
use crate::control::admin::xml::Xml;
use crate::control::discovery::{FIRMWARE_NAME, FIRMWARE_VERSION, MODEL_NUMBER};
use crate::control::scan::ScanSource;
use crate::control::state::State;
use crate::engine::snapshot::CoreSnapshot;
use crate::http::{HDHR_XML, Response};
use crate::status::DeviceTuner;

use super::upnp::push_services;

/// Clients read the number of tuners into one byte.
const TUNER_COUNT_MAX: usize = 255;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Discover<'a> {
    friendly_name: &'a str,
    #[serde(rename = "DeviceID")]
    device_id: String,
    device_auth: &'a str,
    #[serde(rename = "BaseURL")]
    base_url: &'a str,
    #[serde(rename = "LineupURL")]
    lineup_url: String,
    model_number: &'static str,
    firmware_name: &'static str,
    firmware_version: &'static str,
    tuner_count: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct LineupStatus {
    scan_in_progress: u8,
    scan_possible: u8,
    source: &'static str,
    source_list: [&'static str; 2],
    /// In percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<usize>,
}

/// `GET /discover.json`.
pub(super) fn discover(call: &Call, state: &State) -> Response {
    let identity = &state.params.identity;
    let base = base_url(call, &state.params.trusted_proxies);
    Response::hdhr_json(&Discover {
        friendly_name: &identity.friendly_name,
        device_id: identity.device_id.to_ascii_uppercase(),
        device_auth: &identity.device_auth,
        base_url: &base,
        lineup_url: format!("{base}/lineup.json"),
        model_number: MODEL_NUMBER,
        firmware_name: FIRMWARE_NAME,
        firmware_version: FIRMWARE_VERSION,
        tuner_count: state.tuner_count().min(TUNER_COUNT_MAX),
    })
}

/// `GET /device.xml` and `/upnp/device.xml`: the same device for clients of UPnP.
pub(super) fn description(call: &Call, state: &State) -> Response {
    let identity = &state.params.identity;
    let mut xml = Xml::document();
    xml.open("root", &[("xmlns", "urn:schemas-upnp-org:device-1-0")]);
    xml.open("specVersion", &[]).text("major", "1").text("minor", "0").close("specVersion");
    xml.text("URLBase", &base_url(call, &state.params.trusted_proxies));
    xml.open("device", &[])
        .text("deviceType", "urn:schemas-upnp-org:device:MediaServer:1")
        .text("friendlyName", &identity.friendly_name)
        .text("manufacturer", "hdhriptv")
        .text("modelName", "HDHR-EMULATOR")
        .text("modelNumber", "HDHR-EMULATOR")
        .text("serialNumber", &identity.device_id.to_ascii_uppercase())
        .text("UDN", &identity.udn());
    push_services(&mut xml);
    xml.close("device").close("root");
    Response::new(200).body(HDHR_XML, xml.finish()).hdhr()
}

/// `GET /lineup_status.json`. A scan is always possible: without that Plex's wizard ends with no channels.
pub(super) fn lineup_status(state: &State) -> Response {
    let scan = state.scan();
    let progress = scan.progress_percent(state.clock.now());
    let channels = state.listed.borrow().len();
    Response::hdhr_json(&LineupStatus {
        scan_in_progress: u8::from(progress.is_some()),
        scan_possible: 1,
        source: scan.source().as_str(),
        source_list: ScanSource::ALL.map(ScanSource::as_str),
        progress,
        found: progress.map(|percent| channels * usize::from(percent) / 100),
    })
}

/// `POST /lineup.post`: begins or ends a scan. What else clients ask for there, as to mark a favourite, is nodded to.
pub(super) fn lineup_post(call: &Call, state: &State) -> Result<Response, Response> {
    let scan = state.scan();
    match call.query("scan").as_deref() {
        None => {}
        Some("start") => {
            let wanted = call.query("source").unwrap_or_default();
            let source =
                ScanSource::ALL.into_iter().find(|known| known.as_str().eq_ignore_ascii_case(&wanted));
            state.set_scan(scan.started(state.clock.now(), source));
        }
        Some("abort") => state.set_scan(scan.aborted()),
        Some(other) => {
            return Err(refusal(400, &format!("scan cannot be {other:?}; allowed: start, abort")));
        }
    }
    Ok(Response::new(200).hdhr())
}

/// `GET /status.json`.
pub(super) async fn status(state: &State) -> Result<Response, Response> {
    let cores = snapshots(state).await?;
    Ok(Response::hdhr_json(&DeviceTuner::all(&cores)))
}

/// `GET /tuner<N>/vstatus`.
pub(super) async fn tuner_status(state: &State, tuner: u32) -> Result<Response, Response> {
    let cores = snapshots(state).await?;
    let tuners = DeviceTuner::all(&cores);
    let found = usize::try_from(tuner).ok().and_then(|tuner| tuners.get(tuner));
    let found = found.ok_or_else(|| {
        let last = tuners.len().saturating_sub(1);
        refusal(404, &format!("there is no tuner {tuner}; allowed: 0 to {last}"))
    })?;
    Ok(Response::new(200).body("text/plain; charset=utf-8", found.vstatus()).hdhr())
}

async fn snapshots(state: &State) -> Result<Vec<CoreSnapshot>, Response> {
    let cores = state.snapshots().await;
    cores.ok_or_else(|| refusal(503, "a core did not answer in time").header("Retry-After", "1"))
}
