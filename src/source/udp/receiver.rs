//! Datagrams become a stream of bytes.

use std::fmt::Write as _;
use std::ops::AddAssign;

use crate::base::Instant;
use crate::base::limits::PACKET_BYTES;
use crate::source::body::Body;
use crate::source::error::{Kind, SourceError};

use super::order::{Order, Outcome};
use super::rtp::{Packet, TRANSPORT_STREAM};

/// The first byte of every packet of a transport stream.
const SYNC_BYTE: u8 = 0x47;
/// So many datagrams of which nothing can be made are enough to say so.
const STRANGE_MAX: u64 = 32;
/// The bytes of one that are shown.
const QUOTED_BYTES: usize = 4;

/// What has come.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct DatagramCounters {
    /// Datagrams that have come.
    pub datagrams: u64,
    /// Datagrams that came and were not received in time: the kernel's queue for them was full.
    pub dropped: u64,
    /// RTP packets that never came, or too late; those that were dropped among them.
    pub lost: u64,
    /// RTP packets that came behind a later one, and were put in order.
    pub reordered: u64,
    /// RTP packets that came when they had been given up.
    pub late: u64,
    /// RTP packets that came again.
    pub duplicate: u64,
    /// Senders that have taken another's place.
    pub restarts: u64,
    /// Datagrams that were left out: no transport stream was in them.
    pub strange: u64,
}

impl AddAssign for DatagramCounters {
    fn add_assign(&mut self, more: Self) {
        let Self { datagrams, dropped, lost, reordered, late, duplicate, restarts, strange } = more;
        self.datagrams += datagrams;
        self.dropped += dropped;
        self.lost += lost;
        self.reordered += reordered;
        self.late += late;
        self.duplicate += duplicate;
        self.restarts += restarts;
        self.strange += strange;
    }
}

/// What the datagrams are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    Unknown,
    /// The transport stream itself.
    Bare,
    /// RTP of this payload type.
    Rtp(u8),
}

/// Makes a stream of datagrams. What they are they show themselves: addresses say `udp` of RTP, and `rtp` of bare packets.
pub struct Receiver {
    form: Form,
    order: Order,
    /// What is in order, from `taken` on.
    ready: Vec<u8>,
    taken: usize,
    datagrams: u64,
    dropped: u64,
    strange: u64,
    /// Why nothing can be made of what comes.
    failure: Option<SourceError>,
}

impl Default for Receiver {
    fn default() -> Self {
        Self::new()
    }
}

impl Receiver {
    /// One to which nothing has come.
    #[must_use]
    pub fn new() -> Self {
        Self {
            form: Form::Unknown,
            order: Order::default(),
            ready: Vec::new(),
            taken: 0,
            datagrams: 0,
            dropped: 0,
            strange: 0,
            failure: None,
        }
    }

    /// A datagram has come.
    pub fn came(&mut self, now: Instant, datagram: &[u8]) {
        self.datagrams += 1;
        if begins_packets(datagram) {
            return self.bare(datagram);
        }
        match (Packet::parse(datagram), self.form) {
            (Some(packet), form) if is_transport_stream(packet, form) => {
                self.form = Form::Rtp(packet.payload_type);
                self.order.push(now, packet, &mut self.ready);
            }
            // Senders that cut the stream anywhere.
            (Some(_) | None, Form::Bare) => self.bare(datagram),
            (Some(_) | None, Form::Unknown | Form::Rtp(_)) if holds_packets(datagram) => self.bare(datagram),
            (packet, Form::Unknown | Form::Rtp(_)) => self.strange(packet, datagram),
        }
    }

    fn bare(&mut self, datagram: &[u8]) {
        // What was RTP before is another sender's.
        self.order.flush(&mut self.ready);
        self.form = Form::Bare;
        self.ready.extend_from_slice(datagram);
    }

    /// Nothing can be made of a datagram. Beside those of a stream such are left out: they repair it, or test the network.
    fn strange(&mut self, packet: Option<Packet<'_>>, datagram: &[u8]) {
        self.strange += 1;
        if self.form == Form::Unknown && self.strange == STRANGE_MAX {
            let text = match packet {
                Some(Packet { payload_type, payload, .. }) => format!(
                    "RTP of payload type {payload_type} holds no MPEG-TS: its payload begins with {}",
                    quoted(payload)
                ),
                None => {
                    format!("the datagrams are neither MPEG-TS nor RTP: they begin with {}", quoted(datagram))
                }
            };
            self.failure = Some(SourceError::new(Kind::NotTransportStream(Body::Unknown), &text));
        }
    }

    /// So many datagrams have been dropped so far.
    pub const fn have_dropped(&mut self, count: u64) {
        self.dropped = count;
    }

    /// Why nothing can be made of what comes.
    #[must_use]
    pub const fn failure(&self) -> Option<&SourceError> {
        self.failure.as_ref()
    }

    /// True when bytes of the stream wait to be taken.
    #[must_use]
    pub const fn has_bytes(&self) -> bool {
        self.taken < self.ready.len()
    }

    /// Copies bytes of the stream to where it goes.
    pub fn take(&mut self, into: &mut [u8]) -> usize {
        let left = &self.ready[self.taken..];
        let count = left.len().min(into.len());
        into[..count].copy_from_slice(&left[..count]);
        self.taken += count;
        if !self.has_bytes() {
            self.ready.clear();
            self.taken = 0;
        }
        count
    }

    /// When [`Receiver::expire`] is to be called.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.order.next_deadline()
    }

    /// Time passed.
    pub fn expire(&mut self, now: Instant) {
        self.order.expire(now, &mut self.ready);
    }

    /// What has come so far.
    #[must_use]
    pub const fn counters(&self) -> DatagramCounters {
        let Outcome { lost, reordered, late, duplicate, restarts } = self.order.outcome();
        let (datagrams, dropped, strange) = (self.datagrams, self.dropped, self.strange);
        DatagramCounters { datagrams, dropped, lost, reordered, late, duplicate, restarts, strange }
    }
}

/// True when bytes look like whole packets from their beginning.
fn begins_packets(bytes: &[u8]) -> bool {
    bytes.first() == Some(&SYNC_BYTE) && bytes.get(PACKET_BYTES).is_none_or(|byte| *byte == SYNC_BYTE)
}

/// True when packets lie in the bytes, wherever they begin.
fn holds_packets(bytes: &[u8]) -> bool {
    let last = bytes.len().saturating_sub(2 * PACKET_BYTES).min(PACKET_BYTES);
    (0..last).any(|from| bytes[from..].iter().step_by(PACKET_BYTES).all(|byte| *byte == SYNC_BYTE))
}

/// True when RTP carries a transport stream: its type says so, or has before, or one begins in it.
fn is_transport_stream(packet: Packet<'_>, form: Form) -> bool {
    packet.payload_type == TRANSPORT_STREAM
        || form == Form::Rtp(packet.payload_type)
        || begins_packets(packet.payload)
}

/// The first bytes, as numbers.
fn quoted(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes.iter().take(QUOTED_BYTES) {
        let space = if text.is_empty() { "" } else { " " };
        write!(text, "{space}{byte:02x}").expect("a text takes what is written");
    }
    if text.is_empty() { "nothing".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packets(count: u8) -> Vec<u8> {
        (0..count)
            .flat_map(|number| {
                let mut packet = vec![number; PACKET_BYTES];
                packet[0] = SYNC_BYTE;
                packet
            })
            .collect()
    }

    fn rtp(payload_type: u8, sequence: u16, payload: &[u8]) -> Vec<u8> {
        let [high, low] = sequence.to_be_bytes();
        [&[0x80, payload_type, high, low, 0, 0, 0, 0, 0, 0, 0, 9], payload].concat()
    }

    fn taken(receiver: &mut Receiver) -> Vec<u8> {
        let mut all = Vec::new();
        let mut memory = [0; 1000];
        while receiver.has_bytes() {
            let count = receiver.take(&mut memory);
            all.extend_from_slice(&memory[..count]);
        }
        all
    }

    fn received(datagrams: &[Vec<u8>]) -> (Vec<u8>, DatagramCounters) {
        let mut receiver = Receiver::new();
        for datagram in datagrams {
            receiver.came(Instant::START, datagram);
        }
        (taken(&mut receiver), receiver.counters())
    }

    #[test]
    fn datagrams_show_themselves_what_they_are() {
        let stream = packets(21);
        let (whole, rest) = stream.split_at(7 * PACKET_BYTES);
        let parts = [whole, &rest[..7 * PACKET_BYTES], &rest[7 * PACKET_BYTES..]];
        let in_rtp = |kind: u8| (0..).zip(parts).map(|(number, part)| rtp(kind, number, part)).collect();
        let cut = |bytes: usize| stream.chunks(bytes).map(<[u8]>::to_vec).collect::<Vec<_>>();
        let shapes: [(&str, Vec<Vec<u8>>); 10] = [
            ("bare", parts.map(<[u8]>::to_vec).to_vec()),
            ("one packet each", cut(PACKET_BYTES)),
            ("all at once", vec![stream.clone()]),
            ("cut anywhere", cut(1472)),
            ("cut anywhere, and small", cut(700)),
            ("RTP", in_rtp(33)),
            ("RTP of a type that is agreed upon elsewhere", in_rtp(96)),
            ("RTP of the type of sound", in_rtp(14)),
            ("RTP, then bare", vec![rtp(33, 1, whole), rest.to_vec()]),
            ("bare, then RTP", vec![whole.to_vec(), rtp(33, 1, rest)]),
        ];
        for (name, datagrams) in shapes {
            let (bytes, counters) = received(&datagrams);
            assert!(bytes == stream, "{name}: {} bytes", bytes.len());
            let expected =
                DatagramCounters { datagrams: datagrams.len() as u64, ..DatagramCounters::default() };
            assert_eq!(counters, expected, "{name}");
        }
    }

    #[test]
    fn what_is_no_part_of_the_stream_is_left_out() {
        let stream = packets(14);
        let (first, second) = stream.split_at(7 * PACKET_BYTES);
        let repair = rtp(97, 2, &[0x7C; 1300]);
        let datagrams = [rtp(33, 1, first), repair, b"hello".to_vec(), vec![], rtp(33, 2, second)];
        let (bytes, counters) = received(&datagrams);
        assert!(bytes == stream);
        assert_eq!(counters, DatagramCounters { datagrams: 5, strange: 3, ..DatagramCounters::default() });
    }

    #[test]
    fn what_cannot_be_read_says_what_it_is() {
        for (datagram, text) in [
            (
                rtp(96, 1, b"\x7C\x85\x01\x02\x03"),
                "RTP of payload type 96 holds no MPEG-TS: its payload begins with 7c 85 01 02",
            ),
            (rtp(0, 1, b"\xFF"), "RTP of payload type 0 holds no MPEG-TS: its payload begins with ff"),
            (rtp(111, 1, b""), "RTP of payload type 111 holds no MPEG-TS: its payload begins with nothing"),
            (
                b"\x16\x03\x01\x02\0\x01".to_vec(),
                "the datagrams are neither MPEG-TS nor RTP: they begin with 16 03 01 02",
            ),
        ] {
            let mut receiver = Receiver::new();
            for _ in 1..STRANGE_MAX {
                receiver.came(Instant::START, &datagram);
                assert_eq!(receiver.failure(), None);
            }
            receiver.came(Instant::START, &datagram);
            let failure = receiver.failure().unwrap();
            assert_eq!(failure.kind(), Kind::NotTransportStream(Body::Unknown));
            assert_eq!(failure.to_string(), text);
        }
    }

    #[test]
    fn what_waits_for_a_packet_is_given_when_time_has_passed() {
        let stream = packets(14);
        let (first, second) = stream.split_at(7 * PACKET_BYTES);
        let mut receiver = Receiver::new();
        receiver.came(Instant::START, &rtp(33, 0, b""));
        let later = Instant::from_millis(1000);
        receiver.came(later, &rtp(33, 1, first));
        receiver.came(later, &rtp(33, 3, second));
        assert!(taken(&mut receiver) == first);
        let deadline = receiver.next_deadline().unwrap();
        assert_eq!(deadline, Instant::from_millis(1200));
        receiver.expire(deadline);
        assert!(taken(&mut receiver) == second);
        assert_eq!((receiver.counters().lost, receiver.next_deadline()), (1, None));
    }
}
