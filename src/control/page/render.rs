//! The page "Now" in HTML, in pieces: a page that is open is sent the pieces that have changed.

use std::collections::{BTreeMap, VecDeque};

use crate::base::Instant;
use crate::engine::Tallies;
use crate::engine::snapshot::{CoreSnapshot, SessionSnapshot};
use crate::store::ChannelRecord;

use super::band::{Stretch, band};
use super::html::{Piece, escaped, push};
use super::viewers::viewers;
use super::words::{Mark, bar, called, count, long, losses, rate, state, stream, why_bad};

/// Channels that are shown. Of more the number is.
const CHANNELS_SHOWN_MAX: usize = 200;
/// The size of a sparkline.
const SPARK_WIDTH: usize = 120;
const SPARK_HEIGHT: u64 = 20;
/// RateHistory that a sparkline is made of.
pub(super) const RATES_MAX: usize = 60;

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
        Piece { name: "sentence".to_owned(), html: sentence(&sessions, facts.listed.is_empty()) },
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

fn sentence(sessions: &[&SessionSnapshot], is_empty: bool) -> String {
    let playing = sessions.iter().filter(|session| !session.viewers.is_empty()).count();
    let viewers = sessions.iter().map(|session| session.viewers.len()).sum();
    let bad = sessions.iter().filter(|session| Mark::of(session) == Mark::Recovering).count();
    if playing == 0 && is_empty {
        return "<h1>There is no channel yet.</h1><p><a href=/ui/playlists>Add a playlist</a> first, then <a href=/ui/add>channels</a> from it.</p>".to_owned();
    }
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
    html.push_str(&timeline(session, listed, now));
    let called = |source| called(listed, [record], source);
    let mut why = why_bad(session, now, called);
    why.extend(losses(session, now, listed, called));
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

/// What was shown when, by source.
fn timeline(session: &SessionSnapshot, channel: Option<&ChannelRecord>, now: Instant) -> String {
    let record = &session.record;
    let called = |source| called(channel, [record], source);
    let mut stretches: Vec<_> = record
        .sources
        .iter()
        .map(|window| {
            let name = called(window.source.id.0);
            Stretch {
                from: now - window.selected_at,
                to: now - window.deselected_at.unwrap_or(now),
                said: bar(&name, window, now),
                row: name,
                is_slate: false,
            }
        })
        .collect();
    if let Some(slate) = &session.recovery.keepalive {
        let to = slate.stopped_at.unwrap_or(now);
        stretches.push(Stretch {
            from: now - slate.started_at,
            to: now - to,
            said: format!("The slate, for {}, {} ago", long(to - slate.started_at), long(now - to)),
            row: record.sources.last().map_or_else(String::new, |window| called(window.source.id.0)),
            is_slate: true,
        });
    }
    band(&stretches, &format!("hatch-{}", record.id))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::page::testing::{channels_of, session, window};

    #[test]
    fn a_row_calls_sources_by_their_place_wherever_it_tells_of_them() {
        let mut channel = channels_of(&[("a", "News")]).remove(0);
        let mut other = channel.sources[0].clone();
        (channel.sources[0].source_id, other.source_id) = (41, 42);
        channel.sources.push(other);
        let windows = vec![
            window(41, 3_000, Some(3_060), "initial_startup"),
            window(40, 3_060, Some(3_070), "recovery_cycle_1:stall"),
            window(42, 3_070, None, "recovery_cycle_2:source_eof"),
        ];
        let mut session = session(7, windows, 1);
        (session.datagrams.datagrams, session.datagrams.lost) = (90_000, 37);
        let facts = Facts {
            cores: &[],
            listed: std::slice::from_ref(&channel),
            rates: &RateHistory::new(),
            now: Instant::from_millis(3_600_000),
        };
        let html = row(&facts, &session);
        for piece in [
            "source 2 of 2",
            "<span>Source 1</span><span>Source 2</span>",
            "Source 2: shown for 8 min, from 8 min ago, because the one before ended",
            "Source 1 sent nothing that moves the picture once",
            "A source that is gone ended once",
            "<p>Its sources together lost 37 packets on the way in the last 10 min, and 90000 packets came.",
            "pattern id=\"hatch-7\"",
        ] {
            assert!(html.contains(piece), "{piece}: {html}");
        }
        assert!(!html.contains("ource 41") && !html.contains("ource 42"), "{html}");
    }

    #[test]
    fn without_any_channel_it_is_said_where_to_begin() {
        assert!(sentence(&[], true).contains("/ui/playlists"));
        assert_eq!(sentence(&[], false), "<h1>All quiet.</h1>");
    }
}
