//! How sources are read, as far as something other than the settings has a say in it.

use std::sync::Arc;

use crate::http::RequestHeaders;
use crate::source::ffmpeg::Options;
use crate::source::hls::VariantMax;
use crate::source::mode::Mode;

/// What a profile says, or a source of itself. What is `None` is left to the next that has a say.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Treatment {
    /// By which means it is read.
    pub mode: Option<Mode>,
    /// The best variant of HLS that is read.
    pub variant_max: Option<VariantMax>,
    /// Options of ffmpeg's input. An empty list is one, too: it keeps those of others away.
    pub input: Option<Options>,
    /// Options of ffmpeg's output.
    pub output: Option<Options>,
    /// What requests carry. Each field for itself is left to the next.
    pub headers: RequestHeaders,
    /// The number of the only programme that is taken.
    pub program: Option<u16>,
    /// Whether servers have to show who they are.
    pub tls_verify: Option<bool>,
}

impl Treatment {
    /// What holds for a source that says this of itself and carries these profiles, the nearest one first. What is `None` in the
    /// end is as the settings say.
    #[must_use]
    pub fn with_profiles<'a>(self, profiles: impl IntoIterator<Item = &'a Self>) -> Self {
        profiles.into_iter().fold(self, |nearer, next| Self {
            mode: nearer.mode.or(next.mode),
            variant_max: nearer.variant_max.or(next.variant_max),
            input: nearer.input.or_else(|| next.input.clone()),
            output: nearer.output.or_else(|| next.output.clone()),
            headers: nearer.headers.or(&next.headers),
            program: nearer.program.or(next.program),
            tls_verify: nearer.tls_verify.or(next.tls_verify),
        })
    }
}

/// How a source is read: what its profiles say of that together.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Manner {
    /// The name of the nearest profile: its own, its channel's, or the playlist's.
    pub profile: Option<Arc<str>>,
    /// By which means; `None` is as the settings say.
    pub mode: Option<Mode>,
    /// The best variant of HLS; `None` is as the settings say.
    pub variant_max: Option<VariantMax>,
    /// Options of ffmpeg's input besides ours.
    pub input: Options,
    /// Options of ffmpeg's output besides ours.
    pub output: Options,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::ffmpeg::Side;

    fn headers(fields: &[(&str, &str)]) -> RequestHeaders {
        let mut headers = RequestHeaders::default();
        for (name, value) in fields {
            headers.set(name, value).unwrap();
        }
        headers
    }

    fn options(side: Side, line: &str) -> Option<Options> {
        let arguments: Vec<_> = line.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect();
        Some(Options::parse(side, &arguments).unwrap())
    }

    /// A treatment that says everything, all of it with this number.
    fn full(number: u16) -> Treatment {
        let text = number.to_string();
        Treatment {
            mode: Some(
                [Mode::Auto, Mode::Direct, Mode::FfmpegCopy, Mode::FfmpegTranscode][usize::from(number)],
            ),
            variant_max: Some(VariantMax::Height(u32::from(number))),
            input: options(Side::Input, &format!("-max_delay {number}")),
            output: options(Side::Output, &format!("-threads {number}")),
            headers: headers(&[("X-Number", &text)]),
            program: Some(number),
            tls_verify: Some(number > 1),
        }
    }

    #[test]
    fn each_part_is_of_the_nearest_that_says_something_of_it() {
        let nothing = Treatment::default;
        for (own, profiles, expected) in [
            (nothing(), vec![], nothing()),
            (full(0), vec![full(1), full(2), full(3)], full(0)),
            (nothing(), vec![full(1), full(2), full(3)], full(1)),
            (nothing(), vec![nothing(), full(2), full(3)], full(2)),
            (nothing(), vec![nothing(), nothing(), full(3)], full(3)),
            (
                Treatment { program: Some(9), ..nothing() },
                vec![
                    Treatment { mode: Some(Mode::Direct), ..nothing() },
                    Treatment { tls_verify: Some(false), mode: Some(Mode::Auto), ..nothing() },
                    full(2),
                ],
                Treatment { program: Some(9), mode: Some(Mode::Direct), tls_verify: Some(false), ..full(2) },
            ),
        ] {
            assert_eq!(own.clone().with_profiles(&profiles), expected, "{own:?} {profiles:?}");
        }
    }

    #[test]
    fn options_are_one_list_and_header_fields_are_joined() {
        let near = Treatment {
            input: options(Side::Input, ""),
            output: options(Side::Output, "-g 50"),
            headers: headers(&[("User-Agent", "near")]),
            ..Treatment::default()
        };
        let far = Treatment {
            input: options(Side::Input, "-max_delay 1"),
            output: options(Side::Output, "-g 25 -b:v 2M"),
            headers: headers(&[("user-agent", "far"), ("Origin", "far")]),
            ..Treatment::default()
        };
        let own = Treatment { headers: headers(&[("Cookie", "own")]), ..Treatment::default() };
        let resolved = own.with_profiles([&near, &far]);
        assert_eq!((&resolved.input, &resolved.output), (&near.input, &near.output));
        assert_eq!(
            resolved.headers,
            headers(&[("Cookie", "own"), ("User-Agent", "near"), ("Origin", "far")])
        );
    }
}
