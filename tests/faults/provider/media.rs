//! What providers play: recordings that ffmpeg makes once and that are kept for later runs.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use crate::judge::Leads;
use crate::tsview::{
    Assembler, Kind, NULL_PID, PCR_WRAP, PTS_WRAP, Packet, Pmt, Section, View, ahead, read_pat,
};

/// A whole number of AAC frames (1024 samples) and of AC-3 frames (1536 samples) at 48 kHz and of pictures, so that the
/// end fits to the beginning.
pub(crate) const LENGTH: Duration = Duration::from_secs(24);
const PTS_HZ: u64 = 90_000;

/// The recordings there are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub(crate) enum Make {
    /// 720p25 H.264 with B-pictures and AAC at a constant 4.5 Mbit/s, on the PIDs ffmpeg takes by itself.
    Primary,
    /// The same with other PIDs, shorter groups of pictures, a PCR on every picture only, and a varying bitrate.
    Backup,
    /// As the primary but small, for machines that have to encode it.
    SmallPrimary,
    /// As the backup but small.
    SmallBackup,
    /// HEVC and AAC.
    Hevc,
    /// H.264 and AC-3.
    Ac3,
    /// 50 pictures per second.
    Fifty,
}

const H264: &[&str] =
    &["-c:v", "libx264", "-preset", "veryfast", "-profile:v", "high", "-pix_fmt", "yuv420p"];
const OTHER_PIDS: &[&str] = &["-mpegts_start_pid", "0x231", "-mpegts_pmt_start_pid", "0x1F0"];

impl Make {
    fn picture(self) -> &'static str {
        match self {
            Self::Primary => "testsrc2=size=1280x720:rate=25",
            Self::Backup => "testsrc2=size=1280x720:rate=25,hue=h=90",
            Self::SmallPrimary => "testsrc2=size=480x270:rate=25",
            Self::SmallBackup => "testsrc2=size=480x270:rate=25,hue=h=90",
            Self::Hevc | Self::Ac3 => "testsrc2=size=640x360:rate=25,hue=h=180",
            Self::Fifty => "testsrc2=size=640x360:rate=50,hue=h=180",
        }
    }

    /// How it is encoded and packed.
    fn encoding(self) -> Vec<&'static str> {
        let video: &[&str] = match self {
            Self::Primary => &[
                "-g",
                "50",
                "-bf",
                "2",
                "-b:v",
                "3600k",
                "-minrate",
                "3600k",
                "-maxrate",
                "3600k",
                "-bufsize",
                "3600k",
                "-x264-params",
                "nal-hrd=cbr:force-cfr=1",
                "-muxrate",
                "4500k",
            ],
            Self::Backup => {
                &["-g", "25", "-bf", "3", "-b:v", "3000k", "-maxrate", "4000k", "-bufsize", "4000k"]
            }
            Self::SmallPrimary => &[
                "-g", "50", "-bf", "2", "-b:v", "600k", "-maxrate", "600k", "-bufsize", "600k", "-muxrate",
                "1200k",
            ],
            Self::SmallBackup => {
                &["-g", "25", "-bf", "3", "-b:v", "500k", "-maxrate", "600k", "-bufsize", "600k"]
            }
            Self::Hevc => &["-b:v", "1000k", "-x265-params", "keyint=50:bframes=2:log-level=none"],
            Self::Ac3 => &["-g", "50", "-bf", "2", "-b:v", "1000k"],
            Self::Fifty => &["-g", "100", "-bf", "2", "-b:v", "1500k"],
        };
        let codec = if self == Self::Hevc { &["-c:v", "libx265", "-preset", "ultrafast"] } else { H264 };
        let audio = if self == Self::Ac3 { "ac3" } else { "aac" };
        let pids = if matches!(self, Self::Primary | Self::SmallPrimary) { &[] } else { OTHER_PIDS };
        let mut arguments = [codec, video, pids].concat();
        arguments.extend(["-c:a", audio, "-b:a", "192k", "-ac", "2", "-pes_payload_size", "0"]);
        arguments
    }

    /// The recording, made when it is asked for the first time.
    pub(crate) fn media(self) -> Arc<Media> {
        static MADE: LazyLock<Mutex<BTreeMap<Make, Arc<Media>>>> = LazyLock::new(Mutex::default);
        let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(made.entry(self).or_insert_with(|| Arc::new(Media::read(&self.file()))))
    }

    /// The file it is kept in, named by all that makes it what it is.
    fn file(self) -> PathBuf {
        let mut hasher = DefaultHasher::new();
        (self.picture(), self.encoding(), LENGTH, ffmpeg_version()).hash(&mut hasher);
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let path = folder.join(format!("media-{self:?}-{:016x}.ts", hasher.finish()));
        if !path.exists() {
            let unfinished = folder.join(format!("media-{self:?}-{}.part", std::process::id()));
            self.encode(&unfinished);
            fs::rename(&unfinished, &path).unwrap();
        }
        path
    }

    fn encode(self, path: &Path) {
        let length = LENGTH.as_secs().to_string();
        let status = Command::new("ffmpeg")
            .args(["-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i", self.picture()])
            .args(["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000", "-t", &length])
            .args(self.encoding())
            .args(["-f", "mpegts", path.to_str().unwrap()])
            .stdin(Stdio::null())
            .status()
            .unwrap_or_else(|error| {
                panic!("ffmpeg cannot be started ({error}); scripts/prepare installs it")
            });
        assert!(status.success(), "{self:?}: {status}");
    }
}

fn ffmpeg_version() -> Vec<u8> {
    Command::new("ffmpeg").arg("-version").output().map(|output| output.stdout).unwrap_or_default()
}

/// A recording that can be played round and round.
pub(crate) struct Media {
    /// Every packet, and when it is due.
    pub(crate) packets: Vec<(Duration, Packet)>,
    pub(crate) video_pid: u16,
    /// How far what is shown is ahead of the clock.
    pub(crate) leads: Leads,
}

impl Media {
    fn read(path: &Path) -> Media {
        let bytes = fs::read(path).unwrap();
        let mut packets = bytes.as_chunks().0.to_vec();
        let pmt = programme(&packets);
        let (video_pid, audio_pid) = (pmt.pid(Kind::Video).unwrap(), pmt.pid(Kind::Audio).unwrap());
        for pid in [video_pid, audio_pid] {
            cut_behind(&mut packets, pid);
        }
        cut_stuffing(&mut packets);
        let leads = Leads::of(&packets, &pmt);
        Media { packets: timed(&packets), video_pid, leads }
    }
}

fn programme(packets: &[Packet]) -> Pmt {
    let sections = |pid: u16| {
        let mut assembler = Assembler::default();
        let of_pid = packets.iter().map(View).filter(move |packet| packet.pid() == pid);
        of_pid.flat_map(move |packet| assembler.feed(packet)).find_map(|section| match section {
            Section::Whole(bytes) => Some(bytes),
            Section::Damaged => None,
        })
    };
    let pmt_pid = read_pat(&sections(0).unwrap()).unwrap();
    Pmt::read(&sections(pmt_pid).unwrap()).unwrap()
}

/// Drops what belongs to later than the length: encoders add a frame.
fn cut_behind(packets: &mut Vec<Packet>, pid: u16) {
    let decoded_at = |packet: &Packet| {
        let packet = View(packet);
        (packet.pid() == pid).then(|| packet.pes()?.decoded_at()).flatten()
    };
    let first = packets.iter().find_map(decoded_at).unwrap();
    let length = i64::try_from(LENGTH.as_secs() * PTS_HZ).unwrap();
    let is_late = |packet: &Packet| decoded_at(packet).is_some_and(|at| ahead(first, at, PTS_WRAP) >= length);
    if let Some(end) = packets.iter().position(is_late) {
        let mut index = 0;
        packets.retain(|packet| {
            index += 1;
            index <= end || View(packet).pid() != pid
        });
    }
}

/// Drops the null packets and clocks that went with what was cut.
fn cut_stuffing(packets: &mut Vec<Packet>) {
    let first = packets.iter().find_map(|packet| View(packet).pcr()).unwrap();
    let length = i64::try_from(LENGTH.as_secs() * PTS_HZ * 300).unwrap();
    let is_late =
        |packet: &Packet| View(packet).pcr().is_some_and(|pcr| ahead(first, pcr, PCR_WRAP) >= length);
    if let Some(end) = packets.iter().position(is_late) {
        let mut tail = packets.split_off(end);
        tail.retain(|packet| View(packet).has_payload() && View(packet).pid() != NULL_PID);
        assert!(!tail.iter().any(is_late), "a picture is sent after its recording's end");
        packets.append(&mut tail);
    }
}

/// When each packet is due: as the PCR says, in equal steps between two PCRs.
fn timed(packets: &[Packet]) -> Vec<(Duration, Packet)> {
    let pcrs: Vec<_> = packets
        .iter()
        .enumerate()
        .filter_map(|(index, packet)| View(packet).pcr().map(|pcr| (index, pcr)))
        .collect();
    let (_, first) = pcrs[0];
    let since_first = |pcr: u64| {
        let ticks = u64::try_from(ahead(first, pcr, PCR_WRAP)).unwrap();
        Duration::from_nanos(ticks * 1000 / 27)
    };
    let mut marks: Vec<_> = pcrs.iter().map(|(index, pcr)| (*index, since_first(*pcr))).collect();
    marks.insert(0, (0, Duration::ZERO));
    marks.push((packets.len(), LENGTH));
    let mut timed = Vec::with_capacity(packets.len());
    for pair in marks.windows(2) {
        let ((from, begin), (to, end)) = (pair[0], pair[1]);
        let mut due = begin;
        for packet in &packets[from..to] {
            timed.push((due, *packet));
            due += (end - begin) / u32::try_from(to - from).unwrap();
        }
    }
    timed
}
