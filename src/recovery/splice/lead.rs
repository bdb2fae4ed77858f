//! What the beginning of a run says of its times.

use crate::base::limits::PACKET_BYTES;
use crate::ts::psi::Programme;
use crate::ts::{AdaptationField, Packet, Pcr, PesStart, PesTimes, Pts, StreamKind};

/// What is shown earlier than the first picture by more than this is of another time base.
const LEADING_TICKS_MAX: i64 = 90_000;

/// The first times in a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Lead {
    /// The programme's clock.
    pub pcr: Option<Pcr>,
    /// The earliest first PES packet of the video streams.
    pub video: Option<PesTimes>,
    /// The earliest first PES packet of the audio streams.
    pub audio: Option<PesTimes>,
    /// When the first of its pictures is shown, in whatever order they come.
    pub shown: Option<Pts>,
}

impl Lead {
    /// Looks at the packets a run begins with. `programme` is the run's own.
    #[must_use]
    pub fn scan(packets: &[u8], programme: &Programme) -> Self {
        let mut lead = Self::default();
        // One bit for each stream of the table whose first PES packet has been seen.
        let mut seen = 0_u32;
        let streams = programme.pmt.streams();
        let mut order = Order::default();
        for bytes in packets.as_chunks::<PACKET_BYTES>().0 {
            let Ok(packet) = Packet::parse(bytes) else { continue };
            if packet.transport_error_indicator() {
                continue;
            }
            if lead.pcr.is_none() && Some(packet.pid()) == programme.pmt.pcr_pid {
                lead.pcr = packet.adaptation_field().and_then(AdaptationField::pcr);
            }
            if !packet.payload_unit_start_indicator() || packet.transport_scrambling_control() != 0 {
                continue;
            }
            let Some(index) = streams.iter().position(|stream| stream.pid == packet.pid()) else { continue };
            let Some(PesStart::Timed(times)) = packet.payload().map(PesStart::read) else { continue };
            if streams[index].kind() == StreamKind::Video {
                order.saw(times);
            }
            if seen & (1 << index) == 0 {
                seen |= 1 << index;
                lead.saw(streams[index].kind(), times);
            }
        }
        lead.shown = order.first_shown(0);
        lead
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recovery::splice::tests::source::{Es, Source, bytes};
    use crate::ts::Pts;

    #[test]
    fn the_first_times_are_those_of_the_first_packets_of_each_kind() {
        let mut source = Source { base: (1 << 33) - 1000, ..Source::usual() };
        source.streams.push(Es { lead: 10_000, ..Es::audio(0x102, 0x0F) });
        let packets = bytes(&source.packets(0, 200));
        let lead = Lead::scan(&packets, &source.programme());
        assert_eq!(lead.pcr, Some(Pcr::from_ticks(((1 << 33) - 1000) * 300)));
        let ticks =
            |times: Option<PesTimes>| times.map(|times| (times.pts.ticks(), times.decoding().ticks()));
        assert_eq!(ticks(lead.video), Some((62_000 + 7_200, 62_000)));
        assert_eq!(ticks(lead.audio), Some((9_000, 9_000)), "the earlier of two sound tracks");
        assert_eq!(Lead::scan(&packets[..188 * 2], &source.programme()), Lead::default());
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
}
