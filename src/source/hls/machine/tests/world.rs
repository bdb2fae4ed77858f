//! A provider, a clock and a viewer. Whatever the machine asks for is answered by a script and noted; what it delivers is
//! looked at packet by packet.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::*;

/// Packets of one segment.
pub(crate) const PACKETS: u64 = 8;

/// A request that was answered.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) at: u64,
    /// The address without `http://`.
    pub(crate) url: String,
    pub(crate) range: Option<ByteRange>,
    pub(crate) item: Item,
    pub(crate) status: u16,
}

/// What the provider says.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    status: u16,
    at: Option<String>,
    body: Vec<u8>,
    /// The connection breaks behind so many bytes.
    cut: Option<usize>,
    retry_after: Option<Duration>,
    takes_ms: u64,
}

impl Answer {
    pub(crate) fn new(body: impl Into<Vec<u8>>) -> Self {
        Self { status: 200, at: None, body: body.into(), cut: None, retry_after: None, takes_ms: 20 }
    }

    pub(crate) fn refused(status: u16) -> Self {
        Self { status, ..Self::new("") }
    }

    /// Redirects have led to here.
    pub(crate) fn at(self, url: &str) -> Self {
        Self { at: Some(format!("http://{url}")), ..self }
    }

    pub(crate) fn cut(self, bytes: usize) -> Self {
        Self { cut: Some(bytes), ..self }
    }

    pub(crate) fn takes(self, takes_ms: u64) -> Self {
        Self { takes_ms, ..self }
    }

    pub(crate) fn retry_after(self, seconds: u64) -> Self {
        Self { retry_after: Some(Duration::from_secs(seconds)), ..self }
    }

    /// As servers that know ranges answer.
    pub(crate) fn part(mut self, range: Option<ByteRange>) -> Self {
        if let Some(range) = range {
            let from = usize::try_from(range.offset).unwrap().min(self.body.len());
            let length = range.length.map_or(usize::MAX, |length| usize::try_from(length).unwrap());
            self.body = self.body[from..].iter().take(length).copied().collect();
            self.status = 206;
        }
        self
    }
}

/// The packets of a segment, which tell themselves apart.
pub(crate) fn segment(number: u64) -> Vec<u8> {
    (number * PACKETS..(number + 1) * PACKETS)
        .flat_map(|packet| {
            let mut bytes = vec![0x10; 188];
            bytes[0] = 0x47;
            for (at, digit) in packet.to_string().bytes().rev().enumerate() {
                bytes[187 - at] = digit;
            }
            bytes
        })
        .collect()
}

/// The window of a live list: its first segment, and the one behind its last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Live {
    pub(crate) segment_ms: u64,
    pub(crate) window: u64,
    /// Segments there are at the beginning.
    pub(crate) ready: u64,
}

impl Live {
    pub(crate) fn window(self, now: u64) -> (u64, u64) {
        let end = self.ready + now / self.segment_ms;
        (end.saturating_sub(self.window), end)
    }

    pub(crate) fn head(self, now: u64) -> String {
        let (first, _) = self.window(now);
        let target = self.segment_ms.div_ceil(1000);
        format!("#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:{target}\n#EXT-X-MEDIA-SEQUENCE:{first}\n")
    }

    pub(crate) fn inf(self) -> String {
        format!("#EXTINF:{:.3},\n", f64::from(u32::try_from(self.segment_ms).unwrap()) / 1000.0)
    }

    /// A list whose segments are each written by `line`.
    pub(crate) fn list(self, now: u64, line: impl Fn(u64) -> String) -> String {
        let (first, end) = self.window(now);
        let lines = (first..end).map(|number| self.inf() + &line(number) + "\n");
        self.head(now) + &lines.collect::<String>()
    }

    /// A segment is kept for as long again as it was listed.
    pub(crate) fn has(self, now: u64, number: u64) -> bool {
        let (first, end) = self.window(now);
        (first.saturating_sub(self.window)..end).contains(&number)
    }
}

/// The number in an address's last part.
pub(crate) fn number_in(url: &str) -> Option<u64> {
    let name = url.split('?').next().unwrap().rsplit('/').next().unwrap();
    let digits: String = name.chars().filter(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// How it came out.
pub(crate) struct Outcome {
    pub(crate) asked: Vec<Asked>,
    /// The numbers of the packets, in the order in which they were delivered.
    pub(crate) packets: Vec<u64>,
    pub(crate) joints: Vec<(u64, Joint)>,
    pub(crate) first_byte_at: Option<u64>,
    /// How long the viewer had nothing to see.
    pub(crate) starved_ms: u64,
    pub(crate) ended_at: Option<u64>,
    pub(crate) failure: Option<Failure>,
    pub(crate) counters: Counters,
}

impl Outcome {
    /// The segments whose packets were delivered, whole and in order.
    pub(crate) fn segments(&self) -> Vec<u64> {
        assert_eq!(self.packets.len() as u64 % PACKETS, 0, "whole segments: {:?}", self.packets);
        self.packets
            .chunks(usize::try_from(PACKETS).unwrap())
            .map(|packets| {
                let number = packets[0] / PACKETS;
                let expected: Vec<u64> = (number * PACKETS..(number + 1) * PACKETS).collect();
                assert_eq!(packets, expected, "a segment's packets");
                number
            })
            .collect()
    }

    /// When the list that was asked for last was asked for.
    pub(crate) fn polls(&self) -> Vec<u64> {
        let lists = || self.asked.iter().filter(|asked| asked.item == Item::List);
        let last = lists().next_back();
        lists().filter(|asked| last.is_some_and(|last| last.url == asked.url)).map(|asked| asked.at).collect()
    }

    pub(crate) fn count(&self, is_meant: impl Fn(&Asked) -> bool) -> usize {
        self.asked.iter().filter(|asked| is_meant(asked)).count()
    }

    /// No part of a segment was asked for twice.
    pub(crate) fn assert_once(&self) {
        let mut times = BTreeMap::new();
        for asked in self.asked.iter().filter(|asked| matches!(asked.item, Item::Segment { .. })) {
            *times.entry((asked.url.clone(), asked.range.map(ByteRange::header))).or_insert(0) += 1;
        }
        times.retain(|_, times| *times > 1);
        assert!(times.is_empty(), "asked for more than once: {times:?}");
    }
}

/// How a run is made.
pub(crate) struct Run {
    pub(crate) source: &'static str,
    pub(crate) params: HlsParams,
    pub(crate) run_ms: u64,
    /// How long a segment is for the viewer.
    pub(crate) segment_ms: u64,
    /// How far ahead of the viewer is read.
    pub(crate) burst_ms: u64,
    /// The size of what comes in one piece.
    pub(crate) piece: usize,
}

impl Default for Run {
    fn default() -> Self {
        Self {
            source: "tv.example/live/index.m3u8",
            params: HlsParams::default(),
            run_ms: 60_000,
            segment_ms: 2000,
            burst_ms: 10_000,
            piece: 700,
        }
    }
}

struct World<'run> {
    run: &'run Run,
    now: u64,
    machine: Machine,
    stream: Vec<u8>,
    outcome: Outcome,
}

fn at(ms: u64) -> Instant {
    Instant::from_millis(ms)
}

impl Run {
    /// Plays against a provider until the time is over, or the machine has come to an end.
    pub(crate) fn play(&self, provider: impl Fn(&Asked, u64) -> Answer) -> Outcome {
        let source = Url::parse(&format!("http://{}", self.source)).unwrap();
        let outcome = Outcome {
            asked: vec![],
            packets: vec![],
            joints: vec![],
            first_byte_at: None,
            starved_ms: 0,
            ended_at: None,
            failure: None,
            counters: Counters::default(),
        };
        let machine = Machine::new(source, self.params, 7, at(0));
        let mut world = World { run: self, now: 0, machine, stream: vec![], outcome };
        let mut steps = 0;
        while world.now < self.run_ms && world.step(&provider) {
            steps += 1;
            assert!(steps < 100_000, "it goes round in a circle at {} ms", world.now);
        }
        world.outcome.counters = world.machine.counters();
        world.outcome.packets = world
            .stream
            .chunks(188)
            .map(|packet| {
                assert_eq!((packet.len(), packet[0]), (188, 0x47), "a whole packet");
                let digits: String =
                    packet[4..].iter().map(|byte| char::from(*byte)).filter(char::is_ascii_digit).collect();
                digits.parse().unwrap()
            })
            .collect();
        world.outcome
    }
}

impl World<'_> {
    /// What the viewer has not seen yet, as time; negative when it waits.
    fn ahead_ms(&self) -> Option<i64> {
        let began = self.outcome.first_byte_at?;
        let packets = self.stream.len() as u64 / 188;
        let delivered = packets * self.run.segment_ms / PACKETS;
        Some(
            i64::try_from(delivered + self.outcome.starved_ms).unwrap()
                - i64::try_from(self.now - began).unwrap(),
        )
    }

    fn pass(&mut self, ms: u64) {
        self.now += ms;
        if let Some(ahead) = self.ahead_ms().filter(|ahead| *ahead < 0) {
            self.outcome.starved_ms += ahead.unsigned_abs();
        }
    }

    fn step(&mut self, provider: &impl Fn(&Asked, u64) -> Answer) -> bool {
        let ahead = self.ahead_ms().map_or(0, |ahead| u64::try_from(ahead).unwrap());
        let may_read = ahead < self.run.burst_ms;
        match self.machine.want(at(self.now), may_read) {
            HlsWant::Fetch(fetch) => self.fetch(fetch, provider),
            HlsWant::Receive { .. } => unreachable!("an answer comes in one step here"),
            HlsWant::TakeTail => {
                let mut bytes = [0; 100];
                let count = self.machine.take_tail(&mut bytes);
                self.take(&bytes[..count]);
            }
            HlsWant::Abandon => self.machine.abandoned(),
            HlsWant::Wait { until } => {
                let readable_at = (!may_read).then(|| self.now + (ahead + 1 - self.run.burst_ms));
                let until = until.map(|until| until.as_nanos().div_ceil(1_000_000));
                let until = [until, readable_at].into_iter().flatten().min().expect("it waits for something");
                assert!(until > self.now, "a wait that is over at {until}");
                self.pass(until - self.now);
            }
            HlsWant::Ended => {
                self.outcome.ended_at = Some(self.now);
                return false;
            }
            HlsWant::Failed => {
                self.outcome.failure = self.machine.failure().cloned();
                self.outcome.ended_at = Some(self.now);
                return false;
            }
        }
        true
    }

    fn take(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.outcome.first_byte_at.get_or_insert(self.now);
            self.stream.extend_from_slice(bytes);
        }
    }

    fn fetch(&mut self, fetch: Fetch, provider: &impl Fn(&Asked, u64) -> Answer) {
        let url = fetch.url.text().strip_prefix("http://").unwrap().to_owned();
        let mut asked = Asked { at: self.now, url, range: fetch.range, item: fetch.item, status: 0 };
        let answer = provider(&asked, self.now);
        asked.status = answer.status;
        self.outcome.asked.push(asked);
        if let Item::Segment { sequence, joint } = fetch.item
            && joint != Joint::Smooth
        {
            self.outcome.joints.push((sequence, joint));
        }
        let HlsWant::Receive { until } = self.machine.want(at(self.now), true) else {
            panic!("nothing else is asked for before the end of a request");
        };
        let answers_at = at(self.now + answer.takes_ms);
        if let Some(until) = until.filter(|until| *until < answers_at) {
            self.pass(until.as_millis() - self.now);
            return self.machine.expire(until);
        }
        self.pass(answer.takes_ms);
        if answer.status >= 300 {
            let error = SourceError::status(answer.status, "", answer.retry_after);
            return self.machine.failed(at(self.now), error);
        }
        let found = answer.at.map_or(fetch.url, |url| Url::parse(&url).unwrap());
        self.machine.answered(found, answer.status);
        let comes = answer.cut.unwrap_or(answer.body.len());
        for piece in answer.body[..comes].chunks(self.run.piece) {
            let mut piece = piece.to_vec();
            let count = self.machine.body(at(self.now), &mut piece);
            self.take(&piece[..count]);
            if !matches!(self.machine.want(at(self.now), true), HlsWant::Receive { .. }) {
                return;
            }
        }
        if answer.cut.is_some() {
            self.machine.failed(at(self.now), SourceError::new(Kind::Connection, "cut"));
        } else {
            self.machine.complete(at(self.now));
        }
    }
}
