//! Profiles between the store and the lineup.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::lineup::{Manner, Treatment};
use crate::source::Mode;
use crate::source::ffmpeg::{OptionError, Options, Side};
use crate::source::hls::{VariantMax, VariantMaxError};
use crate::store::ProfileRecord;

/// Why a profile cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ProfileError {
    /// No mode has the name.
    #[error("mode cannot be {0:?}; allowed: auto, direct, ffmpeg-copy, ffmpeg-transcode")]
    Mode(String),
    /// It bounds nothing.
    #[error("variant_max cannot be {0:?}; it is {1}")]
    VariantMax(String, VariantMaxError),
    /// Of the input.
    #[error("ffmpeg_input: {0}")]
    Input(OptionError),
    /// Of the output.
    #[error("ffmpeg_output: {0}")]
    Output(OptionError),
}

/// The profiles by name, and which one of them the playlist carries.
#[derive(Clone, Default, Debug)]
pub struct Profiles {
    by_name: BTreeMap<Arc<str>, Treatment>,
    of_playlist: Option<Arc<str>>,
}

impl Profiles {
    /// These profiles, of which the playlist carries the one of that name. What cannot be used is left out, with a sentence
    /// about it.
    #[must_use]
    pub fn new(records: &[ProfileRecord], of_playlist: Option<&str>) -> (Self, Vec<String>) {
        let mut complaints = Vec::new();
        let mut by_name = BTreeMap::new();
        for record in records {
            match treatment(record) {
                Ok(treatment) => {
                    by_name.insert(Arc::from(record.name.as_str()), treatment);
                }
                Err(error) => complaints.push(format!("the profile {:?} is not used: {error}", record.name)),
            }
        }
        let found =
            of_playlist.and_then(|name| by_name.get_key_value(name)).map(|(name, _)| Arc::clone(name));
        if let (Some(name), None) = (of_playlist, &found)
            && !records.iter().any(|record| record.name == name)
        {
            complaints.push(format!("PLAYLIST_PROFILE: there is no profile {name:?}; the playlist has none"));
        }
        (Self { by_name, of_playlist: found }, complaints)
    }

    /// What holds for a playlist itself to which we are somebody else, perhaps.
    #[must_use]
    pub fn of_playlist(&self, user_agent: Option<&str>) -> Treatment {
        let carried = self.of_playlist.as_ref().and_then(|name| self.by_name.get(name));
        agent(user_agent).with_profiles(carried)
    }

    /// What holds for a source that says this of itself, has this profile, is of a channel with that one, and of a playlist to
    /// whose servers we are somebody else, perhaps.
    pub(super) fn resolve(
        &self,
        own: Treatment,
        of_source: Option<&str>,
        of_channel: Option<&str>,
        user_agent: Option<&str>,
    ) -> (Treatment, Option<Arc<str>>) {
        let find = |name: Option<&str>| name.and_then(|name| self.by_name.get_key_value(name));
        let own_ones = [find(of_source), find(of_channel)];
        let of_playlist = find(self.of_playlist.as_deref());
        let nearest = own_ones.into_iter().chain([of_playlist]).flatten().next();
        let playlist = agent(user_agent);
        let carried = own_ones.into_iter().flatten().map(|(_, treatment)| treatment);
        let carried = carried.chain([&playlist]).chain(of_playlist.map(|(_, treatment)| treatment));
        (own.with_profiles(carried), nearest.map(|(name, _)| Arc::clone(name)))
    }
}

/// What a profile says.
///
/// # Errors
/// Says which of its values cannot be, and what could.
pub fn treatment(record: &ProfileRecord) -> Result<Treatment, ProfileError> {
    let mode = |text: &String| text.parse::<Mode>().map_err(|_unknown| ProfileError::Mode(shown(text)));
    let bound =
        |text: &String| text.parse::<VariantMax>().map_err(|why| ProfileError::VariantMax(shown(text), why));
    let options = |side, arguments: &Option<Vec<String>>| {
        arguments.as_ref().map(|arguments| Options::parse(side, arguments)).transpose()
    };
    Ok(Treatment {
        mode: record.mode.as_ref().map(mode).transpose()?,
        variant_max: record.variant_max.as_ref().map(bound).transpose()?,
        input: options(Side::Input, &record.ffmpeg_input).map_err(ProfileError::Input)?,
        output: options(Side::Output, &record.ffmpeg_output).map_err(ProfileError::Output)?,
        headers: record.headers.clone(),
        program: record.program,
        tls_verify: record.tls_verify,
    })
}

/// What a playlist says itself.
fn agent(user_agent: Option<&str>) -> Treatment {
    let mut treatment = Treatment::default();
    if let Some(Err(error)) = user_agent.map(|agent| treatment.headers.set("User-Agent", agent)) {
        log::debug!("a playlist's User-Agent is not sent: {error}");
    }
    treatment
}

/// How a source with this treatment is read.
pub(super) fn manner(treatment: &Treatment, profile: Option<Arc<str>>) -> Manner {
    Manner {
        profile,
        mode: treatment.mode,
        variant_max: treatment.variant_max,
        input: treatment.input.clone().unwrap_or_default(),
        output: treatment.output.clone().unwrap_or_default(),
    }
}

fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(name: &str, mode: &str) -> ProfileRecord {
        ProfileRecord { name: name.to_owned(), mode: Some(mode.to_owned()), ..ProfileRecord::default() }
    }

    #[test]
    fn a_sources_own_profile_goes_before_its_channels_and_that_before_the_playlists() {
        let records = [profile("s", "direct"), profile("c", "ffmpeg-copy"), profile("p", "ffmpeg-transcode")];
        let (profiles, complaints) = Profiles::new(&records, Some("p"));
        assert_eq!(complaints, Vec::<String>::new());
        for (of_source, of_channel, mode, name) in [
            (Some("s"), Some("c"), Mode::Direct, "s"),
            (None, Some("c"), Mode::FfmpegCopy, "c"),
            (None, None, Mode::FfmpegTranscode, "p"),
            (Some("gone"), Some("c"), Mode::FfmpegCopy, "c"),
        ] {
            let (treatment, nearest) = profiles.resolve(Treatment::default(), of_source, of_channel, None);
            assert_eq!((treatment.mode, nearest.as_deref()), (Some(mode), Some(name)));
        }
        let (profiles, _) = Profiles::new(&records, None);
        assert_eq!(profiles.resolve(Treatment::default(), None, None, None), (Treatment::default(), None));
    }

    #[test]
    fn who_we_are_to_a_playlist_stands_behind_what_is_nearer_and_before_what_holds_for_all() {
        let with = |name: &str, agent: &str| {
            let mut record = profile(name, "auto");
            record.headers.set("User-Agent", agent).unwrap();
            record
        };
        let (profiles, _) = Profiles::new(&[with("c", "channel/1"), with("p", "all/1")], Some("p"));
        let agent = |of_channel, playlist: Option<&str>| {
            let (treatment, nearest) = profiles.resolve(Treatment::default(), None, of_channel, playlist);
            (treatment.headers.get("user-agent").map(str::to_owned), nearest.map(|name| name.to_string()))
        };
        let pair = |agent: &str, name: &str| (Some(agent.to_owned()), Some(name.to_owned()));
        assert_eq!(agent(Some("c"), Some("list/1")), pair("channel/1", "c"));
        assert_eq!(agent(None, Some("list/1")), pair("list/1", "p"));
        assert_eq!(agent(None, None), pair("all/1", "p"));
        assert_eq!(profiles.of_playlist(Some("list/1")).headers.get("user-agent"), Some("list/1"));
        assert_eq!(profiles.of_playlist(None).headers.get("user-agent"), Some("all/1"));
    }

    #[test]
    fn what_cannot_be_used_is_said_and_left_out() {
        let broken = ProfileRecord { ffmpeg_input: Some(vec!["-i".to_owned()]), ..profile("broken", "auto") };
        let (profiles, complaints) = Profiles::new(&[broken, profile("good", "direct")], Some("other"));
        assert_eq!(complaints.len(), 2, "{complaints:?}");
        assert!(
            complaints[0].starts_with("the profile \"broken\" is not used: ffmpeg_input: -i is no input")
        );
        assert!(complaints[1].starts_with("PLAYLIST_PROFILE: there is no profile \"other\""));
        assert_eq!(profiles.resolve(Treatment::default(), Some("broken"), None, None).1, None);
        assert_eq!(
            profiles.resolve(Treatment::default(), Some("good"), None, None).1.as_deref(),
            Some("good")
        );
    }

    #[test]
    fn values_that_cannot_be_are_named_with_what_could() {
        let with = |change: &dyn Fn(&mut ProfileRecord)| {
            let mut record = profile("p", "auto");
            change(&mut record);
            treatment(&record).map_err(|error| error.to_string())
        };
        for (found, expected) in [
            (
                with(&|record| record.mode = Some("fast".to_owned())),
                "mode cannot be \"fast\"; allowed: auto, direct",
            ),
            (
                with(&|record| record.variant_max = Some("x".to_owned())),
                "variant_max cannot be \"x\"; it is neither",
            ),
            (
                with(&|record| record.ffmpeg_output = Some(["-g", "0"].map(str::to_owned).to_vec())),
                "ffmpeg_output: -g cannot be \"0\"; allowed: 1 to 1000",
            ),
        ] {
            let refused = found.unwrap_err();
            assert!(refused.starts_with(expected), "{refused}");
        }
        assert_eq!(with(&|_record| {}).unwrap().mode, Some(Mode::Auto));
    }
}
