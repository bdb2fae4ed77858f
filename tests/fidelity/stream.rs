//! Takes a transport stream apart: the units (PES packets, sections) of each stream of a programme, in their order, and
//! where the programme's clock stood when each began.

use std::collections::{BTreeMap, BTreeSet};

use crate::tsview::{
    Assembler, NULL_PID, PACKET_BYTES, PCR_WRAP, PTS_WRAP, Packet, SYNC_BYTE, Section, View, ahead,
};

/// A clock that steps further than this, or back, has been set anew.
const RUN_STEP_27M: i64 = 12 * 27_000_000;

/// Packets of 188 bytes, and where each begins in the file.
pub(crate) struct Packets {
    pub(crate) packets: Vec<Packet>,
    pub(crate) begins: Vec<usize>,
    /// Bytes that belong to no packet, other than those between packets of 192 or 204 bytes.
    pub(crate) lost: usize,
}

/// Finds the packets, of 188, 192 or 204 bytes.
pub(crate) fn packets(bytes: &[u8]) -> Packets {
    let size = [PACKET_BYTES, 204, 192].into_iter().max_by_key(|size| in_step(bytes, *size)).unwrap();
    let mut found = Packets { packets: Vec::new(), begins: Vec::new(), lost: 0 };
    let mut at = 0;
    let mut is_in_step = false;
    while let Some(packet) = bytes.get(at..).and_then(|rest| rest.first_chunk::<PACKET_BYTES>()) {
        // One such byte says nothing where others belong to no packet.
        let follow = (0..3).all(|n| bytes.get(at + n * size).is_none_or(|byte| *byte == SYNC_BYTE));
        is_in_step = packet[0] == SYNC_BYTE && (is_in_step || follow);
        if is_in_step {
            found.packets.push(*packet);
            found.begins.push(at);
            at += size;
        } else {
            found.lost += usize::from(size == PACKET_BYTES || !found.packets.is_empty());
            at += 1;
        }
    }
    found
}

/// How many packets of this size follow each other.
fn in_step(bytes: &[u8], size: usize) -> usize {
    (0..bytes.len().saturating_sub(size))
        .filter(|at| bytes[*at] == SYNC_BYTE && bytes[at + size] == SYNC_BYTE)
        .count()
}

/// What a PMT says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct MakeUp {
    pub(crate) pcr_pid: u16,
    pub(crate) descriptors: Vec<u8>,
    pub(crate) streams: Vec<Listed>,
}

/// A stream that a PMT lists.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Listed {
    pub(crate) number: u8,
    pub(crate) pid: u16,
    pub(crate) descriptors: Vec<u8>,
}

impl MakeUp {
    /// The same with other PIDs.
    pub(crate) fn renamed(&self, name: impl Fn(u16) -> u16) -> MakeUp {
        let streams = self.streams.iter().map(|stream| Listed { pid: name(stream.pid), ..stream.clone() });
        MakeUp {
            pcr_pid: name(self.pcr_pid),
            descriptors: self.descriptors.clone(),
            streams: streams.collect(),
        }
    }

    fn read(section: &[u8]) -> Option<MakeUp> {
        let word = |at: usize| Some(u16::from_be_bytes([*section.get(at)?, *section.get(at + 1)?]));
        let pcr_pid = word(8)? & 0x1FFF;
        let length = usize::from(word(10)? & 0x0FFF);
        let descriptors = section.get(12..12 + length)?.to_vec();
        let mut streams = Vec::new();
        let mut at = 12 + length;
        while let Some(&number) = section.get(at) {
            let length = usize::from(word(at + 3)? & 0x0FFF);
            let descriptors = section.get(at + 5..at + 5 + length)?.to_vec();
            streams.push(Listed { number, pid: word(at + 1)? & 0x1FFF, descriptors });
            at += 5 + length;
        }
        Some(MakeUp { pcr_pid, descriptors, streams })
    }
}

/// A programme of a stream.
#[derive(Clone, Debug)]
pub(crate) struct Programme {
    pub(crate) number: u16,
    pub(crate) pmt_pid: u16,
    /// Each different from the one before, with the packet in which it ended.
    pub(crate) make_ups: Vec<(usize, MakeUp)>,
}

impl Programme {
    /// The PID that each stream has had from the beginning: another one by the same description, in its place, is it.
    pub(crate) fn names(&self) -> BTreeMap<u16, u16> {
        let mut names: BTreeMap<u16, u16> = BTreeMap::new();
        for (index, (_, make_up)) in self.make_ups.iter().enumerate() {
            let mut taken: BTreeSet<u16> =
                make_up.streams.iter().filter_map(|stream| names.get(&stream.pid).copied()).collect();
            for stream in &make_up.streams {
                if names.contains_key(&stream.pid) {
                    continue;
                }
                let is_it = |old: &&Listed| {
                    (old.number, &old.descriptors) == (stream.number, &stream.descriptors)
                        && names.get(&old.pid).is_some_and(|name| !taken.contains(name))
                };
                let before = index.checked_sub(1).map(|before| &self.make_ups[before].1.streams);
                let old = before.and_then(|streams| streams.iter().find(is_it));
                let name = old.map_or(stream.pid, |old| names[&old.pid]);
                taken.insert(name);
                names.insert(stream.pid, name);
            }
        }
        names
    }
}

/// All programmes that PATs name and PMTs describe, in their order.
pub(crate) fn programmes(packets: &[Packet]) -> Vec<Programme> {
    let mut programmes: Vec<Programme> = Vec::new();
    let mut tables: BTreeMap<u16, Assembler> = BTreeMap::new();
    for (index, packet) in packets.iter().enumerate() {
        let view = View(packet);
        let pid = view.pid();
        if pid != 0 && !programmes.iter().any(|programme| programme.pmt_pid == pid) {
            continue;
        }
        for section in tables.entry(pid).or_default().feed(view) {
            let Section::Whole(section) = section else { continue };
            if pid == 0 && section[0] == 0 {
                for entry in section.get(8..).unwrap_or(&[]).as_chunks::<4>().0 {
                    let [number, pmt_pid] = [
                        u16::from_be_bytes([entry[0], entry[1]]),
                        u16::from_be_bytes([entry[2] & 0x1F, entry[3]]),
                    ];
                    if number != 0
                        && !programmes.iter().any(|known| (known.number, known.pmt_pid) == (number, pmt_pid))
                    {
                        programmes.push(Programme { number, pmt_pid, make_ups: Vec::new() });
                    }
                }
            } else if section[0] == 2 {
                let number = u16::from_be_bytes([section[3], section[4]]);
                let Some(make_up) = MakeUp::read(&section) else { continue };
                let known =
                    programmes.iter_mut().find(|known| (known.number, known.pmt_pid) == (number, pid));
                let Some(programme) = known else { continue };
                if programme.make_ups.last().is_none_or(|(_, last)| *last != make_up) {
                    programme.make_ups.push((index, make_up));
                }
            }
        }
    }
    programmes.retain(|programme| !programme.make_ups.is_empty());
    programmes
}

/// A PES packet or a section.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unit {
    /// The packet in which it begins; a section's: in which it ends.
    pub(crate) packet: usize,
    /// Its packets.
    pub(crate) packets: Vec<usize>,
    /// A PES packet's head with the places of PTS and DTS blanked.
    pub(crate) head: Vec<u8>,
    /// What it carries.
    pub(crate) body: Vec<u8>,
    pub(crate) pts: Option<u64>,
    pub(crate) dts: Option<u64>,
    /// Where the clock stood, in ticks of 27 MHz.
    pub(crate) clock: Option<u64>,
    /// Which setting of the clock its times belong to.
    pub(crate) run: usize,
    /// It has come to its end, as far as can be told.
    pub(crate) is_whole: bool,
    /// A packet within is missing, damaged or scrambled.
    pub(crate) is_damaged: bool,
}

impl Unit {
    /// When it is decoded.
    pub(crate) fn decoded_at(&self) -> Option<u64> {
        self.dts.or(self.pts)
    }
}

/// One stream of the programme.
#[derive(Clone, Debug)]
pub(crate) struct Lane {
    pub(crate) pid: u16,
    pub(crate) number: u8,
    pub(crate) units: Vec<Unit>,
    /// Packets with a payload before the first unit begins.
    pub(crate) orphans: usize,
}

/// A programme taken apart.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    pub(crate) programme: Programme,
    /// The first PID of the stream that is on a PID.
    pub(crate) names: BTreeMap<u16, u16>,
    pub(crate) lanes: Vec<Lane>,
    /// In ticks of 27 MHz, with the packet.
    pub(crate) pcrs: Vec<(usize, u64)>,
    /// Unsignalled breaks of counters: packet, PID, counter before, counter.
    pub(crate) breaks: Vec<(usize, u16, u8, u8)>,
    /// Packets with the discontinuity indicator.
    pub(crate) signals: usize,
    /// Packets by PID.
    pub(crate) counts: BTreeMap<u16, usize>,
}

struct Counter {
    value: u8,
    is_repeated: bool,
    payload: Vec<u8>,
}

/// A stream while it is taken apart.
struct Open {
    lane: Lane,
    unit: Option<(Unit, Vec<u8>)>,
    sections: Option<Assembler>,
}

impl Open {
    fn close(&mut self, is_followed: bool) {
        let Some((mut unit, bytes)) = self.unit.take() else { return };
        unit.finish(&bytes, is_followed);
        self.lane.units.push(unit);
    }

    fn feed(&mut self, index: usize, view: View<'_>, is_damaged: bool) {
        let payload = view.payload();
        if view.starts() && self.lane.units.is_empty() && self.unit.is_none() && self.sections.is_none() {
            let is_pes = payload.starts_with(&[0, 0, 1]);
            self.sections = (!is_pes).then(Assembler::default);
        }
        if let Some(sections) = &mut self.sections {
            for section in sections.feed(view) {
                let is_damaged = section == Section::Damaged;
                let body = if let Section::Whole(body) = section { body } else { Vec::new() };
                let unit = Unit {
                    packet: index,
                    packets: vec![index],
                    body,
                    is_whole: true,
                    is_damaged,
                    ..Unit::default()
                };
                self.lane.units.push(unit);
            }
            return;
        }
        if view.starts() {
            self.close(true);
            let unit = Unit { packet: index, ..Unit::default() };
            self.unit = Some((unit, Vec::new()));
        }
        match &mut self.unit {
            Some((unit, bytes)) => {
                bytes.extend_from_slice(payload);
                unit.packets.push(index);
                unit.is_damaged |= is_damaged;
            }
            None => self.lane.orphans += 1,
        }
    }
}

impl Unit {
    /// Reads the head of a PES packet.
    fn finish(&mut self, bytes: &[u8], is_followed: bool) {
        /// Identifiers of PES packets without flags and times.
        const PLAIN: [u8; 8] = [0xBC, 0xBE, 0xBF, 0xF0, 0xF1, 0xF2, 0xF8, 0xFF];
        let Some(&[0, 0, 1, id, high, low]) = bytes.first_chunk::<6>() else {
            self.is_damaged = true;
            self.body = bytes.to_vec();
            return;
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let end = if length == 0 { bytes.len() } else { 6 + length };
        self.is_whole = if length == 0 { is_followed } else { bytes.len() >= end };
        let bytes = &bytes[..end.min(bytes.len())];
        let body_at =
            if PLAIN.contains(&id) { 6 } else { 9 + usize::from(bytes.get(8).copied().unwrap_or(0)) };
        let body_at = body_at.min(bytes.len());
        self.head = bytes[..body_at].to_vec();
        self.body = bytes[body_at..].to_vec();
        if PLAIN.contains(&id) || body_at < 14 {
            return;
        }
        let flags = self.head[7] >> 6;
        if flags & 0b10 != 0 {
            self.pts = self.take_stamp(9);
        }
        if flags == 0b11 && body_at >= 19 {
            self.dts = self.take_stamp(14);
        }
    }

    fn take_stamp(&mut self, at: usize) -> Option<u64> {
        let bytes = self.head.get_mut(at..at + 5)?;
        let [a, b, c, d, e] = bytes.first_chunk::<5>()?.map(u64::from);
        bytes.fill(0);
        Some(((a & 0x0E) << 29) | (b << 22) | ((c & 0xFE) << 14) | (d << 7) | (e >> 1))
    }
}

/// Takes a programme apart. Where a file is played several times, one behind the other, `round` is its number of packets.
pub(crate) fn parts(packets: &[Packet], programme: &Programme, round: Option<usize>) -> Parts {
    let names = programme.names();
    let mut open: Vec<Open> = Vec::new();
    for (_, make_up) in &programme.make_ups {
        for listed in &make_up.streams {
            if names[&listed.pid] == listed.pid && !open.iter().any(|known| known.lane.pid == listed.pid) {
                let lane = Lane { pid: listed.pid, number: listed.number, units: Vec::new(), orphans: 0 };
                open.push(Open { lane, unit: None, sections: None });
            }
        }
    }
    let pcr_pids: BTreeSet<u16> = programme.make_ups.iter().map(|(_, make_up)| make_up.pcr_pid).collect();
    let mut parts = Parts {
        programme: programme.clone(),
        names,
        lanes: Vec::new(),
        pcrs: Vec::new(),
        breaks: Vec::new(),
        signals: 0,
        counts: BTreeMap::new(),
    };
    let mut counters: BTreeMap<u16, Counter> = BTreeMap::new();
    // Packets of the programme's streams with a payload before each packet: what the clock is interpolated by.
    let mut places = Vec::with_capacity(packets.len());
    let mut place = 0_u32;
    for (index, packet) in packets.iter().enumerate() {
        places.push(place);
        let view = View(packet);
        let pid = view.pid();
        *parts.counts.entry(pid).or_default() += 1;
        // What a receiver knows to be wrong has not come.
        let is_marked = packet[1] & 0x80 != 0;
        if pid == NULL_PID || is_marked {
            continue;
        }
        parts.signals += usize::from(view.signals());
        let follow = follow(&mut counters, view);
        if follow == Follow::Repeated {
            continue;
        }
        if let Some(pcr) = view.pcr().filter(|_| pcr_pids.contains(&pid)) {
            // The extension may be more than it can be.
            parts.pcrs.push((index, pcr % PCR_WRAP));
        }
        if let Follow::Broken(before) = follow {
            parts.breaks.push((index, pid, before, view.counter()));
        }
        let name = parts.names.get(&pid);
        let Some(stream) = open.iter_mut().find(|stream| Some(&stream.lane.pid) == name) else { continue };
        if view.has_payload() {
            place += 1;
            let is_broken = matches!(follow, Follow::Broken(_)) && !view.starts();
            let is_scrambled = packet[3] & 0xC0 != 0;
            stream.feed(index, view, is_broken || is_scrambled);
        }
    }
    for mut stream in open {
        stream.close(false);
        parts.lanes.push(stream.lane);
    }
    parts.tell_clocks(&places, round);
    parts
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Follow {
    Right,
    Repeated,
    Broken(u8),
}

fn follow(counters: &mut BTreeMap<u16, Counter>, view: View<'_>) -> Follow {
    let (value, has_payload) = (view.counter(), view.has_payload());
    let mut follow = Follow::Right;
    let mut is_repeated = false;
    if let Some(last) = counters.get(&view.pid()).filter(|_| !view.signals()) {
        let follows = value == if has_payload { (last.value + 1) & 0x0F } else { last.value };
        is_repeated =
            has_payload && value == last.value && !last.is_repeated && view.payload() == last.payload;
        follow = match (follows, is_repeated) {
            (true, _) => Follow::Right,
            (false, true) => Follow::Repeated,
            (false, false) => Follow::Broken(last.value),
        };
    }
    // A packet without payload in between does not end a repetition, but has nothing to repeat either.
    let payload = if has_payload { view.payload().to_vec() } else { Vec::new() };
    counters.insert(view.pid(), Counter { value, is_repeated, payload });
    follow
}

impl Parts {
    /// Tells each unit where the clock stood, and which setting of it its times belong to.
    fn tell_clocks(&mut self, places: &[u32], round: Option<usize>) {
        let round_of = |packet: usize| round.map_or(0, |round| packet / round);
        let mut runs = vec![0_usize];
        for pair in self.pcrs.windows(2) {
            let step = ahead(pair[0].1, pair[1].1, PCR_WRAP);
            let is_anew = !(0..=RUN_STEP_27M).contains(&step) || round_of(pair[0].0) != round_of(pair[1].0);
            runs.push(runs[runs.len() - 1] + usize::from(is_anew));
        }
        for lane in &mut self.lanes {
            for unit in &mut lane.units {
                let next = self.pcrs.partition_point(|(packet, _)| *packet <= unit.packet);
                // Nothing of another round tells anything.
                let of_round =
                    |((packet, _), _): &((usize, u64), usize)| round_of(*packet) == round_of(unit.packet);
                let before = next.checked_sub(1).map(|before| (self.pcrs[before], runs[before]));
                let after = self.pcrs.get(next).map(|after| (*after, runs[next]));
                let (before, after) = (before.filter(of_round), after.filter(of_round));
                (unit.run, unit.clock) = match (before, after) {
                    (None, None) => (round_of(unit.packet), None),
                    (None, Some((_, run))) | (Some((_, run)), None) => (run, None),
                    (Some(((from, begin), run)), Some(((to, end), run_after))) if run == run_after => {
                        let length = f64::from(places[to] - places[from]).max(1.0);
                        let part = f64::from(places[unit.packet] - places[from]) / length;
                        #[expect(clippy::cast_possible_truncation, reason = "12 s at the most")]
                        #[expect(clippy::cast_precision_loss, reason = "the same")]
                        let since = (ahead(begin, end, PCR_WRAP) as f64 * part) as i64;
                        let since = u64::try_from(since).expect("within one run the clock goes forward");
                        (run, Some((begin + since) % PCR_WRAP))
                    }
                    (Some(((_, begin), run)), Some(((_, end), run_after))) => {
                        let far = |pcr: u64| unit.decoded_at().map(|at| ahead(pcr / 300, at, PTS_WRAP).abs());
                        (if far(begin) <= far(end) { run } else { run_after }, None)
                    }
                };
            }
        }
    }
}
