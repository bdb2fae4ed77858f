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
                lead.shows(times.pts);
            }
            if seen & (1 << index) == 0 {
                seen |= 1 << index;
                lead.saw(streams[index].kind(), times);
            }
        }
        lead
    }

    /// A picture is shown. Those that refer to pictures before the first one come behind it and are shown before it.
    pub(super) fn shows(&mut self, pts: Pts) {
        let known = *self.shown.get_or_insert(pts);
        if (-LEADING_TICKS_MAX..0).contains(&pts.since(known)) {
            self.shown = Some(pts);
        }
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
}
