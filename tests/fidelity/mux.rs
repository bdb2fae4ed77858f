//! A multiplexer for streams that are right and unusual: sizes of PES packets, rates and places of the clock, tables.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::stream::Lane;
use crate::tsedit::{null_packet, set_counter, set_pcr};
use crate::tsview::{PACKET_BYTES, PTS_WRAP, Packet, SYNC_BYTE, View, ahead};

const PTS_HZ: u64 = 90_000;
const TICKS_PER_MS: u64 = 90;
/// A clock rides on a packet of its PID, or alone when none comes for so long.
const CLOCK_WAITS: u64 = 10 * TICKS_PER_MS;
const PACKET_BITS: u64 = 188 * 8;

/// A PES packet or section that is to be sent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Piece {
    /// When it is sent, in ticks of 90 kHz from the beginning: its time of decoding, before the lead.
    pub(crate) at: u64,
    pub(crate) pts: Option<u64>,
    pub(crate) dts: Option<u64>,
    pub(crate) is_key: bool,
    pub(crate) body: Vec<u8>,
    /// Over how much time its packets are spread.
    pub(crate) spread: u64,
    /// Its stream id, where that is not its stream's.
    pub(crate) id: Option<u8>,
    /// It does not say how long it is.
    pub(crate) is_endless: bool,
    /// Bytes that fill up its head.
    pub(crate) stuffing: u8,
}

/// A stream.
#[derive(Clone, Debug)]
pub(crate) struct Track {
    pub(crate) pid: u16,
    /// The stream type.
    pub(crate) number: u8,
    pub(crate) descriptors: Vec<u8>,
    /// The stream id of its PES packets; none when it consists of sections.
    pub(crate) id: Option<u8>,
    pub(crate) pieces: Vec<Piece>,
}

impl Track {
    /// A stream of another transport stream, with times from `zero` on.
    pub(crate) fn of(lane: &Lane, packets: &[Packet], descriptors: &[u8], zero: u64) -> Track {
        let since = |stamp: u64| {
            u64::try_from(ahead(zero, stamp, PTS_WRAP)).expect("nothing is before the beginning")
        };
        let has_entry = |packet: &Packet| packet[3] & 0x20 != 0 && packet[4] > 0 && packet[5] & 0x40 != 0;
        let pieces = lane.units.iter().map(|unit| Piece {
            at: since(unit.decoded_at().expect("what ffmpeg makes has times")),
            pts: unit.pts.map(since),
            dts: unit.dts.map(since),
            is_key: has_entry(&packets[unit.packet]),
            body: unit.body.clone(),
            ..Piece::default()
        });
        Track {
            pid: lane.pid,
            number: lane.number,
            descriptors: descriptors.to_vec(),
            id: lane.units.first().map(|unit| unit.head[3]),
            pieces: pieces.collect(),
        }
    }

    /// Puts pieces together until each lasts so long, in ms, and sends each over `spread` ms.
    pub(crate) fn joined(mut self, length_ms: u64, spread_ms: u64) -> Track {
        let mut joined: Vec<Piece> = Vec::new();
        for piece in self.pieces {
            match joined.last_mut().filter(|last| piece.at < last.at + length_ms * TICKS_PER_MS) {
                Some(last) => last.body.extend_from_slice(&piece.body),
                None => joined.push(Piece { spread: spread_ms * TICKS_PER_MS, ..piece }),
            }
        }
        self.pieces = joined;
        self
    }

    /// Cuts each piece into PES packets of about so many bytes, of which the first has the times.
    pub(crate) fn cut(mut self, bytes: usize) -> Track {
        let mut cut = Vec::new();
        for piece in self.pieces {
            for (index, part) in piece.body.chunks(bytes).enumerate() {
                let body = part.to_vec();
                cut.push(if index == 0 {
                    Piece { body, ..piece.clone() }
                } else {
                    Piece { at: piece.at, body, ..Piece::default() }
                });
            }
        }
        self.pieces = cut;
        self
    }

    /// Leaves what is decoded before `ms`.
    pub(crate) fn until(mut self, ms: u64) -> Track {
        self.pieces.retain(|piece| piece.at < ms * TICKS_PER_MS);
        self
    }
}

/// Where the clock stands in the stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Clock {
    /// On packets of the first stream, so often.
    Every(Duration),
    /// The same, and never where a PES packet begins.
    Inside(Duration),
    /// On the first packets of key pictures, and nowhere else.
    AtKeys,
    /// On a PID of its own.
    Alone(u16, Duration),
}

/// How it is put together.
#[derive(Clone, Debug)]
pub(crate) struct Params {
    /// Bits per second, filled up with null packets; none when nothing is filled up.
    pub(crate) rate: Option<u64>,
    /// How much later than its sending a unit is decoded, in ms.
    pub(crate) lead_ms: u64,
    pub(crate) clock: Clock,
    /// The first PCR, in ticks of 90 kHz.
    pub(crate) base: u64,
    pub(crate) programme: u16,
    pub(crate) pmt_pid: u16,
    pub(crate) tables_every_ms: u64,
    /// The programme's.
    pub(crate) descriptors: Vec<u8>,
    /// The counter jumps at every so-manieth unit of each stream.
    pub(crate) jump_every: Option<usize>,
}

impl Default for Params {
    fn default() -> Params {
        Params {
            rate: None,
            lead_ms: 700,
            clock: Clock::Every(Duration::from_millis(30)),
            base: 10 * PTS_HZ,
            programme: 1,
            pmt_pid: 0x1000,
            tables_every_ms: 100,
            descriptors: Vec::new(),
            jump_every: None,
        }
    }
}

/// A stream's next packet.
struct Cursor {
    piece: usize,
    /// The PES packet or section with its head, and how much of it was sent.
    bytes: Vec<u8>,
    sent: usize,
    counter: u8,
}

/// Puts tracks together.
pub(crate) struct Mux<'a> {
    params: &'a Params,
    tracks: &'a [Track],
    cursors: Vec<Cursor>,
    out: Vec<u8>,
    /// Of PAT and PMT.
    table_counters: [u8; 2],
    clock_counter: u8,
}

/// Puts tracks together into one transport stream.
pub(crate) fn mux(tracks: &[Track], params: &Params) -> Vec<u8> {
    let cursors =
        tracks.iter().map(|_| Cursor { piece: 0, bytes: Vec::new(), sent: 0, counter: 0 }).collect();
    let mut mux = Mux { params, tracks, cursors, out: Vec::new(), table_counters: [0; 2], clock_counter: 0 };
    mux.run();
    mux.out
}

impl Mux<'_> {
    fn run(&mut self) {
        let (mut now, mut slots) = (0, 0_u64);
        let (mut tables_at, mut clock_at) = (0, 0);
        while let Some((track, due)) = self.next() {
            now = match self.params.rate {
                Some(rate) => slots * PACKET_BITS * PTS_HZ / rate,
                None => due.max(now),
            };
            slots += 1;
            if now >= tables_at {
                tables_at = now + self.params.tables_every_ms * TICKS_PER_MS;
                let tables = self.tables();
                self.out.extend_from_slice(&tables);
                slots += 1;
                continue;
            }
            if self.clock_is_due(now, clock_at, track) {
                clock_at = now + self.clock_every();
                self.clock_alone(now);
                continue;
            }
            if due > now {
                self.out.extend_from_slice(&null_packet());
                continue;
            }
            let with_clock = self.takes_clock(track, now >= clock_at);
            if with_clock {
                clock_at = now + self.clock_every();
            }
            self.packet(track, with_clock.then_some(now));
        }
    }

    fn clock_every(&self) -> u64 {
        match self.params.clock {
            Clock::Every(time) | Clock::Inside(time) | Clock::Alone(_, time) => {
                u64::try_from(time.as_millis()).unwrap() * TICKS_PER_MS
            }
            Clock::AtKeys => 0,
        }
    }

    fn clock_is_due(&self, now: u64, clock_at: u64, track: usize) -> bool {
        match self.params.clock {
            Clock::Every(_) => track != 0 && now >= clock_at + CLOCK_WAITS,
            Clock::Alone(..) => now >= clock_at,
            Clock::Inside(_) | Clock::AtKeys => false,
        }
    }

    fn takes_clock(&self, track: usize, is_due: bool) -> bool {
        let cursor = &self.cursors[track];
        match self.params.clock {
            Clock::Every(_) => track == 0 && is_due,
            Clock::Inside(_) => track == 0 && is_due && cursor.sent > 0,
            Clock::AtKeys => track == 0 && cursor.sent == 0 && self.tracks[0].pieces[cursor.piece].is_key,
            Clock::Alone(..) => false,
        }
    }

    /// The stream whose packet is due next, and when.
    fn next(&self) -> Option<(usize, u64)> {
        let due = |(track, cursor): (usize, &Cursor)| {
            let piece = self.tracks[track].pieces.get(cursor.piece)?;
            let length = cursor.bytes.len().max(1) as u64;
            Some((piece.at + piece.spread * cursor.sent as u64 / length, track))
        };
        let (due, track) = self.cursors.iter().enumerate().filter_map(due).min()?;
        Some((track, due))
    }

    fn packet(&mut self, track: usize, clock: Option<u64>) {
        let of = &self.tracks[track];
        let piece = &of.pieces[self.cursors[track].piece];
        let starts = self.cursors[track].sent == 0;
        if starts {
            self.cursors[track].bytes = self.written(of, piece);
            let jumps = self
                .params
                .jump_every
                .is_some_and(|every| (self.cursors[track].piece + 1).is_multiple_of(every));
            self.cursors[track].counter += if jumps { 5 } else { 0 };
        }
        let mut field = Vec::new();
        if clock.is_some() || (starts && piece.is_key) {
            field.push(u8::from(starts && piece.is_key) << 6 | u8::from(clock.is_some()) << 4);
        }
        if let Some(now) = clock {
            field.extend_from_slice(&self.clock_bytes(now));
        }
        let is_section = of.id.is_none();
        let cursor = &mut self.cursors[track];
        let left = cursor.bytes.len() - cursor.sent;
        let head = if field.is_empty() { 4 } else { 5 + field.len() };
        let room = PACKET_BYTES - head;
        let mut packet = [0xFF; PACKET_BYTES];
        if left < room && !is_section {
            // Stuffing in front of the last bytes.
            let length = PACKET_BYTES - 5 - left;
            if field.is_empty() && length > 0 {
                field.push(0);
            }
            field.resize(length, 0xFF);
            packet[4] = u8::try_from(length).unwrap();
            packet[5..5 + length].copy_from_slice(&field);
            packet[3] = 0x30;
        } else if !field.is_empty() {
            packet[4] = u8::try_from(field.len()).unwrap();
            packet[5..5 + field.len()].copy_from_slice(&field);
            packet[3] = 0x30;
        } else {
            packet[3] = 0x10;
        }
        let count = left.min(room);
        let at = if left < room && !is_section { PACKET_BYTES - count } else { head };
        packet[at..at + count].copy_from_slice(&cursor.bytes[cursor.sent..cursor.sent + count]);
        let [high, low] = of.pid.to_be_bytes();
        packet[..3].copy_from_slice(&[SYNC_BYTE, u8::from(starts) << 6 | high, low]);
        set_counter(&mut packet, cursor.counter);
        cursor.counter = (cursor.counter + 1) & 0x0F;
        cursor.sent += count;
        if cursor.sent == cursor.bytes.len() {
            cursor.piece += 1;
            cursor.sent = 0;
            cursor.bytes.clear();
        }
        self.out.extend_from_slice(&packet);
    }

    /// A PES packet or a section as it is sent.
    fn written(&self, track: &Track, piece: &Piece) -> Vec<u8> {
        let Some(id) = track.id else {
            // Behind the pointer.
            return [&[0][..], &piece.body].concat();
        };
        let mut times = Vec::new();
        let moved = |at: u64| (self.params.base + self.params.lead_ms * TICKS_PER_MS + at) % PTS_WRAP;
        if let Some(pts) = piece.pts {
            times.extend_from_slice(&stamp(if piece.dts.is_some() { 3 } else { 2 }, moved(pts)));
        }
        if let Some(dts) = piece.dts {
            times.extend_from_slice(&stamp(1, moved(dts)));
        }
        let flags = u8::from(piece.pts.is_some()) << 7 | u8::from(piece.dts.is_some()) << 6;
        times.resize(times.len() + usize::from(piece.stuffing), 0xFF);
        let id = piece.id.unwrap_or(id);
        let head = [0x80, flags, u8::try_from(times.len()).unwrap()];
        // Padding has neither flags nor times.
        let head = if id == 0xBE { &[][..] } else { &head };
        let length = head.len() + times.len() + piece.body.len();
        // Pictures may be longer than a length can say.
        let is_video = (0xE0..=0xEF).contains(&id);
        let length = if is_video || piece.is_endless {
            0
        } else {
            u16::try_from(length).expect("a PES packet of sound is short enough")
        };
        let mut bytes = vec![0, 0, 1, id];
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(head);
        bytes.extend_from_slice(&times);
        bytes.extend_from_slice(&piece.body);
        bytes
    }

    fn clock_bytes(&self, now: u64) -> [u8; 6] {
        let mut packet = null_packet();
        packet[3] = 0x20;
        packet[4] = 183;
        packet[5] = 0x10;
        set_pcr(&mut packet, (self.params.base + now) % PTS_WRAP * 300);
        *packet[6..].first_chunk().unwrap()
    }

    fn clock_alone(&mut self, now: u64) {
        let (pid, counter) = match self.params.clock {
            Clock::Alone(pid, _) => (pid, self.clock_counter),
            Clock::Every(_) | Clock::Inside(_) | Clock::AtKeys => {
                (self.tracks[0].pid, self.cursors[0].counter.wrapping_sub(1))
            }
        };
        let [high, low] = pid.to_be_bytes();
        let mut packet = [0xFF; PACKET_BYTES];
        packet[..6].copy_from_slice(&[SYNC_BYTE, high, low, 0x20, 183, 0x10]);
        packet[6..12].copy_from_slice(&self.clock_bytes(now));
        set_counter(&mut packet, counter);
        self.out.extend_from_slice(&packet);
    }

    /// PAT and PMT.
    fn tables(&mut self) -> Vec<u8> {
        let Params { programme, pmt_pid, clock, ref descriptors, .. } = *self.params;
        let pat = [&[0xC1, 0, 0][..], &programme.to_be_bytes(), &(0xE000 | pmt_pid).to_be_bytes()].concat();
        let pcr_pid = if let Clock::Alone(pid, _) = clock { pid } else { self.tracks[0].pid };
        let mut pmt =
            [&[0xC1, 0, 0][..], &(0xE000 | pcr_pid).to_be_bytes(), &length_of(descriptors), descriptors]
                .concat();
        for track in self.tracks {
            pmt.push(track.number);
            pmt.extend_from_slice(&(0xE000 | track.pid).to_be_bytes());
            pmt.extend_from_slice(&length_of(&track.descriptors));
            pmt.extend_from_slice(&track.descriptors);
        }
        let tables = [(0, section(0, 1, &pat)), (pmt_pid, section(2, programme, &pmt))];
        let mut packets = Vec::new();
        for ((pid, section), counter) in tables.iter().zip(&mut self.table_counters) {
            packets.extend(in_packets(*pid, counter, section));
        }
        packets.concat()
    }
}

fn length_of(descriptors: &[u8]) -> [u8; 2] {
    (0xF000 | u16::try_from(descriptors.len()).unwrap()).to_be_bytes()
}

fn in_packets(pid: u16, counter: &mut u8, section: &[u8]) -> Vec<Packet> {
    let [high, low] = pid.to_be_bytes();
    let bytes = [&[0][..], section].concat();
    let mut packets = Vec::new();
    for part in bytes.chunks(PACKET_BYTES - 4) {
        let mut packet = [0xFF; PACKET_BYTES];
        let begins = u8::from(packets.is_empty()) << 6;
        packet[..4].copy_from_slice(&[SYNC_BYTE, begins | high, low, 0x10 | *counter]);
        packet[4..4 + part.len()].copy_from_slice(part);
        *counter = (*counter + 1) & 0x0F;
        packets.push(packet);
    }
    packets
}

/// A section: header, body from the version on, and CRC.
pub(crate) fn section(table: u8, extension: u16, body: &[u8]) -> Vec<u8> {
    let length = 0xB000 | u16::try_from(2 + body.len() + 4).unwrap();
    let mut section = [&[table][..], &length.to_be_bytes(), &extension.to_be_bytes(), body].concat();
    let crc = crc::Crc::<u32>::new(&crc::CRC_32_MPEG_2).checksum(&section);
    section.extend_from_slice(&crc.to_be_bytes());
    section
}

fn stamp(prefix: u8, value: u64) -> [u8; 5] {
    let low = |value: u64| value.to_le_bytes()[0];
    [
        (prefix << 4) | (low(value >> 29) & 0x0E) | 1,
        low(value >> 22),
        low(value >> 14) | 1,
        low(value >> 7),
        low(value << 1) | 1,
    ]
}

/// Counts all packets anew, so that what was put together has no break.
pub(crate) fn recount(bytes: &mut [u8]) {
    let mut counters: BTreeMap<u16, u8> = BTreeMap::new();
    for packet in bytes.as_chunks_mut::<PACKET_BYTES>().0 {
        let (pid, has_payload) = (View(packet).pid(), View(packet).has_payload());
        let counter = counters.entry(pid).or_insert(15);
        *counter = (*counter + u8::from(has_payload)) & 0x0F;
        set_counter(packet, *counter);
    }
}

/// Two streams packet by packet beside each other, as far as both go.
pub(crate) fn side_by_side(first: &[u8], second: &[u8]) -> Vec<u8> {
    let (first, second) = (first.as_chunks::<PACKET_BYTES>().0, second.as_chunks::<PACKET_BYTES>().0);
    first.iter().zip(second).flat_map(|(a, b)| [*a, *b]).flatten().collect()
}

/// Packets of 204 bytes, of which the last 16 are parity.
pub(crate) fn with_parity(bytes: &[u8]) -> Vec<u8> {
    bytes
        .as_chunks::<PACKET_BYTES>()
        .0
        .iter()
        .flat_map(|packet| [&packet[..], &[0xAA; 16]].concat())
        .collect()
}

/// Packets of 192 bytes, of which the first four are a time.
pub(crate) fn with_times(bytes: &[u8]) -> Vec<u8> {
    let packets = bytes.as_chunks::<PACKET_BYTES>().0.iter().zip(0_u32..);
    packets.flat_map(|(packet, n)| [&((n * 1000) & 0x3FFF_FFFF).to_be_bytes()[..], packet].concat()).collect()
}
