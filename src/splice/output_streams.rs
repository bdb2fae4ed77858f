//! Which PID carries what, for as long as the session lives. Players follow a new PID in a PMT but not a new codec on
//! an old one, so a PID that has carried one codec never carries another.

use crate::base::Instant;
use crate::splice::cadence::Cadence;
use crate::ts::{Codec, Pid, Pts};

/// Below are the PIDs of the standards' own tables.
const FIRST_USABLE: u16 = 0x20;
/// Where free PIDs are looked for.
const FIRST_FREE: u16 = 0x100;

/// What a PID carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Carried {
    /// A stream of this type and codec.
    Stream(u8, Codec),
    /// The programme's clock and nothing else.
    Clock,
}

/// The last decoding time that left on a PID.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Written {
    pub(super) dts: Pts,
    pub(super) at: Instant,
}

/// A PID of the session.
#[derive(Debug)]
pub(super) struct OutputStream {
    pub(super) pid: Pid,
    pub(super) carried: Carried,
    language: Option<Language>,
    pub(super) last: Option<Written>,
    pub(super) cadence: Cadence,
}

/// What is to be given a PID.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) carried: Carried,
    /// Its language, if it says so.
    pub(super) language: Option<Language>,
    /// Its PID in the source.
    pub(super) own: Pid,
}

/// The language of a stream, and what its sound is for, as the ISO 639 language descriptor has them (2.6.18).
pub(super) type Language = [u8; 4];

/// The language among a stream's descriptors.
pub(super) fn language(mut descriptors: &[u8]) -> Option<Language> {
    const ISO_639_LANGUAGE: u8 = 0x0A;
    while let [tag, length, rest @ ..] = descriptors {
        let (body, behind) = rest.split_at_checked(usize::from(*length))?;
        if *tag == ISO_639_LANGUAGE {
            return body.first_chunk().copied();
        }
        descriptors = behind;
    }
    None
}

/// All PIDs that have been given away. There are never more than PIDs.
#[derive(Debug, Default)]
pub(super) struct OutputStreams {
    outputs: Vec<OutputStream>,
}

impl OutputStreams {
    pub(super) fn get(&self, index: usize) -> &OutputStream {
        &self.outputs[index]
    }

    pub(super) fn get_mut(&mut self, index: usize) -> &mut OutputStream {
        &mut self.outputs[index]
    }

    /// Finds PIDs for all streams of a programme: those that have carried the same before, in the same language if there are several,
    /// else its own, or a free one. `keep_own` says that the source's own is better than one that has carried the same before,
    /// `may_use` which of those that have carried nothing may be used. `None` for what finds none.
    pub(super) fn assign(
        &mut self,
        wanted: &[Wanted],
        keep_own: bool,
        may_use: impl Fn(Pid, Pid) -> bool,
    ) -> Vec<Option<usize>> {
        let mut found: Vec<Option<usize>> = vec![None; wanted.len()];
        // The surest first: what another stream has a better claim to is not taken away from it.
        for claim in Claim::ALL {
            for (index, stream) in wanted.iter().enumerate() {
                if found[index].is_some() || !keep_own && claim == Claim::OwnAlone {
                    continue;
                }
                let free = |(at, _): &(usize, &OutputStream)| !found.contains(&Some(*at));
                let mut alike = self.outputs.iter().enumerate().filter(free);
                found[index] = alike.find(|(_, output)| claim.holds(stream, output)).map(|(at, _)| at);
            }
            if claim == Claim::OwnAlone && keep_own {
                for (found, stream) in found.iter_mut().zip(wanted).filter(|(found, _)| found.is_none()) {
                    *found = self.add_own(stream, &may_use);
                }
            }
        }
        for (found, stream) in found.iter_mut().zip(wanted) {
            if found.is_none() {
                *found = self.add_own(stream, &may_use).or_else(|| self.add_any(stream, &may_use));
            }
            // It may say what it is only now.
            if let Some(index) = *found {
                let output = &mut self.outputs[index];
                output.language = stream.language.or(output.language);
            }
        }
        found
    }

    fn add_own(&mut self, wanted: &Wanted, may_use: &impl Fn(Pid, Pid) -> bool) -> Option<usize> {
        let is_usable = (FIRST_USABLE..Pid::NULL.get()).contains(&wanted.own.get())
            && !self.outputs.iter().any(|output| output.pid == wanted.own)
            && may_use(wanted.own, wanted.own);
        is_usable.then(|| self.add(wanted.own, wanted))
    }

    fn add_any(&mut self, wanted: &Wanted, may_use: &impl Fn(Pid, Pid) -> bool) -> Option<usize> {
        let free = (FIRST_FREE..Pid::NULL.get())
            .filter_map(Pid::new)
            .find(|pid| may_use(*pid, wanted.own) && !self.outputs.iter().any(|output| output.pid == *pid))?;
        Some(self.add(free, wanted))
    }

    fn add(&mut self, pid: Pid, wanted: &Wanted) -> usize {
        let Wanted { carried, language, .. } = *wanted;
        self.outputs.push(OutputStream { pid, carried, language, last: None, cadence: Cadence::default() });
        self.outputs.len() - 1
    }
}

/// Why a stream may have a PID that has carried the same before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Claim {
    /// It is its own PID, whatever was on it.
    OwnAlone,
    /// It is its own PID, and of its language.
    OwnAndLanguage,
    /// It is of its language.
    Language,
    /// It is its own PID.
    Own,
    /// It is free.
    Like,
}

impl Claim {
    const ALL: [Self; 5] = [Self::OwnAlone, Self::OwnAndLanguage, Self::Language, Self::Own, Self::Like];

    fn holds(self, wanted: &Wanted, output: &OutputStream) -> bool {
        let (own, language) = (output.pid == wanted.own, output.language == wanted.language);
        output.carried == wanted.carried
            && match self {
                Self::OwnAlone | Self::Own => own,
                Self::OwnAndLanguage => own && language,
                Self::Language => language && wanted.language.is_some(),
                Self::Like => true,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const H264: Carried = Carried::Stream(0x1B, Codec::H264);
    const AAC: Carried = Carried::Stream(0x0F, Codec::Aac);
    const HEVC: Carried = Carried::Stream(0x24, Codec::Hevc);

    type Told = (Carried, u16, Option<&'static [u8; 3]>);

    /// The PIDs a programme's streams get.
    fn assign(outputs: &mut OutputStreams, keep_own: bool, programme: &[Told]) -> Vec<u16> {
        let wanted: Vec<_> = programme
            .iter()
            .map(|(carried, own, language)| Wanted {
                carried: *carried,
                language: language.map(|[a, b, c]| [*a, *b, *c, 0]),
                own: Pid::new(*own).unwrap(),
            })
            .collect();
        let found = outputs.assign(&wanted, keep_own, |pid, _| pid.get() != 0x1000);
        found.into_iter().map(|index| outputs.get(index.unwrap()).pid.get()).collect()
    }

    #[test]
    fn every_track_of_sound_stays_on_the_pid_of_its_language() {
        const DEU: Option<&[u8; 3]> = Some(b"deu");
        const ENG: Option<&[u8; 3]> = Some(b"eng");
        const FRA: Option<&[u8; 3]> = Some(b"fra");
        type Step = (&'static str, &'static [Told], &'static [u16]);
        let steps: &[Step] = &[
            ("as they come", &[(AAC, 0x101, DEU), (AAC, 0x102, ENG)], &[0x101, 0x102]),
            ("in another order", &[(AAC, 0x102, ENG), (AAC, 0x101, DEU)], &[0x102, 0x101]),
            ("on each other's PIDs", &[(AAC, 0x101, ENG), (AAC, 0x102, DEU)], &[0x102, 0x101]),
            ("on other PIDs", &[(AAC, 0x201, ENG), (AAC, 0x202, DEU)], &[0x102, 0x101]),
            ("the second alone", &[(AAC, 0x201, ENG)], &[0x102]),
            (
                "a third before them",
                &[(AAC, 0x31, FRA), (AAC, 0x32, DEU), (AAC, 0x33, ENG)],
                &[0x31, 0x101, 0x102],
            ),
            ("another alone", &[(AAC, 0x40, None)], &[0x101]),
            ("two that do not say", &[(AAC, 0x40, None), (AAC, 0x102, None)], &[0x101, 0x102]),
        ];
        let mut outputs = OutputStreams::default();
        for (name, programme, expected) in steps {
            assert_eq!(&assign(&mut outputs, false, programme), expected, "{name}");
        }
    }

    #[test]
    fn the_language_is_found_among_other_descriptors() {
        let table: &[(&[u8], Option<Language>)] = &[
            (&[], None),
            (&[0x52, 1, 7, 0x0A, 4, b'd', b'e', b'u', 3, 0x0A, 0], Some(*b"deu\x03")),
            (&[0x0A, 0, 1], None),
            (&[0x52, 9, 7], None),
        ];
        for (descriptors, expected) in table {
            assert_eq!(language(descriptors), *expected, "{descriptors:x?}");
        }
    }

    #[test]
    fn every_stream_finds_the_pid_of_its_like_and_no_pid_changes_its_codec() {
        type Step = (&'static str, bool, &'static [Told], &'static [u16]);
        let steps: &[Step] = &[
            ("the first keeps its own", true, &[(H264, 0x200, None), (AAC, 0x201, None)], &[0x200, 0x201]),
            ("the same on other PIDs", false, &[(AAC, 0x31, None), (H264, 0x200, None)], &[0x201, 0x200]),
            ("a second output keeps its own", false, &[(AAC, 0x31, None), (AAC, 0x32, None)], &[0x201, 0x32]),
            ("another codec on a used PID", false, &[(HEVC, 0x200, None)], &[0x100]),
            ("it comes back", false, &[(HEVC, 0x300, None)], &[0x100]),
            ("on the PMT's PID", false, &[(Carried::Clock, 0x1000, None)], &[0x101]),
            ("on a PID of the standards", false, &[(Carried::Stream(6, Codec::Ac3), 0x11, None)], &[0x102]),
            (
                "two change places within a first run",
                true,
                &[(AAC, 0x200, None), (H264, 0x201, None)],
                &[0x201, 0x200],
            ),
        ];
        let mut outputs = OutputStreams::default();
        for (name, keep_own, programme, expected) in steps {
            assert_eq!(&assign(&mut outputs, *keep_own, programme), expected, "{name}");
        }
    }

    #[test]
    fn when_every_pid_is_taken_there_is_none() {
        let mut outputs = OutputStreams::default();
        let wanted = |carried, own| Wanted { carried, language: None, own: Pid::new(own).unwrap() };
        for number in 0x100..Pid::NULL.get() {
            outputs.add(Pid::new(number).unwrap(), &wanted(AAC, number));
        }
        assert_eq!(outputs.assign(&[wanted(H264, 0x100)], false, |_, _| true), [None]);
    }
}
