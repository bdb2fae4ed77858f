//! What has come behind a place where a new time base begins: how far the streams of before reach, and with what each comes to the
//! new one. It is known before it leaves, so that one offset serves all of them.

use crate::base::Instant;
use crate::splice::cadence::FRAME_TICKS_MAX;
use crate::splice::first_timestamps::{FirstTimestamps, Order};
use crate::splice::stamps::Histories;
use crate::ts::{AdaptationField, Packet, PacketBytes, Pcr, PesTimes, Pid, Pts, StreamKind};

/// A hole in a stream that is no longer than this, or than a few frames, is no sign of another time base.
const HOLE_TICKS_MAX: i64 = 18_000;
const HOLE_FRAMES_MAX: i64 = 4;
/// The streams of a time base begin, and those of another end, no further apart than this together: a longer jump is the same for
/// all of them, or nearly.
pub(super) const APART_TICKS_MAX: i64 = 720_000;
/// The clock of a time base is no further than this from where its streams begin.
const CLOCK_APART_TICKS_MAX: i64 = 900_000;
/// A clock that advances by more than this from one sample to the next has jumped.
const CLOCK_TICKS_MAX: i64 = 90_000;

/// What has come behind a packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Behind<'a> {
    /// That leaves with it.
    pub(super) rest: &'a [PacketBytes],
    /// That does not leave yet.
    pub(super) held: &'a [PacketBytes],
}

impl<'a> Behind<'a> {
    /// The packets that are not damaged.
    pub(super) fn packets(self) -> impl Iterator<Item = Packet<'a>> {
        let packets = self.rest.iter().chain(self.held).filter_map(|bytes| Packet::parse(bytes).ok());
        packets.filter(|packet| !packet.transport_error_indicator())
    }
}

/// Whether a step of a stream whose frames last so long is more than one of them, and something is missing or of another time.
pub(super) fn is_hole(step: i64, frame: i64) -> bool {
    (step - frame).abs() > HOLE_TICKS_MAX.max(HOLE_FRAMES_MAX * frame)
}

/// How far a step is from one that may be of a frame, where nobody knows how long these last.
pub(super) fn beyond_frame(step: i64) -> i64 {
    if step < 0 { -step } else { (step - FRAME_TICKS_MAX).max(0) }
}

/// A stream, as it is where the new time base begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stream {
    pub(super) source: Pid,
    pub(super) kind: StreamKind,
    /// Its last decoding time, as it came.
    pub(super) came: Option<Pts>,
    /// How long that lasts, and whether that is known of this source.
    pub(super) frame: i64,
    pub(super) is_frame_known: bool,
    /// The order of its times is not that of decoding.
    pub(super) reordered: bool,
    /// What is added to its times so far.
    pub(super) offset: i64,
}

impl Stream {
    /// Whether a unit is of the new time base; `None` when it is neither of that nor of the one before.
    fn turns(&self, times: PesTimes, opened: Opened) -> Option<bool> {
        let Some(came) = self.came else { return Some(true) };
        let (dts, due) = (times.decoding(), came.plus(self.frame));
        let off = dts.since(due);
        let new = dts.since(opened.at).abs();
        if new.min(off.abs()) > 2 * APART_TICKS_MAX {
            return None;
        }
        if opened.at.since(due).abs() > 2 * APART_TICKS_MAX {
            return Some(new < off.abs());
        }
        let step = dts.since(came);
        if !self.is_frame_known && step >= 0 {
            let own = beyond_frame(step);
            let new = opened.jump.map_or(own, |jump| beyond_frame(step - jump));
            return Some(own > new || own > HOLE_TICKS_MAX);
        }
        let is_nearer = opened.jump.is_some_and(|jump| (off - jump).abs() < off.abs());
        Some(is_nearer || is_hole(step, self.frame) || (step < 0 && !self.reordered))
    }
}

/// What a time base begins with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opened {
    /// Its first time, of a unit or of the clock.
    pub(super) at: Pts,
    /// How much later that is than what was due, where that is known.
    pub(super) jump: Option<i64>,
}

/// The run's clock, as it is there.
#[derive(Clone, Copy, Debug)]
pub(super) struct RunClock {
    pub(super) pid: Option<Pid>,
    /// The last sample, as it came.
    pub(super) came: Option<Pcr>,
    /// That, as it left.
    pub(super) written: Option<Pts>,
}

/// Where a stream comes to the new time base.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Turn {
    /// The last decoding time before it, as it came.
    pub(super) after: Option<Pts>,
    /// Its first unit there.
    pub(super) times: PesTimes,
}

/// What is seen of a joint.
#[derive(Clone, Debug)]
pub(super) struct Outlook {
    /// With what the new time base begins.
    pub(super) lead: FirstTimestamps,
    /// With what each stream comes to it.
    pub(super) turns: Vec<Option<Turn>>,
    /// Which were seen to go on as they were.
    went_on: Vec<bool>,
    /// What will have left of the time bases before.
    pub(super) histories: Histories,
    /// The clock that will have left of these.
    pub(super) written: Option<Pts>,
    order: Order,
}

impl Outlook {
    /// A time base begins. `lead` is what has come of its clock.
    pub(super) fn new(lead: FirstTimestamps, streams: usize, histories: Histories) -> Self {
        Self {
            lead,
            turns: vec![None; streams],
            went_on: vec![false; streams],
            histories,
            written: None,
            order: Order::default(),
        }
    }

    /// A stream is seen to go on where it was, and not to come to it.
    pub(super) fn goes_on(&self) -> bool {
        self.went_on.iter().zip(&self.turns).any(|(went_on, turn)| *went_on && turn.is_none())
    }

    /// A stream comes to it with this.
    pub(super) fn saw(&mut self, index: usize, stream: Stream, times: PesTimes) {
        let kind = stream.kind;
        self.turns[index] = Some(Turn { after: stream.came, times });
        self.lead.saw(kind, times);
        if kind == StreamKind::Video {
            self.order.saw(times);
        }
    }

    /// Looks at the packets behind. Pictures behind the first are shown later than that is decoded by `after` at least.
    pub(super) fn look<'a>(
        &mut self,
        now: Instant,
        streams: &mut [Stream],
        clock: RunClock,
        opened: Opened,
        packets: impl Iterator<Item = Packet<'a>>,
        after: i64,
    ) {
        let (mut came, mut clock_ended) = (clock.came, self.lead.pcr.is_some());
        self.written = clock.written;
        let mut elsewhere = vec![false; streams.len()];
        for packet in packets {
            if Some(packet.pid()) == clock.pid
                && !clock_ended
                && let Some(pcr) = packet.adaptation_field().and_then(AdaptationField::pcr)
            {
                let step = came.map_or(0, |came| pcr.since(came) / 300);
                let turns = match opened.jump {
                    Some(jump) if jump.abs() > APART_TICKS_MAX => (step - jump).abs() < step.abs(),
                    Some(_) | None => !(0..=CLOCK_TICKS_MAX).contains(&step),
                };
                if turns {
                    // It may be that of another one behind it, where the clock comes rarely.
                    let lead = opened.at.since(pcr.to_pts());
                    self.lead.pcr = Some(pcr)
                        .filter(|_| (-CLOCK_APART_TICKS_MAX..=CLOCK_APART_TICKS_MAX).contains(&lead));
                    clock_ended = true;
                } else {
                    came = Some(pcr);
                    self.written = self.written.map(|written| written.plus(step));
                }
            }
            let Some(times) = PesTimes::begun_in(packet) else { continue };
            let Some(index) = streams.iter().position(|stream| stream.source == packet.pid()) else {
                continue;
            };
            let stream = &mut streams[index];
            if self.turns[index].is_some() {
                if stream.kind == StreamKind::Video {
                    self.order.saw(times);
                }
                continue;
            }
            let turns =
                if stream.kind == StreamKind::Other { Some(false) } else { stream.turns(times, opened) };
            // One that is somewhere else has missed it.
            let Some(turns) = turns.filter(|_| !elsewhere[index]) else {
                elsewhere[index] = true;
                continue;
            };
            if turns {
                let stream = *stream;
                self.saw(index, stream, times);
            } else {
                self.went_on[index] |= stream.kind != StreamKind::Other;
                let is_later = |came: Pts| times.decoding().since(came) >= 0;
                if stream.came.is_none_or(is_later) {
                    stream.came = Some(times.decoding());
                }
                self.histories.write(now, stream.kind, times.plus(stream.offset), Some(stream.frame));
            }
        }
        self.lead.shown = self.order.first_shown(after);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sound_of_which_nobody_knows_how_long_it_lasts_goes_on_with_what_may_be_the_next() {
        // How far its next unit is, and the clock has jumped -> whether it is known how long it lasts, whether it is of the new time
        // base.
        let table = [
            (54_000, Some(-140_000), false, false),
            (54_000, Some(-140_000), true, true),
            (54_000, None, false, false),
            (3_600, Some(-140_000), true, false),
            (-86_000, Some(-140_000), false, true),
            (194_000, Some(140_000), false, true),
            (54_000, Some(140_000), false, false),
        ];
        for (step, jump, is_frame_known, expected) in table {
            let came = Pts::from_ticks(9_000_000);
            let stream = Stream {
                source: Pid::NULL,
                kind: StreamKind::Audio,
                came: Some(came),
                frame: 3_600,
                is_frame_known,
                reordered: false,
                offset: 0,
            };
            let times = PesTimes { pts: came.plus(step), dts: None };
            let opened = Opened { at: came.plus(jump.unwrap_or(-90_000)), jump };
            assert_eq!(stream.turns(times, opened), Some(expected), "{step} {jump:?} {is_frame_known}");
        }
    }

    #[test]
    fn what_is_far_from_both_time_bases_is_of_a_third_one_however_near_these_are() {
        let came = Pts::from_ticks(9_000_000);
        let stream = Stream {
            source: Pid::NULL,
            kind: StreamKind::Audio,
            came: Some(came),
            frame: 3_600,
            is_frame_known: true,
            reordered: false,
            offset: 0,
        };
        // How far the new time base is from the one before, and what comes -> whether that is of the new one.
        let table = [
            (130_000, 130_000, Some(true)),
            (130_000, 3_600, Some(false)),
            (130_000, -258_000_000, None),
            (258_000_000, 258_000_000, Some(true)),
            (258_000_000, 3_600, Some(false)),
            (258_000_000, -258_000_000, None),
        ];
        for (jump, step, expected) in table {
            let opened = Opened { at: came.plus(jump), jump: Some(jump) };
            let times = PesTimes { pts: came.plus(step), dts: None };
            assert_eq!(stream.turns(times, opened), expected, "{jump} {step}");
        }
    }

    #[test]
    fn the_clock_of_a_time_base_is_near_where_its_streams_begin() {
        let base = Pts::from_ticks(9_000_000);
        // The first clock behind the joint: how much earlier than the time base begins, and whether it is of that.
        for (earlier, is_its_own) in
            [(50_000, true), (-20_000, true), (300_000_000, false), (-2_000_000, false)]
        {
            let mut stream = crate::ts::testing::Stream::default();
            let pcr = Some(Pcr::from_ticks(base.plus(-earlier).ticks() * 300));
            stream.push(
                crate::ts::testing::Fields { pid: 0x1FE, pcr, ..crate::ts::testing::Fields::NONE },
                &[],
            );
            let mut look = Outlook::new(FirstTimestamps::default(), 0, Histories::default());
            let clock = RunClock { pid: Pid::new(0x1FE), came: Some(Pcr::from_ticks(0)), written: None };
            let opened = Opened { at: base, jump: Some(8_900_000) };
            let packets = stream.packets.iter().filter_map(|bytes| Packet::parse(bytes).ok());
            look.look(Instant::START, &mut [], clock, opened, packets, 0);
            assert_eq!(look.lead.pcr, pcr.filter(|_| is_its_own), "{earlier}");
        }
    }
}
