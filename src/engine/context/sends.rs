//! Viewers that are to be sent to, newcomers first.

use std::collections::VecDeque;
use std::time::Duration;

use crate::base::{Instant, KeyBits};

use super::token::{ChannelRef, ViewerRef};

/// Viewers in the order in which they came. Those of a channel mostly come together, so it is noted once for all of them: this
/// holds thousands, ten times a second.
#[derive(Default)]
struct ViewerLine {
    viewers: VecDeque<KeyBits>,
    /// Whose they are, and how many follow each other.
    channels: VecDeque<(ChannelRef, u32)>,
}

impl ViewerLine {
    fn push_back(&mut self, ViewerRef { channel, viewer }: ViewerRef) {
        self.viewers.push_back(viewer);
        match self.channels.back_mut() {
            Some((last, count)) if *last == channel => *count += 1,
            Some(_) | None => self.channels.push_back((channel, 1)),
        }
    }

    fn pop_front(&mut self) -> Option<ViewerRef> {
        let viewer = self.viewers.pop_front()?;
        let (channel, count) = self.channels.front_mut().expect("each viewer is of a channel");
        let channel = *channel;
        *count -= 1;
        if *count == 0 {
            self.channels.pop_front();
        }
        Some(ViewerRef { channel, viewer })
    }

    fn get(&self, index: usize) -> Option<ViewerRef> {
        let viewer = *self.viewers.get(index)?;
        let mut before = 0;
        let is_of = |(_, count): &&(ChannelRef, u32)| {
            before += *count as usize;
            before > index
        };
        let (channel, _) = self.channels.iter().find(is_of)?;
        Some(ViewerRef { channel: *channel, viewer })
    }

    fn len(&self) -> usize {
        self.viewers.len()
    }

    fn is_empty(&self) -> bool {
        self.viewers.is_empty()
    }
}

/// One of those who wait, by whom the wait is measured.
#[derive(Debug, Clone, Copy)]
struct Sampled {
    since: Instant,
    /// So many are served before it is.
    before: usize,
}

/// The queue of a core. Each of its viewers is in it once at most.
#[derive(Default)]
pub(crate) struct SendQueue {
    /// With a preamble to send: a first byte is worth more than a next one.
    fresh: ViewerLine,
    /// For whom something waits and who have no send in flight.
    ready: ViewerLine,
    sampled: Option<Sampled>,
    /// How long the last one waited who was sampled.
    waited: Duration,
    /// Somebody new is being served: this turn does not wait for more to do.
    wakes_now: bool,
}

impl SendQueue {
    pub(crate) fn push(&mut self, now: Instant, viewer: ViewerRef, is_fresh: bool) {
        if is_fresh {
            self.fresh.push_back(viewer);
        } else {
            if self.ready.is_empty() {
                self.waited = Duration::ZERO;
            }
            self.sampled.get_or_insert(Sampled { since: now, before: self.ready.len() });
            self.ready.push_back(viewer);
        }
    }

    pub(crate) fn pop(&mut self, now: Instant) -> Option<ViewerRef> {
        if let Some(fresh) = self.fresh.pop_front() {
            return Some(fresh);
        }
        let viewer = self.ready.pop_front()?;
        self.sampled = self.sampled.and_then(|Sampled { since, before }| {
            let before = before.checked_sub(1);
            if before.is_none() {
                self.waited = now - since;
            }
            before.map(|before| Sampled { since, before })
        });
        Some(viewer)
    }

    /// How long those wait now who are ready: nothing where nobody does.
    pub(crate) fn wait(&self, now: Instant) -> Duration {
        match self.sampled {
            _ if self.ready.is_empty() => Duration::ZERO,
            Some(sampled) => self.waited.max(now - sampled.since),
            None => self.waited,
        }
    }

    /// Who will be served so many sends from now.
    pub(crate) fn ahead(&self, sends: usize) -> Option<ViewerRef> {
        self.ready.get(sends)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.fresh.is_empty() && self.ready.is_empty()
    }

    /// Somebody new is served.
    pub(crate) const fn wake_now(&mut self) {
        self.wakes_now = true;
    }

    /// True when somebody new was served since this was asked last.
    pub(crate) const fn take_wake_now(&mut self) -> bool {
        std::mem::replace(&mut self.wakes_now, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_gives_its_viewers_as_they_came_whosever_they_are() {
        let viewers: Vec<_> = [0, 0, 0, 1, 0, 2, 2, 1]
            .into_iter()
            .zip(0..)
            .map(|(channel, viewer)| ViewerRef {
                channel: ChannelRef(KeyBits::first_of(channel)),
                viewer: KeyBits::first_of(viewer),
            })
            .collect();
        let mut line = ViewerLine::default();
        for round in 0..3 {
            viewers.iter().for_each(|viewer| line.push_back(*viewer));
            for (taken, viewer) in viewers.iter().enumerate() {
                for (ahead, expected) in viewers[taken..].iter().enumerate() {
                    assert_eq!(line.get(ahead), Some(*expected), "{ahead} ahead of {taken} in round {round}");
                }
                assert_eq!((line.get(viewers.len() - taken), line.pop_front()), (None, Some(*viewer)));
            }
            assert!(line.is_empty() && line.pop_front().is_none() && line.channels.is_empty());
        }
    }

    #[test]
    fn the_wait_is_that_of_one_who_was_sampled_until_its_turn_and_nothing_when_nobody_is_left() {
        let at = |ms| Instant::START + Duration::from_millis(ms);
        let viewer = |viewer| ViewerRef {
            channel: ChannelRef(KeyBits::first_of(0)),
            viewer: KeyBits::first_of(viewer),
        };
        let mut sends = SendQueue::default();
        let is = |sends: &SendQueue, now, expected| {
            assert_eq!(sends.wait(at(now)), Duration::from_millis(expected), "at {now}");
        };
        sends.push(at(0), viewer(0), true);
        is(&sends, 9, 0);
        sends.push(at(10), viewer(1), false);
        sends.push(at(11), viewer(2), false);
        is(&sends, 20, 10);
        // The newcomer goes first, and the first of the others was the one who was sampled.
        assert_eq!(sends.pop(at(21)), Some(viewer(0)));
        is(&sends, 22, 12);
        assert_eq!(sends.pop(at(30)), Some(viewer(1)));
        is(&sends, 99, 20);
        // The next to come is sampled; it has one before it.
        sends.push(at(100), viewer(1), false);
        is(&sends, 119, 20);
        is(&sends, 125, 25);
        assert_eq!(sends.pop(at(130)), Some(viewer(2)));
        is(&sends, 131, 31);
        assert_eq!(sends.pop(at(140)), Some(viewer(1)));
        is(&sends, 141, 0);
        assert_eq!(sends.pop(at(150)), None);
        // How long somebody waited long ago is not how long one waits now.
        sends.push(at(200), viewer(1), false);
        sends.push(at(200), viewer(2), false);
        is(&sends, 202, 2);
        assert_eq!(sends.pop(at(203)), Some(viewer(1)));
        is(&sends, 204, 3);
    }
}
