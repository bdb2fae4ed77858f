//! What a source has to send: a programme at 25 pictures a second, with whatever may be wrong with it.

use std::collections::{BTreeMap, VecDeque};

use tunerd::uring::sim::Random;

use super::super::packets::{PACKET, pcr_field, section};
use super::mark::{MARK_BYTES, Mark, Of, checksum};

/// Pictures per second.
pub(crate) const RATE: u64 = 25;
/// 90 kHz ticks of a picture.
pub(super) const FRAME: u64 = 90_000 / RATE;
const WRAP: u64 = 1 << 33;
const NULL_PID: u16 = 0x1FFF;
/// Bytes of a packet's payload.
const ROOM: usize = PACKET - 4;
/// What a clock takes of it: the adaptation field's length, its flags, the clock.
const CLOCK_BYTES: usize = 8;

/// What the last packet of most pictures is stuffed with, at least: the length and the flags of an adaptation field are some of it.
const STUFFING_BYTES: usize = 3;
/// The pictures of one run in so many end with a full packet.
const FILLED_ONE_IN: u32 = 4;
/// Fewer pictures behind a table that lists them may be the cover of a radio programme.
const PICTURES_OF_TELEVISION: u64 = 3;

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

/// How a programme is packed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Shape {
    /// Pictures from one that can be started with to the next; a multiple of three.
    pub(crate) gop: u64,
    /// Packets of a picture,
    pub(crate) picture_packets: u64,
    /// and of one that can be started with.
    pub(crate) key_packets: u64,
    /// Pictures' packets are spread evenly over time, as at a constant rate: a large picture takes several pictures' time.
    pub(crate) is_smooth: bool,
    /// Pictures' time of a sound PES packet,
    pub(crate) sound_every: u64,
    /// and its packets.
    pub(crate) sound_packets: u64,
    /// The clock comes with key pictures only.
    pub(crate) is_clock_rare: bool,
    /// Some pictures are shown later than they are decoded.
    pub(crate) reorders: bool,
    /// From the clock to the decoding time of pictures,
    pub(crate) lead: u64,
    /// and of sound.
    pub(crate) sound_lead: u64,
}

impl Shape {
    /// What is usual, and as much of what is not as is asked for: once in so many.
    pub(crate) fn drawn(gop: u64, odd_one_in: u64, random: &mut Random) -> Self {
        let is_odd = |random: &mut Random| odd_one_in > 0 && random.below(odd_one_in) == 0;
        let picture_packets = random.between(1, 4);
        let is_smooth = is_odd(random);
        let key_packets = picture_packets + if is_smooth { random.between(8, 24) } else { 3 };
        let sound_every = if is_odd(random) { random.between(2, 18) } else { 1 };
        let is_clock_rare = is_odd(random) && gop <= 36;
        let lead = random.between(20_000, 70_000);
        let mut shape = Self {
            gop,
            picture_packets,
            key_packets,
            is_smooth,
            sound_every,
            sound_packets: 1 + random.below(3) * u64::from(sound_every > 1),
            is_clock_rare,
            reorders: random.below(2) == 0,
            lead,
            sound_lead: (lead - 3_000).saturating_sub(random.below(14_000)),
        };
        // A unit is whole before it is due.
        shape.sound_lead += sound_every * FRAME;
        shape.lead += shape.delay_pictures_max() * FRAME;
        shape
    }

    /// Of a programme of some kbit/s up to a few Mbit/s, whose key pictures may lie far apart.
    pub(crate) fn paced(random: &mut Random) -> Self {
        let gop = *random.pick(&[12, 12, 24, 48, 99, 150, 249]);
        let mut shape = Self::drawn(gop, 4, random);
        shape.picture_packets = *random.pick(&[1, 4, 8, 16, 32, 64]);
        let times = if shape.is_smooth { 12 } else { 8 };
        shape.key_packets = shape.picture_packets * random.between(1, times) + 3;
        shape.is_clock_rare &= gop <= 48;
        shape.lead = shape.lead.max(20_000 + shape.delay_pictures_max() * FRAME);
        shape
    }

    /// Bytes of a second, on the whole, and a clock in packets of its own, whether it is or not.
    pub(crate) fn bytes_per_second(&self) -> u64 {
        self.bytes_per_second_of(4 * self.gop)
    }

    /// The least bytes of a second, on the whole: the clock takes no packets of its own.
    pub(crate) fn least_bytes_per_second(&self) -> u64 {
        self.bytes_per_second_of(0)
    }

    fn bytes_per_second_of(&self, clocks: u64) -> u64 {
        let tables = |at: u64| 2 * u64::from(at % self.gop == 1 || at.is_multiple_of(4));
        let pictures = 4 * self.gop;
        let tables: u64 = (0..pictures).map(tables).sum();
        let video = 4 * ((self.gop - 1) * self.picture_packets + self.key_packets);
        let sound = (pictures * self.sound_packets).div_ceil(self.sound_every);
        let packets = tables + video + sound + clocks;
        (packets * RATE * PACKET as u64).div_ceil(pictures)
    }

    /// Packets of pictures in a picture's time, on the whole: rounded up, so that none is left over.
    pub(crate) fn smooth_packets(&self) -> u64 {
        ((self.gop - 1) * self.picture_packets + self.key_packets).div_ceil(self.gop)
    }

    fn delay_pictures_max(&self) -> u64 {
        if self.is_smooth { self.key_packets.div_ceil(self.smooth_packets()) + 2 } else { 0 }
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

/// The units of a kind that have begun, and those that were spoilt.
#[derive(Clone, Copy, Default)]
struct Units {
    next: u32,
    damaged: (u32, u8),
}

impl Units {
    /// Those from here on that begin now are not sent whole.
    fn damage(&mut self, first: u32, last: u32) {
        let (from, count) = self.damaged;
        let is_same = count > 0 && from + u32::from(count) + 1 >= first;
        let from = if is_same { from } else { first };
        self.damaged = (from, u8::try_from(last + 1 - from).unwrap_or(u8::MAX));
    }
}

/// A packet that waits for its turn.
struct Waiting {
    starts: bool,
    payload: Vec<u8>,
    mark: Mark,
}

/// One run of a source.
pub(crate) struct Feed {
    pub(crate) run: u32,
    pub(crate) layout: Layout,
    pub(crate) flaw: Flaw,
    pub(crate) shape: Shape,
    picture: u64,
    /// Where in its group of pictures picture zero stands.
    phase: u64,
    /// The clock's time of picture zero.
    base: u64,
    /// How often that has been changed.
    bases: u8,
    frozen: u64,
    /// The last clock that was sent.
    sent_clock: u64,
    /// and whether it was what it should be.
    is_sent_sound: bool,
    counters: BTreeMap<u16, u8>,
    video: Units,
    sound: Units,
    video_waiting: VecDeque<Waiting>,
    sound_waiting: VecDeque<Waiting>,
    /// Where in the time of a sound PES packet we are.
    sound_at: u64,
    /// So many pictures are left of a part whose sound has ended.
    silent_pictures: Option<u64>,
    /// They do not for now.
    is_stuffed: bool,
    /// Media time of the pictures that have begun, since the run began.
    pub(crate) pictures: u64,
    /// What the last table said that was sent,
    listed: Option<Layout>,
    /// and so many pictures have begun since the first.
    listed_pictures: u64,
}

impl Feed {
    pub(crate) fn new(run: u32, shape: Shape, random: &mut Random) -> Self {
        // One in a few is about to wrap.
        let base =
            if random.below(4) == 0 { WRAP - random.below(90_000 * 40) } else { random.below(WRAP) } % WRAP;
        Self {
            run,
            layout: Layout::drawn(random),
            flaw: Flaw::None,
            picture: random.below(3 * shape.gop),
            shape,
            phase: 0,
            base,
            bases: 0,
            frozen: 0,
            sent_clock: 0,
            is_sent_sound: true,
            counters: BTreeMap::new(),
            video: Units::default(),
            sound: Units::default(),
            video_waiting: VecDeque::new(),
            sound_waiting: VecDeque::new(),
            sound_at: 0,
            silent_pictures: None,
            is_stuffed: false,
            pictures: 0,
            listed: None,
            listed_pictures: 0,
        }
    }

    /// Its times go on somewhere else, with the next unit.
    pub(crate) fn jump_to(&mut self, out: &mut Vec<u8>, forward: bool, ticks: u64) {
        self.finish_units(out);
        self.jump(forward, ticks);
    }

    fn jump(&mut self, forward: bool, ticks: u64) {
        let ticks = ticks % WRAP;
        self.base = (self.base + if forward { ticks } else { WRAP - ticks }) % WRAP;
        self.bases = self.bases.wrapping_add(1);
    }

    /// Where pictures do not come for a while the last one says that it is whole: one that might go on would be waited for until it
    /// is too late.
    pub(crate) fn spoil(&mut self, out: &mut Vec<u8>, flaw: Flaw) {
        let sound_at = self.sound_at;
        self.finish_units(out);
        self.sound_at = sound_at;
        if flaw != Flaw::FrozenClock && self.fills() {
            self.is_stuffed = true;
            self.next(out);
            let all = self.video_waiting.len();
            self.send_waiting_video(out, all);
            self.is_stuffed = false;
        }
        self.flaw = flaw;
        self.frozen = self.clock();
    }

    /// Pictures that do not say how long they are and whose last packet is full might go on: where nothing comes any more on their PID
    /// the last one is nobody's.
    fn excuse_last(&mut self) {
        if let Some(last) = self.video.next.checked_sub(1)
            && self.fills()
        {
            self.video.damage(last, last);
        }
    }

    /// Its pictures end with a full packet, as one in 184 does. All others say so by a last packet that is stuffed.
    fn fills(&self) -> bool {
        self.run.is_multiple_of(FILLED_ONE_IN) && !self.is_stuffed
    }

    /// Its make-up is another one, from where no picture that has begun is shown behind the next one. The time that this takes,
    /// in pictures.
    pub(crate) fn change(&mut self, out: &mut Vec<u8>, random: &mut Random) -> u64 {
        let mut pictures = 0;
        while self.shape.reorders && (self.picture + self.phase) % 3 != 1 {
            self.next(out);
            pictures += 1;
        }
        // Sound that has been sent plays to its end before what comes next.
        let sound_at = self.sound_at;
        self.finish_units(out);
        self.excuse_last();
        self.sound_at = sound_at;
        let version = self.layout.version;
        self.layout = Layout { version: (version + 1) % 32, ..Layout::drawn(random) };
        self.begin_group();
        pictures
    }

    /// The next picture is one to be started with.
    fn begin_group(&mut self) {
        let gop = self.shape.gop;
        self.phase = (2 * gop + 1 - self.picture % gop) % gop;
    }

    /// Sends what there is of units that are not whole yet, before times change.
    fn finish_units(&mut self, out: &mut Vec<u8>) {
        let due = self.video_waiting.len();
        self.send_waiting_video(out, due);
        while let Some(packet) = self.sound_waiting.pop_front() {
            self.push_marked(out, self.layout.audio, packet, None);
        }
        self.sound_at = 0;
    }

    /// The next part begins with a key picture and with times and counters of its own, after sound that reaches so many
    /// pictures' time further than pictures do. The time that this and what was not whole yet takes, in pictures.
    pub(crate) fn joint(&mut self, out: &mut Vec<u8>, sound_longer: u64, random: &mut Random) -> u64 {
        let mut pictures = 0;
        self.silent_pictures = None;
        // While nothing but null packets comes sound does not go on.
        while self.sound_at > 0 && self.flaw != Flaw::OnlyNull {
            self.next(out);
            pictures += 1;
        }
        self.finish_units(out);
        let every = self.shape.sound_every;
        for ahead in 0..sound_longer / every {
            self.begin_sound((self.sound_due() + ahead * every * FRAME) % WRAP);
            self.finish_units(out);
        }
        let ticks = random.below(WRAP / 4);
        self.jump(random.below(2) == 0, 90_000 * 20 + ticks);
        self.count_anew(random);
        self.begin_group();
        pictures + sound_longer
    }

    /// Sound ends so many pictures' time before pictures do, and then the next part begins.
    pub(crate) fn end_sound_early(&mut self, pictures: u64) {
        self.silent_pictures = Some(pictures);
    }

    /// A part whose sound has ended early is over.
    pub(crate) fn is_at_joint(&self) -> bool {
        self.silent_pictures == Some(0) && self.sound_at == 0
    }

    /// What comes next may be lost, be it garbage or a hole, by whoever reads it.
    pub(crate) fn excuse_next(&mut self) {
        for (units, waiting) in
            [(&mut self.video, &self.video_waiting), (&mut self.sound, &self.sound_waiting)]
        {
            let first = waiting.front().map_or(units.next, |packet| packet.mark.unit);
            units.damage(first.saturating_sub(2), units.next + 6);
        }
    }

    /// Packets are lost on the way: whole pictures and the sound between them, or whatever it hits.
    pub(crate) fn lose(&mut self, random: &mut Random, out: &mut Vec<u8>) {
        let pictures = random.between(1, 6);
        let is_whole = self.video_waiting.is_empty() && self.sound_waiting.is_empty() && random.below(2) == 0;
        let (video, sound) = (self.video.next, self.sound.next);
        if !is_whole {
            self.excuse_next();
        }
        let mut lost = Vec::new();
        (0..pictures).for_each(|_| self.next(&mut lost));
        let packets = lost.len() / PACKET;
        if is_whole {
            let is_cut = !self.video_waiting.is_empty() || !self.sound_waiting.is_empty();
            self.video.damage(video, self.video.next - u32::from(!is_cut && self.video.next > video));
            self.sound.damage(sound, self.sound.next - u32::from(!is_cut && self.sound.next > sound));
            return;
        }
        out.extend(&lost[random.bytes(0, packets) * PACKET..]);
    }

    /// Packets are counted from somewhere else on. Nothing is lost but what is lost of units that have begun: packets that are
    /// missing in the middle of one look the same.
    pub(crate) fn count_anew(&mut self, random: &mut Random) {
        for (units, waiting) in
            [(&mut self.video, &self.video_waiting), (&mut self.sound, &self.sound_waiting)]
        {
            if let Some(packet) = waiting.front().filter(|packet| packet.mark.part > 0) {
                units.damage(packet.mark.unit, packet.mark.unit);
            }
        }
        for counter in self.counters.values_mut() {
            *counter = u8::try_from(random.below(16)).unwrap();
        }
    }

    /// As far as any receiver can know it is a radio programme whose table lists a picture, as some do: that it sends sound alone
    /// is nothing that anybody may end it for.
    pub(crate) fn is_like_radio(&self) -> bool {
        self.flaw == Flaw::NoPictures && self.listed_pictures < PICTURES_OF_TELEVISION
    }

    fn clock(&self) -> u64 {
        (self.base + self.picture * FRAME) % WRAP
    }

    fn sound_due(&self) -> u64 {
        (self.clock() + self.shape.sound_lead) % WRAP
    }

    /// Bytes of the next picture's time.
    pub(crate) fn next(&mut self, out: &mut Vec<u8>) {
        let at = self.picture;
        let is_key = (at + self.phase) % self.shape.gop == 1;
        self.pictures += 1;
        if self.flaw == Flaw::OnlyNull {
            for _ in 0..4 {
                self.push(out, NULL_PID, false, &[], &[]);
            }
            self.picture += 1;
            return;
        }
        if is_key || at.is_multiple_of(4) {
            self.tables(out);
        }
        let clock = if self.flaw == Flaw::FrozenClock { self.frozen } else { self.clock() };
        let mut pcr = (is_key || !self.shape.is_clock_rare).then_some(clock);
        if pcr.is_some() {
            self.sent_clock = clock;
            self.is_sent_sound = self.flaw != Flaw::FrozenClock;
        }
        // Beside the pictures, or spread as they are, the clock has packets of its own.
        let is_alone = self.shape.is_smooth || self.layout.clock != self.layout.video;
        if let Some(clock) = pcr.take_if(|_| is_alone || self.flaw == Flaw::NoPictures) {
            self.push_clock(out, clock);
        }
        if self.flaw != Flaw::NoPictures {
            self.begin_picture(at, is_key);
        }
        let all = self.video_waiting.len();
        let due =
            if self.shape.is_smooth { usize::try_from(self.shape.smooth_packets()).unwrap() } else { all };
        if let Some(first) = self.video_waiting.pop_front() {
            self.push_marked(out, self.layout.video, first, pcr);
            self.send_waiting_video(out, due.saturating_sub(1));
        }
        self.sound(out);
        self.picture += 1;
    }

    fn send_waiting_video(&mut self, out: &mut Vec<u8>, most: usize) {
        for _ in 0..most {
            let Some(packet) = self.video_waiting.pop_front() else { return };
            self.push_marked(out, self.layout.video, packet, None);
        }
    }

    fn begin_picture(&mut self, at: u64, is_key: bool) {
        self.listed_pictures += u64::from(self.listed.is_some());
        if self.listed.is_some_and(|listed| listed.video != self.layout.video) {
            self.video.damage(self.video.next, self.video.next);
        }
        let shown_after = match (self.shape.reorders, (at + self.phase) % 3) {
            (false, _) => 0,
            (true, 1) => 3 * FRAME,
            (true, _between) => 0,
        };
        let dts = (self.clock() + self.shape.lead) % WRAP;
        let pts = (dts + shown_after) % WRAP;
        let mut head = pes_head(0xE0, pts, (shown_after > 0).then_some(dts), 0);
        let header = head.len();
        head.extend(picture(self.layout.video_type, is_key, shown_after > 0));
        let packets = if is_key { self.shape.key_packets } else { self.shape.picture_packets };
        let mark = self.mark(Of::Video, is_key, packets, dts, shown_after);
        self.video.next += 1;
        // The first one has room for a clock, whether one comes or not.
        let first = ROOM - CLOCK_BYTES;
        let last = if self.fills() { ROOM } else { ROOM - STUFFING_BYTES };
        for (starts, payload, mark) in unit(head, header, [first, last], mark) {
            self.video_waiting.push_back(Waiting { starts, payload, mark });
        }
    }

    fn sound(&mut self, out: &mut Vec<u8>) {
        if self.sound_at == 0 {
            if let Some(left) = &mut self.silent_pictures {
                *left = left.saturating_sub(1);
                return;
            }
            self.begin_sound(self.sound_due());
        }
        self.sound_at += 1;
        let (every, packets) = (self.shape.sound_every, self.shape.sound_packets);
        let sent_before = (self.sound_at - 1) * packets / every;
        let due = if self.sound_at == every { packets } else { (self.sound_at * packets / every).max(1) };
        let sent_before = if self.sound_at == 1 { 0 } else { sent_before.max(1) };
        for _ in sent_before..due {
            let Some(packet) = self.sound_waiting.pop_front() else { break };
            self.push_marked(out, self.layout.audio, packet, None);
        }
        if self.sound_at == every {
            self.sound_at = 0;
        }
    }

    fn begin_sound(&mut self, due: u64) {
        if self.listed.is_some_and(|listed| listed.audio != self.layout.audio) {
            self.sound.damage(self.sound.next, self.sound.next);
        }
        let packets = self.shape.sound_packets;
        let header = 14;
        let data = ROOM * usize::try_from(packets).unwrap() - header;
        let head = pes_head(0xC0, due, None, u16::try_from(data).unwrap());
        let mark = self.mark(Of::Sound, true, packets, due, 0);
        self.sound.next += 1;
        for (starts, payload, mark) in unit(head, header, [ROOM, ROOM], mark) {
            self.sound_waiting.push_back(Waiting { starts, payload, mark });
        }
    }

    /// Those of a kind, and of the other.
    fn units(&self, of: Of) -> (Units, Units) {
        if of == Of::Sound { (self.sound, self.video) } else { (self.video, self.sound) }
    }

    fn is_clock_sound(&self) -> bool {
        self.is_sent_sound && (self.flaw == Flaw::None || self.flaw == Flaw::NoPictures)
    }

    fn mark(&self, of: Of, is_key: bool, parts: u64, dts: u64, shown_after: u64) -> Mark {
        let (units, other) = self.units(of);
        Mark {
            of,
            is_key,
            is_clock_sound: self.is_clock_sound(),
            run: self.run,
            unit: units.next,
            part: 0,
            parts: u32::try_from(parts).unwrap(),
            base: self.bases,
            dts,
            shown_after,
            clock: self.sent_clock,
            companion: other.next,
            damaged: units.damaged,
            checksum: 0,
        }
    }

    fn tables(&mut self, out: &mut Vec<u8>) {
        self.listed = Some(self.layout);
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
        for (on, table) in [(0, section(0, version, &pat)), (pmt, section(2, version, &body))] {
            let mut payload = vec![0];
            payload.extend(table);
            assert!(payload.len() < ROOM, "a table fits");
            payload.resize(ROOM, 0xFF);
            self.push(out, on, true, &[], &payload);
        }
    }

    /// A packet that is a clock and nothing else.
    fn push_clock(&mut self, out: &mut Vec<u8>, clock: u64) {
        let mark = self.mark(Of::Clock, false, 0, clock, 0).write();
        let mut field = vec![0x12];
        field.extend(pcr_field(clock));
        field.push(u8::try_from(MARK_BYTES).unwrap());
        field.extend(mark);
        field.resize(ROOM - 1, 0xFF);
        self.push(out, self.layout.clock, false, &field, &[]);
    }

    fn push_marked(&mut self, out: &mut Vec<u8>, pid: u16, packet: Waiting, pcr: Option<u64>) {
        let Waiting { starts, mut payload, mut mark } = packet;
        let (units, other) = self.units(mark.of);
        (mark.damaged, mark.companion) = (units.damaged, other.next);
        mark.clock = self.sent_clock;
        mark.is_clock_sound = self.is_clock_sound();
        payload.extend(mark.write());
        // What a payload lacks of a packet is stuffing.
        let mut field = Vec::new();
        if let Some(stuffing) = (ROOM - payload.len()).checked_sub(1) {
            field.extend((stuffing > 0).then_some(0));
            if let Some(clock) = pcr {
                field[0] = 0x10;
                field.extend(pcr_field(clock));
            }
            field.resize(stuffing, 0xFF);
        }
        self.push(out, pid, starts, &field, &payload);
    }

    fn push(&mut self, out: &mut Vec<u8>, pid: u16, starts: bool, field: &[u8], payload: &[u8]) {
        let [high, low] = pid.to_be_bytes();
        let begin = out.len();
        if pid == NULL_PID {
            out.extend([0x47, high, low, 0x10]);
            return out.resize(begin + PACKET, 0xFF);
        }
        let counter = self.counters.entry(pid).or_insert(15);
        if !payload.is_empty() {
            *counter = (*counter + 1) % 16;
        }
        let has_field = payload.len() < ROOM;
        let carries = u8::from(!payload.is_empty()) << 4 | u8::from(has_field) << 5;
        out.extend([0x47, high | u8::from(starts) << 6, low, carries | *counter]);
        if has_field {
            out.push(u8::try_from(field.len()).unwrap());
            out.extend(field);
        }
        out.extend(payload);
        assert_eq!(out.len(), begin + PACKET);
    }
}

/// Payloads of a unit's packets without their marks, which say what they are.
/// `room` is that of the first one and of the last of several.
fn unit(
    mut head: Vec<u8>,
    header: usize,
    [first, last]: [usize; 2],
    mark: Mark,
) -> Vec<(bool, Vec<u8>, Mark)> {
    (0..mark.parts)
        .map(|part| {
            let room = match part {
                0 if mark.parts == 1 => first + last - ROOM,
                0 => first,
                _ if part + 1 == mark.parts => last,
                _ => ROOM,
            };
            let mut payload = std::mem::take(&mut head);
            // Nothing in it looks like the start of a unit, or like a mark.
            let fill = 0x10 + u8::try_from((mark.run ^ mark.unit.wrapping_mul(7) ^ part) % 0x80).unwrap();
            payload.resize(room - MARK_BYTES, fill);
            let header = if part == 0 { header } else { 0 };
            let checksum = checksum(&payload[header..]);
            (part == 0, payload, Mark { part, checksum, ..mark })
        })
        .collect()
}

/// The beginning of a picture. `has_leading` says that some that come behind it are shown before it: behind an IDR picture of H.264
/// there are none, and it is one with a recovery point then.
fn picture(video_type: u8, is_key: bool, has_leading: bool) -> &'static [u8] {
    match (video_type, is_key, has_leading) {
        (0x1B, true, false) => &[0, 0, 1, 0x67, 1, 0x80, 0, 0, 1, 0x68, 1, 0x80, 0, 0, 1, 0x65, 0x88, 0x80],
        (0x1B, true, true) => &[
            0, 0, 1, 0x67, 1, 0x80, 0, 0, 1, 0x68, 1, 0x80, 0, 0, 1, 6, 6, 1, 0xC4, 0x80, 0, 0, 1, 0x41,
            0x88, 0x80,
        ],
        (0x1B, false, _) => &[0, 0, 1, 0x41, 0x9A],
        (_hevc, true, _) => &[
            0, 0, 1, 0x40, 1, 1, 0x80, 0, 0, 1, 0x42, 1, 1, 0x80, 0, 0, 1, 0x44, 1, 1, 0x80, 0, 0, 1, 0x26,
            1, 0xAF, 0x80,
        ],
        (_hevc, false, _) => &[0, 0, 1, 0x02, 1, 0xD0, 0x80],
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

#[test]
fn what_begins_on_a_pid_that_no_table_has_listed_is_excused_and_nothing_else() {
    // Whether the new make-up has PIDs of its own.
    for is_elsewhere in [true, false] {
        let mut random = Random::new(7);
        let shape = Shape::drawn(12, 0, &mut random);
        // Its pictures say that they are whole.
        let mut feed = Feed::new(1, shape, &mut random);
        let mut out = Vec::new();
        (0..30).for_each(|_| feed.next(&mut out));
        feed.spoil(&mut out, Flaw::OnlyNull);
        let Layout { video, audio, .. } = feed.layout;
        feed.change(&mut out, &mut random);
        let add = if is_elsewhere { 0x800 } else { 0 };
        feed.layout = Layout { video: video + add, audio: audio + add, ..feed.layout };
        while feed.picture % 4 != 1 || (0..3).any(|later| (feed.picture + later + feed.phase) % 12 == 1) {
            feed.next(&mut out);
        }
        feed.flaw = Flaw::None;
        let begun = [feed.video.next, feed.sound.next];
        (0..30).for_each(|_| feed.next(&mut out));
        let excused = |units: Units, begun| {
            let (from, count) = units.damaged;
            (begun..units.next).filter(|unit| (from..from + u32::from(count)).contains(unit)).count()
        };
        let expected = if is_elsewhere { 3 } else { 0 };
        assert_eq!(excused(feed.video, begun[0]), expected, "pictures, elsewhere: {is_elsewhere}");
        assert_eq!(excused(feed.sound, begun[1]), expected, "sound, elsewhere: {is_elsewhere}");
    }
}
