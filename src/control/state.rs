//! What all of control's tasks share. One thread, so no locks.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::base::{Clock, Instant, WallTime};
use crate::catalog;
use crate::engine::CoreCommand;
use crate::engine::snapshot::{CoreSnapshot, gather};
use crate::status::DrainWait;
use crate::store::{ChannelRecord, Database, SourceRecord, Store, StoreBusy, StoreError};

use super::client_names::ClientNames;
use super::doors::Doors;
use super::guide::Shelf;
use super::jobs::JobDesk;
use super::outbox::Outbox;
use super::page::Pages;
use super::params::Params;
use super::readings::Readings;
use super::scan::Scan;

/// How long the cores may take to describe themselves.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(2);

/// What all of control's tasks share.
pub(super) struct State {
    pub(super) params: Params,
    pub(super) clock: Clock,
    pub(super) store: Store,
    pub(super) outbox: Rc<Outbox>,
    /// The enabled channels in their order, as they were when the cores were last told.
    pub(super) listed: RefCell<Rc<Vec<ChannelRecord>>>,
    /// Lineups asked for, and the newest that was published.
    lineups: Cell<(u64, u64)>,
    /// How often control waited for the cores to have no session left.
    pub(super) drain_wait: Cell<DrainWait>,
    /// Who may not ask again yet.
    pub(super) doors: RefCell<Doors>,
    /// Requests that ended in a panic.
    pub(super) panics: Cell<u64>,
    /// How playlists are read, by their ids.
    pub(super) readings: RefCell<BTreeMap<i64, Readings>>,
    /// Tuners of all playlists together, once that is known.
    tuner_count: Cell<Option<usize>>,
    /// What was wrong with profiles when they were read last.
    complaints: RefCell<Vec<String>>,
    /// The guides there are.
    guides: Shelf,
    /// The jobs that run.
    jobs: JobDesk,
    /// The scan that a client has begun.
    scan: Cell<Scan>,
    /// What UPnP clients were told last of changes of the channels, and when that was worked out.
    update_id: Cell<Option<(Instant, u32)>>,
    /// What clients are called.
    client_names: Rc<ClientNames>,
    /// The pages that are open.
    pages: Pages,
}

impl State {
    pub(super) fn new(params: Params, clock: Clock, store: Store, outbox: Rc<Outbox>) -> Self {
        let doors = RefCell::new(Doors::new(&params));
        Self {
            params,
            doors,
            clock,
            store,
            outbox,
            listed: RefCell::default(),
            lineups: Cell::default(),
            drain_wait: Cell::default(),
            panics: Cell::new(0),
            readings: RefCell::default(),
            tuner_count: Cell::default(),
            complaints: RefCell::default(),
            guides: Shelf::default(),
            jobs: JobDesk::default(),
            scan: Cell::default(),
            update_id: Cell::default(),
            client_names: Rc::default(),
            pages: Pages::default(),
        }
    }

    /// How many tuners clients are told of.
    pub(super) fn tuner_count(&self) -> usize {
        self.tuner_count.get().unwrap_or(self.params.identity.tuner_count)
    }

    /// The guides there are.
    pub(super) const fn guides(&self) -> &Shelf {
        &self.guides
    }

    /// What clients are called.
    pub(super) const fn client_names(&self) -> &Rc<ClientNames> {
        &self.client_names
    }

    /// The pages that are open.
    pub(super) const fn pages(&self) -> &Pages {
        &self.pages
    }

    /// The jobs that run.
    pub(super) const fn jobs(&self) -> &JobDesk {
        &self.jobs
    }

    /// The scan as it stands.
    pub(super) fn scan(&self) -> Scan {
        self.scan.get()
    }

    /// A client has begun or ended one.
    pub(super) fn set_scan(&self, scan: Scan) {
        self.scan.set(scan);
    }

    /// What changes with the channels, worked out again when it is as old as the settings allow.
    pub(super) fn update_id(&self, of: impl FnOnce(&[ChannelRecord]) -> u32) -> u32 {
        let now = self.clock.now();
        let is_fresh = |known: &(Instant, u32)| now - known.0 < self.params.update_id_cache_ttl;
        if let Some((_, id)) = self.update_id.get().filter(is_fresh) {
            return id;
        }
        let id = of(&self.listed.borrow());
        self.update_id.set(Some((now, id)));
        id
    }

    /// Now, by the wall clock.
    pub(super) fn wall_now(&self) -> WallTime {
        self.clock.wall_at(self.clock.now())
    }

    /// Has the store do something, and waits for it without blocking the thread.
    pub(super) async fn ask_store<R, E>(
        &self,
        job: impl FnOnce(&mut Database) -> Result<R, E> + Send + 'static,
    ) -> Result<R, E>
    where
        R: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let answer = self.tell_store(job).map_err(StoreError::from)?;
        answer.await.expect("every job that is taken is answered")
    }

    /// Has the store do something, after everything it was asked before.
    pub(super) fn tell_store<R, E>(
        &self,
        job: impl FnOnce(&mut Database) -> Result<R, E> + Send + 'static,
    ) -> Result<oneshot::Receiver<Result<R, E>>, StoreBusy>
    where
        R: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (sender, answer) = oneshot::channel();
        let send = move |result| {
            // Nobody waits any more when the request has timed out; the job is done all the same.
            let _unheard = sender.send(result);
        };
        self.store.submit(job, send)?;
        Ok(answer)
    }

    /// Reads the channels again and tells the cores. To be called after each change of the catalog.
    pub(super) async fn publish_lineup(&self) -> Result<(), StoreError> {
        let (asked, published) = self.lineups.get();
        let own = asked + 1;
        self.lineups.set((own, published));
        let limits = self.params.search;
        let read = move |database: &mut Database| {
            // What the playlist holds, and what is looked for in it, may have changed.
            database.apply_source_rules(limits)?;
            Ok::<_, StoreError>((database.channels()?, database.profiles()?, database.playlists()?))
        };
        let (mut channels, profiles, playlists) = self.ask_store(read).await?;
        // The store answers in order, but who is woken first is not said: an older reading must not win.
        let (asked, published) = self.lineups.get();
        if own < published {
            return Ok(());
        }
        self.lineups.set((asked, own));
        let (profiles, complaints) =
            catalog::Profiles::new(&profiles, self.params.playlist_profile.as_deref());
        self.complain(complaints);
        let count = u32::try_from(self.params.identity.tuner_count).unwrap_or(u32::MAX);
        let tuners = catalog::tuners(&playlists, count);
        self.tuner_count.set(tuners.count.map(usize::from));
        let lineup = catalog::lineup(&channels, &profiles).with_tuners(tuners);
        log::info!("{} channels are offered", lineup.count());
        self.outbox.send_lineup(&Arc::new(lineup));
        channels.retain(|channel| channel.enabled);
        for channel in &mut channels {
            channel.sources.retain(SourceRecord::is_offered);
        }
        *self.listed.borrow_mut() = Rc::new(channels);
        self.guides.wake();
        Ok(())
    }

    /// Says what is wrong with profiles, unless it has been said.
    fn complain(&self, complaints: Vec<String>) {
        let before = self.complaints.replace(complaints);
        for complaint in self.complaints.borrow().iter().filter(|complaint| !before.contains(complaint)) {
            log::warn!("{complaint}");
        }
    }

    /// Has every core describe itself. `None` when one of them does not in time.
    pub(super) async fn snapshots(&self) -> Option<Vec<CoreSnapshot>> {
        let ask = |core| {
            let (sender, answer) = oneshot::channel();
            let reply = Box::new(move |snapshot| {
                // Nobody waits any more after the timeout.
                let _unheard = sender.send(snapshot);
            });
            self.outbox.try_send(core, CoreCommand::Snapshot(reply)).ok().map(|()| answer)
        };
        let all = async {
            let answers: Option<Vec<_>> = (1..self.outbox.cores()).map(ask).collect();
            let mut others = Vec::new();
            for answer in answers? {
                others.push(answer.await.ok()?);
            }
            // The first, which counts tuners, comes last: what others have given back by then, it has heard of.
            let mut snapshots = Vec::new();
            if self.outbox.cores() > 0 {
                snapshots.push(ask(0)?.await.ok()?);
            }
            snapshots.append(&mut others);
            gather(&mut snapshots);
            Some(snapshots)
        };
        timeout(SNAPSHOT_TIMEOUT, all).await.ok().flatten()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::control::params::Identity;
    use crate::store::NewItem;

    /// Params as `main` would give them, with one trap for secrets.
    pub(in crate::control) fn params() -> Params {
        Params {
            identity: Identity {
                friendly_name: "HDHR IPTV".to_owned(),
                device_id: "1234abcd".to_owned(),
                device_auth: "word".to_owned(),
                tuner_count: 2,
            },
            connections_max: crate::base::limits::CONTROL_CONNECTIONS_MAX,
            lineup_max: None,
            guide_url: None,
            guides: super::super::params::Guides::default(),
            listens: Vec::new(),
            legacy_port: None,
            hdhomerun_discovery: None,
            upnp: None,
            update_id_cache_ttl: Duration::from_millis(1),
            guide_start: 100,
            search: crate::store::SearchLimits { terms_max: 12, disjuncts_max: 6, term_chars_max: 64 },
            admin: None,
            own_names: vec!["box.lan".to_owned()],
            rate_limit: None,
            trusted_proxies: Vec::new(),
            has_metrics: false,
            stream_token: None,
            json_body_bytes_max: 1024,
            request_timeout: Some(Duration::from_secs(15)),
            playlist_profile: None,
            refresh: None,
            auto_prioritize_workers: 1,
            ffmpeg: "ffmpeg".into(),
            slates: None,
            trust: std::sync::Arc::new(crate::source::Trust::new(true, Vec::new()).unwrap()),
            user_agent: String::new(),
            passthrough: None,
            trampoline: "/proc/self/exe".into(),
            about: std::sync::Arc::default(),
        }
    }

    /// No cores, and a catalog with the items `a` and `b`.
    pub(in crate::control) fn state() -> Rc<State> {
        with(params(), Vec::new())
    }

    pub(in crate::control) fn with(params: Params, mailboxes: Vec<crate::engine::Mailbox>) -> Rc<State> {
        let mut database = Database::in_memory().unwrap();
        let items = ["a", "b"].map(|key| NewItem {
            item_key: key.to_owned(),
            name: format!("News {key}"),
            group_name: "World".to_owned(),
            stream_url: format!("http://user:hunter2@host/{key}.ts"),
            attrs_json: "{}".to_owned(),
            ..NewItem::default()
        });
        database.refresh_items(&items, WallTime::from_unix_nanos(1_000_000_000)).unwrap();
        let store = Store::start(database).unwrap();
        Rc::new(State::new(params, Clock::start(), store, Rc::new(Outbox::new(mailboxes))))
    }
}
