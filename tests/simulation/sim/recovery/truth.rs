//! What viewers get, held against what sources say that they sent: nothing is lost, and clock, pictures and sound keep the
//! distances that they had.

use std::collections::{BTreeMap, VecDeque};

use crate::tsview::{PCR_WRAP, PTS_WRAP, Packet, PesStart, View, ahead};

use super::feed::FRAME;
use super::mark::{Mark, Of, checksum};

/// Sound and pictures of one time base move together, to a millisecond.
const APART_MAX: i64 = 90;
/// From the clock to a unit's time: within a tenth of a second of what the source had.
const CLOCK_APART_MAX: i64 = 9_000;
/// A clock that is no further than this beyond its last sample may be the next.
const CLOCK_GOES_ON_MAX: i64 = 90_000;
/// Pictures are half a picture's time from each other, at least.
const CLOSE: i64 = FRAME.cast_signed() / 2;
/// Pictures whose times may lie around that of the next: more than are ever shown in another order.
const TIMES: usize = 32;
/// A unit of sound lasts no longer.
const SOUND_LASTS_MAX: i64 = 90_000;
/// Time bases that are remembered.
const BASES: usize = 8;

/// The last packet of a kind.
#[derive(Clone, Copy, Debug)]
struct Last {
    unit: u32,
    part: u32,
    parts: u32,
}

/// What was added to the times of a time base.
#[derive(Clone, Copy, Debug)]
struct Added {
    ticks: u64,
    by: Of,
}

/// A run's sound that has begun later than it should have.
#[derive(Clone, Debug)]
struct Late {
    /// What is wrong, unless it had to.
    wrong: String,
    begins: Mark,
    /// How much later it begins than the last sound before it ends.
    gap: i64,
}

/// One viewer's view of sources.
#[derive(Default)]
pub(super) struct Truth {
    run: Option<u32>,
    video: Option<Last>,
    sound: Option<Last>,
    /// The sound that begins next after the run's first picture, and in which time base.
    companion: Option<(u32, u8)>,
    added: BTreeMap<(u32, u8), Added>,
    /// The viewer has seen all there was since it has seen any of the run: it has not just come, nor was it moved forward.
    is_continuous: bool,
    /// It may have come where a run begins behind another's end: sound of it has been left out for those who were there before.
    pub(super) may_lack_sound: bool,
    /// It may be moved forward, past sound that reaches further than what it has heard.
    pub(super) may_be_moved: bool,
    /// The last clock, as its source had it: in which time base, and when.
    clock: Option<(u32, u8, u64)>,
    /// What came before that sample tells of which time base it is.
    is_clock_told: bool,
    decoded: Option<u64>,
    shown: VecDeque<u64>,
    /// When the last unit of anybody's sound on each PID is played, and how long it lasts.
    heard: BTreeMap<u16, (u64, i64)>,
    /// The run's sound has begun late, and whether it had to is not known before its second unit.
    late: Option<Late>,
}

impl Truth {
    /// The viewer has been moved forward: what follows begins anew.
    fn begin_again(&mut self) {
        (self.video, self.sound, self.companion) = (None, None, None);
        self.is_continuous = false;
    }

    /// A clock without a unit, or with one.
    pub(super) fn clock(&mut self, mark: &Mark, pcr: u64) -> Result<(), String> {
        // In front of all units of its time base it may as well be the next of the one before.
        let goes_on = self.clock.is_some_and(|(run, base, clock)| {
            (mark.run, mark.base.wrapping_sub(base)) == (run, 1)
                && (0..=CLOCK_GOES_ON_MAX).contains(&ahead(clock, mark.clock, PTS_WRAP))
        });
        let is_known = self.added.contains_key(&(mark.run, mark.base));
        self.is_clock_told = mark.of != Of::Clock || is_known || !goes_on;
        self.clock = Some((mark.run, mark.base, mark.clock));
        if !mark.is_clock_sound {
            return Ok(());
        }
        let Some(added) = self.added.get(&(mark.run, mark.base)) else { return Ok(()) };
        let should = (mark.clock + added.ticks) % PTS_WRAP;
        let apart = ahead(should, pcr / 300, PTS_WRAP);
        if apart.abs() > CLOCK_APART_MAX {
            return Err(format!("clock: {} ms from where its source had it, {mark:?}", apart / 90));
        }
        Ok(())
    }

    /// A packet with a payload. `may_miss` is for viewers who may be moved forward, with a sign.
    pub(super) fn packet(&mut self, mark: &Mark, packet: &Packet, may_miss: bool) -> Result<(), String> {
        if let Some(run) = self.run
            && mark.run < run
        {
            return Err(format!("order: run {} comes after {run}", mark.run));
        }
        if self.run != Some(mark.run) {
            let is_first = self.run.is_none();
            self.run = Some(mark.run);
            self.begin_again();
            self.is_continuous = !is_first;
        }
        let view = View(packet);
        let header = if view.starts() { 9 + usize::from(view.payload()[8]) } else { 0 };
        let payload = &view.payload()[header..];
        let whole = payload.len() - super::mark::MARK_BYTES;
        if checksum(&payload[..whole]) != mark.checksum || view.starts() != (mark.part == 0) {
            return Err(format!("payload: not what the source sent, {mark:?}"));
        }
        self.order(mark, view, may_miss)?;
        let last = Some(Last { unit: mark.unit, part: mark.part, parts: mark.parts });
        match mark.of {
            Of::Sound => self.sound = last,
            Of::Video | Of::Clock => self.video = last,
        }
        Ok(())
    }

    fn order(&mut self, mark: &Mark, view: View<'_>, may_miss: bool) -> Result<(), String> {
        let last = if mark.of == Of::Sound { self.sound } else { self.video };
        let Some(last) = last else { return self.first(mark) };
        let is_done = last.part + 1 == last.parts;
        let expected = if is_done { (last.unit + 1, 0) } else { (last.unit, last.part + 1) };
        let got = (mark.unit, mark.part);
        if got == expected {
            return Ok(());
        }
        if got < expected {
            return Err(format!("order: {got:?} comes after {last:?}, {mark:?}"));
        }
        let beyond = mark.unit + u32::from(mark.part > 0);
        if (expected.0..beyond).all(|unit| mark.excuses(unit)) {
            return Ok(());
        }
        if may_miss {
            self.begin_again();
            return self.first(mark);
        }
        let signal = if view.signals() { "signalled" } else { "not even signalled" };
        Err(format!("lost: {:?} continues with {got:?} instead of {expected:?}, {signal}, {mark:?}", mark.of))
    }

    /// The first packet of its kind, of a run or after a gap.
    fn first(&mut self, mark: &Mark) -> Result<(), String> {
        match mark.of {
            Of::Video | Of::Clock => {
                // Whoever came when there was only sound begins with that, and sees a picture with the next that needs no other.
                let is_with_sound = !self.is_continuous && self.sound.is_some() && mark.part == 0;
                if (!mark.is_key || mark.part > 0) && !is_with_sound {
                    return Err(format!("entry: nobody can begin with {mark:?}"));
                }
                self.companion = Some((mark.companion, mark.base));
                Ok(())
            }
            // Who joins may come into the middle of it.
            Of::Sound if mark.part > 0 && !self.is_continuous => Ok(()),
            Of::Sound if mark.part > 0 => {
                Err(format!("entry: sound begins in the middle of a unit, {mark:?}"))
            }
            Of::Sound => match self.companion {
                // Where times have gone on somewhere else meanwhile, what is left out says nothing of how far sound reached.
                Some((companion, base))
                    if mark.unit > companion && mark.base == base && !mark.excuses(companion) =>
                {
                    let wrong =
                        format!("lost: sound begins with {} instead of {companion}, {mark:?}", mark.unit);
                    if self.may_be_moved {
                        return Ok(());
                    }
                    if self.heard.is_empty() {
                        return if self.may_lack_sound { Ok(()) } else { Err(wrong) };
                    }
                    self.late = Some(Late { wrong, begins: *mark, gap: 0 });
                    Ok(())
                }
                Some(_) | None => Ok(()),
            },
        }
    }

    /// The times of a source's unit, where it begins.
    pub(super) fn times(&mut self, mark: &Mark, pes: &PesStart, pcr: Option<u64>) -> Result<(), String> {
        let (Some(decoded), Some(shown)) = (pes.decoded_at(), pes.pts) else {
            return Err(format!("times: a unit has lost them, {mark:?}"));
        };
        if ahead(decoded, shown, PTS_WRAP) != i64::try_from(mark.shown_after).unwrap() {
            return Err(format!("times: shown {} ticks after, {mark:?}", ahead(decoded, shown, PTS_WRAP)));
        }
        let ticks = u64::try_from(ahead(mark.dts, decoded, PTS_WRAP).rem_euclid(1 << 33)).unwrap();
        if self.added.len() > BASES {
            self.added.pop_first();
        }
        let added = *self.added.entry((mark.run, mark.base)).or_insert(Added { ticks, by: mark.of });
        let apart = ahead(added.ticks, ticks, PTS_WRAP);
        if apart.abs() > APART_MAX {
            let (by, of) = (added.by, mark.of);
            return Err(format!("apart: {of:?} moved by {} ms against {by:?}, {mark:?}", apart / 90));
        }
        // Unless the clock before it was lost, or is still to come.
        let has_clock = mark.is_clock_sound
            && self.is_clock_told
            && self.clock == Some((mark.run, mark.base, mark.clock));
        let Some(pcr) = pcr.filter(|_| has_clock) else { return Ok(()) };
        let distance = ahead(pcr / 300, decoded, PTS_WRAP);
        let should = ahead(mark.clock, mark.dts, PTS_WRAP);
        if (distance - should).abs() > CLOCK_APART_MAX {
            let (distance, should) = (distance / 90, should / 90);
            return Err(format!("clock: decoded {distance} ms behind it instead of {should} ms, {mark:?}"));
        }
        Ok(())
    }

    /// Any unit is decoded when the clock says, or later.
    pub(super) fn is_due(pes: &PesStart, pcr: Option<u64>) -> Result<(), String> {
        let (Some(pcr), Some(decoded)) = (pcr, pes.decoded_at()) else { return Ok(()) };
        assert!(pcr < PCR_WRAP);
        match ahead(pcr / 300, decoded, PTS_WRAP) {
            late if late < 0 => Err(format!("late: a unit is due {} ms before the clock", -late / 90)),
            _in_time => Ok(()),
        }
    }

    /// A unit of sound, of a source or a filler. A source's may be left out where another's is still playing: the last that was
    /// would have begun before that ends.
    pub(super) fn sound(&mut self, mark: Option<&Mark>, pid: u16, pes: &PesStart) -> Result<(), String> {
        let Some(played) = pes.decoded_at() else { return Ok(()) };
        let since_end = |(last, lasts): &(u64, i64)| ahead(*last, played, PTS_WRAP) - lasts;
        let silence = self.heard.values().map(since_end).min().unwrap_or(0);
        let heard = self.heard.get(&pid).copied();
        let step = heard.map_or(0, |(last, _)| ahead(last, played, PTS_WRAP));
        let is_step = (1..=SOUND_LASTS_MAX).contains(&step);
        let lasts = if is_step { step } else { heard.map_or(0, |(_, lasts)| lasts) };
        self.heard.insert(pid, (played, lasts));
        let Some((mut late, mark)) = self.late.take().zip(mark) else { return Ok(()) };
        if mark.run == late.begins.run && mark.unit == late.begins.unit {
            late.gap = silence;
            self.late = Some(late);
            return Ok(());
        }
        let is_next =
            (mark.run, mark.base, mark.unit) == (late.begins.run, late.begins.base, late.begins.unit + 1);
        let lasts = ahead(late.begins.dts, mark.dts, PTS_WRAP);
        if is_next && late.gap >= lasts { Err(late.wrong) } else { Ok(()) }
    }

    /// Any picture, of a source or a filler.
    pub(super) fn picture(&mut self, pes: &PesStart) -> Result<(), String> {
        let (Some(decoded), Some(shown)) = (pes.decoded_at(), pes.pts) else { return Ok(()) };
        let step = self.decoded.map_or(CLOSE, |last| ahead(last, decoded, PTS_WRAP));
        let close = self.shown.iter().map(|last| ahead(*last, shown, PTS_WRAP)).find(|by| by.abs() < CLOSE);
        self.decoded = Some(decoded);
        self.shown.truncate(TIMES - 1);
        self.shown.push_front(shown);
        if step < CLOSE {
            return Err(format!("close: a picture is decoded {step} ticks after the last one"));
        }
        if let Some(by) = close {
            return Err(format!("close: a picture is shown {by} ticks from another"));
        }
        Ok(())
    }
}
