//! Streams that are made for the comparison: by ffmpeg, and by the multiplexer here out of what ffmpeg has encoded.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::mux::{Clock, Params, Piece, Track, mux, recount, section, side_by_side, with_parity, with_times};
use crate::odd;
use crate::stream::{packets, parts, programmes};
use crate::tsview::{PACKET_BYTES, PTS_WRAP, View};

pub(crate) const PICTURE: &str = "testsrc2=size=320x180:rate=25";
const INTERLACED: &str = "testsrc2=size=320x192:rate=50,interlace";
const HISSING: &str = "testsrc2=size=480x270:rate=25,noise=alls=60";
pub(crate) const SOUND: &str = "sine=frequency=440:sample_rate=48000";
pub(crate) const SECOND_SOUND: &str = "sine=frequency=880:sample_rate=48000";
pub(crate) const SECONDS: u64 = 9;
pub(crate) const PTS_HZ: u64 = 90_000;
/// What an encoder makes depends on how many threads it has: a stream is the same on any machine.
const THREADS: [&str; 2] = ["-threads", "1"];
pub(crate) const X264: &str = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p";
pub(crate) const X264_B: &str = "-c:v libx264 -preset superfast -pix_fmt yuv420p -bf 2";

/// A stream, by a name that says what is special.
pub(crate) struct Made {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    /// Where the programme is another than the first.
    pub(crate) programme: Option<u16>,
    /// How many times it is played, one behind the other.
    pub(crate) rounds: u32,
    /// It begins with an entry point.
    pub(crate) from_start: bool,
}

/// How many streams have been begun by this process.
static MADE: AtomicU32 = AtomicU32::new(0);

/// Encodes by ffmpeg, once: what it has made is kept.
pub(crate) fn encoded(inputs: &[&str], arguments: &str) -> Vec<u8> {
    let mut hasher = DefaultHasher::new();
    (inputs, arguments, THREADS, SECONDS).hash(&mut hasher);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let path = folder.join(format!("fidelity-{:016x}.ts", hasher.finish()));
    if !path.exists() {
        // Several tests may want it at once, and each makes it then.
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let unfinished = path.with_extension(format!("{}-{number}.part", std::process::id()));
        let length = SECONDS.to_string();
        let mut command = Command::new("ffmpeg");
        command.args(["-v", "error", "-nostdin", "-y"]);
        for input in inputs {
            command.args(["-f", "lavfi", "-t", &length, "-i", input]);
        }
        for input in 0..inputs.len() {
            command.args(["-map", &input.to_string()]);
        }
        let status = command
            .args(arguments.split(' '))
            .args(THREADS)
            .args(["-flags", "+bitexact", "-f", "mpegts"])
            .arg(&unfinished)
            .stdin(Stdio::null())
            .status()
            .unwrap_or_else(|error| {
                panic!("ffmpeg cannot be started ({error}); scripts/prepare installs it")
            });
        assert!(status.success(), "{arguments}: {status}");
        fs::rename(&unfinished, &path).unwrap();
    }
    fs::read(&path).unwrap()
}

/// The streams of what ffmpeg has made, in the order of its PMT.
pub(crate) fn tracks(bytes: &[u8]) -> Vec<Track> {
    let found = packets(bytes).packets;
    let programme = programmes(&found).remove(0);
    let make_up = programme.make_ups[0].1.clone();
    let parts = parts(&found, &programme, None);
    let first =
        |lane: &crate::stream::Lane| lane.units.iter().filter_map(crate::stream::Unit::decoded_at).min();
    let zero = parts.lanes.iter().filter_map(first).min().unwrap();
    let by = |(lane, listed): (&crate::stream::Lane, &crate::stream::Listed)| {
        Track::of(lane, &found, &listed.descriptors, zero)
    };
    parts.lanes.iter().zip(&make_up.streams).map(by).collect()
}

/// Pictures and sound that the multiplexer here puts together.
pub(crate) fn plain(gop: u64) -> Vec<Track> {
    let arguments = format!(
        "{X264_B} -g {gop} -b:v 600k -maxrate 800k -bufsize 800k -c:a aac -b:a 128k -pes_payload_size 0"
    );
    tracks(&encoded(&[PICTURE, SOUND], &arguments))
}

/// The same without pictures out of order: each has a PTS alone.
fn plain_in_order() -> Vec<Track> {
    let arguments = format!("{X264} -bf 0 -g 25 -b:v 600k -c:a mp2 -b:a 192k -pes_payload_size 0");
    tracks(&encoded(&[PICTURE, SOUND], &arguments))
}

/// Key pictures at once, after a second, and then after five.
fn rare_keys() -> Vec<Track> {
    let arguments = format!("{X264_B} -g 250 -force_key_frames 0,1,6 -b:v 500k -c:a aac -pes_payload_size 0");
    tracks(&encoded(&[PICTURE, SOUND], &arguments))
}

/// Pictures that never say that decoders may begin with them: the groups are open, and begin with nothing but parameter sets. Where
/// the stream is shown from is known by how long nothing better has come, in the middle of a packet.
fn never_said() -> Vec<Track> {
    const SUPPLEMENT: u8 = 6;
    let arguments = format!(
        "{X264_B} -x264-params open-gop=1:keyint=50:repeat-headers=1 -b:v 500k -c:a aac -pes_payload_size 0"
    );
    let mut tracks = tracks(&encoded(&[PICTURE, SOUND], &arguments));
    let second = tracks[0].pieces.iter().filter(|piece| piece.is_key).nth(1).unwrap().at;
    for track in &mut tracks {
        track.pieces.retain(|piece| piece.at >= second);
        for piece in &mut track.pieces {
            piece.at -= second;
            piece.pts = piece.pts.map(|pts| pts - second);
            piece.dts = piece.dts.map(|dts| dts - second);
            piece.is_key = false;
        }
    }
    for piece in &mut tracks[0].pieces {
        let begins = |at: &usize| piece.body[*at..].starts_with(&[0, 0, 1]);
        let starts: Vec<usize> = (0..piece.body.len()).filter(begins).chain([piece.body.len()]).collect();
        let parts = starts.windows(2).map(|pair| &piece.body[pair[0]..pair[1]]);
        piece.body = parts.filter(|part| part[3] & 0x1F != SUPPLEMENT).flatten().copied().collect();
    }
    tracks
}

pub(crate) fn with_sound(tracks: Vec<Track>, change: impl Fn(Track) -> Track) -> Vec<Track> {
    let is_sound = |track: &Track| track.id.is_some_and(|id| id & 0xE0 == 0xC0);
    tracks.into_iter().map(|track| if is_sound(&track) { change(track) } else { track }).collect()
}

/// Subtitles, teletext and sections beside pictures and sound.
pub(crate) fn with_data() -> Vec<Track> {
    let mut tracks = plain(50);
    let every = |ms: u64, body: &dyn Fn(u64) -> Vec<u8>, has_time: bool| -> Vec<Piece> {
        let piece = |n: u64| {
            let at = n * ms * 90;
            Piece { at, pts: has_time.then_some(at), body: body(n), ..Piece::default() }
        };
        (1..SECONDS * 1000 / ms).map(piece).collect()
    };
    let number = |n: u64| n.to_be_bytes();
    let subtitle = |n: u64| {
        let [.., version] = number(n & 0x0F);
        // A page without regions, and the end of its display set.
        vec![0x20, 0, 0x0F, 0x10, 0, 1, 0, 2, 5, version << 4 | 0x04, 0x0F, 0x80, 0, 1, 0, 0, 0xFF]
    };
    let teletext = |n: u64| {
        let unit = [&[0x02, 0x2C][..], &[0xE7, 0xE4], &number(n), &[0x15; 34]].concat();
        [&[0x10][..], &unit, &unit, &unit].concat()
    };
    let cue = |n: u64| section(0xFC, 0, &[&number(n)[..], &[0x05; 9]].concat());
    let application = |n: u64| section(0x74, 0x10, &[&[0xC1, 0, 0][..], &number(n)].concat());
    let track = |pid, number, descriptors: &[u8], id, pieces| Track {
        pid,
        number,
        descriptors: descriptors.to_vec(),
        id,
        pieces,
    };
    let subtitling = [0x59, 8, b'd', b'e', b'u', 0x10, 0, 1, 0, 1];
    let page = [0x56, 5, b'd', b'e', b'u', 0x09, 0];
    tracks.push(track(0x120, 0x06, &subtitling, Some(0xBD), every(1500, &subtitle, true)));
    tracks.push(track(0x121, 0x06, &page, Some(0xBD), every(40, &teletext, true)));
    tracks.push(track(0x122, 0x86, &[], None, every(900, &cue, false)));
    tracks.push(track(0x123, 0x05, &[0x6F, 3, 0, 0x10, 1], None, every(500, &application, false)));
    tracks
}

/// Where the first of two recordings that are put together begins, and the second far behind it.
pub(crate) const FAR_BACK: [u64; 2] = [50_000 * PTS_HZ, 10 * PTS_HZ];

/// Two recordings one behind the other, with clocks that begin as told; each as long as told, in ms.
pub(crate) fn joint(pictures_ms: u64, sound_ms: u64, bases: [u64; 2], is_counted: bool) -> Vec<u8> {
    let tracks = plain(25);
    let cut = |track: Track| {
        let length = if track.id.is_some_and(|id| id & 0xE0 == 0xC0) { sound_ms } else { pictures_ms };
        track.until(length)
    };
    let first: Vec<_> = tracks.into_iter().map(cut).collect();
    let part = |base: u64| mux(&first, &Params { base, ..Params::default() });
    let mut bytes = bases.map(part).concat();
    if is_counted {
        recount(&mut bytes);
    }
    bytes
}

/// An ad break: the make-up keeps its kinds and takes other PIDs, then the first ones again.
fn other_pids() -> Vec<u8> {
    let parts = [(0x100, 10), (0x200, 1000), (0x100, 14)].map(|(pid, seconds)| {
        let mut tracks: Vec<_> = plain(25).into_iter().map(|track| track.until(4000)).collect();
        for (track, offset) in tracks.iter_mut().zip(0..) {
            track.pid = pid + offset;
        }
        mux(&tracks, &Params { base: seconds * PTS_HZ, ..Params::default() })
    });
    let mut bytes = parts.concat();
    recount(&mut bytes);
    bytes
}

fn two_programmes(gone: bool) -> Vec<u8> {
    let mut other = plain_in_order();
    for (track, pid) in other.iter_mut().zip(0x300..) {
        track.pid = pid;
    }
    let rate = Some(1_400_000);
    let first = mux(&plain(50), &Params { rate, ..Params::default() });
    let second = mux(&other, &Params { rate, programme: 2, pmt_pid: 0x1010, ..Params::default() });
    let mut bytes = side_by_side(&first, &second);
    // One PAT names both.
    let both = [&[0xC1, 0, 0, 0, 1, 0xF0, 0x00][..], &[0, 2, 0xF0, 0x10]].concat();
    let both = section(0, 1, &both);
    for packet in bytes.as_chunks_mut::<PACKET_BYTES>().0 {
        if packet[1] & 0x1F == 0 && packet[2] == 0 {
            packet[5..5 + both.len()].copy_from_slice(&both);
        }
        // A programme that comes to be seen by those only who have paid.
        let pid = u16::from_be_bytes([packet[1] & 0x1F, packet[2]]);
        if gone && (0x100..0x110).contains(&pid) && packet[3] & 0x10 != 0 {
            packet[3] |= 0x80;
        }
    }
    recount(&mut bytes);
    bytes
}

pub(crate) fn made(name: &str, bytes: Vec<u8>) -> Made {
    Made { name: name.to_owned(), bytes, programme: None, rounds: 1, from_start: true }
}

/// What ffmpeg makes by itself.
fn by_ffmpeg() -> Vec<Made> {
    let x = |inputs: &[&str], arguments: &str| encoded(inputs, arguments);
    let both: &[&str] = &[PICTURE, SOUND];
    let languages = "-metadata:s:a:0 language=deu -metadata:s:a:1 language=eng";
    vec![
        made("h264_aac_gop_2s", x(both, &format!("{X264_B} -g 50 -b:v 500k -c:a aac"))),
        made(
            "h264_aac_cbr_large_key_pictures",
            x(
                &[HISSING, SOUND],
                &format!(
                    "{X264} -g 50 -b:v 800k -maxrate 800k -bufsize 1600k -x264-params ipratio=4 -c:a aac -b:a 64k -muxrate 1000k"
                ),
            ),
        ),
        made(
            "h264_mp2_cbr_gop_10s_stuffed",
            x(
                both,
                &format!("{X264_B} -g 250 -b:v 300k -maxrate 500k -bufsize 500k -c:a mp2 -muxrate 2000k"),
            ),
        ),
        made("h264_aac_key_pictures_only", x(both, &format!("{X264} -g 1 -b:v 900k -c:a aac"))),
        made("h264_ac3_gop_half_a_second", x(both, &format!("{X264_B} -g 12 -b:v 500k -c:a ac3"))),
        made(
            "h264_eac3_interlaced",
            x(
                &[INTERLACED, SOUND],
                "-c:v libx264 -preset veryfast -flags +ildct+ilme -x264-params tff=1 -g 50 -b:v 500k -c:a eac3",
            ),
        ),
        made("h264_latm", x(both, &format!("{X264} -g 25 -b:v 500k -c:a aac -mpegts_flags latm"))),
        made("h264_dts", x(both, &format!("{X264} -g 50 -b:v 500k -c:a dca -strict -2"))),
        made(
            "hevc_aac_open_groups",
            x(
                both,
                "-c:v libx265 -preset ultrafast -x265-params pools=none:frame-threads=1:keyint=50:open-gop=1:bframes=3:log-level=none -b:v 500k -c:a aac",
            ),
        ),
        made(
            "hevc_eac3_cbr_gop_4s",
            x(
                both,
                "-c:v libx265 -preset ultrafast -x265-params pools=none:frame-threads=1:keyint=100:log-level=none -b:v 500k -maxrate 600k -bufsize 1200k -c:a eac3 -muxrate 1200k",
            ),
        ),
        made(
            "mpeg2_mp2_interlaced",
            x(&[INTERLACED, SOUND], "-c:v mpeg2video -flags +ilme+ildct -g 12 -bf 2 -b:v 900k -c:a mp2"),
        ),
        made(
            "mpeg2_ac3_cbr",
            x(
                both,
                "-c:v mpeg2video -g 15 -bf 2 -b:v 900k -maxrate 900k -bufsize 1000k -c:a ac3 -muxrate 1500k",
            ),
        ),
        made(
            "h264_two_sounds_with_languages",
            x(&[PICTURE, SOUND, SECOND_SOUND], &format!("{X264_B} -g 50 -b:v 400k -c:a mp2 {languages}")),
        ),
        made("sound_only_aac", x(&[SOUND], "-c:a aac -b:a 128k")),
        made("sound_only_mp3", x(&[SOUND], "-c:a libmp3lame -b:a 128k")),
        made("pictures_only", x(&[PICTURE], &format!("{X264_B} -g 50 -b:v 500k"))),
        made(
            "clock_every_20_ms",
            x(both, &format!("{X264_B} -g 50 -b:v 500k -c:a aac -muxrate 1000k -pcr_period 20")),
        ),
        made("packets_of_204_bytes", with_parity(&x(both, &format!("{X264_B} -g 50 -b:v 500k -c:a aac")))),
        made("packets_of_192_bytes", with_times(&x(both, &format!("{X264_B} -g 50 -b:v 500k -c:a aac")))),
    ]
}

/// Short ones that begin again and again, as a provider plays them that loops a clip: at each joint counters jump, times
/// step back, and sound and pictures do not end together.
fn looped() -> Vec<Made> {
    let inputs: &[&str] = &[PICTURE, SOUND];
    let x264 = format!("{X264_B} -g 50 -b:v 400k");
    let until = |ms: u64| format!("-t {}.{:03}", ms / 1000, ms % 1000);
    let clips = [
        ("loop_h264_aac", format!("{x264} -c:a aac {}", until(3000))),
        (
            "loop_h264_mp2_cbr",
            format!("{x264} -maxrate 500k -bufsize 500k -c:a mp2 -muxrate 1200k {}", until(3100)),
        ),
        ("loop_h264_small_sound", format!("{x264} -c:a aac -pes_payload_size 0 {}", until(2700))),
        (
            "loop_hevc_ac3",
            format!(
                "-c:v libx265 -preset ultrafast -x265-params pools=none:frame-threads=1:keyint=50:bframes=2:log-level=none -b:v 400k -c:a ac3 {}",
                until(3000)
            ),
        ),
        ("loop_mpeg2_mp2", format!("-c:v mpeg2video -g 12 -bf 2 -b:v 700k -c:a mp2 {}", until(3000))),
    ];
    clips
        .into_iter()
        .map(|(name, arguments)| Made { rounds: 3, ..made(name, encoded(inputs, &arguments)) })
        .collect()
}

pub(crate) type Make = fn() -> Vec<u8>;

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(crate) fn usual() -> Params {
    Params::default()
}

pub(crate) fn with_clock(clock: Clock) -> Params {
    Params { clock, ..usual() }
}

fn without_dts(mut tracks: Vec<Track>) -> Vec<Track> {
    tracks.iter_mut().flat_map(|track| &mut track.pieces).for_each(|piece| piece.dts = None);
    tracks
}

/// Pictures that are as large as in ultra high definition, by filler that decoders leave out.
fn heavy(key_bytes: usize, other_bytes: usize) -> Vec<Track> {
    let mut tracks = plain(50);
    for piece in &mut tracks[0].pieces {
        let bytes = if piece.is_key { key_bytes } else { other_bytes };
        if bytes > 0 {
            piece.body.extend_from_slice(&[0, 0, 1, 0x0C]);
            piece.body.resize(piece.body.len() + bytes, 0xFF);
            piece.body.push(0x80);
        }
    }
    tracks
}

/// Packets are lost on the way: one of every so many of a PID, never the first of a unit.
fn lossy(bytes: &[u8], every: usize) -> Vec<u8> {
    let mut left = 0;
    let mut kept = Vec::with_capacity(bytes.len());
    for packet in bytes.as_chunks::<PACKET_BYTES>().0 {
        let view = View(packet);
        left += 1;
        let may_go = [0x100, 0x101].contains(&view.pid()) && !view.starts() && view.pcr().is_none();
        if left >= every && may_go {
            left = 0;
        } else {
            kept.extend_from_slice(packet);
        }
    }
    kept
}

fn small_units() -> Vec<Track> {
    let cut = |track: Track| if track.id == Some(0xE0) { track.cut(700) } else { track.cut(150) };
    plain(25).into_iter().map(cut).collect()
}

/// What the multiplexer here makes.
const BY_HAND: &[(&str, Make)] = &[
    ("data_beside", || mux(&with_data(), &usual())),
    ("data_beside_cbr", || mux(&with_data(), &Params { rate: Some(1_500_000), ..usual() })),
    ("sound_over_600_ms_cbr", || {
        let sound = |track: Track| track.joined(600, 600);
        mux(&with_sound(plain_in_order(), sound), &Params { rate: Some(1_500_000), lead_ms: 1000, ..usual() })
    }),
    ("sound_over_1200_ms", || {
        let sound = |track: Track| track.joined(1200, 1150);
        mux(&with_sound(plain(50), sound), &Params { lead_ms: 1500, ..usual() })
    }),
    ("sound_of_a_second_at_once", || mux(&with_sound(plain(50), |track| track.joined(1000, 0)), &usual())),
    ("counter_jumps_at_units", || {
        let sound = |track: Track| track.joined(216, 215);
        let rate = Some(1_500_000);
        mux(&with_sound(plain_in_order(), sound), &Params { jump_every: Some(5), rate, ..usual() })
    }),
    ("clock_every_100_ms", || mux(&plain(50), &with_clock(Clock::Every(ms(100))))),
    ("clock_every_second", || mux(&plain(50), &with_clock(Clock::Every(ms(1000))))),
    ("clock_at_key_pictures", || mux(&rare_keys(), &with_clock(Clock::AtKeys))),
    ("clock_on_its_own_pid", || {
        mux(&plain(50), &Params { rate: Some(1_200_000), ..with_clock(Clock::Alone(0x1F0, ms(35))) })
    }),
    ("pts_only", || mux(&without_dts(plain_in_order()), &usual())),
    ("pts_only_out_of_order", || mux(&without_dts(plain(50)), &usual())),
    ("entry_points_never_said", || mux(&never_said(), &usual())),
    ("clocks_wrap", || mux(&plain(25), &Params { base: PTS_WRAP - 4 * PTS_HZ, ..usual() })),
    ("small_units", || mux(&small_units(), &usual())),
    ("key_pictures_of_a_megabyte", || {
        mux(&heavy(1_200_000, 0), &Params { rate: Some(12_000_000), lead_ms: 1500, ..usual() })
    }),
    ("key_pictures_of_half_a_megabyte_at_once", || mux(&heavy(500_000, 0), &usual())),
    ("heavy_pictures_and_long_sound", || {
        let sound = |track: Track| track.joined(216, 210).until(6000);
        let tracks: Vec<_> = heavy(400_000, 50_000).into_iter().map(|track| track.until(6000)).collect();
        mux(&with_sound(tracks, sound), &Params { rate: Some(16_000_000), lead_ms: 1000, ..usual() })
    }),
    ("packets_are_lost", || lossy(&mux(&plain(25), &usual()), 700)),
    ("joint_sound_longer", || joint(4000, 4800, FAR_BACK, false)),
    ("joint_sound_shorter", || joint(4800, 4000, FAR_BACK, true)),
    ("joint_steps_back_by_100_ms", || joint(4000, 4000, [10 * PTS_HZ, 14 * PTS_HZ - 9000], true)),
    ("joint_steps_back_by_500_ms", || joint(4000, 4000, [10 * PTS_HZ, 14 * PTS_HZ - 45_000], false)),
    ("other_pids_in_a_break", other_pids),
    ("two_programmes", || two_programmes(false)),
    ("two_programmes_first_scrambled", || two_programmes(true)),
];

/// The programme that is to come, where it is not the first.
fn programme(name: &str) -> Option<u16> {
    (name == "two_programmes_first_scrambled").then_some(2)
}

/// The stream of this name.
pub(crate) fn by_hand(name: &str) -> Vec<u8> {
    BY_HAND.iter().find(|(of, _)| *of == name).expect("there is one of this name").1()
}

/// All of them whose names hold a word.
pub(crate) fn all(word: &str) -> Vec<Made> {
    // Encoding takes a second each at the first time.
    let word = word.to_owned();
    let of_hand = word.clone();
    let hand = std::thread::spawn(move || {
        let chosen = BY_HAND.iter().filter(|(name, _)| name.contains(&of_hand));
        chosen
            // The first picture of another programme goes by until it is known that the first is of no use.
            .map(|(name, make)| Made {
                programme: programme(name),
                from_start: programme(name).is_none(),
                ..made(name, make())
            })
            .collect::<Vec<_>>()
    });
    let mut all: Vec<_> = by_ffmpeg().into_iter().filter(|made| made.name.contains(&word)).collect();
    all.extend(hand.join().unwrap());
    all.extend(odd::all(&word));
    all.extend(looped().into_iter().filter(|made| made.name.contains(&*word)));
    all
}
