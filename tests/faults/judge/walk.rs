//! One walk over a recording's packets: what each of them says, and what is wrong with it by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Finding, Wrong, finding};
use crate::recorder::Recording;
use crate::tsview::{
    Assembler, Kind, NULL_PID, PACKET_BYTES, PTS_WRAP, Packet, Pmt, Section, View, ahead, read_pat,
};

/// A time that the stream names, where and when.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Point {
    pub(crate) position: usize,
    pub(crate) arrived: Duration,
    pub(crate) ticks: u64,
}

/// A make-up, and where it began to hold.
#[derive(Clone, Debug)]
pub(crate) struct MakeUp {
    /// The PAT in front of its PMT.
    pub(crate) pat_position: usize,
    pub(crate) pmt: Pmt,
}

/// What was found.
#[derive(Default)]
pub(crate) struct Walk {
    pub(crate) packets: usize,
    pub(crate) opened: Duration,
    /// In ticks of 27 MHz.
    pub(crate) pcrs: Vec<Point>,
    /// Those of them that are said to be of another clock.
    pub(crate) breaks: Vec<Point>,
    /// Decoding times of each PID, in ticks of 90 kHz.
    pub(crate) stamps: BTreeMap<u16, Vec<Point>>,
    /// Times of showing of each PID, in ticks of 90 kHz.
    pub(crate) shown: BTreeMap<u16, Vec<Point>>,
    /// In their order, each different from the one before.
    pub(crate) make_ups: Vec<MakeUp>,
    pub(crate) findings: Vec<Finding>,
}

impl Walk {
    /// When PES packets of this kind are decoded, by the make-ups there were, in their order.
    pub(crate) fn all_of(&self, kind: Kind) -> Vec<Point> {
        self.points_of(kind, &self.stamps)
    }

    /// The same, when they are shown.
    pub(crate) fn shown_of(&self, kind: Kind) -> Vec<Point> {
        self.points_of(kind, &self.shown)
    }

    fn points_of(&self, kind: Kind, of_pid: &BTreeMap<u16, Vec<Point>>) -> Vec<Point> {
        let pids: BTreeSet<u16> = self.make_ups.iter().filter_map(|make_up| make_up.pmt.pid(kind)).collect();
        let mut points: Vec<_> = pids.iter().filter_map(|pid| of_pid.get(pid)).flatten().copied().collect();
        points.sort_by_key(|point| point.position);
        points
    }
}

#[derive(Clone, Copy)]
struct Last {
    packet: Packet,
    /// The one repetition that the standard allows was used.
    is_repeated: bool,
}

struct Walker<'a> {
    recording: &'a Recording,
    walk: Walk,
    lasts: BTreeMap<u16, Last>,
    tables: BTreeMap<u16, Assembler>,
    pmt_pid: Option<u16>,
    pat_position: usize,
    pmt: Pmt,
}

pub(crate) fn walk(recording: &Recording) -> Walk {
    let mut walker = Walker {
        recording,
        walk: Walk { opened: recording.opened, ..Walk::default() },
        lasts: BTreeMap::new(),
        tables: BTreeMap::new(),
        pmt_pid: None,
        pat_position: 0,
        pmt: Pmt::default(),
    };
    let mut position = 0;
    let mut is_lost = false;
    while let Some(packet) = recording.bytes[position..].first_chunk::<PACKET_BYTES>() {
        if View(packet).is_in_sync() {
            is_lost = false;
            walker.packet(position, packet);
            position += PACKET_BYTES;
            continue;
        }
        if !is_lost {
            walker.wrong(Wrong::Sync, position, format!("{:#04x} is no sync byte", packet[0]));
        }
        is_lost = true;
        position += 1;
    }
    walker.walk
}

impl Walker<'_> {
    fn wrong(&mut self, wrong: Wrong, position: usize, text: String) {
        self.walk.findings.push(finding(self.recording, wrong, position, text));
    }

    fn packet(&mut self, position: usize, packet: &Packet) {
        let view = View(packet);
        let pid = view.pid();
        if self.walk.packets == 0 && pid != 0 {
            self.wrong(Wrong::NotPatFirst, position, format!("PID {pid:#x} comes first"));
        }
        self.walk.packets += 1;
        if pid == NULL_PID {
            return;
        }
        let is_repetition = self.continuity(position, packet);
        let arrived = self.recording.arrived(position);
        if let Some(ticks) = view.pcr().filter(|_| !is_repetition) {
            let point = Point { position, arrived, ticks };
            self.walk.pcrs.push(point);
            if view.signals() {
                self.walk.breaks.push(point);
            }
        }
        if is_repetition {
            return;
        }
        if pid == 0 || Some(pid) == self.pmt_pid {
            if view.starts() && pid == 0 {
                self.pat_position = position;
            }
            for section in self.tables.entry(pid).or_default().feed(view) {
                self.table(position, pid, section);
            }
        } else if let Some(pes) = view.pes() {
            if !self.pmt.streams.iter().any(|stream| stream.pid == pid) {
                self.wrong(
                    Wrong::UnknownPid,
                    position,
                    format!("a PES packet on {pid:#x}, which no PMT names"),
                );
            }
            if let Some(ticks) = pes.pts {
                self.walk.shown.entry(pid).or_default().push(Point { position, arrived, ticks });
            }
            if let Some(ticks) = pes.decoded_at() {
                self.stamp(pid, Point { position, arrived, ticks });
            }
        }
    }

    fn stamp(&mut self, pid: u16, point: Point) {
        if let Some(pcr) = self.walk.pcrs.last() {
            let early = ahead(pcr.ticks / 300, point.ticks, PTS_WRAP);
            if early < 0 {
                let text = format!("{pid:#x} is decoded {} ms before its own clock", -early / 90);
                self.wrong(Wrong::Late, point.position, text);
            }
        }
        self.walk.stamps.entry(pid).or_default().push(point);
    }

    /// Says whether the packet is an allowed repetition of the one before.
    fn continuity(&mut self, position: usize, packet: &Packet) -> bool {
        let view = View(packet);
        let (pid, counter) = (view.pid(), view.counter());
        let mut is_repetition = false;
        if let Some(last) = self.lasts.get(&pid).filter(|_| !view.signals()) {
            let before = View(&last.packet).counter();
            is_repetition = view.has_payload()
                && counter == before
                && !last.is_repeated
                && view.payload() == View(&last.packet).payload();
            let follows = if view.has_payload() { counter == (before + 1) & 0x0F } else { counter == before };
            if !follows && !is_repetition {
                self.wrong(Wrong::Continuity, position, format!("PID {pid:#x}: {counter} after {before}"));
            }
        }
        self.lasts.insert(pid, Last { packet: *packet, is_repeated: is_repetition });
        is_repetition
    }

    fn table(&mut self, position: usize, pid: u16, section: Section) {
        let Section::Whole(bytes) = section else {
            return self.wrong(Wrong::Table, position, format!("the CRC of a table on {pid:#x} is wrong"));
        };
        match (pid, bytes.first()) {
            (0, Some(0)) => match read_pat(&bytes) {
                Some(pmt_pid) => self.pmt_pid = Some(pmt_pid),
                None => self.wrong(Wrong::Table, position, "a PAT without a programme".to_owned()),
            },
            (_, Some(2)) => match Pmt::read(&bytes) {
                Some(pmt) => self.programme(position, pmt),
                None => self.wrong(Wrong::Table, position, format!("a PMT on {pid:#x} that cannot be read")),
            },
            (_, other) => self.wrong(Wrong::Table, position, format!("table {other:?} on {pid:#x}")),
        }
    }

    fn programme(&mut self, position: usize, pmt: Pmt) {
        let is_same = pmt.streams == self.pmt.streams && pmt.pcr_pid == self.pmt.pcr_pid;
        if is_same && !self.walk.make_ups.is_empty() {
            return;
        }
        if !self.walk.make_ups.is_empty() && pmt.version == self.pmt.version {
            self.wrong(
                Wrong::Table,
                position,
                format!("another make-up with the same version {}", pmt.version),
            );
        }
        self.pmt = pmt.clone();
        self.walk.make_ups.push(MakeUp { pat_position: self.pat_position, pmt });
    }
}
