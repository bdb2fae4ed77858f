//! What HDHomeRun clients ask of tuners: `status.json`, and `vstatus` of one.

use serde::Serialize;

use crate::engine::snapshot::CoreSnapshot;

use super::tuners::rows;

/// A tuner that shows a picture has a perfect signal: nothing comes by air.
const SIGNAL_PERCENT: u8 = 100;
/// Of a transport stream.
const PACKET_BYTES: u64 = 188;

/// One tuner. Of an idle one nothing is known but its name; a probe leaves it idle, since whoever wants it gets it.
#[derive(Serialize, Clone, PartialEq, Eq, Debug)]
#[serde(rename_all = "PascalCase")]
pub struct DeviceTuner<'a> {
    resource: String,
    #[serde(flatten)]
    tuned: Option<Tuned<'a>>,
}

/// What a tuner shows.
#[derive(Serialize, Clone, PartialEq, Eq, Debug)]
#[serde(rename_all = "PascalCase")]
struct Tuned<'a> {
    vct_number: &'a str,
    vct_name: &'a str,
    signal_strength_percent: u8,
    signal_quality_percent: u8,
    symbol_quality_percent: u8,
    /// Bits per second.
    network_rate: u64,
    /// Whoever watches for longest.
    #[serde(rename = "TargetIP", skip_serializing_if = "Option::is_none")]
    target_ip: Option<String>,
}

impl<'a> DeviceTuner<'a> {
    /// All tuners, in their order.
    #[must_use]
    pub fn all(cores: &'a [CoreSnapshot]) -> Vec<Self> {
        let count = cores.iter().find_map(|core| core.tuners.as_ref()).map_or(0, |tuners| tuners.count);
        let mut tuners: Vec<_> =
            (0..count).map(|tuner| Self { resource: format!("tuner{tuner}"), tuned: None }).collect();
        for row in rows(cores) {
            let (Some(tuner), Some(session)) = (tuners.get_mut(usize::from(row.tuner)), row.session) else {
                continue;
            };
            let watching = session.viewers.iter().min_by_key(|viewer| (viewer.joined_at, viewer.id));
            tuner.tuned = Some(Tuned {
                vct_number: &session.record.guide_number,
                vct_name: &session.record.guide_name,
                signal_strength_percent: SIGNAL_PERCENT,
                signal_quality_percent: SIGNAL_PERCENT,
                symbol_quality_percent: SIGNAL_PERCENT,
                network_rate: session.bitrate_bps,
                target_ip: watching.map(|viewer| viewer.peer.ip().to_canonical().to_string()),
            });
        }
        tuners
    }

    /// A tuner that shows nothing.
    #[cfg(test)]
    pub(crate) fn idle(tuner: usize) -> Self {
        Self { resource: format!("tuner{tuner}"), tuned: None }
    }

    /// The guide number that it shows.
    #[must_use]
    pub fn number(&self) -> Option<&'a str> {
        self.tuned.as_ref().map(|tuned| tuned.vct_number)
    }

    /// The value of the tuner's `channel`: the guide number in the place of a frequency.
    #[must_use]
    pub fn channel(&self) -> String {
        self.number().map_or("none".to_owned(), |number| format!("auto:{}", word(number)))
    }

    /// The value of the tuner's `status`, as libhdhomerun reads it. Nothing comes by air: what is shown is received whole.
    #[must_use]
    pub fn status_line(&self) -> String {
        let channel = self.channel();
        let Some(tuned) = &self.tuned else {
            return format!("ch={channel} lock=none ss=0 snq=0 seq=0 bps=0 pps=0");
        };
        let Tuned {
            signal_strength_percent,
            signal_quality_percent,
            symbol_quality_percent,
            network_rate,
            ..
        } = tuned;
        let packets = network_rate / (8 * PACKET_BYTES);
        format!(
            "ch={channel} lock=8vsb ss={signal_strength_percent} snq={signal_quality_percent} \
             seq={symbol_quality_percent} bps={network_rate} pps={packets}"
        )
    }

    /// The value of the tuner's `vstatus`: words without spaces, as libhdhomerun reads them.
    #[must_use]
    pub fn vstatus(&self) -> String {
        let (number, name, auth) = match &self.tuned {
            Some(tuned) => (word(tuned.vct_number), word(tuned.vct_name), "subscribed"),
            None => ("none".to_owned(), "none".to_owned(), "none"),
        };
        format!("vch={number} name={name} auth={auth} cci=none cgms=none")
    }
}

/// A text without spaces.
fn word(text: &str) -> String {
    match text.split_whitespace().collect::<Vec<_>>().join("_") {
        empty if empty.is_empty() => "none".to_owned(),
        word => word,
    }
}
