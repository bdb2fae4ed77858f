//! Those who watch by asking for a list again and again.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::base::Instant;

/// The longest name of a session.
const NAME_BYTES_MAX: usize = 64;
/// The longest name of a program that is kept.
const AGENT_CHARS_MAX: usize = 128;
/// So many of those who were sent away are remembered,
const SENT_AWAY_MAX: usize = 64;
/// each for so long.
const SENT_AWAY_FOR: Duration = Duration::from_secs(60);

/// What a viewer is known by from one request to the next. It may choose it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct SessionName(Box<str>);

impl SessionName {
    /// From a request: letters, digits, `-` and `_`, 1 to 64 of them.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let is_name = !text.is_empty() && text.len() <= NAME_BYTES_MAX && text.bytes().all(is_plain);
        is_name.then(|| Self(text.into()))
    }

    /// As it stands in addresses.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One who watches.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Watcher {
    /// Its number within the channel's session.
    pub number: u64,
    /// From where it asked last.
    pub peer: SocketAddr,
    /// From where it came: there it has its place.
    pub came_from: SocketAddr,
    /// What it calls itself.
    pub user_agent: String,
    /// When it came.
    pub joined_at: Instant,
    /// When it asked last.
    seen_at: Instant,
    /// It has been let in: it does not wait for the first picture.
    pub is_admitted: bool,
    /// It was given its name and has not asked by it yet.
    is_nameless: bool,
}

impl Watcher {
    /// Somebody who comes.
    #[must_use]
    pub fn new(number: u64, peer: SocketAddr, user_agent: &str, now: Instant) -> Self {
        let (joined_at, seen_at) = (now, now);
        Self {
            number,
            peer,
            came_from: peer,
            user_agent: shown(user_agent),
            joined_at,
            seen_at,
            is_admitted: false,
            is_nameless: true,
        }
    }
}

fn shown(user_agent: &str) -> String {
    user_agent.chars().filter(|char| !char.is_control()).take(AGENT_CHARS_MAX).collect()
}

/// Those of one channel.
#[derive(Debug)]
pub struct Viewers {
    limit: usize,
    watching: BTreeMap<SessionName, Watcher>,
}

/// Those who were sent away: their players go on asking, and are refused for a while.
#[derive(Debug, Default)]
pub struct SentAway(VecDeque<(Instant, SessionName)>);

impl SentAway {
    /// One is sent away.
    pub fn add(&mut self, name: SessionName, now: Instant) {
        if self.0.len() == SENT_AWAY_MAX {
            self.0.pop_front();
        }
        self.0.push_back((now + SENT_AWAY_FOR, name));
    }

    /// True when one of this name was sent away a short while ago.
    #[must_use]
    pub fn has(&self, name: &SessionName, now: Instant) -> bool {
        self.0.iter().any(|(until, known)| *until > now && known == name)
    }
}

impl Viewers {
    /// At most so many.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self { limit, watching: BTreeMap::new() }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.watching.len()
    }

    /// True when one more may come.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.watching.len() < self.limit
    }

    /// One who watches asks, by its name or for one. False when nobody does by this name.
    pub fn asks(&mut self, name: &SessionName, by_name: bool, peer: SocketAddr, now: Instant) -> bool {
        let Some(watcher) = self.watching.get_mut(name) else { return false };
        (watcher.peer, watcher.seen_at) = (peer, now);
        watcher.is_nameless &= !by_name;
        true
    }

    /// The name of one that has come from the same host with the same player and has not used its name: some players ask twice for what
    /// they open, and are one viewer.
    #[must_use]
    pub fn nameless(&self, host: IpAddr, user_agent: &str) -> Option<&SessionName> {
        let user_agent = shown(user_agent);
        let is_it = |watcher: &Watcher| {
            watcher.is_nameless && watcher.peer.ip() == host && watcher.user_agent == user_agent
        };
        self.watching.iter().find(|(_, watcher)| is_it(watcher)).map(|(name, _)| name)
    }

    /// Somebody is one of them from now on.
    pub fn join(&mut self, name: SessionName, watcher: Watcher) {
        self.watching.insert(name, watcher);
    }

    /// All are let in.
    pub fn admit(&mut self) {
        self.watching.values_mut().for_each(|watcher| watcher.is_admitted = true);
    }

    fn take_those(&mut self, are_meant: impl Fn(&Watcher) -> bool) -> Vec<(SessionName, Watcher)> {
        let meant = self.watching.iter().filter(|(_, watcher)| are_meant(watcher));
        let names: Vec<_> = meant.map(|(name, _)| name.clone()).collect();
        names.into_iter().filter_map(|name| self.watching.remove_entry(&name)).collect()
    }

    /// Takes those out who have not asked for so long.
    pub fn take_idle(&mut self, now: Instant, limit: Duration) -> Vec<Watcher> {
        let gone = self.take_those(|watcher| now - watcher.seen_at >= limit);
        gone.into_iter().map(|(_, gone)| gone).collect()
    }

    /// Takes those out who wait for the first picture.
    pub fn take_waiting(&mut self) -> Vec<Watcher> {
        let gone = self.take_those(|watcher| !watcher.is_admitted);
        gone.into_iter().map(|(_, gone)| gone).collect()
    }

    /// Takes all of them out.
    pub fn take_all(&mut self) -> Vec<Watcher> {
        std::mem::take(&mut self.watching).into_values().collect()
    }

    /// Takes out the one of this number.
    pub fn take(&mut self, number: u64) -> Option<(SessionName, Watcher)> {
        self.take_those(|watcher| watcher.number == number).pop()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Watcher> {
        self.watching.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_millis(seconds * 1000)
    }

    fn name(text: &str) -> SessionName {
        SessionName::new(text).unwrap()
    }

    fn viewers(names: &[&str]) -> Viewers {
        let mut viewers = Viewers::new(3);
        for (number, text) in (1..).zip(names) {
            viewers.join(name(text), Watcher::new(number, peer(1), "a\nplayer", at(0)));
        }
        viewers
    }

    fn peer(port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], port))
    }

    fn numbers(watchers: &[Watcher]) -> Vec<u64> {
        watchers.iter().map(|watcher| watcher.number).collect()
    }

    #[test]
    fn a_name_is_short_and_plain() {
        let longest = "x".repeat(64);
        for (text, is_name) in [
            ("edge", true),
            ("A-z_09", true),
            (longest.as_str(), true),
            ("", false),
            ("a b", false),
            ("a/b", false),
            ("a\"", false),
            ("ü", false),
            (&format!("{longest}x"), false),
        ] {
            assert_eq!(SessionName::new(text).is_some(), is_name, "{text}");
        }
    }

    #[test]
    fn who_does_not_ask_for_a_while_has_left() {
        let mut viewers = viewers(&["a", "b"]);
        assert!(viewers.asks(&name("a"), true, peer(2), at(10)));
        assert!(!viewers.asks(&name("c"), true, peer(2), at(10)));
        assert!(viewers.take_idle(at(17), Duration::from_secs(18)).is_empty());
        assert_eq!(numbers(&viewers.take_idle(at(18), Duration::from_secs(18))), [2]);
        let left = viewers.iter().next().unwrap();
        assert_eq!((left.peer, left.came_from, left.user_agent.as_str()), (peer(2), peer(1), "aplayer"));
        assert_eq!(numbers(&viewers.take_idle(at(28), Duration::from_secs(18))), [1]);
    }

    #[test]
    fn who_asks_twice_for_a_name_before_using_it_gets_the_same() {
        let mut viewers = viewers(&["a"]);
        let found = |viewers: &Viewers, last: u8, agent: &str| {
            viewers.nameless(IpAddr::from([10, 0, 0, last]), agent).cloned()
        };
        assert!(viewers.asks(&name("a"), false, peer(2), at(1)));
        assert_eq!(found(&viewers, 1, "a\nplayer"), Some(name("a")));
        assert_eq!((found(&viewers, 2, "aplayer"), found(&viewers, 1, "other")), (None, None));
        assert!(viewers.asks(&name("a"), true, peer(2), at(1)));
        assert_eq!(found(&viewers, 1, "aplayer"), None, "it watches; this is another");
    }

    #[test]
    fn one_is_taken_by_its_number() {
        let mut viewers = viewers(&["a", "b", "c"]);
        assert!(!viewers.has_room());
        let taken = viewers.take(2).map(|(name, watcher)| (name, watcher.number));
        assert_eq!(taken, Some((name("b"), 2)));
        assert!(viewers.take(2).is_none() && viewers.has_room());
        assert!(!viewers.asks(&name("b"), true, peer(1), at(6)));
    }

    #[test]
    fn who_was_sent_away_stays_away_for_a_minute_and_not_more_are_remembered_than_the_bound() {
        let mut sent_away = SentAway::default();
        sent_away.add(name("b"), at(5));
        for (text, seconds, expected) in [("b", 6, true), ("b", 64, true), ("b", 65, false), ("a", 6, false)]
        {
            assert_eq!(sent_away.has(&name(text), at(seconds)), expected, "{text} at {seconds}");
        }
        (0..200).for_each(|number| sent_away.add(name(&format!("n{number}")), at(6)));
        assert_eq!(sent_away.0.len(), SENT_AWAY_MAX);
        assert!(sent_away.has(&name("n199"), at(7)) && !sent_away.has(&name("b"), at(7)));
    }

    #[test]
    fn who_waits_for_the_first_picture_can_be_told_from_those_who_watch() {
        let mut viewers = viewers(&["a"]);
        viewers.admit();
        viewers.join(name("b"), Watcher::new(9, peer(1), "", at(0)));
        assert_eq!(numbers(&viewers.take_waiting()), [9]);
        assert_eq!((viewers.count(), numbers(&viewers.take_all())), (1, vec![1]));
    }
}
