//! The page "Now" in HTML, in pieces: a page that is open is sent the pieces that have changed.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::base::Instant;
use crate::engine::Tallies;
use crate::engine::snapshot::{CoreSnapshot, SessionSnapshot};
use crate::store::ChannelRecord;

use super::html::{escaped, push};
use super::viewers::viewers;
use super::words::{Mark, bar, count, long, rate, state, stream, why_bad};

/// Channels that are shown. Of more the number is.
const CHANNELS_SHOWN_MAX: usize = 200;
/// How far back the timeline goes.
const TIMELINE: Duration = Duration::from_secs(30 * 60);
/// The width of the timeline, and of a sparkline.
const TIMELINE_WIDTH: u64 = 600;
const SPARK_WIDTH: usize = 120;
const SPARK_HEIGHT: u64 = 20;
/// RateHistory that a sparkline is made of.
pub(super) const RATES_MAX: usize = 60;

/// A part of the page by its name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Piece {
    pub(super) name: String,
    pub(super) html: String,
}

/// What the last rates of each session were.
pub(super) type RateHistory = BTreeMap<u64, VecDeque<u64>>;

/// What the page is made of.
pub(super) struct Facts<'a> {
    pub(super) cores: &'a [CoreSnapshot],
    pub(super) listed: &'a [ChannelRecord],
    pub(super) rates: &'a RateHistory,
    pub(super) now: Instant,
}

/// All pieces, in the order in which they stand.
pub(super) fn pieces(facts: &Facts<'_>) -> Vec<Piece> {
    let mut sessions: Vec<_> = facts.cores.iter().flat_map(|core| &core.sessions).collect();
    sessions.sort_by(|one, other| {
        let key = |session: &SessionSnapshot| {
            let number = &session.record.guide_number;
            (number.parse::<f64>().unwrap_or(f64::MAX), session.record.id)
        };
        key(one).partial_cmp(&key(other)).unwrap_or(std::cmp::Ordering::Equal)
    });
    let mut pieces = vec![
        Piece { name: "sentence".to_owned(), html: sentence(&sessions) },
        Piece { name: "attention".to_owned(), html: attention(facts, &sessions) },
    ];
    pieces.extend(
        sessions.iter().take(CHANNELS_SHOWN_MAX).map(|session| Piece {
            name: format!("channel-{}", session.record.id),
            html: row(facts, session),
        }),
    );
    pieces.push(Piece { name: "tuners".to_owned(), html: tuners(facts, sessions.len()) });
    pieces
}

fn now_of(facts: &Facts<'_>, session: &SessionSnapshot) -> Instant {
    let lost = u64::try_from(session.record.lost.as_nanos()).unwrap_or(u64::MAX);
    Instant::from_nanos(facts.now.as_nanos().saturating_sub(lost))
}

fn sentence(sessions: &[&SessionSnapshot]) -> String {
    let playing = sessions.iter().filter(|session| !session.viewers.is_empty()).count();
    let viewers = sessions.iter().map(|session| session.viewers.len()).sum();
    let bad = sessions.iter().filter(|session| Mark::of(session) == Mark::Recovering).count();
    if playing == 0 {
        return "<h1>All quiet.</h1>".to_owned();
    }
    let attention = match bad {
        0 => String::new(),
        1 => " 1 needs attention.".to_owned(),
        bad => format!(" {bad} need attention."),
    };
    format!(
        "<h1>{} playing to {}.{attention}</h1>",
        count(playing, "channel", "channels"),
        count(viewers, "viewer", "viewers")
    )
}

/// What is wrong, since when, and what is done about it.
fn attention(facts: &Facts<'_>, sessions: &[&SessionSnapshot]) -> String {
    let mut items = String::new();
    for session in sessions.iter().filter(|session| Mark::of(session) == Mark::Recovering).take(20) {
        let said = escaped(&state(session, now_of(facts, session)));
        let number = escaped(&session.record.guide_number);
        let name = escaped(&session.record.guide_name);
        push(&mut items, format_args!("<li class=wait>▲ <b>{number} {name}</b>: {said}</li>"));
    }
    let mut all = Tallies::default();
    facts.cores.iter().for_each(|core| all.add(&core.tallies));
    for (reason, refused) in all.refusals() {
        let reason = reason.replace('_', " ");
        let tunes = count(usize::try_from(*refused).unwrap_or(usize::MAX), "tune", "tunes");
        push(&mut items, format_args!("<li class=bad>■ {tunes} refused since the start: {reason}</li>"));
    }
    if items.is_empty() { String::new() } else { format!("<ul>{items}</ul>") }
}

/// A channel: what it is in one line, and behind that all that is known of it.
fn row(facts: &Facts<'_>, session: &SessionSnapshot) -> String {
    let (record, now) = (&session.record, now_of(facts, session));
    let mark = Mark::of(session);
    let listed = facts.listed.iter().find(|channel| channel.channel_id == record.channel.0);
    let current = record.sources.last();
    let place = listed.zip(current).and_then(|(channel, window)| {
        let place = channel.sources.iter().position(|source| source.source_id == window.source.id.0)?;
        Some(format!("source {} of {}", place + 1, channel.sources.len()))
    });
    let profile = current.map(|window| &window.source.profile);
    let stream = profile.map_or_else(String::new, stream);
    let mut html = format!(
        "<div class=line><span class=number>{}</span><a class=name href=\"/ui/channels/{}\">{}</a><span class=stream>{}</span>\
         {}<span class=rate>{}</span><span class=viewers>{}</span><span class=source>{}</span>\
         <span class=\"state {}\">{} {}</span></div>",
        escaped(&record.guide_number),
        record.channel.0,
        escaped(&record.guide_name),
        escaped(&stream),
        sparkline(facts.rates.get(&record.id)),
        rate(session.bitrate_bps),
        count(session.viewers.len(), "viewer", "viewers"),
        place.as_deref().unwrap_or("–"),
        mark.class(),
        mark.sign(),
        escaped(&state(session, now)),
    );
    let id = record.id;
    push(
        &mut html,
        format_args!(
            "<details data-open=\"more-{id}\"><summary>Details of {}</summary>",
            escaped(&record.guide_name)
        ),
    );
    html.push_str(&timeline(session, now));
    let why = why_bad(session, now);
    if !why.is_empty() {
        html.push_str("<h3>Why is this channel bad?</h3>");
        for sentence in why {
            push(&mut html, format_args!("<p>{}</p>", escaped(&sentence)));
        }
    }
    if !session.viewers.is_empty() {
        let see = match session.viewers.len() {
            1 => "1 viewer sees".to_owned(),
            many => format!("{many} viewers see"),
        };
        push(
            &mut html,
            format_args!(
                "<form method=post action=\"/ui/channels/{}/recover\"><button>Recover now ({see} the slate for about a second)</button></form>",
                record.channel.0
            ),
        );
    }
    html.push_str(&viewers(session.record.id, &session.viewers, now, "/ui/"));
    html.push_str("</details>");
    html
}

/// One path; the last value stands beside it as text.
fn sparkline(rates: Option<&VecDeque<u64>>) -> String {
    let rates: Vec<u64> = rates.into_iter().flatten().copied().collect();
    let most = rates.iter().copied().max().unwrap_or(0).max(1);
    let mut path = String::new();
    for (index, rate) in rates.iter().enumerate() {
        let letter = if index == 0 { 'M' } else { 'L' };
        let across = index * SPARK_WIDTH / RATES_MAX;
        let down = SPARK_HEIGHT - 1 - rate * (SPARK_HEIGHT - 2) / most;
        push(&mut path, format_args!("{letter}{across} {down}"));
    }
    format!(
        "<svg class=spark width={SPARK_WIDTH} height={SPARK_HEIGHT} aria-hidden=true><path d=\"{path}\"/></svg>"
    )
}

/// A band per source over the last half hour: solid is shown, hatched is the slate.
fn timeline(session: &SessionSnapshot, now: Instant) -> String {
    let left = |at: Instant| {
        let ago = (now - at).min(TIMELINE);
        let ago = u64::try_from(ago.as_millis()).unwrap_or(u64::MAX);
        TIMELINE_WIDTH - ago * TIMELINE_WIDTH / u64::try_from(TIMELINE.as_millis()).unwrap_or(u64::MAX)
    };
    let windows: Vec<_> = session
        .record
        .sources
        .iter()
        .filter(|window| now - window.deselected_at.unwrap_or(now) < TIMELINE)
        .collect();
    let mut ids: Vec<_> = windows.iter().map(|window| window.source.id.0).collect();
    ids.sort_unstable();
    ids.dedup();
    let mut html = String::from("<h3>The last half hour</h3>");
    for id in ids {
        push(
            &mut html,
            format_args!(
                "<div class=band><span>source {id}</span><svg viewBox=\"0 0 {TIMELINE_WIDTH} 12\" preserveAspectRatio=none role=img aria-label=\"when source {id} was shown\">"
            ),
        );
        for window in windows.iter().filter(|window| window.source.id.0 == id) {
            let (from, to) = (left(window.selected_at), left(window.deselected_at.unwrap_or(now)));
            let said = escaped(&bar(window, now));
            push(
                &mut html,
                format_args!(
                    "<rect x={from} width={} height=12><title>{said}</title></rect>",
                    (to - from).max(1)
                ),
            );
        }
        html.push_str("</svg></div>");
    }
    if let Some(slate) = &session.recovery.keepalive {
        let to = slate.stopped_at.unwrap_or(now);
        if now - to < TIMELINE {
            let (from, until) = (left(slate.started_at), left(to));
            let said = format!("slate for {}, {} ago", long(to - slate.started_at), long(now - to));
            push(
                &mut html,
                format_args!(
                    "<div class=band><span>slate</span><svg viewBox=\"0 0 {TIMELINE_WIDTH} 12\" preserveAspectRatio=none role=img aria-label=\"when the slate was shown\"><rect class=slate x={from} width={} height=12><title>{said}</title></rect></svg></div>",
                    (until - from).max(1)
                ),
            );
        }
    }
    html
}

fn tuners(facts: &Facts<'_>, sessions: usize) -> String {
    let tuners = facts.cores.iter().find_map(|core| core.tuners.as_ref());
    let (all, in_use) = tuners.map_or((0, 0), |tuners| (tuners.count, tuners.in_use));
    let more = sessions.saturating_sub(CHANNELS_SHOWN_MAX);
    let more = if more > 0 { format!("{more} more channels are open. ") } else { String::new() };
    let dots = "○ ".repeat(all.saturating_sub(in_use).min(64));
    format!(
        "<p class=quiet>{more}{in_use} of {} in use. <span aria-hidden=true>{dots}</span></p>",
        count(all, "tuner", "tuners")
    )
}
