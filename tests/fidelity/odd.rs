//! Streams as odd as those that other players and servers have been sent: right, or wrong in a way that receivers are used to.

use crate::made::{
    Made, Make, PICTURE, SECOND_SOUND, SOUND, X264_B, encoded, joint, made, ms, plain, tracks, usual,
    with_clock, with_data, with_sound,
};
use crate::mux::{Clock, Params, Piece, Track, mux, recount};
use crate::tsedit::set_pcr;
use crate::tsview::{PACKET_BYTES, PTS_WRAP, Packet, View};

const TICKS_PER_MS: u64 = 90;
const PTS_HZ: u64 = 90_000;
const VIDEO: u16 = 0x100;
const SOUND_PID: u16 = 0x101;
const PMT: u16 = 0x1000;

/// Five seconds of pictures and sound.
fn short() -> Vec<Track> {
    cut(plain(25))
}

fn cut(tracks: Vec<Track>) -> Vec<Track> {
    until(tracks, 5000)
}

fn until(tracks: Vec<Track>, ms: u64) -> Vec<Track> {
    tracks.into_iter().map(|track| track.until(ms)).collect()
}

fn each(tracks: Vec<Track>, pid: u16, change: impl Fn(usize, &mut Piece)) -> Vec<Track> {
    let mut tracks = tracks;
    for track in tracks.iter_mut().filter(|track| track.pid == pid) {
        track.pieces.iter_mut().enumerate().for_each(|(index, piece)| change(index, piece));
    }
    tracks
}

/// Each packet gives way to as many as are made of it.
fn with_packets(bytes: &[u8], mut change: impl FnMut(usize, &Packet) -> Vec<Packet>) -> Vec<u8> {
    let packets = bytes.as_chunks::<PACKET_BYTES>().0;
    packets.iter().enumerate().flat_map(|(index, packet)| change(index, packet)).flatten().collect()
}

/// Some packets are sent twice, the clock in the second as it is then.
fn sent_twice(bytes: &[u8]) -> Vec<u8> {
    with_packets(bytes, |index, packet| {
        let mut again = *packet;
        if let Some(pcr) = View(packet).pcr() {
            set_pcr(&mut again, pcr + 2700);
        }
        let is_twice = index % 7 == 0 && View(packet).has_payload();
        if is_twice { vec![*packet, again] } else { vec![*packet] }
    })
}

/// The rest of a table comes behind packets of the streams.
fn apart(bytes: &[u8]) -> Vec<u8> {
    let mut packets: Vec<Packet> = bytes.as_chunks::<PACKET_BYTES>().0.to_vec();
    for index in (0..packets.len()).rev() {
        if View(&packets[index]).pid() == PMT && !View(&packets[index]).starts() {
            let to = (index + 6).min(packets.len() - 1);
            packets[index..=to].rotate_left(1);
        }
    }
    packets.concat()
}

fn uncounted_tables(bytes: &[u8]) -> Vec<u8> {
    with_packets(bytes, |_, packet| {
        let mut packet = *packet;
        if [0, PMT].contains(&View(&packet).pid()) {
            packet[3] &= 0xF0;
        }
        vec![packet]
    })
}

/// Packets of a stream that fill up and nothing else, before others of it.
fn with_filling(bytes: &[u8]) -> Vec<u8> {
    with_packets(bytes, |index, packet| {
        let view = View(packet);
        let mut filling = [0xFF; PACKET_BYTES];
        filling[..6].copy_from_slice(&[0x47, packet[1] & 0x1F, packet[2], 0x20, 183, 0]);
        filling[3] |= view.counter().wrapping_sub(1) & 0x0F;
        let is_filled = [VIDEO, SOUND_PID].contains(&view.pid()) && view.has_payload() && index % 3 == 0;
        if is_filled { vec![filling, filling, *packet] } else { vec![*packet] }
    })
}

/// Bytes that belong to nothing come between packets now and then.
fn with_garbage(bytes: &[u8]) -> Vec<u8> {
    let packets = bytes.as_chunks::<PACKET_BYTES>().0;
    let garbage = [0x00, 0x47, 0x12, 0xFF, 0x0D];
    let after = |(index, packet): (usize, &Packet)| {
        if index % 400 == 399 { [&packet[..], &garbage].concat() } else { packet.to_vec() }
    };
    packets.iter().enumerate().flat_map(after).collect()
}

/// The table says that it is a newer one each second, and says the same.
fn with_versions(bytes: &[u8]) -> Vec<u8> {
    let mut number = 0_usize;
    with_packets(bytes, |_, packet| {
        let mut packet = *packet;
        if View(&packet).pid() == PMT && View(&packet).starts() {
            let version = u8::try_from(number / 10 % 32).unwrap();
            number += 1;
            let length = usize::from(u16::from_be_bytes([packet[6] & 0x0F, packet[7]])) + 3;
            let (body, crc) = packet[5..5 + length].split_at_mut(length - 4);
            body[5] = 0xC1 | version << 1;
            crc.copy_from_slice(&crc::Crc::<u32>::new(&crc::CRC_32_MPEG_2).checksum(body).to_be_bytes());
        }
        vec![packet]
    })
}

/// A joint as the standard has it: each stream says that its counter does not follow, and the clock that it does not.
fn signalled_joint() -> Vec<u8> {
    let bytes = joint(3000, 3000, [50_000 * PTS_HZ, 10 * PTS_HZ], false);
    let mut last: Option<u64> = None;
    let mut behind: Option<Vec<u16>> = None;
    with_packets(&bytes, |_, packet| {
        let view = View(packet);
        let pcr = view.pcr();
        if pcr.zip(last).is_some_and(|(pcr, last)| pcr < last) {
            behind = Some(Vec::new());
        }
        last = pcr.or(last);
        let Some(told) = &mut behind else { return vec![*packet] };
        if !view.has_payload() && pcr.is_none()
            || told.contains(&view.pid())
            || view.pid() == 0
            || view.pid() == PMT
        {
            return vec![*packet];
        }
        told.push(view.pid());
        if packet[3] & 0x20 != 0 && packet[4] > 0 {
            let mut packet = *packet;
            packet[5] |= 0x80;
            return vec![packet];
        }
        let mut signal = [0xFF; PACKET_BYTES];
        signal[..6].copy_from_slice(&[0x47, packet[1] & 0x1F, packet[2], 0x20, 183, 0x80]);
        signal[3] |= view.counter().wrapping_sub(1) & 0x0F;
        vec![signal, *packet]
    })
}

/// Halves of a picture in PES packets of their own, as fields are sent.
fn halves(tracks: Vec<Track>, apart: u64) -> Vec<Track> {
    let half = |piece: Piece| {
        let (first, second) = piece.body.split_at(piece.body.len() / 2);
        let later = |time: Option<u64>| time.map(|time| time + apart);
        let first = Piece { body: first.to_vec(), ..piece.clone() };
        let second = Piece {
            body: second.to_vec(),
            at: piece.at + apart,
            pts: later(piece.pts),
            dts: later(piece.dts),
            is_key: false,
            ..piece
        };
        [first, second]
    };
    let mut tracks = tracks;
    tracks[0].pieces = std::mem::take(&mut tracks[0].pieces).into_iter().flat_map(half).collect();
    tracks
}

fn three_sounds() -> Vec<Track> {
    let arguments = format!(
        "{X264_B} -g 50 -b:v 500k -c:a aac -b:a 96k -pes_payload_size 0 -metadata:s:a:0 language=deu -metadata:s:a:1 language=eng -metadata:s:a:2 language=fra"
    );
    tracks(&encoded(&[PICTURE, SOUND, SECOND_SOUND, SOUND], &arguments))
}

/// Padding between pictures, as some encoders send to keep up their rate.
fn with_padding(mut tracks: Vec<Track>) -> Vec<Track> {
    let padded = |piece: Piece| {
        let padding = Piece { at: piece.at, id: Some(0xBE), body: vec![0xFF; 500], ..Piece::default() };
        [piece, padding]
    };
    tracks[0].pieces = std::mem::take(&mut tracks[0].pieces).into_iter().flat_map(padded).collect();
    tracks
}

fn without(mut tracks: Vec<Track>, pid: u16, from_ms: u64, until_ms: u64) -> Vec<Track> {
    let gone = from_ms * TICKS_PER_MS..until_ms * TICKS_PER_MS;
    for track in tracks.iter_mut().filter(|track| track.pid == pid) {
        track.pieces.retain(|piece| !gone.contains(&piece.at));
    }
    tracks
}

fn wide(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    recount(&mut bytes);
    bytes
}

const ODD: &[(&str, Make)] = &[
    ("odd_sound_without_lengths", || {
        mux(&each(short(), SOUND_PID, |_, piece| piece.is_endless = true), &usual())
    }),
    ("odd_packets_sent_twice", || sent_twice(&mux(&cut(with_data()), &usual()))),
    ("odd_large_table", || {
        let private = [&[0x83, 250][..], &[0x55; 250]].concat();
        apart(&mux(&short(), &Params { descriptors: private.repeat(2), ..usual() }))
    }),
    ("odd_half_a_second_of_pictures_in_each_unit", || {
        let mut tracks = short();
        let video = tracks.remove(0).joined(480, 0);
        tracks.insert(0, video);
        mux(&tracks, &usual())
    }),
    ("odd_fields_of_one_time", || mux(&halves(short(), 0), &usual())),
    ("odd_fields_of_two_times", || mux(&halves(short(), 20 * TICKS_PER_MS), &usual())),
    ("odd_clock_inside_units", || mux(&short(), &with_clock(Clock::Inside(ms(80))))),
    ("odd_clock_with_sound", || {
        let mut tracks = short();
        tracks.reverse();
        mux(&tracks, &usual())
    }),
    ("odd_tables_never_count", || uncounted_tables(&mux(&short(), &usual()))),
    ("odd_tables_every_3_s", || mux(&short(), &Params { tables_every_ms: 3000, ..usual() })),
    ("odd_table_of_a_new_version_each_second", || with_versions(&mux(&short(), &usual()))),
    ("odd_signalled_joint", signalled_joint),
    ("odd_sounds_of_other_leads", || {
        let late = each(cut(three_sounds()), 0x102, |_, piece| piece.at += 550 * TICKS_PER_MS);
        let all = each(late, VIDEO, |_, piece| piece.at += 300 * TICKS_PER_MS);
        mux(&all, &Params { rate: Some(1_600_000), lead_ms: 1200, ..usual() })
    }),
    ("odd_subtitles_far_ahead", || {
        let ahead =
            each(cut(with_data()), 0x120, |_, piece| piece.pts = piece.pts.map(|pts| pts + 6 * PTS_HZ));
        mux(&each(ahead, 0x121, |_, piece| piece.pts = None), &usual())
    }),
    ("odd_subtitles_late", || {
        let late = |_: usize, piece: &mut Piece| piece.pts = piece.pts.map(|pts| pts.saturating_sub(PTS_HZ));
        mux(&each(cut(with_data()), 0x120, late), &Params { base: 1000, ..usual() })
    }),
    ("odd_ten_frames_of_mp2", || {
        let arguments = format!("{X264_B} -g 25 -b:v 500k -c:a mp2 -b:a 192k -pes_payload_size 0");
        let tracks = cut(tracks(&encoded(&[PICTURE, SOUND], &arguments)));
        mux(&with_sound(tracks, |track| track.joined(240, 200)), &usual())
    }),
    ("odd_filling_packets", || with_filling(&mux(&short(), &usual()))),
    ("odd_stuffed_heads", || {
        let stuffed = each(short(), VIDEO, |index, piece| piece.stuffing = u8::try_from(index % 40).unwrap());
        mux(&each(stuffed, SOUND_PID, |_, piece| piece.stuffing = 7), &usual())
    }),
    ("odd_times_of_key_pictures_only", || {
        let rare = |_: usize, piece: &mut Piece| {
            if !piece.is_key {
                (piece.pts, piece.dts) = (None, None);
            }
        };
        mux(&each(short(), VIDEO, rare), &usual())
    }),
    ("odd_times_of_sound_rare", || {
        let rare =
            |index: usize, piece: &mut Piece| piece.pts = piece.pts.filter(|_| index.is_multiple_of(10));
        mux(&each(short(), SOUND_PID, rare), &usual())
    }),
    ("odd_sound_with_both_times", || {
        mux(&each(short(), SOUND_PID, |_, piece| piece.dts = piece.pts), &usual())
    }),
    ("odd_padding_between_pictures", || mux(&with_padding(short()), &usual())),
    ("odd_bytes_of_nothing", || with_garbage(&mux(&short(), &usual()))),
    ("odd_sound_begins_later", || mux(&without(short(), SOUND_PID, 0, 2500), &usual())),
    ("odd_pictures_begin_later", || {
        mux(
            &without(short(), VIDEO, 0, 2000),
            &Params { tables_every_ms: 50, ..with_clock(Clock::Alone(0x1F0, ms(35))) },
        )
    }),
    ("odd_sound_pauses", || mux(&without(short(), SOUND_PID, 1500, 4500), &usual())),
    ("odd_pictures_pause", || {
        mux(&without(short(), VIDEO, 1500, 3900), &with_clock(Clock::Alone(0x1F0, ms(35))))
    }),
    ("odd_a_picture_a_second", || {
        let arguments = format!("{X264_B} -r 1 -g 1 -b:v 100k -c:a aac -pes_payload_size 0");
        mux(&cut(tracks(&encoded(&[PICTURE, SOUND], &arguments))), &usual())
    }),
    ("odd_hevc_10_bit", || {
        let arguments = "-c:v libx265 -preset ultrafast -pix_fmt yuv420p10le -x265-params pools=none:frame-threads=1:keyint=50:log-level=none -b:v 500k -c:a eac3 -t 5";
        encoded(&[PICTURE, SOUND], arguments)
    }),
    ("odd_clocks_wrap_in_a_joint", || {
        wide(&joint(3000, 3400, [PTS_WRAP - 2 * PTS_HZ, PTS_WRAP - 3 * PTS_HZ], true))
    }),
];

/// Those that are played several times, one behind the other.
const AGAIN: &[(&str, u32, Make)] = &[
    ("odd_clip_of_a_fifth_of_a_second_again", 12, || mux(&until(plain(25), 200), &usual())),
    ("odd_without_a_clock_again", 2, || {
        let bytes = mux(&until(plain(25), 3000), &usual());
        with_packets(&bytes, |_, packet| {
            let mut packet = *packet;
            let is_alone = !View(&packet).has_payload();
            if View(&packet).pcr().is_some() {
                // The rest of the field fills up.
                packet[5] &= 0xEF;
                packet[6..12].fill(0xFF);
            }
            if is_alone { Vec::new() } else { vec![packet] }
        })
    }),
    ("odd_subtitles_step_back_again", 2, || {
        // A page every 1.5 s, and another that should have come before it.
        let mut tracks = until(with_data(), 3400);
        for track in tracks.iter_mut().filter(|track| track.pid == 0x120) {
            let another = |piece: Piece| {
                let pts = piece.pts.map(|pts| pts - TICKS_PER_MS);
                [piece.clone(), Piece { pts, body: [&piece.body[..6], &[7; 20]].concat(), ..piece }]
            };
            track.pieces = std::mem::take(&mut track.pieces).into_iter().flat_map(another).collect();
        }
        mux(&tracks, &usual())
    }),
];

/// All of them whose names hold a word.
pub(crate) fn all(word: &str) -> Vec<Made> {
    let chosen = ODD.iter().filter(|(name, _)| name.contains(word));
    let mut all: Vec<Made> = chosen
        .map(|(name, make)| {
            let from_start = !["odd_pictures_begin_later", "odd_large_table"].contains(name);
            Made { from_start, ..made(name, make()) }
        })
        .collect();
    let again = AGAIN.iter().filter(|(name, ..)| name.contains(word));
    all.extend(again.map(|(name, rounds, make)| Made { rounds: *rounds, ..made(name, make()) }));
    let name = "odd_begins_in_the_middle";
    if name.contains(word) {
        let bytes = mux(&short(), &usual())[40_077..].to_vec();
        all.push(Made { from_start: false, ..made(name, bytes) });
    }
    all
}
