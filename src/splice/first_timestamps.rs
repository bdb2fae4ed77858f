//! What the beginning of a run says of its times.

use crate::base::limits::PACKET_BYTES;
use crate::ts::psi::{Programme, Stream};
use crate::ts::{
    AdaptationField, Codec, Packet, PacketBytes, Pcr, PesTimes, Piece, Pts, StartCodes, StreamKind,
};

/// What is shown earlier than the first picture by more than this is of another time base.
const LEADING_TICKS_MAX: i64 = 90_000;

/// Types of NAL units: pictures behind which none comes that is shown before them.
const IDR: u8 = 5;
const IDR_N_LP: u8 = 20;

/// Two samples of a clock further apart than this, in ticks of 27 MHz, tell nothing about what comes between them.
const CLOCK_STEP_TICKS_MAX: i64 = 10 * 27_000_000;

/// The first unit of a run is decoded no earlier before its clock than this, nor later behind it.
const BEFORE_CLOCK_TICKS_MAX: i64 = 360_000;
const BEHIND_CLOCK_TICKS_MAX: i64 = 900_000;
/// Most sources send what they send no sooner than this before its time: a clock that is made up is early enough for theirs, when
/// that comes, not to be earlier.
const USUAL_TICKS: i64 = 90_000;

/// The first times in a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FirstTimestamps {
    /// The programme's clock.
    pub pcr: Option<Pcr>,
    /// The earliest first PES packet of the video streams.
    pub video: Option<PesTimes>,
    /// The earliest first PES packet of the audio streams.
    pub audio: Option<PesTimes>,
    /// When the first of its pictures is shown, in whatever order they come.
    pub shown: Option<Pts>,
    /// How long the first picture is decoded before it is shown, if none behind it is shown before it: it says so.
    pub closed: Option<i64>,
}

/// The last clock of a programme before the packets that a run begins with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClockBefore {
    pcr: Pcr,
    /// Packets from it to the first of those.
    packets: i64,
}

impl ClockBefore {
    /// Looks at packets that will not leave, for what those behind them are to be told.
    #[must_use]
    pub fn find(packets: &[u8], programme: &Programme) -> Option<Self> {
        let packets = packets.as_chunks::<PACKET_BYTES>().0;
        let pcrs = packets.iter().rev().map(|bytes| {
            let packet = Packet::parse(bytes).ok().filter(|packet| !packet.transport_error_indicator())?;
            let is_clock = Some(packet.pid()) == programme.pmt.pcr_pid;
            packet.adaptation_field().filter(|_| is_clock).and_then(AdaptationField::pcr)
        });
        (1..).zip(pcrs).find_map(|(packets, pcr)| Some(Self { pcr: pcr?, packets }))
    }

    /// What it was.
    #[must_use]
    pub const fn pcr(self) -> Pcr {
        self.pcr
    }

    /// What the clock was where the run begins, when the next one comes so many packets later, and what has begun between is decoded
    /// at `first`.
    fn between(self, index: i64, next: Pcr, first: Option<Pts>) -> Pcr {
        let step = next.since(self.pcr);
        if !(0..=CLOCK_STEP_TICKS_MAX).contains(&step) {
            // One of the two is of another time base.
            let far = |pcr: Pcr| first.map_or(0, |first| first.since(pcr.to_pts()).abs());
            return if far(self.pcr) < far(next) { self.pcr } else { next };
        }
        self.pcr.plus(step * self.packets / (self.packets + index).max(1))
    }
}

impl FirstTimestamps {
    /// Looks at the packets a run begins with. `programme` is the run's own.
    #[must_use]
    pub fn scan(packets: &[u8], programme: &Programme) -> Self {
        Self::scan_behind(None, packets, programme)
    }

    /// Looks at the packets a run begins with. `before` is the last clock that came before them and will not leave: where the
    /// clock comes in packets of its own, theirs are too late to tell how long before its time the first unit comes.
    #[must_use]
    pub fn scan_behind(before: Option<ClockBefore>, packets: &[u8], programme: &Programme) -> Self {
        let mut lead = Self::default();
        let mut has_begun = false;
        // One bit for each stream of the table whose first PES packet has been seen.
        let mut seen = 0_u32;
        let streams = programme.pmt.streams();
        let mut order = Order::default();
        let packets = packets.as_chunks::<PACKET_BYTES>().0;
        for (at, bytes) in packets.iter().enumerate() {
            let Ok(packet) = Packet::parse(bytes) else { continue };
            if packet.transport_error_indicator() {
                continue;
            }
            if lead.pcr.is_none() && Some(packet.pid()) == programme.pmt.pcr_pid {
                let pcr = packet.adaptation_field().and_then(AdaptationField::pcr);
                lead.pcr = pcr.map(|pcr| match before.filter(|_| has_begun) {
                    Some(before) => before.between(i64::try_from(at).unwrap_or(i64::MAX), pcr, lead.first()),
                    None => pcr,
                });
            }
            let Some(times) = PesTimes::begun_in(packet) else { continue };
            let Some(index) = streams.iter().position(|stream| stream.pid == packet.pid()) else { continue };
            if streams[index].kind() == StreamKind::Video {
                if lead.video.is_none() && begins_closed(&packets[at..], &streams[index]) {
                    lead.closed = Some(times.pts.since(times.decoding()));
                }
                order.saw(times);
            }
            if seen & (1 << index) == 0 {
                seen |= 1 << index;
                lead.saw(streams[index].kind(), times);
            }
            has_begun |= streams[index].kind() != StreamKind::Other;
        }
        let first = lead.video.filter(|_| lead.closed.is_some()).map(|times| times.pts);
        lead.shown = first.or(order.first_shown(0));
        lead.pcr = lead.pcr.or(before.map(|before| before.pcr));
        lead
    }

    /// The decoding time of its first unit.
    fn first(&self) -> Option<Pts> {
        [self.video, self.audio].into_iter().flatten().map(PesTimes::decoding).reduce(sooner)
    }

    /// The same with another clock where its own cannot be that of its first units: one that stands still is soon far behind them.
    pub(super) fn with_its_clock(&self) -> Self {
        let (Some(first), Some(pcr)) = (self.first(), self.pcr) else { return *self };
        if (-BEFORE_CLOCK_TICKS_MAX..=BEHIND_CLOCK_TICKS_MAX).contains(&first.since(pcr.to_pts())) {
            return *self;
        }
        Self { pcr: Some(Pcr::from_ticks(first.plus(-USUAL_TICKS).ticks() * 300)), ..*self }
    }

    pub(super) fn saw(&mut self, kind: StreamKind, times: PesTimes) {
        let first = match kind {
            StreamKind::Video => &mut self.video,
            StreamKind::Audio => &mut self.audio,
            StreamKind::Other => return,
        };
        if first.is_none_or(|known| times.decoding().since(known.decoding()) < 0) {
            *first = Some(times);
        }
    }
}

/// Whether the PES packet of pictures that begins with the first of these packets begins with a picture behind which none comes that
/// is shown before it (ISO/IEC 14496-10, 7.4.1.2.4; ISO/IEC 23008-2, 7.4.2.2).
fn begins_closed(packets: &[PacketBytes], stream: &Stream) -> bool {
    // What is no picture is passed over, and so is the PES header.
    let is_closed = |header: u8| {
        if stream.codec == Codec::H264 {
            (header & 0x80 == 0 && matches!(header & 0x1F, 1..=5)).then_some(header & 0x1F == IDR)
        } else {
            (header < 0x40).then_some(header >> 1 == IDR_N_LP)
        }
    };
    if !matches!(stream.codec, Codec::H264 | Codec::Hevc) {
        return false;
    }
    let of_stream = packets.iter().filter_map(|bytes| Packet::parse(bytes).ok());
    let mut of_stream = of_stream.filter(|packet| packet.pid() == stream.pid && packet.payload().is_some());
    let first = of_stream.next();
    let rest = of_stream.take_while(|packet| !packet.payload_unit_start_indicator());
    let mut codes = StartCodes::default();
    let (mut starts, mut found) = (false, None);
    for payload in first.into_iter().chain(rest).filter_map(Packet::payload) {
        codes.feed(payload, |piece| match piece {
            Piece::Start => starts = true,
            Piece::Unit(bytes) => {
                let header = bytes.first().filter(|_| std::mem::take(&mut starts));
                found = found.or(header.and_then(|header| is_closed(*header)));
            }
        });
        if found.is_some() {
            break;
        }
    }
    found == Some(true)
}

/// In which order the pictures of a beginning are shown. Those that refer to pictures before the first one come behind it and are
/// shown before it.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Order {
    first: Option<PesTimes>,
    /// The first time at which one is shown.
    shown: Option<Pts>,
    /// One has come that is shown behind the first that came: all that are shown before it have come.
    is_known: bool,
}

impl Order {
    /// The next picture.
    pub(super) fn saw(&mut self, times: PesTimes) {
        if self.is_known {
            return;
        }
        let first = *self.first.get_or_insert(times);
        let shown = self.shown.get_or_insert(times.pts);
        if (-LEADING_TICKS_MAX..0).contains(&times.pts.since(*shown)) {
            *shown = times.pts;
        }
        self.is_known = times.pts.since(first.pts) > 0;
    }

    /// How long the first that came is decoded before it is shown, once it is known that none is shown before it.
    pub(super) fn delay_of_closed(self) -> Option<i64> {
        let (first, shown) = self.first.zip(self.shown).filter(|_| self.is_known)?;
        let dts = first.dts.filter(|_| shown == first.pts)?;
        Some(first.pts.since(dts))
    }

    /// When the first of them is shown, and where that has not come yet, the earliest that it can be: no picture is shown before
    /// it is decoded, and those that come behind the first are shown at least `after` later than that is decoded.
    pub(super) fn first_shown(self, after: i64) -> Option<Pts> {
        let (first, shown) = self.first.zip(self.shown)?;
        let soonest = first.dts.filter(|_| !self.is_known).map(|dts| dts.plus(after));
        Some(soonest.filter(|soonest| soonest.since(shown) < 0).unwrap_or(shown))
    }
}

pub(super) fn sooner(a: Pts, b: Pts) -> Pts {
    if b.since(a) < 0 { b } else { a }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::splice::tests::source::{Es, Source, bytes};
    use crate::ts::Pts;
    use crate::ts::testing::{Fields, pes};

    #[test]
    fn a_clock_of_its_own_packets_is_known_where_the_run_begins() {
        let mut source = Source { base: 900_000, ..Source::usual() };
        source.streams.truncate(1);
        let programme = source.programme();
        let packets = bytes(&source.packets(0, 2000));
        let packets = packets.as_chunks::<188>().0;
        let pcr = |bytes: &[u8; 188]| Packet::parse(bytes).unwrap().adaptation_field()?.pcr();
        let clocks: Vec<_> = (0..packets.len()).filter_map(|at| Some((at, pcr(&packets[at])?))).collect();
        let ((_, first), (next_at, next)) = (clocks[3], clocks[4]);
        // The run begins behind the fourth clock: with what follows in its packet.
        let (before, behind) = packets.split_at(clocks[3].0 + 1);
        let before = ClockBefore::find(before.as_flattened(), &programme);
        assert_eq!(before, Some(ClockBefore { pcr: first, packets: 1 }));
        assert_eq!(
            FirstTimestamps::scan_behind(before, &[], &programme).pcr,
            Some(first),
            "nothing tells more"
        );
        let unclocked = before.unwrap();
        let to_next = i64::try_from(next_at - clocks[3].0).unwrap();
        let step = next.since(first);
        assert_eq!(unclocked.between(to_next - 1, next, None), first.plus(step / to_next));
        // One of another time base: units tell of which of the two they are.
        let other = first.plus(-27_000_000);
        let units = |ticks: i64| Some(first.to_pts().plus(ticks));
        for (units, expected) in [(None, other), (units(9_000), first), (units(-80_000), other)] {
            assert_eq!(unclocked.between(3, other, units), expected, "{units:?}");
        }
        let scanned = FirstTimestamps::scan_behind(before, behind.as_flattened(), &programme);
        assert!((first.ticks()..=next.ticks()).contains(&scanned.pcr.unwrap().ticks()));
    }

    #[test]
    fn a_clock_far_from_the_first_units_is_not_theirs() {
        let times = |ticks: i64| PesTimes { pts: Pts::from_ticks(9_000_000).plus(ticks), dts: None };
        let pcr = |ticks: u64| Some(Pcr::from_ticks(ticks * 300));
        let table = [
            (pcr(9_000_000), pcr(9_000_000)),
            (pcr(8_100_000), pcr(8_100_000)),
            (pcr(8_000_000), pcr(8_905_500)),
            (pcr(9_400_000), pcr(8_905_500)),
            (None, None),
        ];
        for (clock, expected) in table {
            let lead = FirstTimestamps {
                pcr: clock,
                video: Some(times(0)),
                audio: Some(times(-4_500)),
                ..FirstTimestamps::default()
            };
            assert_eq!(lead.with_its_clock().pcr, expected, "{clock:?}");
        }
        assert_eq!(
            FirstTimestamps { pcr: pcr(5), ..FirstTimestamps::default() }.with_its_clock().pcr,
            pcr(5),
            "nothing tells"
        );
    }

    #[test]
    fn the_first_times_are_those_of_the_first_packets_of_each_kind() {
        let mut source = Source { base: (1 << 33) - 1000, ..Source::usual() };
        source.streams.push(Es { lead: 10_000, ..Es::audio(0x102, 0x0F) });
        let packets = bytes(&source.packets(0, 200));
        let lead = FirstTimestamps::scan(&packets, &source.programme());
        assert_eq!(lead.pcr, Some(Pcr::from_ticks(((1 << 33) - 1000) * 300)));
        let ticks =
            |times: Option<PesTimes>| times.map(|times| (times.pts.ticks(), times.decoding().ticks()));
        assert_eq!(ticks(lead.video), Some((62_000 + 7_200, 62_000)));
        assert_eq!(ticks(lead.audio), Some((9_000, 9_000)), "the earlier of two sound outputs");
        assert_eq!(
            FirstTimestamps::scan(&packets[..188 * 2], &source.programme()),
            FirstTimestamps::default()
        );
        assert_eq!(lead.audio.map(PesTimes::decoding), Some(Pts::from_ticks(9_000)));
    }

    #[test]
    fn a_picture_that_may_still_come_is_shown_no_sooner_than_it_is_decoded() {
        let times = |pts, dts| PesTimes { pts: Pts::from_ticks(pts), dts: Some(Pts::from_ticks(dts)) };
        let untold = |pts| PesTimes { pts: Pts::from_ticks(pts), dts: None };
        let table = [
            (vec![times(20_000, 10_000)], Some(13_600)),
            (vec![times(20_000, 10_000), times(17_200, 13_600)], Some(13_600)),
            (vec![times(20_000, 10_000), times(17_200, 13_600), times(30_800, 17_200)], Some(17_200)),
            (vec![times(20_000, 10_000), times(30_800, 13_600)], Some(20_000)),
            (vec![untold(20_000)], Some(20_000)),
            (vec![untold(20_000), untold(16_400)], Some(16_400)),
            (vec![], None),
        ];
        for (pictures, expected) in table {
            let mut order = Order::default();
            pictures.iter().for_each(|picture| order.saw(*picture));
            assert_eq!(order.first_shown(3_600).map(Pts::ticks), expected, "{pictures:?}");
        }
    }

    #[test]
    fn a_picture_that_says_so_has_none_before_it_and_is_shown_when_it_says() {
        let times = PesTimes { pts: Pts::from_ticks(20_000), dts: Some(Pts::from_ticks(10_000)) };
        let table: [(u8, &[u8], bool); 7] = [
            (0x1B, &[0, 0, 1, 0x09, 0xF0, 0, 0, 1, 0x65, 0x88], true),
            (0x1B, &[0, 0, 1, 0x41, 0x9A], false),
            // Sets that fill packets.
            (0x1B, &[&[0, 0, 1, 0x67][..], &[7; 400], &[0, 0, 1, 0x65]].concat(), true),
            (0x24, &[0, 0, 1, 0x46, 1, 0x50, 0, 0, 1, 0x28, 1, 0x88], true),
            // It may have pictures that are shown before it, or has.
            (0x24, &[0, 0, 1, 0x26, 1, 0x88], false),
            (0x24, &[0, 0, 1, 0x2A, 1, 0x88], false),
            (0x02, &[0, 0, 1, 0x05, 0x88], false),
        ];
        for (stream_type, picture, closed) in table {
            let mut source = Source::usual();
            source.streams = vec![Es::video(0x100, stream_type)];
            for stream_id in [0xE0, 0xE1, 0xE5] {
                let mut stream = crate::ts::testing::Stream::default();
                let mut pes = pes(stream_id, Some(times.pts), &[picture, &[9; 50]].concat());
                pes.splice(7..9, [0xC0, 10]);
                pes[9] |= 0x10;
                pes.splice(14..14, [0x11, 0, 1, 0x4E, 0x21]);
                stream.push_pes(Fields { pid: 0x100, ..Fields::NONE }, &pes, 184);
                let lead = FirstTimestamps::scan(stream.packets.as_flattened(), &source.programme());
                assert_eq!(lead.video, Some(times));
                assert_eq!(lead.closed, closed.then_some(10_000), "{stream_type:#x} {picture:x?}");
                assert_eq!(lead.shown, Some(Pts::from_ticks(if closed { 20_000 } else { 10_000 })));
            }
        }
    }
}
