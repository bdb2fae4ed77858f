//! What the screen shows, and what keys do. No clock, no terminal and no server: documents, keys and the time go in, and what is to be
//! done comes out.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tunerd::base::Instant;

use super::channel::{Channel, Known};
use super::document::{Document, Millis, Shown, SourceList, Watching};

/// So far back a sparkline goes.
pub(super) const SPARK: Duration = Duration::from_secs(60);
/// Rates that are kept for it.
const RATES_MAX: usize = 120;
/// Letters of a filter.
const FILTER_MAX: usize = 40;
/// So long it is told what has come of a wish.
const TOLD_FOR: Duration = Duration::from_secs(6);
/// So far a page goes.
const PAGE: usize = 10;

/// A key, as far as one does something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Key {
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    Enter,
    Tab,
    Escape,
    Backspace,
    Letter(char),
}

/// What is to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Action {
    /// Nothing beside drawing.
    None,
    Quit,
    /// This channel is to get its stream anew.
    Recover(i64),
    /// This viewer's stream is to end.
    Kick(String),
}

/// Which of the two lists the arrows move in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Focus {
    Channels,
    Viewers,
}

/// What keys mean.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Mode {
    Browse,
    Filter,
    Help,
    /// `y` does it.
    Ask {
        question: String,
        action: Action,
    },
}

/// What has come of a wish.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Told {
    pub(super) text: Shown,
    pub(super) is_bad: bool,
    at: Instant,
}

/// The server does not answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Away {
    pub(super) why: Shown,
    since: Instant,
}

/// What a viewer got between the last two documents.
#[derive(Clone, Copy, Default, Debug)]
struct Taken {
    bytes: u64,
    bits_per_second: Option<u64>,
}

/// What all cores did between the last two documents.
#[derive(Clone, Default, Debug)]
pub(super) struct Flow {
    /// Bytes out in a second.
    pub(super) bytes_per_second: Option<u64>,
    /// How much of its time each core worked, in percent.
    pub(super) loads: Vec<u64>,
}

/// Everything.
#[derive(Debug)]
pub(crate) struct State {
    server: Shown,
    has_colour: bool,
    now: Instant,
    document: Document,
    channels: Vec<Channel>,
    has_document: bool,
    away: Option<Away>,
    told: Option<Told>,
    rates: BTreeMap<String, VecDeque<(Instant, u64)>>,
    taken: BTreeMap<String, Taken>,
    flow: Flow,
    known: BTreeMap<i64, Known>,
    focus: Focus,
    mode: Mode,
    filter: String,
    /// The guide number of the channel that is chosen, and where it stood.
    channel: Option<String>,
    channel_place: usize,
    viewer: Option<String>,
    viewer_place: usize,
}

impl State {
    /// Of a server of which nothing is known yet.
    pub(crate) fn new(server: &str, has_colour: bool, now: Instant) -> Self {
        Self {
            server: Shown::new(server),
            has_colour,
            now,
            document: Document::default(),
            channels: Vec::new(),
            has_document: false,
            away: None,
            told: None,
            rates: BTreeMap::new(),
            taken: BTreeMap::new(),
            flow: Flow::default(),
            known: BTreeMap::new(),
            focus: Focus::Channels,
            mode: Mode::Browse,
            filter: String::new(),
            channel: None,
            channel_place: 0,
            viewer: None,
            viewer_place: 0,
        }
    }

    /// Time has passed.
    pub(crate) fn at(&mut self, now: Instant) {
        self.now = now;
        if self.told.as_ref().is_some_and(|told| now - told.at >= TOLD_FOR) {
            self.told = None;
        }
    }

    /// The server has answered.
    pub(crate) fn take(&mut self, document: Document, at: Instant) {
        self.at(at);
        (self.away, self.has_document) = (None, true);
        self.flow = self.flow_to(&document);
        self.taken = self.taken_in(&document);
        self.channels = Channel::all(&document);
        for channel in &self.channels {
            let rates = self.rates.entry(channel.number().to_owned()).or_default();
            rates.push_back((at, channel.bits_per_second()));
            while rates.len() > RATES_MAX || rates.front().is_some_and(|(then, _)| at - *then >= SPARK) {
                rates.pop_front();
            }
        }
        let is_there = |number: &String| self.channels.iter().any(|channel| channel.number() == number);
        self.rates.retain(|number, _| is_there(number));
        self.known.retain(|id, _| self.channels.iter().any(|channel| channel.id() == *id));
        self.document = document;
        self.settle();
    }

    /// The server has not answered.
    pub(crate) fn lost(&mut self, why: &str, at: Instant) {
        self.at(at);
        let since = self.away.as_ref().map_or(at, |away| away.since);
        self.away = Some(Away { why: Shown::new(why), since });
    }

    /// The sources of a channel.
    pub(crate) fn take_sources(&mut self, channel: i64, sources: SourceList) {
        if self.channels.iter().any(|shown| shown.id() == channel) {
            self.known.insert(channel, Known::new(sources));
        }
    }

    /// What has come of a wish.
    pub(crate) fn told(&mut self, result: Result<&str, &str>, at: Instant) {
        self.at(at);
        let (Ok(text) | Err(text)) = result;
        self.told = Some(Told { text: Shown::new(text), is_bad: result.is_err(), at });
    }

    /// The channels whose sources are asked for, the chosen one first.
    pub(crate) fn wanted(&self) -> Vec<i64> {
        let chosen = self.chosen().map(Channel::id);
        let others = self.listed().into_iter().map(Channel::id).filter(|id| Some(*id) != chosen);
        chosen.into_iter().chain(others).filter(|id| *id > 0).collect()
    }

    /// Somebody has pressed a key.
    pub(crate) fn key(&mut self, key: Key) -> Action {
        match std::mem::replace(&mut self.mode, Mode::Browse) {
            Mode::Browse => self.browse(key),
            Mode::Filter => self.write_filter(key),
            Mode::Help => Action::None,
            Mode::Ask { action, .. } if matches!(key, Key::Letter('y' | 'Y')) => action,
            Mode::Ask { .. } => Action::None,
        }
    }

    fn browse(&mut self, key: Key) -> Action {
        match key {
            Key::Up | Key::Letter('k') => self.go(|place| place.saturating_sub(1)),
            Key::Down | Key::Letter('j') => self.go(|place| place.saturating_add(1)),
            Key::PageUp => self.go(|place| place.saturating_sub(PAGE)),
            Key::PageDown => self.go(|place| place.saturating_add(PAGE)),
            Key::Home | Key::Letter('g') => self.go(|_| 0),
            Key::End | Key::Letter('G') => self.go(|_| usize::MAX),
            Key::Enter => self.focus = Focus::Viewers,
            Key::Tab => {
                self.focus = match self.focus {
                    Focus::Channels => Focus::Viewers,
                    Focus::Viewers => Focus::Channels,
                };
            }
            Key::Escape if self.focus == Focus::Viewers => self.focus = Focus::Channels,
            Key::Escape => self.set_filter(String::new()),
            Key::Letter('r') => self.ask_recovery(),
            Key::Letter('x') => self.ask_kick(),
            Key::Letter('/') => (self.mode, self.focus) = (Mode::Filter, Focus::Channels),
            Key::Letter('?') => self.mode = Mode::Help,
            Key::Letter('q') => return Action::Quit,
            Key::Backspace | Key::Letter(_) => {}
        }
        Action::None
    }

    fn write_filter(&mut self, key: Key) -> Action {
        let mut filter = self.filter.clone();
        match key {
            Key::Enter | Key::Tab => return Action::None,
            Key::Escape => {
                self.set_filter(String::new());
                return Action::None;
            }
            Key::Letter(letter) if filter.chars().count() < FILTER_MAX => filter.push(letter),
            Key::Backspace => _ = filter.pop(),
            Key::Up | Key::Down | Key::PageUp | Key::PageDown | Key::Home | Key::End | Key::Letter(_) => {}
        }
        self.set_filter(filter);
        self.mode = Mode::Filter;
        Action::None
    }

    fn set_filter(&mut self, filter: String) {
        self.filter = filter;
        self.settle();
    }

    /// Moves to another place of the list in which the arrows move.
    fn go(&mut self, to: impl FnOnce(usize) -> usize) {
        match self.focus {
            Focus::Channels => {
                let listed = self.listed();
                let place = to(self.channel_place).min(listed.len().saturating_sub(1));
                let number = listed.get(place).map(|channel| channel.number().to_owned());
                (self.channel, self.channel_place) = (number, place);
                (self.viewer, self.viewer_place) = (None, 0);
            }
            Focus::Viewers => {
                let viewers = self.viewers();
                let place = to(self.viewer_place).min(viewers.len().saturating_sub(1));
                let id = viewers.get(place).map(|viewer| viewer.viewer_id.as_str().to_owned());
                (self.viewer, self.viewer_place) = (id, place);
            }
        }
        self.settle();
    }

    /// What was chosen is still, wherever it stands now; when it has gone, its neighbour is.
    fn settle(&mut self) {
        let listed = self.listed();
        let numbers: Vec<_> = listed.iter().map(|channel| channel.number()).collect();
        let (channel, place) = settled(&numbers, self.channel.as_deref(), self.channel_place);
        (self.channel, self.channel_place) = (channel, place);
        let viewers = self.viewers();
        let ids: Vec<_> = viewers.iter().map(|viewer| viewer.viewer_id.as_str()).collect();
        let (viewer, place) = settled(&ids, self.viewer.as_deref(), self.viewer_place);
        (self.viewer, self.viewer_place) = (viewer, place);
    }

    fn ask_recovery(&mut self) {
        let Some(channel) = self.chosen().filter(|channel| channel.id() > 0) else { return };
        let see = match channel.viewers() {
            0 => "nobody watches".to_owned(),
            1 => "1 viewer sees the slate for about a second".to_owned(),
            many => format!("{many} viewers see the slate for about a second"),
        };
        let question = format!("Recover {} {} now? {see}.", channel.number(), channel.name());
        self.mode = Mode::Ask { question, action: Action::Recover(channel.id()) };
    }

    fn ask_kick(&mut self) {
        let viewers = self.viewers();
        let Some(viewer) = viewers.get(self.viewer_place) else { return };
        let question = format!("Disconnect {}?", viewer.client_addr.as_str());
        let action = Action::Kick(viewer.viewer_id.as_str().to_owned());
        self.mode = Mode::Ask { question, action };
    }

    fn flow_to(&self, new: &Document) -> Flow {
        let old = &self.document;
        let millis = new.generated_at.0.saturating_sub(old.generated_at.0);
        if old.generated_at == Millis(0) || millis == 0 || old.started_at != new.started_at {
            return Flow::default();
        }
        let mut flow = Flow { bytes_per_second: Some(0), loads: Vec::new() };
        for core in &new.cores {
            let before = old.cores.iter().find(|before| before.core == core.core);
            let (sent, busy) = before.map_or((core.sent_bytes_total, core.busy_us_total), |before| {
                (before.sent_bytes_total, before.busy_us_total)
            });
            let bytes = in_a_second(core.sent_bytes_total.saturating_sub(sent), millis);
            flow.bytes_per_second = flow.bytes_per_second.map(|all| all.saturating_add(bytes));
            // Microseconds in milliseconds are tenths of percent.
            flow.loads.push((core.busy_us_total.saturating_sub(busy) / millis / 10).min(100));
        }
        flow
    }

    fn taken_in(&self, new: &Document) -> BTreeMap<String, Taken> {
        let millis = new.generated_at.0.saturating_sub(self.document.generated_at.0);
        let taken = new.client_streams.iter().map(|viewer| {
            let before = self.taken.get(viewer.viewer_id.as_str()).filter(|_| millis > 0);
            let bytes = before.and_then(|before| viewer.bytes_sent.checked_sub(before.bytes));
            let bits_per_second = bytes.map(|bytes| in_a_second(bytes, millis).saturating_mul(8));
            (viewer.viewer_id.as_str().to_owned(), Taken { bytes: viewer.bytes_sent, bits_per_second })
        });
        taken.collect()
    }

    pub(super) const fn server(&self) -> &Shown {
        &self.server
    }

    pub(super) const fn has_colour(&self) -> bool {
        self.has_colour
    }

    /// What was said last.
    pub(super) fn document(&self) -> Option<&Document> {
        self.has_document.then_some(&self.document)
    }

    /// That the server does not answer, and for how long it has not.
    pub(super) fn away(&self) -> Option<(&Shown, Duration)> {
        self.away.as_ref().map(|away| (&away.why, self.now - away.since))
    }

    pub(super) const fn news(&self) -> Option<&Told> {
        self.told.as_ref()
    }

    pub(super) const fn flow(&self) -> &Flow {
        &self.flow
    }

    pub(super) const fn focus(&self) -> Focus {
        self.focus
    }

    pub(super) const fn mode(&self) -> &Mode {
        &self.mode
    }

    pub(super) fn filter(&self) -> &str {
        &self.filter
    }

    /// All channels that are open.
    pub(super) fn channels(&self) -> &[Channel] {
        &self.channels
    }

    /// Those that the filter leaves.
    pub(super) fn listed(&self) -> Vec<&Channel> {
        self.channels.iter().filter(|channel| channel.is_called(&self.filter)).collect()
    }

    pub(super) const fn channel_place(&self) -> usize {
        self.channel_place
    }

    /// The channel that is chosen.
    pub(super) fn chosen(&self) -> Option<&Channel> {
        let number = self.channel.as_deref()?;
        self.channels.iter().find(|channel| channel.number() == number)
    }

    /// The viewers of the channel that is chosen.
    pub(super) fn viewers(&self) -> Vec<&Watching> {
        let Some(id) = self.chosen().map(Channel::id) else { return Vec::new() };
        self.document.client_streams.iter().filter(|viewer| viewer.channel_id == id).collect()
    }

    pub(super) const fn viewer_place(&self) -> usize {
        self.viewer_place
    }

    /// What a viewer gets; nothing before it has been seen twice.
    pub(super) fn viewer_rate(&self, viewer: &Watching) -> Option<u64> {
        self.taken.get(viewer.viewer_id.as_str())?.bits_per_second
    }

    /// What is known of a channel's sources.
    pub(super) fn known(&self, channel: &Channel) -> Option<&Known> {
        self.known.get(&channel.id())
    }

    /// The mean rates of the last minute in so many columns, the newest last; nothing where none is known.
    pub(super) fn spark(&self, channel: &Channel, columns: usize) -> Vec<Option<u64>> {
        let mut buckets = vec![(0_u64, 0_u64); columns];
        for (at, rate) in self.rates.get(channel.number()).into_iter().flatten() {
            let ago = usize::try_from((self.now - *at).as_millis()).unwrap_or(usize::MAX);
            let span = usize::try_from(SPARK.as_millis()).expect("a minute fits");
            let back = ago.saturating_mul(columns) / span;
            if let Some(bucket) = columns.checked_sub(back + 1).and_then(|place| buckets.get_mut(place)) {
                *bucket = (bucket.0.saturating_add(*rate), bucket.1 + 1);
            }
        }
        buckets.into_iter().map(|(sum, count)| sum.checked_div(count)).collect()
    }
}

/// So many in so many milliseconds, in a second.
fn in_a_second(count: u64, millis: u64) -> u64 {
    count.saturating_mul(1000) / millis.max(1)
}

/// Who is chosen of these, and where that is.
fn settled(all: &[&str], chosen: Option<&str>, place: usize) -> (Option<String>, usize) {
    let found = chosen.and_then(|chosen| all.iter().position(|other| *other == chosen));
    let place = found.unwrap_or_else(|| place.min(all.len().saturating_sub(1)));
    (all.get(place).map(|name| (*name).to_owned()), place)
}
