//! RTP packets in the order in which they were sent.
//!
//! A packet that is missing is waited for as long as [`WINDOW`] and the bounds on what is held behind it allow; then it is lost, and
//! comes too late if it comes at all.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::Instant;

use super::rtp::Packet;

/// How long a missing packet is waited for.
pub(super) const WINDOW: Duration = Duration::from_millis(200);
/// What is held behind missing packets; when there is more, these are given up: 200 ms at 50 Mbit/s, and of the largest
/// datagrams as many as fit.
const HELD_PACKETS_MAX: usize = 1024;
const HELD_BYTES_MAX: usize = 2 * 1024 * 1024;
/// A number further ahead is that of a sender who has begun anew (RFC 3550, appendix A.1).
const AHEAD_MAX: i16 = 3_000;
/// And a number that is further behind. So many are remembered, to tell what comes twice from what comes late.
const BEHIND_MAX: i16 = 1_024;
const REMEMBERED_WORDS: usize = BEHIND_MAX.unsigned_abs() as usize / 64;

/// What became of packets.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Outcome {
    /// Never came, or too late.
    pub(super) lost: u64,
    /// Came behind a later one, in time.
    pub(super) reordered: u64,
    /// Came when they had been given up.
    pub(super) late: u64,
    /// Came again.
    pub(super) duplicate: u64,
    /// A sender has taken another's place, or has begun to count anew.
    pub(super) restarts: u64,
}

/// Puts packets in order.
#[derive(Default)]
pub(super) struct Order {
    line: Option<Line>,
    /// The last packet that does not belong to the line. If the next one follows it, the line is that one's.
    stray: Option<Stray>,
    outcome: Outcome,
}

/// The packets of one sender.
struct Line {
    ssrc: u32,
    /// The number of the first packet, and when it came. What is missing before it, and within a window behind it, nobody has
    /// lost: it may have been sent before anybody listened, since what the network had kept back may come first.
    first: u64,
    began: Instant,
    /// The number of the packet that is next, without its wraps.
    next: u64,
    /// The highest number that has come.
    highest: u64,
    held: BTreeMap<u64, HeldDatagram>,
    held_bytes: usize,
    /// When the first of what is held came.
    since: Option<Instant>,
    /// Which of the packets before `next` have been given out, by their numbers' lowest bits.
    given: [u64; REMEMBERED_WORDS],
}

struct HeldDatagram {
    at: Instant,
    payload: Vec<u8>,
}

struct Stray {
    ssrc: u32,
    sequence: u16,
    payload: Vec<u8>,
}

impl Order {
    /// A packet has come; what is in order now goes to the end of `out`.
    pub(super) fn push(&mut self, now: Instant, packet: Packet<'_>, out: &mut Vec<u8>) {
        let Some(line) = &mut self.line else {
            self.line = Some(Line::begun_with(now, packet, out));
            return;
        };
        let ahead = packet.sequence.wrapping_sub(low(line.next)).cast_signed();
        let is_near = (-BEHIND_MAX..AHEAD_MAX).contains(&ahead);
        if packet.ssrc != line.ssrc || !is_near {
            return self.strayed(now, packet, out);
        }
        self.stray = None;
        let number = line.next.wrapping_add_signed(i64::from(ahead));
        match ahead {
            ..0 if number < line.first => {}
            ..0 if line.was_given(number) => self.outcome.duplicate += 1,
            ..0 => self.outcome.late += 1,
            _ if line.held.contains_key(&number) => self.outcome.duplicate += 1,
            _ => {
                self.outcome.reordered += u64::from(number < line.highest);
                line.highest = line.highest.max(number);
                line.take(now, number, packet.payload, out);
                self.outcome.lost += line.keep_bounds(out);
            }
        }
    }

    /// A packet that is not of the line: one such may be a mistake of the network, and two in a row are a sender.
    fn strayed(&mut self, now: Instant, packet: Packet<'_>, out: &mut Vec<u8>) {
        let before = self.stray.take();
        let follows = before.filter(|before| {
            before.ssrc == packet.ssrc && before.sequence.wrapping_add(1) == packet.sequence
        });
        let Some(before) = follows else {
            let Packet { ssrc, sequence, payload, .. } = packet;
            self.stray = Some(Stray { ssrc, sequence, payload: payload.to_vec() });
            return;
        };
        self.flush(out);
        self.outcome.restarts += 1;
        out.extend_from_slice(&before.payload);
        self.line = Some(Line::begun_with(now, packet, out));
    }

    /// Nothing is waited for any more.
    pub(super) fn flush(&mut self, out: &mut Vec<u8>) {
        if let Some(line) = &mut self.line {
            while !line.held.is_empty() {
                self.outcome.lost += line.give_up(out);
            }
        }
    }

    /// When [`Order::expire`] is to be called.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.line.as_ref()?.since.map(|since| since + WINDOW)
    }

    /// Time has passed: what has been missing for too long is lost.
    pub(super) fn expire(&mut self, now: Instant, out: &mut Vec<u8>) {
        while self.next_deadline().is_some_and(|deadline| deadline <= now) {
            let Some(line) = &mut self.line else { return };
            self.outcome.lost += line.give_up(out);
        }
    }

    pub(super) const fn outcome(&self) -> Outcome {
        self.outcome
    }
}

impl Line {
    fn begun_with(now: Instant, packet: Packet<'_>, out: &mut Vec<u8>) -> Self {
        // Numbers before the first are numbers, too.
        let number = (1 << 32) + u64::from(packet.sequence);
        let mut line = Self {
            ssrc: packet.ssrc,
            first: number,
            began: now,
            next: number,
            highest: number,
            held: BTreeMap::new(),
            held_bytes: 0,
            since: None,
            given: [0; REMEMBERED_WORDS],
        };
        line.give(packet.payload, out);
        line
    }

    fn take(&mut self, now: Instant, number: u64, payload: &[u8], out: &mut Vec<u8>) {
        if number == self.next {
            self.give(payload, out);
            self.give_held(out);
        } else {
            self.held_bytes += payload.len();
            self.held.insert(number, HeldDatagram { at: now, payload: payload.to_vec() });
            self.since.get_or_insert(now);
        }
    }

    /// Gives what is next.
    fn give(&mut self, payload: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(payload);
        self.pass(true);
    }

    fn pass(&mut self, given: bool) {
        let (word, bit) = place(self.next);
        self.given[word] = if given { self.given[word] | bit } else { self.given[word] & !bit };
        self.next += 1;
    }

    fn was_given(&self, number: u64) -> bool {
        let (word, bit) = place(number);
        self.given[word] & bit != 0
    }

    /// Gives what is held and next.
    fn give_held(&mut self, out: &mut Vec<u8>) {
        if self.held.is_empty() {
            return;
        }
        while let Some(first) = self.held.first_entry().filter(|first| *first.key() == self.next) {
            let held = first.remove();
            self.held_bytes -= held.payload.len();
            self.give(&held.payload, out);
        }
        self.since = self.held.values().map(|held| held.at).min();
    }

    /// Does without what is missing before the first that is held; gives how many packets that is.
    fn give_up(&mut self, out: &mut Vec<u8>) -> u64 {
        let Some((&first, _)) = self.held.first_key_value() else { return 0 };
        let is_beginning = self.since.is_some_and(|since| since - self.began <= WINDOW);
        let lost = if is_beginning { 0 } else { first - self.next };
        while self.next < first {
            self.pass(false);
        }
        self.give_held(out);
        lost
    }

    fn keep_bounds(&mut self, out: &mut Vec<u8>) -> u64 {
        let mut lost = 0;
        while self.held.len() > HELD_PACKETS_MAX || self.held_bytes > HELD_BYTES_MAX {
            lost += self.give_up(out);
        }
        lost
    }
}

/// The lowest 16 bits, as packets show them.
fn low(number: u64) -> u16 {
    let [.., high, low] = number.to_be_bytes();
    u16::from_be_bytes([high, low])
}

fn place(number: u64) -> (usize, u64) {
    let index = usize::from(low(number)) % (REMEMBERED_WORDS * 64);
    (index / 64, 1 << (index % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Outcome = Outcome { lost: 0, reordered: 0, late: 0, duplicate: 0, restarts: 0 };

    /// Whoever sends it, its number, and when it comes.
    fn packet(ssrc: u32, sequence: u16, payload: &[u8]) -> Packet<'_> {
        Packet { payload_type: 33, sequence, ssrc, payload }
    }

    /// Has packets of one sender come, a millisecond after another, and gives what came of them by the end of time. A payload is
    /// its packet's number.
    fn sent(sequences: &[u16]) -> (Vec<u16>, Outcome) {
        let mut order = Order::default();
        let mut out = Vec::new();
        let mut now = Instant::START;
        for (index, &sequence) in sequences.iter().enumerate() {
            // What is missing at the beginning is not lost.
            now += Duration::from_millis(if index == 1 { 1000 } else { 1 });
            order.expire(now, &mut out);
            order.push(now, packet(7, sequence, &sequence.to_be_bytes()), &mut out);
        }
        while let Some(deadline) = order.next_deadline() {
            order.expire(deadline, &mut out);
        }
        (numbers(&out), order.outcome())
    }

    fn numbers(out: &[u8]) -> Vec<u16> {
        out.as_chunks::<2>().0.iter().map(|bytes| u16::from_be_bytes(*bytes)).collect()
    }

    #[test]
    fn packets_come_out_in_the_order_in_which_they_were_sent() {
        for (name, sequences, expected, outcome) in [
            ("in order", vec![5, 6, 7], vec![5, 6, 7], NONE),
            ("over the wrap", vec![65_534, 65_535, 0, 1], vec![65_534, 65_535, 0, 1], NONE),
            ("two exchanged", vec![5, 7, 6, 8], vec![5, 6, 7, 8], Outcome { reordered: 1, ..NONE }),
            (
                "exchanged over the wrap",
                vec![65_534, 0, 65_535, 1],
                vec![65_534, 65_535, 0, 1],
                Outcome { reordered: 1, ..NONE },
            ),
            ("backwards", vec![5, 9, 8, 7, 6, 10], vec![5, 6, 7, 8, 9, 10], Outcome { reordered: 3, ..NONE }),
            ("twice", vec![5, 5, 6, 6, 7], vec![5, 6, 7], Outcome { duplicate: 2, ..NONE }),
            (
                "twice while held",
                vec![5, 7, 7, 6],
                vec![5, 6, 7],
                Outcome { duplicate: 1, reordered: 1, ..NONE },
            ),
            ("one lost", vec![5, 7, 8], vec![5, 7, 8], Outcome { lost: 1, ..NONE }),
            ("two losses", vec![5, 7, 10], vec![5, 7, 10], Outcome { lost: 3, ..NONE }),
            // Nobody knows whether there was one before the first.
            ("the first two exchanged", vec![6, 5, 7], vec![6, 7], NONE),
            (
                "far ahead, and still lost",
                vec![4, 5, 3_004],
                vec![4, 5, 3_004],
                Outcome { lost: 2_998, ..NONE },
            ),
            ("nothing follows what strayed", vec![5, 3_006], vec![5], NONE),
            (
                "begun anew",
                vec![5, 30_000, 30_001, 30_002],
                vec![5, 30_000, 30_001, 30_002],
                Outcome { restarts: 1, ..NONE },
            ),
            (
                "begun anew further back",
                vec![5_000, 3_975, 3_976],
                vec![5_000, 3_975, 3_976],
                Outcome { restarts: 1, ..NONE },
            ),
        ] {
            assert_eq!(sent(&sequences), (expected, outcome), "{name}");
        }
    }

    #[test]
    fn what_is_missing_is_waited_for_as_long_as_the_window_is_and_not_longer() {
        let at = Instant::from_millis;
        for (name, comes_at, expected, outcome) in [
            ("at the last moment", 1199, vec![0, 1, 2, 3, 4], Outcome { reordered: 1, ..NONE }),
            ("too late", 1201, vec![0, 1, 3, 4], Outcome { lost: 1, late: 1, ..NONE }),
        ] {
            let (mut order, mut out) = (Order::default(), Vec::new());
            order.push(at(0), packet(7, 0, &[0, 0]), &mut out);
            order.push(at(1000), packet(7, 1, &[0, 1]), &mut out);
            assert_eq!(order.next_deadline(), None);
            order.push(at(1000), packet(7, 3, &[0, 3]), &mut out);
            order.push(at(1150), packet(7, 4, &[0, 4]), &mut out);
            assert_eq!(order.next_deadline(), Some(at(1200)), "{name}");
            order.expire(at(comes_at), &mut out);
            order.push(at(comes_at), packet(7, 2, &[0, 2]), &mut out);
            assert_eq!(
                (numbers(&out), order.outcome(), order.next_deadline()),
                (expected, outcome, None),
                "{name}"
            );
        }
    }

    #[test]
    fn what_is_missing_at_the_beginning_nobody_has_lost() {
        let at = Instant::from_millis;
        let (mut order, mut out) = (Order::default(), Vec::new());
        for (time, sequence) in [(0, 5_u16), (10, 40), (20, 41), (30, 7), (200, 43), (201, 45)] {
            order.push(at(time), packet(7, sequence, &sequence.to_be_bytes()), &mut out);
        }
        order.push(at(205), packet(7, 4, &[0, 4]), &mut out);
        for deadline in [210, 230, 400] {
            order.expire(at(deadline), &mut out);
        }
        assert_eq!(
            (numbers(&out), order.outcome()),
            (vec![5, 7, 40, 41, 43], Outcome { reordered: 1, ..NONE })
        );
        order.expire(at(401), &mut out);
        assert_eq!(
            (numbers(&out), order.outcome()),
            (vec![5, 7, 40, 41, 43, 45], Outcome { lost: 1, reordered: 1, ..NONE })
        );
    }

    #[test]
    fn a_second_hole_is_waited_for_since_it_was_seen() {
        let at = Instant::from_millis;
        let (mut order, mut out) = (Order::default(), Vec::new());
        order.push(at(0), packet(7, 0, &[0, 0]), &mut out);
        order.push(at(1000), packet(7, 1, &[0, 1]), &mut out);
        order.push(at(1010), packet(7, 3, &[0, 3]), &mut out);
        order.push(at(1100), packet(7, 5, &[0, 5]), &mut out);
        order.expire(at(1210), &mut out);
        assert_eq!((numbers(&out), order.next_deadline()), (vec![0, 1, 3], Some(at(1300))));
        order.expire(at(1299), &mut out);
        assert_eq!(numbers(&out), [0, 1, 3]);
        order.expire(at(1300), &mut out);
        assert_eq!((numbers(&out), order.outcome().lost), (vec![0, 1, 3, 5], 2));
    }

    #[test]
    fn no_more_is_held_than_the_bounds_allow() {
        let at = |sequence: u16| Instant::from_millis(if sequence == 0 { 0 } else { 1000 });
        let (mut order, mut out) = (Order::default(), Vec::new());
        let last = u16::try_from(HELD_PACKETS_MAX + 3).unwrap();
        for sequence in (0..2).chain(3..last) {
            order.push(at(sequence), packet(7, sequence, &sequence.to_be_bytes()), &mut out);
        }
        assert_eq!((numbers(&out), order.outcome().lost), (vec![0, 1], 0));
        order.push(at(last), packet(7, last, &last.to_be_bytes()), &mut out);
        assert_eq!((numbers(&out).len(), order.outcome().lost), (HELD_PACKETS_MAX + 3, 1));

        let (mut order, mut out) = (Order::default(), Vec::new());
        let large = vec![0x47; 60_000];
        for sequence in (0..2).chain(3..38) {
            order.push(at(sequence), packet(7, sequence, &large), &mut out);
        }
        assert_eq!((order.outcome().lost, out.len()), (1, 37 * 60_000), "those of 2 MiB, and the first two");
        assert!(order.line.is_some_and(|line| line.held_bytes <= HELD_BYTES_MAX));
    }

    #[test]
    fn another_sender_takes_over_once_two_of_its_packets_have_come_in_a_row() {
        let (mut order, mut out) = (Order::default(), Vec::new());
        let mut now = Instant::START;
        let mut push = |ssrc, sequence: u16| {
            order.push(now, packet(ssrc, sequence, &sequence.to_be_bytes()), &mut out);
            now += Duration::from_millis(if sequence == 9 { 1000 } else { 1 });
            (numbers(&out), order.outcome().restarts)
        };
        push(7, 9);
        push(7, 10);
        push(7, 12);
        assert_eq!(push(8, 500), (vec![9, 10], 0), "one may be a mistake");
        assert_eq!(push(8, 502), (vec![9, 10], 0), "and two that are not neighbours two mistakes");
        assert_eq!(push(8, 503), (vec![9, 10, 12, 502, 503], 1), "what was held comes first");
        assert_eq!(push(8, 504).0, [9, 10, 12, 502, 503, 504]);
        // Of two that send at once one is followed.
        for step in 0..50 {
            push(7, 13 + step);
            push(8, 505 + step);
        }
        assert_eq!(push(8, 555).1, 1);
        assert_eq!(order.outcome(), Outcome { lost: 1, restarts: 1, ..NONE });
    }

    #[test]
    fn whatever_comes_in_whatever_order_is_given_out_once_and_in_order() {
        for seed in 0..200_u64 {
            let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
            let mut random = |below: u64| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) % below
            };
            let (mut order, mut out) = (Order::default(), Vec::new());
            // Every packet has a time at which it comes, up to 150 ms after that at which it was sent; some never come.
            let mut coming: Vec<(u64, u16)> = Vec::new();
            let first = u16::try_from(random(65_536)).unwrap();
            let mut sent = vec![first];
            coming.push((0, first));
            for step in 1..2_000_u16 {
                let sequence = first.wrapping_add(step);
                let at = u64::from(step) * 2 + 1000;
                if random(100) < 2 {
                    continue;
                }
                sent.push(sequence);
                let delay = if random(10) == 0 { random(150) } else { 0 };
                coming.push((at + 1 + delay, sequence));
                if random(50) == 0 {
                    coming.push((at + 1 + delay + random(30), sequence));
                }
            }
            coming.sort_by_key(|(at, _)| *at);
            for (at, sequence) in coming {
                let now = Instant::from_millis(at);
                order.expire(now, &mut out);
                order.push(now, packet(7, sequence, &sequence.to_be_bytes()), &mut out);
            }
            order.flush(&mut out);
            let outcome = order.outcome();
            assert!(numbers(&out) == sent, "seed {seed}: {outcome:?}");
            assert_eq!((outcome.late, outcome.restarts), (0, 0), "seed {seed}");
            let last = sent.last().unwrap().wrapping_sub(first);
            assert_eq!(outcome.lost, u64::from(last) + 1 - sent.len() as u64, "seed {seed}");
        }
    }
}
