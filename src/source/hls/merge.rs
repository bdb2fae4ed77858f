//! A picture and sounds that come in segments of their own, as one programme.
//!
//! All of them have one time base by the format's definition. The picture's packets pass as they are, its clock with them; in
//! front of each picture goes the sound that is heard up to the time at which it is decoded, whole PES packets by time. The
//! programme's table lists the picture's streams and then the sounds, with their languages; a PID that is taken is replaced.
//!
//! # What waits for what
//!
//! Sound waits for the picture. A picture waits for the sounds that are waited for ([`Merger::wait_for`]), since sound that
//! comes behind its time is heard by nobody. Both are bounded: when [`HLS_HELD_PACKETS_MAX`] packets of the picture wait, it
//! goes on without the sound; of a sound of which [`HLS_SOUND_PACKETS_MAX`] packets wait, what comes then is dropped, from the
//! beginning of one PES packet to that of another.
//!
//! # When times jump
//!
//! They do so in all of them, and hardly ever at the same packet. When the picture's time has jumped, what is left of the
//! sound of before goes out in front of it. Sound that has jumped first waits for the picture, and is not waited for
//! meanwhile; if the picture does not follow, it is dropped after a while.

use std::collections::VecDeque;

use crate::base::limits::{HLS_HELD_PACKETS_MAX, HLS_SOUND_PACKETS_MAX, PACKET_BYTES};
use crate::source::hls::packed::{self, PackedKind, Unpacker};
use crate::ts::psi::{PmtStream, PsiTracker, STREAMS_MAX, SectionBuffer, packetise, pmt_section};
use crate::ts::{
    Aligner, ContinuityCounter, Descriptors, Packet, PacketBytes, PacketMut, PesTimes, Pid, PidTable, Pts,
    SYNC_BYTE, StreamKind,
};

/// Three letters of ISO 639-2.
pub(super) type Language = [u8; 3];

/// What is waiting to leave.
#[derive(Default)]
struct Outbox {
    bytes: Vec<u8>,
    taken: usize,
}

impl Outbox {
    fn put(&mut self, packet: &PacketBytes) {
        self.bytes.extend_from_slice(packet);
    }

    const fn waiting(&self) -> usize {
        self.bytes.len() - self.taken
    }

    fn take(&mut self, into: &mut [u8]) -> usize {
        let count = self.waiting().min(into.len());
        into[..count].copy_from_slice(&self.bytes[self.taken..self.taken + count]);
        self.taken += count;
        if self.taken == self.bytes.len() {
            self.bytes.clear();
            self.taken = 0;
        }
        count
    }
}

/// Finds the packets in bytes.
#[derive(Default)]
struct Packets {
    aligner: Aligner,
    /// What is undecided, and then what has come.
    bytes: Vec<u8>,
}

impl Packets {
    /// Takes bytes and gives the whole packets that are known then.
    fn push(&mut self, bytes: &[u8], mut packet: impl FnMut(&PacketBytes)) {
        self.bytes.extend_from_slice(bytes);
        let aligned = self.aligner.align(&mut self.bytes);
        let (packets, _) = self.bytes[..aligned.packets_bytes].as_chunks::<PACKET_BYTES>();
        packets.iter().for_each(&mut packet);
        self.bytes.truncate(aligned.packets_bytes + aligned.rest_bytes);
        self.bytes.drain(..aligned.packets_bytes);
    }
}

/// A packet of the picture that waits.
struct Held {
    packet: PacketBytes,
    /// When the picture is decoded that begins in it.
    begins: Option<Pts>,
}

/// A packet of a sound that waits.
struct Queued {
    packet: PacketBytes,
    /// Which of the sound's streams it is of.
    stream: usize,
    /// When its PES packet is heard.
    at: Pts,
    /// The times begin anew with it.
    is_new_run: bool,
}

/// PES packets whose times follow one another.
#[derive(Clone, Copy)]
struct SoundRun {
    first: Pts,
    last: Pts,
}

/// One stream of a sound.
struct SoundStream {
    /// Where it comes.
    pid: Pid,
    /// Where it leaves, once it has.
    leaves_on: Option<Pid>,
    stream_type: u8,
    descriptors: Vec<u8>,
    /// The table that came last lists it.
    is_listed: bool,
    at: Option<Pts>,
    /// Since its segments' counters begin as they like: what is added to those of this one, and the next that leaves.
    counter_added: u8,
    next_counter: ContinuityCounter,
    is_new_segment: bool,
}

impl SoundStream {
    fn new(pid: Pid, stream_type: u8, descriptors: Vec<u8>) -> Self {
        Self {
            pid,
            leaves_on: None,
            stream_type,
            descriptors,
            is_listed: true,
            at: None,
            counter_added: 0,
            next_counter: ContinuityCounter::default(),
            is_new_segment: true,
        }
    }
}

/// One of the sounds.
struct MergedSound {
    language: Option<Language>,
    packets: Packets,
    tracker: PsiTracker,
    streams: Vec<SoundStream>,
    queue: VecDeque<Queued>,
    runs: VecDeque<SoundRun>,
    /// It is part of the programme.
    is_listed: bool,
    /// The picture waits for it.
    is_waited_for: bool,
    /// Packets are dropped up to the next PES packet.
    is_dropping: bool,
    /// The next bytes are a segment's first.
    is_new_segment: bool,
    /// The segment has no container.
    unpacker: Option<Unpacker>,
    /// The picture's time when the sound was found to have another.
    elsewhere_since: Option<Pts>,
}

/// What the front of a sound's queue is beside a picture.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum MergeTurn {
    /// Nothing has come.
    Missing,
    /// It goes in front of the picture.
    Due,
    /// Its time is over.
    Late,
    /// It is heard later.
    Later,
    /// It has another time base.
    Elsewhere,
}

impl MergedSound {
    fn new(language: Option<Language>) -> Self {
        Self {
            language,
            packets: Packets::default(),
            tracker: PsiTracker::default(),
            streams: Vec::new(),
            queue: VecDeque::new(),
            runs: VecDeque::new(),
            is_listed: true,
            is_waited_for: true,
            is_dropping: false,
            is_new_segment: true,
            unpacker: None,
            elsewhere_since: None,
        }
    }

    /// Takes bytes of a segment. True when the sound is made of something else than before.
    fn push(&mut self, bytes: &[u8]) -> bool {
        let Some(first) = bytes.first() else { return false };
        if std::mem::take(&mut self.is_new_segment) {
            // Whoever has read it has dropped whatever stands before packets.
            self.unpacker = (*first != SYNC_BYTE).then(Unpacker::default);
        }
        let mut has_changed = false;
        if let Some(mut unpacker) = self.unpacker.take() {
            unpacker.push(bytes, |kind, at, pes| has_changed |= self.unit(kind, at, pes));
            self.unpacker = Some(unpacker);
        } else {
            let mut packets = std::mem::take(&mut self.packets);
            packets.push(bytes, |packet| has_changed |= self.packet(packet));
            self.packets = packets;
        }
        has_changed
    }

    /// Takes a PES packet of sound without a container. True when the sound is made of something else than before.
    fn unit(&mut self, kind: PackedKind, at: Pts, pes: &[u8]) -> bool {
        let stream_type = kind.stream_type();
        let same = |stream: &SoundStream| stream.is_listed && stream.stream_type == stream_type;
        let known = self.streams.iter().position(same);
        let index = known.unwrap_or_else(|| {
            // Another kind takes the place of the one before.
            self.streams.iter_mut().for_each(|stream| stream.is_listed = false);
            self.streams.truncate(STREAMS_OF_SOUND_MAX - 1);
            self.streams.push(SoundStream::new(PACKED_PID, stream_type, Vec::new()));
            self.streams.len() - 1
        });
        if self.queue.len() < HLS_SOUND_PACKETS_MAX {
            let counter = self.streams[index].next_counter;
            let mut packets = Vec::new();
            self.streams[index].next_counter =
                packed::packetise(pes, PACKED_PID, counter, |packet| packets.push(*packet));
            packets.into_iter().for_each(|packet| self.enqueue(packet, index, at));
        }
        known.is_none()
    }

    /// Takes a packet. True when the sound is made of something else than before.
    fn packet(&mut self, bytes: &PacketBytes) -> bool {
        let Ok(packet) = Packet::parse(bytes) else { return false };
        if packet.transport_error_indicator() {
            return false;
        }
        if self.tracker.handles(packet.pid()) {
            let has_changed = self.tracker.packet(packet, true);
            if has_changed {
                self.follow_table();
            }
            return has_changed;
        }
        self.media(packet);
        false
    }

    fn follow_table(&mut self) {
        let Some(programme) = self.tracker.programme() else { return };
        self.streams.iter_mut().for_each(|stream| stream.is_listed = false);
        for listed in programme.pmt.streams().iter().filter(|stream| stream.kind() == StreamKind::Audio) {
            let descriptors = programme.pmt.stream_descriptors(listed);
            if let Some(known) = self.streams.iter_mut().find(|stream| stream.pid == listed.pid) {
                known.stream_type = listed.stream_type;
                known.descriptors = descriptors.to_vec();
                known.is_listed = true;
            } else if self.streams.len() < STREAMS_OF_SOUND_MAX {
                self.streams.push(SoundStream::new(listed.pid, listed.stream_type, descriptors.to_vec()));
            }
        }
    }

    fn media(&mut self, packet: Packet<'_>) {
        // A packet without payload has the sound's own clock, or nothing.
        if !packet.has_payload() {
            return;
        }
        let is_meant = |stream: &SoundStream| stream.is_listed && stream.pid == packet.pid();
        let Some(index) = self.streams.iter().position(is_meant) else { return };
        let stream = &mut self.streams[index];
        if packet.payload_unit_start_indicator() {
            if let Some(times) = PesTimes::begun_in(packet) {
                stream.at = Some(times.decoding());
            }
            self.is_dropping = self.queue.len() >= HLS_SOUND_PACKETS_MAX;
        }
        let Some(at) = stream.at.filter(|_| !self.is_dropping) else { return };
        if self.queue.len() >= HLS_SOUND_PACKETS_MAX {
            self.is_dropping = true;
            return;
        }
        let counter = packet.continuity_counter();
        if std::mem::take(&mut stream.is_new_segment) {
            stream.counter_added = stream.next_counter.get().wrapping_sub(counter.get());
        }
        let leaves_as = ContinuityCounter::new(counter.get().wrapping_add(stream.counter_added));
        stream.next_counter = leaves_as.next();
        let mut bytes = *packet.bytes();
        if let Ok(mut packet) = PacketMut::parse(&mut bytes) {
            packet.set_continuity_counter(leaves_as);
            // The programme's clock is the picture's.
            packet.remove_pcr();
        }
        self.enqueue(bytes, index, at);
    }

    fn enqueue(&mut self, packet: PacketBytes, stream: usize, at: Pts) {
        let is_new_run = match self.runs.back_mut() {
            Some(run) if !is_jump(run.last, at) => {
                if at.since(run.last) > 0 {
                    run.last = at;
                }
                false
            }
            Some(_) | None => {
                self.runs.push_back(SoundRun { first: at, last: at });
                self.runs.len() > 1
            }
        };
        self.queue.push_back(Queued { packet, stream, at, is_new_run });
    }

    /// What is next of it, when the picture of this time is. `before` is the time of the picture before.
    fn turn(&self, picture: Pts, before: Pts) -> MergeTurn {
        let Some(front) = self.queue.front() else { return MergeTurn::Missing };
        let ahead = front.at.since(picture);
        if front.is_new_run || ahead.abs() > ELSEWHERE {
            MergeTurn::Elsewhere
        } else if front.at.since(before) < -LATE {
            MergeTurn::Late
        } else if ahead <= 0 {
            MergeTurn::Due
        } else {
            MergeTurn::Later
        }
    }

    fn pop(&mut self) -> Option<Queued> {
        self.enter_run();
        self.queue.pop_front()
    }

    /// The times of the next packet are those that count from now on.
    fn enter_run(&mut self) {
        if let Some(front) = self.queue.front_mut()
            && std::mem::take(&mut front.is_new_run)
        {
            self.runs.pop_front();
        }
    }

    /// The sound's times are not the picture's: for how long, is noted, and what does not fit in the end is dropped.
    fn note_elsewhere(&mut self, picture: Pts) {
        let since = *self.elsewhere_since.get_or_insert(picture);
        let passed = picture.since(since);
        if passed < 0 {
            self.elsewhere_since = Some(picture);
        } else if passed > ELSEWHERE_TIME {
            self.elsewhere_since = None;
            if self.queue.front().is_some_and(|front| !front.is_new_run) {
                while self.pop().is_some() && self.queue.front().is_some_and(|next| !next.is_new_run) {}
            }
            self.enter_run();
        }
    }

    /// How far it reaches beyond a picture, when they have one time base.
    fn ahead_of(&self, picture: Pts) -> Option<i64> {
        let near = |at: Pts| Some(at.since(picture)).filter(|ahead| ahead.abs() <= ELSEWHERE);
        let (front, back) = (self.runs.front()?, self.runs.back()?);
        let later = self.runs.iter().skip(1).map(|run| run.last.since(run.first)).sum::<i64>();
        near(front.last).map(|ahead| ahead + later).or_else(|| near(back.last))
    }
}

/// Makes one programme of a picture and its sounds.
pub(super) struct Merger {
    packets: Packets,
    tracker: PsiTracker,
    /// The stream whose pictures tell the time.
    clock: Option<Pid>,
    /// PIDs of the picture's stream, whatever is on them.
    used: PidTable<bool>,
    sounds: Vec<MergedSound>,
    held: VecDeque<Held>,
    out: Outbox,
    /// The time of the last picture that came, and of the last one that may leave.
    came: Option<Pts>,
    left: Option<Pts>,
    /// The last picture before which the rest of the sound has left, since time jumped.
    jumped: Option<Pts>,
    /// The table as it is sent, unless something has changed since.
    table: Option<SectionBuffer>,
    table_before: Vec<u8>,
    version: u8,
    table_counter: ContinuityCounter,
}

impl Merger {
    /// Nothing has come yet of the picture and of sounds in these languages.
    pub(super) fn new(languages: impl IntoIterator<Item = Option<Language>>) -> Self {
        Self {
            packets: Packets::default(),
            tracker: PsiTracker::default(),
            clock: None,
            used: PidTable::new(false),
            sounds: languages.into_iter().map(MergedSound::new).collect(),
            held: VecDeque::new(),
            out: Outbox::default(),
            came: None,
            left: None,
            jumped: None,
            table: None,
            table_before: Vec::new(),
            version: 0,
            table_counter: ContinuityCounter::default(),
        }
    }

    /// Bytes of the picture's stream.
    pub(super) fn push_picture(&mut self, bytes: &[u8]) {
        let mut packets = std::mem::take(&mut self.packets);
        packets.push(bytes, |packet| self.picture_packet(packet));
        self.packets = packets;
    }

    /// Bytes of a sound.
    pub(super) fn push_sound(&mut self, index: usize, bytes: &[u8]) {
        if self.sounds[index].push(bytes) {
            self.table = None;
        }
        self.release();
    }

    /// The next bytes of a sound are those of another segment.
    pub(super) fn begin_segment(&mut self, index: usize) {
        let sound = &mut self.sounds[index];
        sound.is_new_segment = true;
        sound.streams.iter_mut().for_each(|stream| stream.is_new_segment = true);
    }

    /// Whether the picture waits for a sound.
    pub(super) fn wait_for(&mut self, index: usize, is_waited_for: bool) {
        self.sounds[index].is_waited_for = is_waited_for;
        self.release();
    }

    /// Whether a sound is part of the programme.
    pub(super) fn list(&mut self, index: usize, is_listed: bool) {
        let sound = &mut self.sounds[index];
        if sound.is_listed != is_listed {
            sound.is_listed = is_listed;
            self.table = None;
        }
    }

    /// How far a sound reaches beyond what has come of the picture, in ticks of 90 kHz; negative when it does not reach as far.
    /// `None` while there is nothing to compare, or the two have different time bases.
    pub(super) fn ahead(&self, index: usize) -> Option<i64> {
        self.sounds[index].ahead_of(self.came?)
    }

    /// The picture waits for a sound of which nothing is there.
    pub(super) fn is_missing(&self, index: usize) -> bool {
        let sound = &self.sounds[index];
        !self.held.is_empty() && sound.is_waited_for && sound.queue.is_empty()
    }

    /// Nothing more comes: what waits may leave.
    pub(super) fn finish(&mut self) {
        self.sounds.iter_mut().for_each(|sound| sound.is_waited_for = false);
        self.release();
        while let Some((index, _)) = self.fronts().min_by_key(|(_, at)| at.since(self.left.unwrap_or(*at))) {
            self.put_sound(index);
        }
    }

    /// Bytes that can be taken.
    pub(super) const fn waiting(&self) -> usize {
        self.out.waiting()
    }

    /// Takes the programme's next bytes.
    pub(super) fn take(&mut self, into: &mut [u8]) -> usize {
        self.out.take(into)
    }

    fn fronts(&self) -> impl Iterator<Item = (usize, Pts)> + '_ {
        self.sounds
            .iter()
            .enumerate()
            .filter_map(|(index, sound)| sound.queue.front().map(|front| (index, front.at)))
    }
}

/// The picture.
impl Merger {
    fn picture_packet(&mut self, bytes: &PacketBytes) {
        let Ok(packet) = Packet::parse(bytes) else { return };
        let pid = packet.pid();
        if !self.used.get(pid) {
            self.note_used(pid);
        }
        let is_start = packet.payload_unit_start_indicator();
        if self.tracker.handles(pid) && !packet.transport_error_indicator() {
            let has_changed = self.tracker.packet(packet, true);
            if has_changed {
                self.follow_programme();
            }
            if pid != Pid::PAT {
                // Ours stands in the place of each of the stream's, from the first one that is known.
                let is_own = self.tracker.programme().is_some_and(|programme| programme.pmt_pid == pid);
                if is_own && (is_start || has_changed) {
                    self.put_table(pid);
                }
                return;
            }
        }
        let begins = Some(packet)
            .filter(|_| is_start && self.clock == Some(pid))
            .and_then(PesTimes::begun_in)
            .map(PesTimes::decoding);
        self.came = begins.or(self.came);
        self.put_picture(bytes, begins);
    }

    fn note_used(&mut self, pid: Pid) {
        *self.used.get_mut(pid) = true;
        for stream in self.sounds.iter_mut().flat_map(|sound| &mut sound.streams) {
            if stream.leaves_on == Some(pid) {
                stream.leaves_on = None;
                self.table = None;
            }
        }
    }

    fn follow_programme(&mut self) {
        self.table = None;
        let Some(programme) = self.tracker.programme() else { return };
        let pmt = &programme.pmt;
        let clock = pmt.first(StreamKind::Video).or_else(|| pmt.first(StreamKind::Audio));
        self.clock = clock.map(|stream| stream.pid);
        let pids: Vec<Pid> = pmt
            .streams()
            .iter()
            .map(|stream| stream.pid)
            .chain(pmt.pcr_pid)
            .chain([programme.pmt_pid])
            .collect();
        pids.into_iter().for_each(|pid| self.note_used(pid));
    }

    fn put_picture(&mut self, packet: &PacketBytes, begins: Option<Pts>) {
        if self.held.is_empty() && begins.is_none_or(|at| self.reach(at)) {
            return self.out.put(packet);
        }
        self.held.push_back(Held { packet: *packet, begins });
        if self.held.len() > HLS_HELD_PACKETS_MAX {
            self.release();
        }
    }

    /// Lets go what need not wait any longer.
    fn release(&mut self) {
        while let Some(front) = self.held.front() {
            if let Some(at) = front.begins
                && !self.reach(at)
            {
                if self.held.len() <= HLS_HELD_PACKETS_MAX {
                    return;
                }
                self.left = Some(at);
            }
            if let Some(held) = self.held.pop_front() {
                self.out.put(&held.packet);
            }
        }
    }

    /// The sound that goes in front of the picture of this time leaves. True when that is all of it.
    fn reach(&mut self, at: Pts) -> bool {
        let has_jumped = self.left.is_some_and(|left| is_jump(left, at));
        if has_jumped && self.jumped != Some(at) {
            self.jumped = Some(at);
            for index in 0..self.sounds.len() {
                self.put_run(index);
            }
        }
        let before = self.left.filter(|_| !has_jumped).unwrap_or(at);
        let is_all = loop {
            let mut first: Option<(usize, Pts)> = None;
            let mut is_all = true;
            for (index, sound) in self.sounds.iter_mut().enumerate() {
                while sound.turn(at, before) == MergeTurn::Late {
                    sound.pop();
                }
                match sound.turn(at, before) {
                    MergeTurn::Missing => is_all &= !sound.is_waited_for,
                    MergeTurn::Elsewhere => sound.note_elsewhere(at),
                    MergeTurn::Later => sound.elsewhere_since = None,
                    MergeTurn::Due | MergeTurn::Late => {
                        sound.elsewhere_since = None;
                        let front = sound.queue.front().map_or(at, |front| front.at);
                        if first.is_none_or(|(_, earliest)| front.since(earliest) < 0) {
                            first = Some((index, front));
                        }
                    }
                }
            }
            match first {
                Some((index, _)) => self.put_sound(index),
                None => break is_all,
            }
        };
        if is_all {
            self.left = Some(at);
        }
        is_all
    }
}

/// The sounds.
impl Merger {
    /// The picture's time has jumped: what is left of the sound's times of before leaves, and others count from now on.
    fn put_run(&mut self, index: usize) {
        let front =
            |merger: &Self| merger.sounds[index].queue.front().map(|front| (front.at, front.is_new_run));
        let is_old = |at: Pts| self.left.is_none_or(|left| !is_jump(left, at));
        if front(self).is_some_and(|(at, is_new)| !is_new && is_old(at)) {
            while front(self).is_some_and(|(_, is_new)| !is_new) {
                self.put_sound(index);
            }
        }
        let sound = &mut self.sounds[index];
        sound.enter_run();
        if sound.queue.is_empty() {
            // There is nothing to compare what comes next with.
            sound.runs.clear();
        }
    }

    fn put_sound(&mut self, index: usize) {
        let Some(Queued { mut packet, stream, .. }) = self.sounds[index].pop() else { return };
        let pid = match self.sounds[index].streams[stream].leaves_on {
            Some(pid) => pid,
            None => self.place(index, stream),
        };
        if let Ok(mut packet) = PacketMut::parse(&mut packet) {
            packet.set_pid(pid);
        }
        self.out.put(&packet);
    }

    /// Finds a PID for a stream: its own, if nothing else has it.
    fn place(&mut self, index: usize, stream: usize) -> Pid {
        let own = self.sounds[index].streams[stream].pid;
        let is_free = |pid: Pid| {
            let mut others = self.sounds.iter().flat_map(|sound| &sound.streams);
            pid.get() >= PID_MIN && !self.used.get(pid) && !others.any(|other| other.leaves_on == Some(pid))
        };
        let others = (FREE_PID_MIN..Pid::NULL.get()).filter_map(Pid::new);
        let pid = std::iter::once(own).chain(others).find(|pid| is_free(*pid)).unwrap_or(own);
        self.sounds[index].streams[stream].leaves_on = Some(pid);
        pid
    }

    /// The programme's table goes out, behind what waits.
    fn put_table(&mut self, pid: Pid) {
        if self.table.is_none() {
            self.table = self.made_table();
        }
        let Some(table) = &self.table else { return };
        let mut packets = Vec::new();
        self.table_counter = packetise(table, pid, self.table_counter, |packet| packets.push(*packet));
        packets.iter().for_each(|packet| self.put_picture(packet, None));
    }

    fn made_table(&mut self) -> Option<SectionBuffer> {
        for index in 0..self.sounds.len() {
            for stream in 0..self.sounds[index].streams.len() {
                if self.sounds[index].streams[stream].leaves_on.is_none() {
                    self.place(index, stream);
                }
            }
        }
        let pmt = &self.tracker.programme()?.pmt;
        let mut streams: Vec<(Pid, u8, Vec<u8>)> = pmt
            .streams()
            .iter()
            .map(|stream| (stream.pid, stream.stream_type, pmt.stream_descriptors(stream).to_vec()))
            .collect();
        let own = streams.len();
        for sound in self.sounds.iter().filter(|sound| sound.is_listed) {
            for stream in sound.streams.iter().filter(|stream| stream.is_listed) {
                let pid = stream.leaves_on.unwrap_or(stream.pid);
                streams.push((pid, stream.stream_type, described(&stream.descriptors, sound.language)));
            }
        }
        // Nobody reads more of them.
        streams.truncate(STREAMS_MAX.max(own));
        let section = |version: u8, streams: &[(Pid, u8, Vec<u8>)]| {
            let listed = streams.iter().map(|(pid, stream_type, descriptors)| PmtStream {
                pid: *pid,
                stream_type: *stream_type,
                descriptors,
            });
            pmt_section(pmt.program_number, version, pmt.pcr_pid, pmt.programme_descriptors(), listed)
        };
        while streams.len() > own && section(0, &streams).is_err() {
            streams.pop();
        }
        let plain = section(0, &streams).ok()?.as_bytes().to_vec();
        if plain != self.table_before && !self.table_before.is_empty() {
            self.version = (self.version + 1) & 0x1F;
        }
        let made = section(self.version, &streams).ok();
        self.table_before = plain;
        made
    }
}

/// The descriptors of a sound, with its language, unless they have one.
fn described(descriptors: &[u8], language: Option<Language>) -> Vec<u8> {
    let has_language = Descriptors::new(descriptors).any(|descriptor| descriptor.tag == LANGUAGE_TAG);
    let mut all = descriptors.to_vec();
    if let Some(language) = language.filter(|_| !has_language) {
        all.extend_from_slice(&[LANGUAGE_TAG, 4]);
        all.extend_from_slice(&language);
        all.push(0);
    }
    all
}

/// True when one time does not follow the other: it goes back, or forward by more than any gap.
fn is_jump(before: Pts, at: Pts) -> bool {
    !(-BACK_MAX..=ELSEWHERE).contains(&at.since(before))
}

const SECOND: i64 = Pts::RATE.cast_signed();
/// Times that differ by more are of different time bases.
const ELSEWHERE: i64 = 60 * SECOND;
/// Sound whose times do not fit the picture's is dropped after so much of the picture.
const ELSEWHERE_TIME: i64 = 10 * SECOND;
/// Times of one stream that go back by more begin anew.
const BACK_MAX: i64 = SECOND;
/// Sound that comes behind its time by more is heard by nobody: players are given half a second or so.
const LATE: i64 = SECOND / 2;
/// Streams of one sound.
const STREAMS_OF_SOUND_MAX: usize = 4;
/// Where sound would be that is on none.
const PACKED_PID: Pid = Pid::from_field([0x01, 0x01]);
/// PIDs below are those of the standard's own tables.
const PID_MIN: u16 = 0x20;
/// From here on a free PID is looked for.
const FREE_PID_MIN: u16 = 0x100;
/// `ISO_639_language_descriptor`.
const LANGUAGE_TAG: u8 = 0x0A;

#[cfg(test)]
pub(super) mod tests;
