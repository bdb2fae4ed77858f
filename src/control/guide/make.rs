//! The work: fetching, looking through and writing. Blocks; has a thread of its own.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use percent_encoding::percent_decode_str;
use sha1::{Digest as _, Sha1};

use super::unpack::unpacked;
use crate::base::Clock;
use crate::catalog::guide::{
    Digest, GuideEntry, GuideWriter, LineupChannel, Pick, Reader, Skipped, WriteCounts, choose,
};
use crate::control::fetch::{self, FetchError, Taken, Validators};
use crate::source::direct;

/// The longest guide, as it is when it is not compressed.
const BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;
const PIECE_BYTES: usize = 64 * 1024;
/// What players read.
const MADE: &str = "guide.xml";
const MADE_PACKED: &str = "guide.xml.gz";
/// How the names of kept guides begin and end.
const KEPT: (&str, &str) = ("source-", ".xml.gz");

/// Why a guide is not there. The texts hold no credentials.
#[derive(thiserror::Error, Clone, PartialEq, Eq, Debug)]
pub(super) enum GuideError {
    #[error("its server answered with status {0}")]
    Status(u16),
    #[error("it was not received: {0}")]
    Network(String),
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    #[error("it is longer than {BYTES_MAX} bytes")]
    TooLong,
    #[error("it cannot be kept: {0}")]
    Disk(String),
    #[error("it holds no programmes; the last one that did is kept")]
    Empty,
}

/// A guide that is to be had.
pub(super) struct AskedGuide {
    /// Where it is.
    pub(super) url: String,
    /// How its server is asked.
    pub(super) params: direct::Params,
    /// Which state of it is kept.
    pub(super) known: Validators,
    /// By how many seconds its programmes are put later.
    pub(super) shift_seconds: i64,
    /// The same of channels that say nothing of that themselves.
    pub(super) default_shift_seconds: i64,
    /// It is fetched; otherwise the one that is kept is taken.
    pub(super) is_due: bool,
}

/// What is to be made.
pub(super) struct Order {
    pub(super) folder: PathBuf,
    pub(super) guides: Vec<AskedGuide>,
    pub(super) lineup: Vec<LineupChannel>,
    /// Seconds since 1970.
    pub(super) now: i64,
    pub(super) has_placeholders: bool,
    pub(super) clock: Clock,
}

/// What has come of one guide.
#[derive(Clone, Debug, Default)]
pub(super) struct GuideOutcome {
    /// `None` when it was not fetched.
    pub(super) fetched: Option<Result<(), GuideError>>,
    pub(super) validators: Validators,
    pub(super) channels: usize,
    pub(super) programmes: u64,
}

/// What has come of all.
pub(super) struct Outcome {
    /// In the order in which they were asked for.
    pub(super) guides: Vec<GuideOutcome>,
    pub(super) made: Result<WriteCounts, GuideError>,
}

/// Where what players read lies.
pub(super) fn made(folder: &Path, is_packed: bool) -> PathBuf {
    folder.join(if is_packed { MADE_PACKED } else { MADE })
}

/// Forgets everything that is kept.
pub(super) fn clear(folder: &Path) {
    for is_packed in [false, true] {
        // Most often there is none.
        let _none = fs::remove_file(made(folder, is_packed));
    }
    sweep(folder, &[]);
}

/// Fetches what is due and writes the guide anew.
pub(super) fn make(order: Order) -> Outcome {
    let Order { folder, guides, lineup, now, has_placeholders, clock } = order;
    if let Err(error) = fs::create_dir_all(&folder) {
        let failed = GuideError::Disk(error.to_string());
        let guides = guides.iter().map(|_| GuideOutcome::default()).collect();
        return Outcome { guides, made: Err(failed) };
    }
    let kept: Vec<PathBuf> = guides.iter().map(|guide| kept_at(&folder, &guide.url)).collect();
    sweep(&folder, &kept);
    let shifts: Vec<_> =
        guides.iter().map(|guide| (guide.shift_seconds, guide.default_shift_seconds)).collect();
    let mut outcomes = Vec::new();
    let mut digests = Vec::new();
    for (guide, kept) in guides.into_iter().zip(&kept) {
        let (outcome, digest) = renew(guide, kept, now, clock);
        outcomes.push(outcome);
        digests.push(digest);
    }
    let picks = choose(&lineup, &digests);
    drop(digests);
    let made = write(&folder, &lineup, &picks, &kept, &shifts, now, has_placeholders);
    Outcome { guides: outcomes, made: made.map_err(|error| GuideError::Disk(error.to_string())) }
}

/// Fetches a guide if that is due, and looks through the one that is kept then.
fn renew(mut guide: AskedGuide, kept: &Path, now: i64, clock: Clock) -> (GuideOutcome, Digest) {
    let mut outcome = GuideOutcome { validators: guide.known.clone(), ..GuideOutcome::default() };
    let mut digest = None;
    if guide.is_due {
        if !kept.exists() {
            guide.known = Validators::default();
        }
        let fetched = fetch_one(&mut guide, kept, now, clock);
        outcome.fetched = Some(match fetched {
            Ok(Some((validators, found))) => {
                (outcome.validators, digest) = (validators, Some(found));
                Ok(())
            }
            // The one that is kept is the one that is there.
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        });
    }
    let digest =
        digest.or_else(|| File::open(kept).and_then(|file| look_through(unpack_kept(file), now)).ok());
    let digest = digest.unwrap_or_default();
    (outcome.channels, outcome.programmes) = (digest.channels(), digest.programmes());
    (outcome, digest)
}

/// Fetches a guide and keeps it, when there are programmes in it. `None` when it has not changed.
fn fetch_one(
    guide: &mut AskedGuide,
    kept: &Path,
    now: i64,
    clock: Clock,
) -> Result<Option<(Validators, Digest)>, GuideError> {
    let partial = kept.with_extension("new");
    let is =
        |scheme: &str| guide.url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    let result = if fetch::is_fetched(&guide.url) {
        let take = |body: &mut dyn Read| keep_packed(body, &partial);
        match fetch::take_http(&guide.url, &mut guide.params, clock, &guide.known, take) {
            Ok(Taken::Unchanged) => return Ok(None),
            Ok(Taken::Whole(taken, validators)) => taken.map(|()| validators),
            Err(error) => Err(of_fetch(error)),
        }
    } else {
        let path = if is("file://") { &guide.url["file://".len()..] } else { guide.url.as_str() };
        open_own(path).and_then(|mut file| keep_packed(&mut file, &partial)).map(|()| Validators::default())
    };
    let of_disk = |error: io::Error| GuideError::Disk(error.to_string());
    let looked = result.and_then(|validators| {
        let file = File::open(&partial).map_err(of_disk)?;
        let digest = look_through(unpack_kept(file), now).map_err(of_disk)?;
        if digest.programmes() == 0 {
            return Err(GuideError::Empty);
        }
        if digest.left_out() > 0 {
            log::warn!(
                "a guide has too many channels: {} entries of further ones are left out",
                digest.left_out()
            );
        }
        fs::rename(&partial, kept).map_err(of_disk)?;
        Ok(Some((validators, digest)))
    });
    if looked.is_err() {
        let _none = fs::remove_file(&partial);
    }
    looked
}

fn of_fetch(error: FetchError) -> GuideError {
    match error {
        FetchError::Status(status) => GuideError::Status(status),
        FetchError::Network(words) => GuideError::Network(words),
        FetchError::File(words) => GuideError::Unreadable(words),
        FetchError::TooLong => GuideError::TooLong,
        FetchError::Disk(words) => GuideError::Disk(words),
        FetchError::Account(error) => GuideError::Unreadable(error.to_string()),
    }
}

fn open_own(path: &str) -> Result<File, GuideError> {
    use std::os::unix::ffi::OsStrExt;
    let unreadable = |error: io::Error| GuideError::Unreadable(error.to_string());
    let path: Vec<u8> = percent_decode_str(path).collect();
    let path = Path::new(std::ffi::OsStr::from_bytes(&path));
    // A pipe could be waited on for ever.
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(GuideError::Unreadable("it is not a regular file".to_owned()));
    }
    File::open(path).map_err(unreadable)
}

/// Copies a guide, whatever it is compressed with, into a file that is compressed by gzip.
fn keep_packed(body: &mut dyn Read, at: &Path) -> Result<(), GuideError> {
    let of_disk = |error: io::Error| GuideError::Disk(error.to_string());
    let unreadable = |error: io::Error| GuideError::Unreadable(crate::base::redact::text(&error.to_string()));
    let mut from = unpacked(body).map_err(unreadable)?.take(BYTES_MAX + 1);
    let mut to = GzEncoder::new(BufWriter::new(create(at).map_err(of_disk)?), Compression::fast());
    let mut bytes = 0;
    loop {
        let piece = match from.fill_buf() {
            Ok([]) => break,
            Ok(piece) => piece,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(unreadable(error)),
        };
        to.write_all(piece).map_err(of_disk)?;
        let count = piece.len();
        bytes += count as u64;
        from.consume(count);
    }
    if bytes > BYTES_MAX {
        return Err(GuideError::TooLong);
    }
    let mut inner = to.finish().map_err(of_disk)?;
    inner.flush().map_err(of_disk)
}

/// A file for our own eyes.
fn create(at: &Path) -> io::Result<File> {
    File::options().write(true).create(true).truncate(true).mode(0o600).open(at)
}

fn unpack_kept(file: File) -> impl BufRead {
    BufReader::with_capacity(PIECE_BYTES, MultiGzDecoder::new(BufReader::with_capacity(PIECE_BYTES, file)))
}

fn look_through(from: impl BufRead, now: i64) -> io::Result<Digest> {
    let mut reader = Reader::new(from);
    let mut digest = Digest::default();
    while let Some(entry) = reader.next_entry(&mut |_id| false)? {
        digest.add(&entry, now);
    }
    let skipped = reader.skipped();
    if skipped != Skipped::default() {
        let Skipped { programmes, channels, cut_off } = skipped;
        log::info!(
            "left out of a guide: {programmes} programmes without a channel or a time, {channels} channels without an id, \
             {cut_off} entries that its end cuts off"
        );
    }
    Ok(digest)
}

/// Writes the guide, plain and packed, and puts both in their places.
fn write(
    folder: &Path,
    lineup: &[LineupChannel],
    picks: &[Option<Pick>],
    kept: &[PathBuf],
    shifts: &[(i64, i64)],
    now: i64,
    has_placeholders: bool,
) -> io::Result<WriteCounts> {
    let logos: Vec<String> = lineup
        .iter()
        .zip(picks)
        .map(|(channel, pick)| match pick {
            Some(pick) if !pick.icon.is_empty() => pick.icon.clone(),
            Some(_) | None => channel.logo.clone(),
        })
        .collect();
    let places = [made(folder, false), made(folder, true)];
    let partial = places.clone().map(|place| place.with_extension("new"));
    let both = Both {
        plain: BufWriter::with_capacity(PIECE_BYTES, create(&partial[0])?),
        packed: GzEncoder::new(
            BufWriter::with_capacity(PIECE_BYTES, create(&partial[1])?),
            Compression::fast(),
        ),
    };
    let mut writer = GuideWriter::begin(both, lineup, &logos, now)?;
    for (at, kept) in kept.iter().enumerate() {
        let mut wanted: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (channel, pick) in picks.iter().enumerate() {
            if let Some(pick) = pick.as_ref().filter(|pick| pick.guide == at) {
                wanted.entry(&pick.key).or_default().push(channel);
            }
        }
        if wanted.is_empty() {
            continue;
        }
        let (shift, default_shift) = shifts[at];
        let mut reader = Reader::new(unpack_kept(File::open(kept)?));
        while let Some(entry) = reader.next_entry(&mut |id| wanted.contains_key(Digest::key(id).as_str()))? {
            let GuideEntry::Programme(programme) = entry else { continue };
            let channels = wanted.get(Digest::key(&programme.id).as_str()).into_iter().flatten();
            for channel in channels {
                let shift = shift + lineup[*channel].shift_seconds.unwrap_or(default_shift);
                writer.programme(*channel, &programme, shift)?;
            }
        }
    }
    let (both, counts) = writer.finish(has_placeholders)?;
    let mut plain = both.plain;
    plain.flush()?;
    both.packed.finish()?.flush()?;
    for (partial, place) in partial.iter().zip(&places) {
        fs::rename(partial, place)?;
    }
    Ok(counts)
}

/// Writes the same to two places.
struct Both<A, B> {
    plain: A,
    packed: B,
}

impl<A: Write, B: Write> Write for Both<A, B> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.plain.write_all(bytes)?;
        self.packed.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.plain.flush()?;
        self.packed.flush()
    }
}

/// Where a guide is kept. Its address, which may hold a password, is not told by the name.
fn kept_at(folder: &Path, url: &str) -> PathBuf {
    let digest: [u8; 20] = Sha1::digest(url.as_bytes()).into();
    let name: String = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    folder.join(format!("{}{name}{}", KEPT.0, KEPT.1))
}

/// Removes guides that nobody names any more, and what was left of work that was broken off.
fn sweep(folder: &Path, wanted: &[PathBuf]) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_kept = name.starts_with(KEPT.0) && name.ends_with(KEPT.1) && !wanted.contains(&path);
        if is_kept || name.ends_with(".new") {
            let _gone = fs::remove_file(&path);
        }
    }
}
