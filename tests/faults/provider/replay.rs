//! A recording played for ever as one stream: counters go on and times grow where it begins again.

use std::sync::Arc;
use std::time::Duration;

use super::media::{LENGTH, Media};
use crate::tsedit::{set_counter, shift_pcr, shift_stamps};
use crate::tsview::{PTS_WRAP, Packet, View};

const PTS_HZ: u64 = 90_000;
const PIDS: usize = 0x2000;

/// A live stream.
pub(crate) struct Replay {
    media: Arc<Media>,
    /// When the recording began for the first time.
    origin: Duration,
    /// Times the recording has begun, and the packet that comes next.
    round: u32,
    index: usize,
    /// Added to every time, in ticks of 90 kHz.
    base: u64,
    /// The next counter of every PID.
    counters: Vec<u8>,
}

impl Replay {
    /// The stream from the packet on that is due at `time`.
    pub(crate) fn at(media: Arc<Media>, base: u64, time: Duration) -> Replay {
        let round = u32::try_from(time.as_nanos() / LENGTH.as_nanos()).unwrap();
        let within = time - LENGTH * round;
        let index = media.packets.partition_point(|(due, _)| *due < within);
        Replay { media, origin: Duration::ZERO, round, index, base, counters: vec![0; PIDS] }
    }

    /// When the next packet is due.
    pub(crate) fn due(&self) -> Duration {
        let within = self.media.packets.get(self.index).map_or(LENGTH, |(due, _)| *due);
        self.origin + LENGTH * self.round + within
    }

    pub(crate) fn media(&self) -> &Media {
        &self.media
    }

    /// All times are so much later from here on, in ticks of 90 kHz.
    pub(crate) fn jump(&mut self, ticks: i64) {
        let wrap = i64::try_from(PTS_WRAP).unwrap();
        self.base = (self.base + u64::try_from(ticks.rem_euclid(wrap)).unwrap()) % PTS_WRAP;
    }

    /// Goes on with another recording from its beginning, as an encoder does that was started anew.
    pub(crate) fn change(&mut self, media: Arc<Media>) {
        self.origin = self.due();
        (self.round, self.index) = (0, 0);
        self.media = media;
    }

    pub(crate) fn next(&mut self) -> Packet {
        if self.index == self.media.packets.len() {
            self.index = 0;
            self.round += 1;
        }
        let (_, mut packet) = self.media.packets[self.index];
        self.index += 1;
        let ticks = (self.base + u64::from(self.round) * LENGTH.as_secs() * PTS_HZ) % PTS_WRAP;
        shift_pcr(&mut packet, ticks);
        shift_stamps(&mut packet, ticks);
        let view = View(&packet);
        let (pid, has_payload) = (usize::from(view.pid()), view.has_payload());
        let next = self.counters[pid];
        set_counter(&mut packet, if has_payload { next } else { next.wrapping_sub(1) & 0x0F });
        self.counters[pid] = if has_payload { (next + 1) & 0x0F } else { next };
        packet
    }
}
