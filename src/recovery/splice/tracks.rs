//! Which PID carries what, for as long as the session lives. Players follow a new PID in a PMT but not a new codec on
//! an old one, so a PID that has carried one codec never carries another.

use crate::base::Instant;
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
pub(super) struct Track {
    pub(super) pid: Pid,
    pub(super) carried: Carried,
    pub(super) last: Option<Written>,
    /// The last distance of two decoding times, in 90 kHz ticks.
    pub(super) frame: Option<i64>,
}

/// What is to be given a PID.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) carried: Carried,
    /// How many of the same come before it in its programme.
    pub(super) nth: usize,
    /// Its PID in the source.
    pub(super) own: Pid,
}

/// All PIDs that have been given away. There are never more than PIDs.
#[derive(Debug, Default)]
pub(super) struct Tracks {
    tracks: Vec<Track>,
}

impl Tracks {
    pub(super) fn get(&self, index: usize) -> &Track {
        &self.tracks[index]
    }

    pub(super) fn get_mut(&mut self, index: usize) -> &mut Track {
        &mut self.tracks[index]
    }

    /// Finds a PID. `taken` are those of its programme that have found theirs, `keep_own` says that the source's own
    /// is better than one that has carried the same before, `may_use` what else is in the way. `None` when every PID is taken.
    pub(super) fn assign(
        &mut self,
        wanted: Wanted,
        taken: &[usize],
        keep_own: bool,
        may_use: impl Fn(Pid) -> bool,
    ) -> Option<usize> {
        let same = |track: &Track| track.carried == wanted.carried;
        let known = self.tracks.iter().position(|track| track.pid == wanted.own);
        let nth = self
            .tracks
            .iter()
            .enumerate()
            .filter(|(_, track)| same(track))
            .nth(wanted.nth)
            .map(|(index, _)| index)
            .filter(|index| !taken.contains(index));
        if keep_own
            && let Some(index) = known.filter(|index| same(&self.tracks[*index]) && !taken.contains(index))
        {
            return Some(index);
        }
        if !keep_own && nth.is_some() {
            return nth;
        }
        if known.is_none()
            && (FIRST_USABLE..Pid::NULL.get()).contains(&wanted.own.get())
            && may_use(wanted.own)
        {
            return Some(self.add(wanted.own, wanted.carried));
        }
        nth.or_else(|| {
            let free = (FIRST_FREE..Pid::NULL.get())
                .filter_map(Pid::new)
                .find(|pid| may_use(*pid) && !self.tracks.iter().any(|track| track.pid == *pid))?;
            Some(self.add(free, wanted.carried))
        })
    }

    fn add(&mut self, pid: Pid, carried: Carried) -> usize {
        self.tracks.push(Track { pid, carried, last: None, frame: None });
        self.tracks.len() - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const H264: Carried = Carried::Stream(0x1B, Codec::H264);
    const AAC: Carried = Carried::Stream(0x0F, Codec::Aac);
    const HEVC: Carried = Carried::Stream(0x24, Codec::Hevc);

    /// The PIDs a programme's streams get.
    fn assign(tracks: &mut Tracks, keep_own: bool, programme: &[(Carried, u16)]) -> Vec<u16> {
        let mut taken: Vec<usize> = Vec::new();
        for (index, (carried, own)) in programme.iter().enumerate() {
            let nth = programme[..index].iter().filter(|(other, _)| other == carried).count();
            let wanted = Wanted { carried: *carried, nth, own: Pid::new(*own).unwrap() };
            taken.push(tracks.assign(wanted, &taken, keep_own, |pid| pid.get() != 0x1000).unwrap());
        }
        taken.iter().map(|index| tracks.get(*index).pid.get()).collect()
    }

    #[test]
    fn every_stream_finds_the_pid_of_its_like_and_no_pid_changes_its_codec() {
        type Step = (&'static str, bool, &'static [(Carried, u16)], &'static [u16]);
        let steps: &[Step] = &[
            ("the first keeps its own", true, &[(H264, 0x200), (AAC, 0x201)], &[0x200, 0x201]),
            ("the same on other PIDs", false, &[(AAC, 0x31), (H264, 0x200)], &[0x201, 0x200]),
            ("a second track keeps its own", false, &[(AAC, 0x31), (AAC, 0x32)], &[0x201, 0x32]),
            ("another codec on a used PID", false, &[(HEVC, 0x200)], &[0x100]),
            ("it comes back", false, &[(HEVC, 0x300)], &[0x100]),
            ("on the PMT's PID", false, &[(Carried::Clock, 0x1000)], &[0x101]),
            ("on a PID of the standards", false, &[(Carried::Stream(6, Codec::Ac3), 0x11)], &[0x102]),
            ("two change places within a first run", true, &[(AAC, 0x200), (H264, 0x201)], &[0x201, 0x200]),
        ];
        let mut tracks = Tracks::default();
        for (name, keep_own, programme, expected) in steps {
            assert_eq!(&assign(&mut tracks, *keep_own, programme), expected, "{name}");
        }
    }

    #[test]
    fn when_every_pid_is_taken_there_is_none() {
        let mut tracks = Tracks::default();
        for number in 0x100..Pid::NULL.get() {
            tracks.add(Pid::new(number).unwrap(), AAC);
        }
        let wanted = Wanted { carried: H264, nth: 0, own: Pid::new(0x100).unwrap() };
        assert_eq!(tracks.assign(wanted, &[], false, |_| true), None);
    }
}
