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
/// Two samples of the clock follow one another within this, if nothing else says how far apart they are. Encoders
/// that send it with key pictures only send one every ten seconds at most.
const PCR_STEP_MAX: i64 = 15 * SECOND;
/// Beyond what time stamps say the clock goes on by no more than this.
const PCR_SLACK: i64 = SECOND;
/// Two time stamps of one stream follow one another within this.
const PTS_STEP_MAX: i64 = 5 * SECOND;
/// Time stamps step back by less than this only because pictures are not sent in the order in which they are shown.
const PTS_REORDERED_MAX: i64 = 2 * SECOND;
/// A rate is known once this much has gone by.
const RATE_AFTER: i64 = SECOND / 2;
/// From time to time what is known of the rate is worth half: it follows the stream.
const RATE_HALVED_AFTER: i64 = 8 * SECOND;
/// Without a sign of time for this long at the known rate, bytes tell it.
const SILENT_AFTER: i64 = SECOND;

/// Adds up the time in a stream: by the programme's clock, between its samples by the time stamps of one stream, and
/// by bytes where there is neither. A clock that jumps (a loop, an advertisement, a wrap) is a new one: the
/// jump counts as nothing. Never steps back.
#[derive(Clone, Debug, Default)]
pub struct Elapsed {
    pcr_pid: Option<Pid>,
    /// The stream whose time stamps are read.
    timed_pid: Option<Pid>,
    pcr: Option<Pcr>,
    pts: Option<Pts>,
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
            self.pts = None;
        }
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
        if begins
            && pid == self.timed_pid
            && packet.transport_scrambling_control() == 0
            && let Some(PesStart::Timed(times)) = packet.payload().map(PesStart::read)
        {
            self.stamp(times.decoding());
        }
    }

    fn clock(&mut self, pcr: Pcr, signalled: bool) {
        let Some(last) = self.pcr.filter(|_| !signalled) else { return self.rebase(Some(pcr)) };
        let ticks = pcr.since(last);
        if ticks == 0 {
            // A clock that stands still tells nothing.
            return;
        }
        let most = if self.is_timed { self.since_pcr + PCR_SLACK } else { PCR_STEP_MAX };
        if !(0..=most).contains(&ticks) {
            return self.rebase(Some(pcr));
        }
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
        self.silent_bytes = 0;
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
        *bytes += std::mem::take(&mut self.silent_bytes);
        *known += ticks;
        if *known > RATE_HALVED_AFTER {
            (*bytes, *known) = (*bytes / 2, *known / 2);
        }
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
        let silent = self.bytes_per_second().map_or(0, |rate| {
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
