//! The guide that players read: the lineup's channels by their numbers, and what is on them.

use std::io::{self, Write};

use super::plan::LineupChannel;
use super::read::{Programme, push_escaped};
use super::times::shown_time;

/// What has ended earlier than this is of no use.
const PAST_SECONDS: i64 = 24 * 3600;
/// What begins later than this is a mistake.
const FUTURE_SECONDS: i64 = 60 * 24 * 3600;
/// How long a programme lasts at most whose end nobody tells.
const UNTOLD_SECONDS_MAX: i64 = 4 * 3600;
/// Of the last programme of a channel.
const UNTOLD_SECONDS: i64 = 3600;
/// Programmes of a channel: one every three minutes for as long as programmes are looked at. Further ones are left out.
const PROGRAMMES_MAX: usize = 30_000;
/// What stands for a guide: blocks of so long, for so long.
const PLACEHOLDER_SECONDS: i64 = 3 * 3600;
const PLACEHOLDERS: i64 = 3 * 8;

/// What was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct WriteCounts {
    /// Channels of the lineup.
    pub channels: usize,
    /// Channels that have programmes.
    pub channels_with_programmes: usize,
    /// Programmes.
    pub programmes: u64,
    /// Programmes that were there already, or lie within others.
    pub overlaps: u64,
    /// Programmes that have long ended, begin far away, or are too many for their channel.
    pub out_of_range: u64,
}

/// Writes a guide, programme by programme. Of each channel the last one is kept back until it is known when the next begins.
pub struct GuideWriter<W> {
    to: W,
    now: i64,
    channels: Vec<ChannelLine>,
    counts: WriteCounts,
}

/// What was written of a channel.
struct ChannelLine {
    number: String,
    name: String,
    last: Option<Kept>,
    /// When its programmes begin and end, in their order.
    times: Vec<(i64, i64)>,
}

struct Kept {
    start: i64,
    stop: Option<i64>,
    inner: String,
}

impl<W: Write> GuideWriter<W> {
    /// Begins a guide of these channels. `logos` has one for each, perhaps empty; `now` is in seconds since 1970.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn begin(mut to: W, lineup: &[LineupChannel], logos: &[String], now: i64) -> io::Result<Self> {
        to.write_all(b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<tv generator-info-name=\"tunerd\">\n")?;
        let mut channels = Vec::new();
        for (channel, logo) in lineup.iter().zip(logos) {
            let mut text = String::from("<channel id=\"");
            push_escaped(&mut text, &channel.number);
            text.push_str("\">");
            for name in [&channel.name, &channel.number] {
                text.push_str("<display-name>");
                push_escaped(&mut text, name);
                text.push_str("</display-name>");
            }
            if !logo.is_empty() {
                text.push_str("<icon src=\"");
                push_escaped(&mut text, logo);
                text.push_str("\"/>");
            }
            text.push_str("</channel>\n");
            to.write_all(text.as_bytes())?;
            let (number, name) = (channel.number.clone(), channel.name.clone());
            channels.push(ChannelLine { number, name, last: None, times: Vec::new() });
        }
        let counts = WriteCounts { channels: channels.len(), ..WriteCounts::default() };
        Ok(Self { to, now, channels, counts })
    }

    /// Writes a programme of the channel with this place in the lineup, `shift_seconds` later than the guide says.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn programme(&mut self, channel: usize, programme: &Programme, shift_seconds: i64) -> io::Result<()> {
        let start = programme.start.saturating_add(shift_seconds);
        let stop = programme.stop.map(|stop| stop.saturating_add(shift_seconds));
        let ends = stop.unwrap_or(start.saturating_add(UNTOLD_SECONDS));
        if ends <= self.now - PAST_SECONDS || start >= self.now + FUTURE_SECONDS {
            self.counts.out_of_range += 1;
            return Ok(());
        }
        let Some(line) = self.channels.get_mut(channel) else { return Ok(()) };
        if line.times.len() >= PROGRAMMES_MAX {
            self.counts.out_of_range += 1;
            return Ok(());
        }
        let at = line.times.partition_point(|(begins, _)| *begins < start);
        let next = line.times.get(at).map(|(begins, _)| *begins);
        let lies_within = at > 0 && line.times[at - 1].1 > start && next.is_some();
        if next == Some(start) || lies_within {
            self.counts.overlaps += 1;
            return Ok(());
        }
        let inner = inner(programme, &line.name);
        match next {
            // An earlier one, which comes late.
            Some(next) => {
                let stop = stop.unwrap_or(next).min(next);
                line.times.insert(at, (start, stop));
                let kept = Kept { start, stop: Some(stop), inner };
                self.write(channel, &kept, stop)
            }
            None => {
                let before = line.last.replace(Kept { start, stop, inner });
                if let (Some(kept), Some(time)) = (&before, line.times.last_mut()) {
                    let untold = kept.start.saturating_add(UNTOLD_SECONDS_MAX);
                    time.1 = kept.stop.unwrap_or(untold).min(start);
                }
                line.times.push((start, ends));
                match before {
                    Some(kept) => {
                        let untold = kept.start.saturating_add(UNTOLD_SECONDS_MAX);
                        let stop = kept.stop.unwrap_or(untold).min(start);
                        self.write(channel, &kept, stop)
                    }
                    None => Ok(()),
                }
            }
        }
    }

    fn write(&mut self, channel: usize, kept: &Kept, stop: i64) -> io::Result<()> {
        let Some(line) = self.channels.get(channel) else { return Ok(()) };
        let (Some(start), Some(stop)) = (shown_time(kept.start), shown_time(stop)) else { return Ok(()) };
        let mut text = format!("<programme start=\"{start}\" stop=\"{stop}\" channel=\"");
        push_escaped(&mut text, &line.number);
        text.push_str("\">");
        text.push_str(&kept.inner);
        text.push_str("</programme>\n");
        self.counts.programmes += 1;
        self.to.write_all(text.as_bytes())
    }

    /// Ends the guide. Channels without programmes get blocks with their name when `has_placeholders`. Gives back what was written to.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(mut self, has_placeholders: bool) -> io::Result<(W, WriteCounts)> {
        for at in 0..self.channels.len() {
            let line = &mut self.channels[at];
            let is_silent = line.times.is_empty();
            self.counts.channels_with_programmes += usize::from(!is_silent);
            if let Some(kept) = line.last.take() {
                let stop = kept.stop.unwrap_or(kept.start.saturating_add(UNTOLD_SECONDS));
                self.write(at, &kept, stop)?;
            } else if is_silent && has_placeholders {
                self.write_placeholders(at)?;
            }
        }
        self.to.write_all(b"</tv>\n")?;
        Ok((self.to, self.counts))
    }

    fn write_placeholders(&mut self, channel: usize) -> io::Result<()> {
        let name = self.channels[channel].name.clone();
        let first = (self.now.div_euclid(PLACEHOLDER_SECONDS) - 1) * PLACEHOLDER_SECONDS;
        for block in 0..=PLACEHOLDERS {
            let start = first + block * PLACEHOLDER_SECONDS;
            let kept = Kept { start, stop: None, inner: title(&name) };
            self.write(channel, &kept, start + PLACEHOLDER_SECONDS)?;
        }
        Ok(())
    }
}

/// What is said of a programme. Players drop one without a title.
fn inner(programme: &Programme, name: &str) -> String {
    if programme.has_title {
        programme.body.clone()
    } else {
        title(name) + &without_empty_title(&programme.body)
    }
}

fn title(name: &str) -> String {
    let mut text = String::from("<title>");
    push_escaped(&mut text, name);
    text.push_str("</title>");
    text
}

fn without_empty_title(body: &str) -> String {
    body.replace("<title></title>", "").replace("<title/>", "")
}
