//! The thread that asks the server: for its status once a second, and for what keys wish.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::Duration;

use serde_json::json;

use tunerd::base::{Clock, Instant};

use crate::app::server::Server;
use crate::app::status::DOCUMENT;

use super::news::News;

/// How often the status is asked for. A large one that takes long is asked for less often:
const EVERY: Duration = Duration::from_secs(1);
/// the server rests so many times as long as it worked.
const REST: u32 = 4;
/// So long an answer may take.
const LIMIT: Duration = Duration::from_secs(5);
/// Channels whose sources are asked for between two documents.
const SOURCES_AT_ONCE: usize = 2;
/// So long what is known of sources is good: of the channel that is chosen, and of others.
const CHOSEN_FOR: Duration = Duration::from_secs(5);
const OTHERS_FOR: Duration = Duration::from_secs(30);

/// What the server is to be asked.
pub(super) enum Wish {
    /// The channels whose sources are shown, the chosen one first.
    Sources(Vec<i64>),
    Recover(i64),
    Kick(String),
}

/// Asks until there is nobody left to tell.
pub(super) fn watch(server: &Server, clock: Clock, news: &SyncSender<News>, wishes: &Receiver<Wish>) {
    let mut watch = Watch { server, clock, news, wanted: Vec::new(), asked: BTreeMap::new() };
    while watch.once(wishes).is_some() {}
}

struct Watch<'a> {
    server: &'a Server,
    clock: Clock,
    news: &'a SyncSender<News>,
    wanted: Vec<i64>,
    /// When the sources of channels were asked for.
    asked: BTreeMap<i64, Instant>,
}

impl Watch<'_> {
    /// One document, what belongs to it, and the time up to the next. `None` when nobody is there any more.
    fn once(&mut self, wishes: &Receiver<Wish>) -> Option<()> {
        let began = self.clock.now();
        let told = match self.server.get(&self.clock, LIMIT, DOCUMENT) {
            Ok(document) => News::Document(document),
            Err(why) => News::Away(why),
        };
        let is_there = matches!(told, News::Document(_));
        let took = self.clock.now() - began;
        self.news.send(told).ok()?;
        if is_there {
            self.ask_sources()?;
        }
        let next = began + EVERY.max(took * (REST + 1));
        loop {
            let left = next - self.clock.now();
            match wishes.recv_timeout(left) {
                Ok(Wish::Sources(wanted)) => self.wanted = wanted,
                Ok(Wish::Recover(channel)) => {
                    let wish = json!({ "channel_id": channel, "reason": "tunerd top" }).to_string();
                    self.post("/api/admin/tuners/recovery", &wish, "It recovers.")?;
                    return Some(());
                }
                Ok(Wish::Kick(viewer)) => {
                    self.post(&format!("/api/admin/viewers/{viewer}/kick"), "", "It is disconnected.")?;
                    return Some(());
                }
                Err(RecvTimeoutError::Timeout) => return Some(()),
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    fn post(&self, path: &str, body: &str, done: &'static str) -> Option<()> {
        let result = self.server.post(&self.clock, LIMIT, path, body).map(|()| done);
        self.news.send(News::Told(result)).ok()
    }

    fn ask_sources(&mut self) -> Option<()> {
        let now = self.clock.now();
        self.asked.retain(|channel, _| self.wanted.contains(channel));
        let chosen = self.wanted.first().copied();
        let is_old = |channel: &i64| {
            let good_for = if Some(*channel) == chosen { CHOSEN_FOR } else { OTHERS_FOR };
            self.asked.get(channel).is_none_or(|asked| now - *asked >= good_for)
        };
        let old: Vec<_> = self.wanted.iter().copied().filter(is_old).take(SOURCES_AT_ONCE).collect();
        for channel in old {
            self.asked.insert(channel, now);
            let path = format!("/api/channels/{channel}/sources");
            // A channel that was deleted meanwhile has none; what else is wrong is told of the status.
            if let Ok(list) = self.server.get(&self.clock, LIMIT, &path) {
                self.news.send(News::Sources(channel, list)).ok()?;
            }
        }
        Some(())
    }
}
