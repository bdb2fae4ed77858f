//! From received bytes to the verdict on a start and what status shows of it, as the engine puts the parts together.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use tunerd::base::Instant;
use tunerd::source::cutover::Cutover;
use tunerd::source::startup::{Programme, Seen, Startup, StartupParams, Verdict};
use tunerd::source::startup_facts::StartupFacts;
use tunerd::ts::psi::{PatProgramme, PmtStream, packetise, pat_section, pmt_section};
use tunerd::ts::{Aligner, Codec, ContinuityCounter, Inspector, NULL_PACKET, Pid};

const VIDEO: u16 = 0x100;
const AUDIO: u16 = 0x101;
const AUD: &[u8] = &[0, 0, 0, 1, 0x09, 0xF0];
const SETS: &[u8] = &[0, 0, 0, 1, 0x67, 0x42, 0x80, 0, 0, 0, 1, 0x68, 0xCE, 0x80];
const IDR: &[u8] = &[0, 0, 1, 0x65, 0x88, 0x80];
const INTER: &[u8] = &[0, 0, 1, 0x41, 0x9A, 0x80];

/// A stream in the making.
#[derive(Default)]
struct Stream {
    bytes: Vec<u8>,
    counters: std::collections::BTreeMap<u16, u8>,
}

impl Stream {
    /// PAT and PMT of one programme: two packets.
    fn tables(mut self, stream_types: &[u8]) -> Self {
        let pid = |number| Pid::new(number).unwrap();
        let programme = PatProgramme { program_number: 1, pmt_pid: pid(0x1000) };
        let streams = stream_types.iter().zip(VIDEO..).map(|(stream_type, number)| PmtStream {
            pid: pid(number),
            stream_type: *stream_type,
            descriptors: &[],
        });
        let pat = pat_section(1, 0, &[programme]).unwrap();
        let pmt = pmt_section(1, 0, Some(pid(VIDEO)), &[], streams).unwrap();
        for (section, pid) in [(&pat, Pid::PAT), (&pmt, pid(0x1000))] {
            packetise(section, pid, ContinuityCounter::new(0), |packet| self.bytes.extend_from_slice(packet));
        }
        self
    }

    /// A PES packet in packets of its own; the last one is stuffed.
    fn pes(mut self, pid: u16, stream_id: u8, parts: &[&[u8]]) -> Self {
        let data = [&[0, 0, 1, stream_id, 0, 0, 0x80, 0, 0][..], &parts.concat()].concat();
        for (index, part) in data.chunks(184).enumerate() {
            let counter = self.counters.entry(pid).or_insert(0);
            let [high, low] = pid.to_be_bytes();
            let start = if index == 0 { 0x40 } else { 0 };
            let mut packet = vec![0x47, start | high, low, 0x10 | *counter];
            *counter = (*counter + 1) % 16;
            if part.len() < 184 {
                packet[3] |= 0x20;
                let stuffing = 183 - part.len();
                packet.push(u8::try_from(stuffing).unwrap());
                packet.extend((0..stuffing).map(|at| if at == 0 { 0 } else { 0xFF }));
            }
            packet.extend_from_slice(part);
            self.bytes.extend_from_slice(&packet);
        }
        self
    }

    fn nulls(mut self, packets: usize) -> Self {
        (0..packets).for_each(|_| self.bytes.extend_from_slice(&NULL_PACKET));
        self
    }
}

/// How a start ended: what status shows of it, or why it failed.
fn start(bytes: &[u8]) -> Result<StartupFacts, String> {
    start_with(StartupParams { bytes_min: 1, ..StartupParams::default() }, bytes)
}

fn start_with(params: StartupParams, bytes: &[u8]) -> Result<StartupFacts, String> {
    let (mut aligner, mut inspector) = (Aligner::new(), Inspector::new());
    let mut startup = Startup::new(params, Instant::START);
    let (mut ring, mut received, mut committed) = (Vec::new(), 0usize, 0usize);
    let mut entry = None;
    let length = |bytes: usize| u64::try_from(bytes).unwrap();
    for read in bytes.chunks(32_768) {
        received += read.len();
        ring.extend_from_slice(read);
        let aligned = aligner.align(&mut ring[committed..]);
        for packet in ring[committed..committed + aligned.packets_bytes].as_chunks::<188>().0 {
            inspector.packet(length(committed), packet);
            committed += packet.len();
            if let Some(found) = inspector.take_entry_point() {
                entry.get_or_insert((found.position, found.codec));
            }
        }
        ring.truncate(committed + aligned.rest_bytes);
        let inventory = inspector.inventory();
        let count = |streams: usize| u32::try_from(streams).unwrap();
        let verdict = startup.observe(
            Instant::START,
            Seen {
                bytes: length(received),
                first_packet: (committed > 0).then_some(0),
                programme: inspector.programme().map(|_known| Programme {
                    video_streams: count(inventory.video_streams),
                    audio_streams: count(inventory.audio_streams),
                }),
                entry_point: entry.map(|(position, _)| position),
                fallback: None,
                is_clear: inspector.is_clear(),
                is_scrambled: inspector.is_scrambled(),
            },
        );
        match verdict {
            Verdict::KeepGoing => {}
            Verdict::Failed(failure) => return Err(failure.to_string()),
            Verdict::Ready { from, .. } => {
                let undecided = length(aligned.rest_bytes);
                let cutover = Cutover::at_start(length(received), length(committed), undecided, from);
                return Ok(StartupFacts::new(cutover, &inventory, entry.map(|(_, codec)| codec), false));
            }
        }
    }
    match startup.ended() {
        Verdict::Failed(failure) => Err(failure.to_string()),
        verdict @ (Verdict::KeepGoing | Verdict::Ready { .. }) => panic!("an end decides, not {verdict:?}"),
    }
}

fn numbers(facts: &StartupFacts) -> (u64, u64, u64, u64) {
    let Cutover { raw, trimmed, offset, dropped } = facts.cutover;
    (raw, trimmed, offset, dropped)
}

const TV: &[u8] = &[0x1B, 0x0F];

#[test]
fn a_start_begins_at_the_picture_and_keeps_the_inventory_of_all_that_was_read() {
    let stream = Stream::default()
        .tables(TV)
        .pes(VIDEO, 0xE0, &[AUD, INTER])
        .pes(VIDEO, 0xE0, &[AUD, SETS, IDR])
        .nulls(1);
    let facts = start(&stream.bytes).unwrap();
    assert_eq!(numbers(&facts), (940, 376, 564, 564));
    assert_eq!(facts.cutover.percent(), 60);
    assert_eq!(facts.random_access_codec(), Some("h264"));
    assert_eq!((facts.method.as_str(), facts.component_state().as_str()), ("pmt", "video_audio"));
    assert_eq!((facts.video_codecs.as_str(), facts.audio_codecs.as_str()), ("h264", "aac"));
    assert_eq!(facts.relaxed_retry_reason(), None);
}

#[test]
fn a_picture_behind_much_else_in_its_pes_packet_is_entered_at_the_pes_packets_start() {
    let filler = [&[0, 0, 0, 1, 0x0C][..], &[0xFF; 170]].concat();
    let stream = Stream::default().tables(TV).pes(VIDEO, 0xE0, &[AUD, &filler, SETS, IDR]).nulls(1);
    assert_eq!(numbers(&start(&stream.bytes).unwrap()), (940, 564, 376, 376));
}

#[test]
fn bytes_before_the_first_packet_count_as_dropped() {
    let stream = Stream::default().tables(TV).pes(VIDEO, 0xE0, &[AUD, SETS, IDR]).nulls(1);
    let bytes = [&[1, 2, 3][..], &stream.bytes].concat();
    assert_eq!(numbers(&start(&bytes).unwrap()), (755, 376, 379, 379));
}

#[test]
fn a_picture_a_megabyte_and_a_half_away_is_waited_for() {
    let mut stream = Stream::default().tables(TV).nulls(8000);
    for _ in 0..400 {
        stream = stream.pes(VIDEO, 0xE0, &[AUD, INTER, &[0x55; 120]]);
    }
    let stream = stream.pes(VIDEO, 0xE0, &[AUD, SETS, IDR]).nulls(1);
    let facts = start(&stream.bytes).unwrap();
    assert!(facts.cutover.dropped > 1_500_000 && facts.cutover.percent() >= 75, "{facts:?}");
    assert_eq!(facts.component_state().as_str(), "video_audio", "the tables were long before the picture");
}

#[test]
fn what_is_no_picture_of_the_programme_starts_nothing() {
    let late = "source closed before random-access startup bytes were received";
    let audio_only = Stream::default()
        .tables(TV)
        .pes(AUDIO, 0xC0, &[AUD, SETS, IDR])
        .pes(VIDEO, 0xE0, &[AUD, INTER])
        .nulls(3);
    let idr_alone = Stream::default().tables(TV).pes(VIDEO, 0xE0, &[AUD, IDR]).nulls(3);
    let foreign = Stream::default().tables(TV).pes(0x200, 0xE0, &[AUD, SETS, IDR]).nulls(3);
    // Slices 7, 8 and 5 of MPEG-2 look like parameter sets and picture of H.264.
    let slices = [0, 0, 1, 0x00, 0, 0x57, 0, 0, 1, 0x07, 9, 0, 0, 1, 0x08, 9, 0, 0, 1, 0x05, 9];
    let mpeg2 = Stream::default().tables(&[0x02, 0x03]).pes(VIDEO, 0xE0, &[&slices]).nulls(3);
    for (name, stream) in
        [("audio", audio_only), ("IDR alone", idr_alone), ("foreign", foreign), ("MPEG-2", mpeg2)]
    {
        let failure = start(&stream.bytes).unwrap_err();
        assert!(failure.starts_with(late), "{name}: {failure}");
    }
    let raw = [AUD, SETS, IDR, &[0x55; 4000]].concat();
    let failure = start(&raw).unwrap_err();
    assert!(failure.contains("state=undetected method=none"), "bytes without packets: {failure}");
}

#[test]
fn mpeg2_is_not_taken_for_h264() {
    let picture = [0, 0, 1, 0xB3, 0x2D, 2, 0x40, 0, 0, 1, 0x00, 0, 0x0F, 0, 0, 1, 0x05, 9];
    let stream = Stream::default().tables(&[0x02, 0x03]).pes(VIDEO, 0xE0, &[&picture]).nulls(1);
    let facts = start(&stream.bytes).unwrap();
    assert_eq!((facts.random_access, facts.video_codecs.as_str()), (Some(Codec::Mpeg2Video), "mpeg2video"));
}

#[test]
fn radio_starts_without_a_picture() {
    let sound = [0xFF; 100];
    let stream = Stream::default().tables(&[0x0F]).pes(VIDEO, 0xC0, &[&sound]).nulls(1);
    let facts = start(&stream.bytes).unwrap();
    assert!(!facts.random_access_ready());
    assert_eq!(facts.component_state().as_str(), "audio_only");
}

#[test]
fn the_least_that_is_read_is_kept_to() {
    let stream = Stream::default().tables(TV).pes(VIDEO, 0xE0, &[AUD, SETS, IDR]).nulls(1);
    assert_eq!(stream.bytes.len(), 752);
    let failure = start_with(StartupParams::default(), &stream.bytes).unwrap_err();
    assert_eq!(failure, "source closed early after 752 of 940 startup bytes");
    let longer = stream.nulls(1);
    assert!(start_with(StartupParams::default(), &longer.bytes).is_ok());
}
