//! The channels, one in a line. What a narrow terminal has no room for gives way from the end of [`OPTIONAL`]; number, name, state, rate
//! and viewers are always there.

use ratatui::layout::Rect;
use ratatui::style::Style;

use super::canvas::{Canvas, first_shown, mbit};
use super::channel::{Channel, Known};
use super::state::{Focus, State};

/// What stands in a column.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Column {
    Mark,
    Number,
    Name,
    State,
    Stream,
    Source,
    Rate,
    Spark,
    Viewers,
    Recoveries,
}

use Column::{Mark, Name, Number, Rate, Recoveries, Source, Spark, State as StateOf, Stream, Viewers};

/// From left to right.
const ORDER: [Column; 10] = [Mark, Number, Name, StateOf, Stream, Source, Rate, Spark, Viewers, Recoveries];
/// Those that are always there, with the least that they need.
const ALWAYS: [(Column, u16); 6] =
    [(Mark, 1), (Number, 5), (Name, 14), (StateOf, 18), (Rate, 6), (Viewers, 7)];
/// Those for which there has to be room, the most wanted first, with what they need.
const OPTIONAL: [(Column, u16); 4] = [(Source, 8), (Spark, 7), (Recoveries, 5), (Stream, 22)];
/// What is cut where not even that fits, and how short.
const NARROWER: [(Column, u16); 2] = [(Name, 8), (StateOf, 7)];
/// What more room is for, one behind the other, and how wide a column then is.
const WIDER: [(Column, u16); 5] = [(Source, 22), (Spark, 20), (Name, 28), (StateOf, 60), (Spark, 60)];

const SPARKS: [char; 7] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇'];

impl Column {
    const fn head(self) -> &'static str {
        match self {
            Self::Mark => "",
            Self::Number => "no.",
            Self::Name => "name",
            Self::State => "state",
            Self::Stream => "stream",
            Self::Source => "source",
            Self::Rate => "Mbit/s",
            Self::Spark => "1 min",
            Self::Viewers => "viewers",
            Self::Recoveries => "recov",
        }
    }

    const fn is_number(self) -> bool {
        matches!(self, Self::Number | Self::Rate | Self::Viewers | Self::Recoveries)
    }

    fn text(self, state: &State, channel: &Channel, columns: u16) -> String {
        let columns = usize::from(columns);
        match self {
            Self::Mark => channel.mark().sign().to_owned(),
            Self::Number => channel.number().to_owned(),
            Self::Name => channel.name().to_owned(),
            Self::State => {
                let sentence = channel.sentence();
                if sentence.chars().count() <= columns { sentence } else { channel.state() }
            }
            Self::Stream => channel.stream(),
            Self::Source => source(state.known(channel), channel, columns),
            Self::Rate => mbit(Some(channel.bits_per_second()).filter(|rate| *rate > 0)),
            Self::Spark => spark(&state.spark(channel, columns)),
            Self::Viewers => channel.viewers().to_string(),
            Self::Recoveries => channel.recoveries().to_string(),
        }
    }
}

/// The columns there is room for, each with its width.
fn columns(width: u16) -> Vec<(Column, u16)> {
    // One is free before the first, and one between two.
    let needed: u16 = ALWAYS.iter().map(|(_, needs)| needs + 1).sum();
    let mut left = width.saturating_sub(needed);
    let mut missing = needed.saturating_sub(width);
    let mut chosen = ALWAYS.to_vec();
    for (column, least) in NARROWER {
        if let Some((_, width)) = chosen.iter_mut().find(|(other, _)| *other == column) {
            let less = (*width - least).min(missing);
            *width -= less;
            missing -= less;
        }
    }
    for (column, needs) in OPTIONAL {
        if left > needs {
            left -= needs + 1;
            chosen.push((column, needs));
        }
    }
    for (column, wish) in WIDER {
        if let Some((_, width)) = chosen.iter_mut().find(|(other, _)| *other == column) {
            let more = wish.saturating_sub(*width).min(left);
            *width += more;
            left -= more;
        }
    }
    let place = |column: &(Column, u16)| ORDER.iter().position(|other| *other == column.0);
    chosen.sort_by_key(place);
    chosen
}

pub(super) fn draw(state: &State, canvas: &mut Canvas<'_>, area: Rect) {
    let columns = columns(area.width);
    let listed = state.listed();
    let head = |column: Column, _width: u16| column.head().to_owned();
    row(canvas, area, 0, &columns, head, |canvas, _| canvas.quiet());
    if listed.is_empty() {
        let text = nothing(state);
        canvas.cell(area, 1, 1, area.width - 1, &text, canvas.quiet());
        return;
    }
    let room = usize::from(area.height.saturating_sub(1));
    let first = first_shown(state.channel_place(), listed.len(), room);
    let shown = listed.iter().enumerate().skip(first).take(room);
    for ((place, channel), line) in shown.zip(1..) {
        let text = |column: Column, width: u16| column.text(state, channel, width);
        let style = |canvas: &Canvas<'_>, column: Column| look(canvas, state, channel, column);
        row(canvas, area, line, &columns, text, style);
        if place == state.channel_place() {
            canvas.cell(area, line, 0, 1, "›", canvas.strong());
            if state.focus() == Focus::Channels {
                canvas.look(area, line, canvas.chosen());
            }
        }
    }
}

fn nothing(state: &State) -> String {
    if state.filter().is_empty() || state.channels().is_empty() {
        return "Nobody watches. What is watched stands here.".to_owned();
    }
    format!("No open channel has “{}” in its number or name; esc shows all.", state.filter())
}

fn look(canvas: &Canvas<'_>, state: &State, channel: &Channel, column: Column) -> Style {
    match column {
        Mark | StateOf => canvas.mark(channel.mark()),
        Source if state.known(channel).is_some_and(|known| is_bad(known, channel)) => canvas.wait(),
        Stream => canvas.quiet(),
        Recoveries if channel.recoveries() > 0 => canvas.wait(),
        Number | Name | Source | Rate | Spark | Viewers | Recoveries => canvas.plain(),
    }
}

fn is_bad(known: &Known, channel: &Channel) -> bool {
    known.health(channel, channel.source()).is_some_and(|health| health.is_bad)
}

fn row(
    canvas: &mut Canvas<'_>,
    area: Rect,
    line: u16,
    columns: &[(Column, u16)],
    text: impl Fn(Column, u16) -> String,
    style: impl Fn(&Canvas<'_>, Column) -> Style,
) {
    let mut from = 1;
    for (column, width) in columns {
        let (text, style) = (text(*column, *width), style(canvas, *column));
        if column.is_number() {
            canvas.right(area, line, from, *width, &text, style);
        } else {
            canvas.cell(area, line, from, *width, &text, style);
        }
        from += width + 1;
    }
}

/// Which of the channel's sources is shown, and how it is: with `!` where there is no room for words.
fn source(known: Option<&Known>, channel: &Channel, columns: usize) -> String {
    let found =
        known.and_then(|known| known.place(channel.source()).zip(known.health(channel, channel.source())));
    let Some(((place, count), health)) = found else { return "–".to_owned() };
    let short = format!("{place} of {count}");
    let long = format!("{short}, {}", health.short);
    if long.chars().count() <= columns {
        long
    } else if health.is_bad {
        format!("{short} !")
    } else {
        short
    }
}

/// One letter for each rate; the highest is the highest.
fn spark(rates: &[Option<u64>]) -> String {
    let most = rates.iter().flatten().copied().max().unwrap_or(0).max(1);
    let last = SPARKS.len() - 1;
    let letter = |rate: &Option<u64>| {
        rate.map_or(' ', |rate| {
            let step = u128::from(rate) * last as u128 / u128::from(most);
            SPARKS[usize::try_from(step).unwrap_or(last).min(last)]
        })
    };
    rates.iter().map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_give_way_in_their_order_and_none_goes_beyond_the_line() {
        let names = |width| columns(width).iter().map(|(column, _)| *column).collect::<Vec<_>>();
        assert_eq!(names(40), [Mark, Number, Name, StateOf, Rate, Viewers]);
        assert_eq!(names(57), [Mark, Number, Name, StateOf, Rate, Viewers]);
        assert_eq!(names(66), [Mark, Number, Name, StateOf, Source, Rate, Viewers]);
        assert_eq!(names(79), [Mark, Number, Name, StateOf, Source, Rate, Spark, Viewers]);
        assert_eq!(names(80), [Mark, Number, Name, StateOf, Source, Rate, Spark, Viewers, Recoveries]);
        assert_eq!(names(200), ORDER);
        for width in 40..400 {
            let taken: u16 = columns(width).iter().map(|(_, width)| width + 1).sum();
            assert!(taken <= width, "{taken} of {width}");
        }
    }

    #[test]
    fn a_sparkline_shows_each_rate_by_its_part_of_the_highest() {
        assert_eq!(spark(&[None, Some(0), Some(3_500_000), Some(7_000_000)]), " ▁▄▇");
        assert_eq!(spark(&[Some(0)]), "▁");
        assert_eq!(spark(&[Some(u64::MAX)]), "▇");
    }
}
