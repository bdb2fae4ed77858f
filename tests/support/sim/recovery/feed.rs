//! What a source has to send: a programme at 25 pictures a second, with whatever may be wrong with it.

use std::collections::BTreeMap;

use tunerd::uring::sim::Random;

use super::super::packets::{PACKET, pcr_field, section};

/// Pictures per second.
pub(crate) const RATE: u64 = 25;
/// 90 kHz ticks of a picture.
const FRAME: u64 = 90_000 / RATE;
const WRAP: u64 = 1 << 33;
/// Bytes at a video packet's end that say which picture of which run it belongs to: nibbles.
const MARK: usize = 16;
const DIGIT: u8 = 0xA0;
const FILL: u8 = 0xA5;
const NULL_PID: u16 = 0x1FFF;

/// A programme's make-up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Layout {
    pmt: u16,
    video: u16,
    audio: u16,
    /// The clock, if not with the pictures.
    clock: u16,
    video_type: u8,
    audio_type: u8,
    version: u8,
}

impl Layout {
    pub(crate) fn drawn(random: &mut Random) -> Self {
        let base = 0x100 * u16::try_from(random.between(1, 4)).unwrap();
        let video = base + 1;
        Self {
            pmt: base,
            video,
            audio: base + u16::try_from(random.between(2, 4)).unwrap(),
            clock: if random.below(4) == 0 { base + 9 } else { video },
            video_type: *random.pick(&[0x1B, 0x1B, 0x24]),
            audio_type: *random.pick(&[0x0F, 0x0F, 0x03]),
            version: u8::try_from(random.below(32)).unwrap(),
        }
    }
}

/// What is wrong with what is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Flaw {
    None,
    /// The clock stands.
    FrozenClock,
    /// Sound goes on without pictures.
    NoPictures,
    OnlyNull,
}

/// One run of a source.
pub(crate) struct Feed {
    pub(crate) run: u32,
    pub(crate) layout: Layout,
    pub(crate) flaw: Flaw,
    /// Pictures from one that can be started with to the next; a multiple of three.
    pub(crate) gop: u64,
    picture: u64,
    /// Where in its group of pictures picture zero stands.
    phase: u64,
    /// The clock's time of picture zero.
    base: u64,
    /// From the clock to the decoding time.
    lead: u64,
    /// Some pictures are shown later than they are decoded.
    reorders: bool,
    video_packets: u64,
    frozen: u64,
    counters: BTreeMap<u16, u8>,
}

impl Feed {
    pub(crate) fn new(run: u32, gop: u64, random: &mut Random) -> Self {
        // One in a few is about to wrap.
        let base =
            if random.below(4) == 0 { WRAP - random.below(90_000 * 40) } else { random.below(WRAP) } % WRAP;
        Self {
            run,
            layout: Layout::drawn(random),
            flaw: Flaw::None,
            gop,
            picture: random.below(3 * gop),
            phase: 0,
            base,
            lead: random.between(20_000, 70_000),
            reorders: random.below(2) == 0,
            video_packets: random.between(1, 4),
            frozen: 0,
            counters: BTreeMap::new(),
        }
    }

    /// Its times go on somewhere else.
    pub(crate) fn jump(&mut self, forward: bool, ticks: u64) {
        let ticks = ticks % WRAP;
        self.base = (self.base + if forward { ticks } else { WRAP - ticks }) % WRAP;
    }

    pub(crate) fn spoil(&mut self, flaw: Flaw) {
        self.flaw = flaw;
        self.frozen = self.clock();
    }

    /// Its make-up is another one.
    pub(crate) fn change(&mut self, random: &mut Random) {
        let version = self.layout.version;
        self.layout = Layout { version: (version + 1) % 32, ..Layout::drawn(random) };
        // The next picture is one to be started with.
        self.phase = (2 * self.gop + 1 - self.picture % self.gop) % self.gop;
    }

    fn clock(&self) -> u64 {
        (self.base + self.picture * FRAME) % WRAP
    }

    /// Bytes of the next picture's time.
    pub(crate) fn next(&mut self, out: &mut Vec<u8>) {
        let at = self.picture;
        let is_key = (at + self.phase) % self.gop == 1;
        let clock = if self.flaw == Flaw::FrozenClock { self.frozen } else { self.clock() };
        let due = self.clock() + self.lead;
        if self.flaw == Flaw::OnlyNull {
            for _ in 0..4 {
                self.push(out, NULL_PID, false, None, &[]);
            }
            self.picture += 1;
            return;
        }
        if is_key || at.is_multiple_of(4) {
            self.tables(out);
        }
        if self.flaw != Flaw::NoPictures {
            self.video(out, at, is_key, clock, due);
        } else if self.layout.clock != self.layout.video {
            self.push(out, self.layout.clock, false, Some(clock), &[]);
        }
        let mut sound = pes_head(0xC0, due.wrapping_sub(3_000) % WRAP, None, 150);
        sound.resize(sound.len() + 150, FILL);
        self.push(out, self.layout.audio, true, None, &sound);
        self.picture += 1;
    }

    fn video(&mut self, out: &mut Vec<u8>, at: u64, is_key: bool, clock: u64, due: u64) {
        let shown_after = match (self.reorders, (at + self.phase) % 3) {
            (false, _) => 0,
            (true, 1) => 3 * FRAME,
            (true, _between) => 0,
        };
        let dts = due % WRAP;
        let pts = (due + shown_after) % WRAP;
        let mut unit = pes_head(0xE0, pts, (shown_after > 0).then_some(dts), 0);
        unit.extend(picture(self.layout.video_type, is_key));
        let mut pcr = Some(clock);
        if self.layout.clock != self.layout.video {
            self.push(out, self.layout.clock, false, pcr.take(), &[]);
        }
        let packets = if is_key { self.video_packets + 3 } else { self.video_packets };
        for number in 0..packets {
            let room = if pcr.is_some() { 176 } else { 184 };
            let mut payload = std::mem::take(&mut unit);
            payload.resize(room - MARK, FILL);
            payload.extend(mark(self.run, at));
            self.push(out, self.layout.video, number == 0, pcr.take(), &payload);
        }
    }

    fn tables(&mut self, out: &mut Vec<u8>) {
        let Layout { pmt, video, audio, clock, video_type, audio_type, version } = self.layout;
        let pid = |pid: u16| (0xE000 | pid).to_be_bytes();
        let mut pat = vec![0, 1];
        pat.extend(pid(pmt));
        let mut body = pid(clock).to_vec();
        body.extend([0xF0, 0, video_type]);
        body.extend(pid(video));
        body.extend([0xF0, 0, audio_type]);
        body.extend(pid(audio));
        body.extend([0xF0, 0]);
        for (on, table, body) in [(0, section(0, version, &pat), ()), (pmt, section(2, version, &body), ())]
            .map(|(on, table, ())| (on, table.len(), table))
        {
            let mut payload = vec![0];
            payload.extend(body);
            payload.resize(184, 0xFF);
            assert!(table < 184, "a table fits");
            self.push(out, on, true, None, &payload);
        }
    }

    fn push(&mut self, out: &mut Vec<u8>, pid: u16, starts: bool, pcr: Option<u64>, payload: &[u8]) {
        let [high, low] = pid.to_be_bytes();
        let counter = self.counters.entry(pid).or_insert(15);
        if !payload.is_empty() {
            *counter = (*counter + 1) % 16;
        }
        let mut packet = vec![0x47, high | u8::from(starts) << 6, low, *counter];
        if pid == NULL_PID {
            packet[3] = 0x10;
            packet.resize(PACKET, 0xFF);
            return out.extend(packet);
        }
        packet[3] |= if payload.is_empty() { 0 } else { 0x10 };
        let field = 184 - payload.len();
        if field > 0 {
            packet[3] |= 0x20;
            packet.push(u8::try_from(field - 1).unwrap());
            if field > 1 {
                packet.push(if pcr.is_some() { 0x10 } else { 0 });
                packet.extend(pcr.map(pcr_field).into_iter().flatten());
            }
        }
        packet.resize(PACKET - payload.len(), 0xFF);
        packet.extend(payload);
        assert_eq!(packet.len(), PACKET);
        out.extend(packet);
    }
}

/// The beginning of a picture.
fn picture(video_type: u8, is_key: bool) -> &'static [u8] {
    match (video_type, is_key) {
        (0x1B, true) => &[0, 0, 1, 0x67, 1, 0x80, 0, 0, 1, 0x68, 1, 0x80, 0, 0, 1, 0x65, 0x88, 0x80],
        (0x1B, false) => &[0, 0, 1, 0x41, 0x9A],
        (_hevc, true) => &[
            0, 0, 1, 0x40, 1, 1, 0x80, 0, 0, 1, 0x42, 1, 1, 0x80, 0, 0, 1, 0x44, 1, 1, 0x80, 0, 0, 1, 0x26,
            1, 0xAF, 0x80,
        ],
        (_hevc, false) => &[0, 0, 1, 0x02, 1, 0xD0, 0x80],
    }
}

fn stamp(prefix: u8, ticks: u64) -> [u8; 5] {
    let bits = |shift: u32, mask: u64| u8::try_from((ticks >> shift) & mask).unwrap();
    [
        prefix | bits(30, 7) << 1 | 1,
        bits(22, 0xFF),
        bits(15, 0x7F) << 1 | 1,
        bits(7, 0xFF),
        bits(0, 0x7F) << 1 | 1,
    ]
}

fn pes_head(id: u8, pts: u64, dts: Option<u64>, data: u16) -> Vec<u8> {
    let (flags, length) = if dts.is_some() { (0xC0, 10) } else { (0x80, 5) };
    let whole = if data == 0 { 0 } else { data + 3 + u16::from(length) };
    let [high, low] = whole.to_be_bytes();
    let mut bytes = vec![0, 0, 1, id, high, low, 0x80, flags, length];
    bytes.extend(stamp(if dts.is_some() { 0x30 } else { 0x20 }, pts));
    bytes.extend(dts.map(|dts| stamp(0x10, dts)).into_iter().flatten());
    bytes
}

fn mark(run: u32, picture: u64) -> [u8; MARK] {
    let name = u64::from(run) << 32 | (picture & 0xFFFF_FFFF);
    std::array::from_fn(|at| DIGIT | u8::try_from(name >> (60 - 4 * at) & 0xF).unwrap())
}

/// Which picture of which run a packet belongs to, if it is one of a source's pictures.
pub(crate) fn read_mark(packet: &[u8; PACKET]) -> Option<(u32, u32)> {
    let digits = packet.last_chunk::<MARK>().unwrap();
    let name = digits.iter().try_fold(0_u64, |name, digit| {
        (digit & 0xF0 == DIGIT).then_some(name << 4 | u64::from(digit & 0xF))
    })?;
    // Sound is filled with what looks like digits too.
    let run = u32::try_from(name >> 32).unwrap();
    (run != 0x5555_5555).then(|| (run, u32::try_from(name & 0xFFFF_FFFF).unwrap()))
}
