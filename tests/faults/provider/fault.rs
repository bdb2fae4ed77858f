//! What can go wrong with a stream while it is sent.

use std::collections::BTreeMap;

use super::media::Make;
use super::replay::Replay;
use crate::tsedit::{null_packet, set_counter, set_pcr};
use crate::tsview::{PACKET_BYTES, Packet, View};

/// A way to go wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// Nothing more comes, and the connection stays.
    Silence,
    /// The connection ends in order, behind a whole packet.
    Eof,
    /// The connection is reset.
    Reset,
    /// The connection ends in order, in the middle of a packet.
    Torn,
    /// Bytes that are no packets come in between, once.
    GarbageOnce,
    /// Bytes that are no packets come instead of the stream, for ever.
    Garbage,
    /// The PCR keeps its value.
    FrozenPcr,
    /// No packet of the video comes any more, but for its PCR.
    NoVideo,
    /// Null packets come instead of the stream.
    OnlyNulls,
    /// Of every hundred packets one comes, of which its counter says that others are missing.
    Trickle,
    /// All times jump, by so many ticks of 90 kHz.
    Jump(i64),
    /// Another programme comes on the same connection.
    Change(Make),
}

const GARBAGE_BYTES: usize = 5000;
const TRICKLE: u32 = 100;

/// What a fault makes of a stream that goes on.
pub(crate) struct Mangler {
    fault: Option<Fault>,
    frozen: Option<u64>,
    /// The counter of each PID's last packet with a payload.
    counters: BTreeMap<u16, u8>,
    /// Packets left out since the last one that came.
    left_out: u32,
    random: u64,
}

impl Mangler {
    pub(crate) fn new() -> Mangler {
        Mangler {
            fault: None,
            frozen: None,
            counters: BTreeMap::new(),
            left_out: 0,
            random: 0x9E37_79B9_7F4A_7C15,
        }
    }

    /// From here on things go wrong. What ends the stream is for the connection to do.
    pub(crate) fn strike(&mut self, fault: Fault, replay: &mut Replay, out: &mut Vec<u8>) {
        match fault {
            Fault::Jump(ticks) => replay.jump(ticks),
            Fault::Change(make) => replay.change(make.media()),
            Fault::GarbageOnce => self.garbage(GARBAGE_BYTES, out),
            Fault::Silence
            | Fault::Eof
            | Fault::Reset
            | Fault::Torn
            | Fault::Garbage
            | Fault::FrozenPcr
            | Fault::NoVideo
            | Fault::OnlyNulls
            | Fault::Trickle => self.fault = Some(fault),
        }
    }

    /// Writes what becomes of the stream's next packet.
    pub(crate) fn push(&mut self, mut packet: Packet, video_pid: u16, out: &mut Vec<u8>) {
        match self.fault {
            None => {}
            Some(Fault::Garbage) => return self.garbage(PACKET_BYTES, out),
            Some(Fault::OnlyNulls) => packet = null_packet(),
            Some(Fault::Trickle) => {
                self.left_out += 1;
                if self.left_out < TRICKLE || self.follows(View(&packet)) {
                    return;
                }
                self.left_out = 0;
            }
            Some(Fault::FrozenPcr) => {
                if let Some(pcr) = View(&packet).pcr() {
                    set_pcr(&mut packet, *self.frozen.get_or_insert(pcr));
                }
            }
            Some(Fault::NoVideo) => {
                let is_gone = View(&packet).pid() == video_pid && !self.keep_pcr(&mut packet);
                if is_gone {
                    return;
                }
            }
            Some(
                Fault::Silence
                | Fault::Eof
                | Fault::Reset
                | Fault::Torn
                | Fault::GarbageOnce
                | Fault::Jump(_)
                | Fault::Change(_),
            ) => unreachable!("{:?} is over at once", self.fault),
        }
        let view = View(&packet);
        if view.has_payload() {
            self.counters.insert(view.pid(), view.counter());
        }
        out.extend_from_slice(&packet);
    }

    /// Whether a packet seems to be the next of its PID, or the last one again: what is lost in multiples of sixteen is noticed by
    /// nobody.
    fn follows(&self, packet: View<'_>) -> bool {
        let last = self.counters.get(&packet.pid());
        last.is_some_and(|last| packet.counter().wrapping_sub(*last) & 0x0F <= 1)
    }

    /// Leaves nothing of a packet but its PCR. False when it has none.
    fn keep_pcr(&self, packet: &mut Packet) -> bool {
        if View(packet).pcr().is_none() {
            return false;
        }
        packet[1] &= !0x40;
        packet[3] = 0x20;
        packet[4] = 183;
        packet[5] = 0x10;
        packet[12..].fill(0xFF);
        let last = self.counters.get(&View(packet).pid()).copied();
        set_counter(packet, last.unwrap_or_default());
        true
    }

    fn garbage(&mut self, count: usize, out: &mut Vec<u8>) {
        for _ in 0..count {
            self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let [byte, ..] = self.random.to_be_bytes();
            out.push(byte);
        }
    }
}
