//! How much of a programme has gone by, in its own time.

use std::time::Duration;

use crate::base::limits::PACKET_BYTES;
use crate::ts::clock_ref::{Pcr, Pts};
use crate::ts::codec::StreamKind;
use crate::ts::packet::{AdaptationField, Packet, PacketBytes, Pid};
use crate::ts::pes_times::PesStart;
use crate::ts::psi::Programme;

const SECOND: i64 = 27_000_000;
/// 27 MHz ticks in one of 90 kHz.
const PTS_TICK: i64 = 300;
/// The first two samples of the clock follow one another within this, if nothing else says how far apart they are.
/// Encoders that send it with key pictures only send one every ten seconds at most.
const PCR_STEP_MAX: i64 = 15 * SECOND;
/// Beyond what time stamps say the clock goes on by no more than this. One that is signalled to be another and is no further from them is
/// the same.
const PCR_SLACK: i64 = SECOND;
/// Without time stamps, by no more than so many times its widest step so far.
const PCR_STEP_TIMES: i64 = 3;
/// Two time stamps of one stream follow one another within this.
const PTS_STEP_MAX: i64 = 5 * SECOND;
/// Time stamps step back by less than this only because pictures are not sent in the order in which they are shown.
const PTS_REORDERED_MAX: i64 = 2 * SECOND;
/// Time stamps that go further than time by more than this have jumped. Pictures are sent sooner or later before they are due by less.
const JUMP: i64 = SECOND;
/// A rate is known once this much has gone by.
const RATE_AFTER: i64 = SECOND / 2;
/// From time to time what is known of the rate is worth half: it follows the stream.
const RATE_HALVED_AFTER: i64 = 8 * SECOND;
/// Without a sign of time for this long at the known rate, bytes tell it,
const SILENT_AFTER: i64 = SECOND;
/// but not before there were more of them than the largest pictures have: one key picture behind quiet ones has as many
/// bytes as the seconds before it.
const SILENT_BYTES_MIN: u64 = 8 * 1024 * 1024;
/// nor, where they may all be of one picture, before there were more than any picture has,
const SILENT_BYTES_ONE_UNIT: u64 = 32 * 1024 * 1024;
/// nor before there were so many times as many as have stood together so far.
const SILENT_TIMES_WIDEST: u64 = 2;

/// Adds up the time in a stream: by the programme's clock, between its samples by the time stamps of one stream, and
/// by bytes where there is neither. A clock that jumps (a loop, an advertisement, a wrap) is a new one: the
/// jump counts as nothing. Never steps back.
#[derive(Clone, Debug, Default)]
pub struct Elapsed {
    pcr_pid: Option<Pid>,
    /// The stream whose time stamps are read.
    timed_pid: Option<Pid>,
    pcr: Option<Pcr>,
    /// The widest step of the clock.
    pcr_step: Option<i64>,
    pts: Option<Pts>,
    /// The last time stamp of the timed stream, and the ticks that had gone by then.
    stamped: Option<(Pts, i64)>,
    /// Time stamps have jumped.
    has_jumped: bool,
    /// Ticks up to the last sample of the clock.
    at_pcr: i64,
    /// Ticks since then, by time stamps.
    since_pcr: i64,
    /// Time stamps have come since then.
    is_timed: bool,
    /// The most that was ever told.
    most: i64,
    /// Bytes since time went on last.
    silent_bytes: u64,
    /// PES packets of the timed stream that have begun since then.
    silent_units: u32,
    /// The most bytes that there have been.
    silent_bytes_widest: u64,
    /// Bytes and ticks from which the rate is known.
    measured: (u64, i64),
}

impl Elapsed {
    /// Goes by the clock and the streams of this programme from here on.
    pub fn follow(&mut self, programme: Option<&Programme>) {
        let Some(programme) = programme else { return };
        let pmt = &programme.pmt;
        let timed = pmt.first(StreamKind::Video).or_else(|| pmt.first(StreamKind::Audio));
        let timed = timed.map(|stream| stream.pid);
        if self.pcr_pid != pmt.pcr_pid {
            self.pcr_pid = pmt.pcr_pid;
            self.rebase(None);
        }
        if self.timed_pid != timed {
            self.timed_pid = timed;
            (self.pts, self.stamped) = (None, None);
        }
    }

    /// True when a picture begins with the packet, or where there are none a PES packet of sound.
    #[must_use]
    pub fn begins_unit(&self, bytes: &PacketBytes) -> bool {
        // Of most packets their flags tell.
        bytes[1] & 0x40 != 0 && Packet::parse(bytes).is_ok_and(|packet| Some(packet.pid()) == self.timed_pid)
    }

    /// Counts packets that carry neither a clock nor the beginning of a PES packet.
    pub const fn plain(&mut self, packets: usize) {
        self.silent_bytes += (packets * PACKET_BYTES) as u64;
    }

    /// Looks at a packet.
    pub fn packet(&mut self, bytes: &PacketBytes) {
        self.silent_bytes += PACKET_BYTES as u64;
        // Most packets carry neither a clock nor the beginning of a PES packet.
        let [_, flags, _, control, ..] = *bytes;
        let begins = flags & 0x40 != 0;
        let has_field = control & 0x20 != 0;
        if !begins && !has_field {
            return;
        }
        let Ok(packet) = Packet::parse(bytes) else { return };
        if packet.transport_error_indicator() {
            return;
        }
        let pid = Some(packet.pid());
        if has_field && pid == self.pcr_pid {
            let field = packet.adaptation_field();
            let signalled = field.is_some_and(AdaptationField::discontinuity_indicator);
            if let Some(pcr) = field.and_then(AdaptationField::pcr) {
                self.clock(pcr, signalled);
            }
        }
        if !begins || pid != self.timed_pid {
            return;
        }
        self.silent_units = self.silent_units.saturating_add(1);
        if packet.transport_scrambling_control() == 0
            && let Some(PesStart::Timed(times)) = packet.payload().map(PesStart::read)
        {
            self.stamp(times.decoding());
            self.look_for_jump(times.decoding());
        }
    }

    /// Whether the time stamp is where the one before and the time since then lead to.
    fn look_for_jump(&mut self, pts: Pts) {
        let now = self.ticks();
        if let Some((last, at)) = self.stamped.replace((pts, now)) {
            let beyond = pts.since(last).saturating_mul(PTS_TICK) - (now - at);
            self.has_jumped |= beyond.abs() > JUMP;
        }
    }

    /// True once after time stamps have jumped: they are others than time alone has made of those before.
    pub const fn take_jump(&mut self) -> bool {
        std::mem::replace(&mut self.has_jumped, false)
    }

    fn clock(&mut self, pcr: Pcr, signalled: bool) {
        let Some(last) = self.pcr else { return self.rebase(Some(pcr)) };
        let ticks = pcr.since(last);
        // What is only ahead of real time is signalled as well. Where the time stamps went as far, the clock goes on.
        let goes_on = self.is_timed && (ticks - self.since_pcr).abs() <= PCR_SLACK;
        if signalled && !goes_on {
            return self.rebase(Some(pcr));
        }
        if ticks == 0 {
            // A clock that stands still tells nothing.
            return;
        }
        let most = match self.pcr_step {
            _ if self.is_timed => self.since_pcr + PCR_SLACK,
            Some(step) => (step * PCR_STEP_TIMES).clamp(PCR_SLACK, PCR_STEP_MAX),
            None => PCR_STEP_MAX,
        };
        if !(0..=most).contains(&ticks) {
            return self.rebase(Some(pcr));
        }
        self.pcr_step = self.pcr_step.max(Some(ticks));
        self.at_pcr += ticks;
        self.since_pcr = 0;
        self.is_timed = false;
        self.pts = None;
        self.pcr = Some(pcr);
        self.moved();
    }

    /// The clock is another one, or it has none: what has gone by stays.
    fn rebase(&mut self, pcr: Option<Pcr>) {
        self.at_pcr = self.ticks();
        self.since_pcr = 0;
        self.is_timed = false;
        self.pts = None;
        self.pcr = pcr;
        self.goes_on();
        self.most = self.most.max(self.at_pcr);
    }

    fn stamp(&mut self, pts: Pts) {
        let Some(last) = self.pts.replace(pts) else { return };
        let ticks = pts.since(last).saturating_mul(PTS_TICK);
        if (-PTS_REORDERED_MAX..=0).contains(&ticks) {
            self.pts = Some(last);
        } else if (0..=PTS_STEP_MAX).contains(&ticks) {
            self.is_timed = true;
            self.since_pcr += ticks;
            self.moved();
        }
    }

    /// Time has gone on.
    fn moved(&mut self) {
        let now = self.at_pcr + self.since_pcr;
        let ticks = now - self.most;
        if ticks <= 0 {
            return;
        }
        self.most = now.max(self.ticks());
        let (bytes, known) = &mut self.measured;
        *bytes += self.silent_bytes;
        *known += ticks;
        if *known > RATE_HALVED_AFTER {
            (*bytes, *known) = (*bytes / 2, *known / 2);
        }
        self.goes_on();
    }

    /// What comes from here on has not waited for time to go on.
    fn goes_on(&mut self) {
        let widest = std::mem::take(&mut self.silent_bytes).min(SILENT_BYTES_ONE_UNIT);
        self.silent_bytes_widest = self.silent_bytes_widest.max(widest);
        self.silent_units = 0;
    }

    /// Bytes in a second, once that is known.
    #[must_use]
    pub fn bytes_per_second(&self) -> Option<u64> {
        let (bytes, ticks) = self.measured;
        if ticks < RATE_AFTER {
            return None;
        }
        let rate = u128::from(bytes) * u128::from(SECOND.unsigned_abs()) / u128::from(ticks.unsigned_abs());
        u64::try_from(rate).ok().filter(|rate| *rate > 0)
    }

    fn ticks(&self) -> i64 {
        let least = if self.silent_units > 1 { SILENT_BYTES_MIN } else { SILENT_BYTES_ONE_UNIT };
        let widest = least.max(self.silent_bytes_widest.saturating_mul(SILENT_TIMES_WIDEST));
        let silent = self.bytes_per_second().filter(|_| self.silent_bytes > widest).map_or(0, |rate| {
            let ticks = u128::from(self.silent_bytes) * u128::from(SECOND.unsigned_abs()) / u128::from(rate);
            i64::try_from(ticks).unwrap_or(i64::MAX).saturating_sub(SILENT_AFTER).max(0)
        });
        self.most.saturating_add(silent)
    }

    /// The time that has gone by.
    #[must_use]
    pub fn time(&self) -> Duration {
        let nanos = u128::from(self.ticks().unsigned_abs()) * 1000 / 27;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::ts::psi::{Pmt, Section};
    use crate::ts::testing::{Fields, pes, pmt};

    /// 90 kHz ticks of a picture.
    const PICTURE: u64 = 3600;

    /// Pictures of 40 ms, one after the other.
    #[derive(Clone, Debug)]
    pub(crate) struct Pictures {
        pub(crate) packets_each: usize,
        /// The clock comes with every so many pictures; zero is never.
        pub(crate) clock_every: u64,
        pub(crate) has_stamps: bool,
        /// The clock says that it is another one whenever it comes.
        pub(crate) is_signalled: bool,
        /// Its place in time, in pictures, and what the clock says there.
        pub(crate) number: u64,
        pub(crate) base: u64,
    }

    impl Pictures {
        pub(crate) const USUAL: Self = Self {
            packets_each: 10,
            clock_every: 1,
            has_stamps: true,
            is_signalled: false,
            number: 0,
            base: 90_000,
        };

        pub(crate) fn programme() -> Programme {
            let section = pmt(0, &[0x1B]);
            Programme {
                transport_stream_id: 1,
                pat_version: 0,
                alone: true,
                pmt_pid: Pid::new(0x1000).unwrap(),
                pmt: Pmt::parse(Section::parse(&section).unwrap()).unwrap(),
            }
        }

        /// The packets of the next picture.
        pub(crate) fn next(&mut self) -> Vec<PacketBytes> {
            let ticks = (self.base + self.number * PICTURE) % (1 << 33);
            let has_clock = self.clock_every > 0 && self.number.is_multiple_of(self.clock_every);
            let pcr = has_clock.then(|| Pcr::from_ticks(ticks * 300));
            let pts = self.has_stamps.then(|| Pts::from_ticks((ticks + 9000) % (1 << 33)));
            self.number += 1;
            let first = Fields { pid: 0x100, unit_start: true, pcr, ..Fields::NONE };
            let first = Fields { discontinuity: has_clock && self.is_signalled, ..first };
            let rest = Fields { pid: 0x100, ..Fields::NONE };
            let mut packets = vec![first.packet(&pes(0xE0, pts, &[7; 100]))];
            packets.resize(self.packets_each, rest.packet(&[7; 184]));
            packets
        }
    }

    fn elapsed() -> Elapsed {
        let mut elapsed = Elapsed::default();
        elapsed.follow(Some(&Pictures::programme()));
        elapsed
    }

    fn play(elapsed: &mut Elapsed, pictures: &mut Pictures, count: u64) -> u64 {
        for _ in 0..count {
            pictures.next().iter().for_each(|packet| elapsed.packet(packet));
        }
        u64::try_from(elapsed.time().as_millis()).unwrap()
    }

    #[test]
    fn time_goes_on_by_the_clock_by_stamps_or_by_both() {
        for (clock_every, has_stamps) in
            [(1, true), (1, false), (0, true), (125, true), (25, false), (3, true)]
        {
            let mut pictures = Pictures { clock_every, has_stamps, ..Pictures::USUAL };
            let mut elapsed = elapsed();
            let time = play(&mut elapsed, &mut pictures, 501);
            let least = if has_stamps { 19_900 } else { 19_000 };
            assert!((least..=20_000).contains(&time), "every {clock_every}, {has_stamps}: {time} ms");
            let rate = elapsed.bytes_per_second().unwrap();
            assert!(rate.abs_diff(47_000) < 1000, "every {clock_every}, {has_stamps}: {rate}");
        }
    }

    #[test]
    fn a_clock_that_wraps_goes_on() {
        let mut pictures = Pictures { base: (1 << 33) - 100 * PICTURE, ..Pictures::USUAL };
        assert_eq!(play(&mut elapsed(), &mut pictures, 201), 8000);
    }

    #[test]
    fn a_jump_counts_as_nothing_in_either_direction() {
        for jump in [-1_000_000_i64, -250, -75, 75, 250, 1_000_000] {
            let mut pictures = Pictures { number: 2_000_000, ..Pictures::USUAL };
            let mut elapsed = elapsed();
            play(&mut elapsed, &mut pictures, 101);
            pictures.number = pictures.number.saturating_add_signed(jump);
            let time = play(&mut elapsed, &mut pictures, 100);
            assert!(time.abs_diff(8000) <= 80, "{jump}: {time} ms");
        }
    }

    #[test]
    fn a_jump_is_told_once_and_no_wrap_no_gap_and_no_slow_picture_is_one() {
        for (jump, is_jump) in
            [(-1_000_000_i64, true), (-50, true), (0, false), (20, false), (100, true), (1_000_000, true)]
        {
            let mut pictures = Pictures { number: 2_000_000, is_signalled: true, ..Pictures::USUAL };
            let mut elapsed = elapsed();
            play(&mut elapsed, &mut pictures, 100);
            pictures.number = pictures.number.saturating_add_signed(jump);
            play(&mut elapsed, &mut pictures, 30);
            assert_eq!((elapsed.take_jump(), elapsed.take_jump()), (is_jump, false), "{jump} pictures");
        }
        let mut pictures = Pictures { base: (1 << 33) - 100 * PICTURE, ..Pictures::USUAL };
        let mut elapsed = elapsed();
        play(&mut elapsed, &mut pictures, 501);
        assert!(!elapsed.take_jump());
    }

    #[test]
    fn a_clock_that_goes_on_as_time_stamps_do_is_no_other_one_whatever_is_signalled() {
        for clock_every in [3, 12, 125] {
            let mut pictures = Pictures { clock_every, is_signalled: true, ..Pictures::USUAL };
            let time = play(&mut elapsed(), &mut pictures, 501);
            let before_first_stamps = 40 * clock_every;
            assert!(
                (20_000 - before_first_stamps..=20_000).contains(&time),
                "every {clock_every}: {time} ms"
            );
            let mut elapsed = elapsed();
            play(&mut elapsed, &mut pictures, clock_every);
            pictures.number += 25 * clock_every;
            let jumped = play(&mut elapsed, &mut pictures, clock_every);
            assert!(
                jumped <= 80 * clock_every,
                "every {clock_every}: {jumped} ms, of a jump by a second for each"
            );
        }
    }

    #[test]
    fn where_the_clock_stops_bytes_tell_the_time() {
        let mut pictures = Pictures { packets_each: 500, ..Pictures::USUAL };
        let mut elapsed = elapsed();
        play(&mut elapsed, &mut pictures, 101);
        (pictures.clock_every, pictures.has_stamps) = (0, false);
        assert_eq!(play(&mut elapsed, &mut pictures, 80), 4000, "it may be one large picture");
        let time = play(&mut elapsed, &mut pictures, 170);
        assert!(time.abs_diff(4000 + 9000) < 100, "all but a second of the ten: {time} ms");
    }

    #[test]
    fn a_key_picture_is_no_time_however_quiet_the_others_are() {
        for key_bytes in [1_700_000, 7_400_000] {
            let mut pictures = Pictures { packets_each: 2, ..Pictures::USUAL };
            let mut elapsed = elapsed();
            for group in 0..20 {
                pictures.packets_each = key_bytes / PACKET_BYTES;
                let before = elapsed.time();
                play(&mut elapsed, &mut pictures, 1);
                pictures.packets_each = 2;
                play(&mut elapsed, &mut pictures, 49);
                let passed = elapsed.time() - before;
                assert!(passed <= Duration::from_secs(2), "group {group} of {key_bytes}: {passed:?}");
            }
        }
    }

    #[test]
    fn the_first_large_picture_behind_small_ones_is_no_time_either() {
        for key_bytes in [9_200_000, 20_000_000] {
            let mut pictures = Pictures { packets_each: 2, ..Pictures::USUAL };
            let mut elapsed = elapsed();
            assert_eq!(play(&mut elapsed, &mut pictures, 76), 3000);
            pictures.packets_each = key_bytes / PACKET_BYTES;
            assert_eq!(play(&mut elapsed, &mut pictures, 1), 3040, "{key_bytes}");
            pictures.packets_each = 2;
            assert_eq!(play(&mut elapsed, &mut pictures, 49), 5000, "{key_bytes}");
        }
    }

    #[test]
    fn damaged_packets_and_those_of_others_tell_nothing() {
        let mut elapsed = elapsed();
        let mut pictures = Pictures::USUAL;
        for _ in 0..50 {
            for mut packet in pictures.next() {
                packet[1] |= 0x80;
                elapsed.packet(&packet);
                packet[1] = 0x42;
                elapsed.packet(&packet);
            }
        }
        assert_eq!((elapsed.time(), elapsed.bytes_per_second()), (Duration::ZERO, None));
    }
}
