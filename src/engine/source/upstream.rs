//! What an owner has of sources: none, an attempt that has yet to begin, or a run.
//!
//! A source that cannot be had one way is tried another: the next stream of its list, with ffmpeg, with a longer look. Its owner
//! hears of it when one way has led to a start, or none has.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::base::{ChildExit, Errno, HeapBytes, Instant, KernelBytes, redact};
use crate::engine::context::cx::{ChildWork, CoreDriver, Cx, Question};
use crate::engine::context::health::stored_profile;
use crate::engine::context::token::{SourceOwner, SourceStep, Token};
use crate::engine::port::ids::{SessionId, Ticket};
use crate::engine::port::messages::{ChildRefused, ControlRequest};
use crate::engine::report::events::About;
use crate::lineup::{self, Source, SourceId};
use crate::ring::{Lent, WriteSpan};
use crate::session::{Place, ProviderScope, Purpose};
use crate::source::body::Body;
use crate::source::direct::{self, Client, Want};
use crate::source::error::{Kind, SourceError};
use crate::source::ffmpeg::{self, Detection, Listing};
use crate::source::hls::Remark;
use crate::source::scheme::Scheme;
use crate::source::sniff::Sniffer;
use crate::source::startup::{self, Startup, Verdict};
use crate::source::watch::{Stall, Watch};
use crate::source::web::Web;
use crate::source::{Mode, Opening, Relayed, Remux, hls, list, mode, udp};
use crate::ts::ComponentState;
use crate::uring::{Event, Handle, Hangup, Operation, Reception};

use super::attempt::{Attempt, Awaited};
use super::ingest::Ingest;
use super::own;
use super::run::{Came, Io, SourceRun};

/// An owner's sources, one at a time.
pub(crate) struct Upstream {
    owner: SourceOwner,
    session: SessionId,
    listing: Arc<lineup::Channel>,
    /// The `Via` of requests for its sources.
    via: Option<String>,
    runs: u32,
    slot: Slot,
    /// Bytes read, over all sources, and when the last of them came.
    bytes_read: u64,
    last_byte_at: Option<Instant>,
    /// What has come in datagrams, of the sources that are gone.
    datagrams: udp::DatagramCounters,
    /// Holes in the streams of the sources that are gone.
    continuity_errors: u64,
    /// The programme that was taken last of a source that has several, and where they were.
    chosen: Option<(SourceId, String, u16)>,
    /// What its provider allows it, from before an attempt until nothing of it is connected.
    place: Option<Place>,
}

enum Slot {
    Idle,
    /// The attempt has yet to begin.
    Awaited(Box<Awaited>),
    Run(Box<SourceRun>),
}

/// What has become of a source.
#[derive(Debug)]
pub(crate) enum Happened {
    /// A start has been found at this position of the run.
    Ready { from: u64 },
    /// It cannot be started in any way. `came` says that something came and was no picture.
    FailedToStart { source: Box<Source>, error: SourceError, came: bool },
    /// It was not tried: another has taken the last place at its provider.
    NoPlace,
    /// The selected one has ended by itself.
    Ended,
    /// The selected one cannot go on.
    Broken(SourceError),
    /// The selected one gives nothing that moves the picture.
    Stalled(Stall),
}

/// What a run is to do next.
pub(crate) enum Step {
    /// Nothing, until something happens.
    Wait,
    /// It has done something and may do more.
    Again,
    /// Give its bytes to whoever has room for them.
    Take,
    /// Have memory filled from this.
    Fill(Inlet),
    /// Its owner is to hear of something.
    Happened(Happened),
}

/// Where a stream's bytes come in.
#[derive(Clone, Copy)]
pub(crate) enum Inlet {
    /// A connection.
    Socket(Handle),
    /// A child's output.
    Pipe(Handle),
}

impl Inlet {
    fn operation(self, into: Lent) -> Operation<Lent> {
        match self {
            Self::Socket(socket) => Operation::Receive { socket, into },
            Self::Pipe(file) => Operation::Read { file, into },
        }
    }
}

/// What an ended operation of a source leaves to its owner.
pub(crate) enum Completed {
    /// Nothing, or what has happened to the source.
    Here(Option<Happened>),
    /// Memory of the ring has been filled, or not.
    Filled(WriteSpan, Result<u32, Errno>),
    /// Memory of the ring comes back from an earlier run.
    Stale(WriteSpan),
}

fn is_by_tls(url: &str) -> bool {
    Scheme::of(url.trim()) == Scheme::Https || ffmpeg::is_by_tls(url)
}

/// Whether a text of addresses without any mark of its own is a list by its name or type.
fn is_called_list(attempt: &Attempt, web: &Web) -> bool {
    list::is_list_name(&attempt.address) || web.content_type().is_some_and(list::is_list_type)
}

impl Upstream {
    pub(crate) fn new(owner: SourceOwner, session: SessionId, listing: Arc<lineup::Channel>) -> Self {
        Self {
            owner,
            session,
            listing,
            via: None,
            runs: 0,
            slot: Slot::Idle,
            bytes_read: 0,
            last_byte_at: None,
            datagrams: udp::DatagramCounters::default(),
            continuity_errors: 0,
            chosen: None,
            place: None,
        }
    }

    pub(crate) fn about(&self) -> About<'_> {
        About {
            session_id: self.session.0,
            channel_id: self.listing.id.0,
            guide_number: &self.listing.guide_number,
        }
    }

    /// The channel as it is offered from now on.
    pub(crate) fn relist(&mut self, listing: Arc<lineup::Channel>) {
        self.listing = listing;
    }

    /// The `Via` of requests from now on.
    pub(crate) fn set_via(&mut self, via: Option<String>) {
        self.via = via;
    }

    /// An attempt has yet to begin.
    pub(crate) const fn is_awaiting(&self) -> bool {
        matches!(self.slot, Slot::Awaited(_))
    }

    pub(crate) fn run(&self) -> Option<&SourceRun> {
        match &self.slot {
            Slot::Run(run) => Some(run),
            Slot::Idle | Slot::Awaited(_) => None,
        }
    }

    pub(crate) fn run_mut(&mut self) -> Option<&mut SourceRun> {
        match &mut self.slot {
            Slot::Run(run) => Some(run),
            Slot::Idle | Slot::Awaited(_) => None,
        }
    }

    /// The run of this number, unless it is gone.
    fn numbered(&mut self, number: u32) -> Option<&mut SourceRun> {
        self.run_mut().filter(|run| run.number() == number)
    }

    /// Bytes read, over all sources, and when the last of them came.
    pub(crate) const fn read(&self) -> (u64, Option<Instant>) {
        (self.bytes_read, self.last_byte_at)
    }

    /// So many bytes of the stream have come.
    pub(crate) const fn note_read(&mut self, now: Instant, bytes: usize) {
        self.bytes_read += bytes as u64;
        self.last_byte_at = Some(now);
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        match &self.slot {
            Slot::Idle => None,
            Slot::Awaited(awaited) => Some(awaited.until()),
            Slot::Run(run) => run.next_deadline(),
        }
    }

    /// Begins an attempt at a source.
    pub(crate) fn start<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        source: Source,
        selection_reason: String,
        in_recovery: bool,
        timeout: Duration,
    ) -> Option<Happened> {
        let purpose = match self.owner {
            SourceOwner::Channel(_) => Purpose::Stream,
            SourceOwner::Probe(_) => Purpose::Trial,
        };
        self.give_back(cx, Duration::ZERO);
        self.place = cx.take_playlist_place(source.playlist, self.session, purpose);
        if self.place.is_none() {
            return Some(Happened::NoPlace);
        }
        let attempt = Attempt::new(source, selection_reason, in_recovery, cx.now + timeout);
        self.open_planned(cx, attempt)
    }

    fn open_planned<D: CoreDriver>(&mut self, cx: &mut Cx<D>, attempt: Attempt) -> Option<Happened> {
        let sources = &cx.params.sources;
        let admitted = sources.admission.check(&attempt.address);
        match admitted.and_then(|()| mode::plan(sources.mode_of(&attempt.source), &attempt.address)) {
            Ok(opening) => self.open(cx, attempt, opening),
            Err(error) => self.stream_failed(cx, attempt, error),
        }
    }

    /// What was tried cannot be had: the next one of its list, if there is one, else the source has failed.
    fn stream_failed<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        attempt: Attempt,
        error: SourceError,
    ) -> Option<Happened> {
        let source = attempt.source.clone();
        match attempt.next_of_list(cx.now) {
            Some(next) => {
                self.halt(cx);
                self.log_followed(&next);
                self.open_planned(cx, next)
            }
            None => {
                let came = self.run().is_some_and(|run| run.ingest().bytes() > 0);
                Some(Happened::FailedToStart { source: Box::new(source), error, came })
            }
        }
    }

    /// What has turned out about the source on the way.
    fn log_remarks(&mut self) {
        while let Some(remark) = self.run_mut().and_then(SourceRun::take_remark) {
            let source = self.run().map_or(0, |run| run.attempt().source.id.0);
            let line = |text: &'static str| self.about().line(text).field("source_id", source);
            match remark {
                Remark::NoSubtitles(count) => {
                    let text = "shared session source has subtitles apart, which are left out";
                    log::info!("{}", line(text).field("subtitles", count));
                }
                Remark::SoundLost(name, failure) => {
                    let text = "shared session source has lost one of its sounds";
                    let reason = failure.to_source_error().reason();
                    log::warn!("{}", line(text).field("sound", name).field("reason", reason));
                }
                Remark::SoundBack(name) => {
                    log::info!("{}", line("shared session source has a sound again").field("sound", name));
                }
            }
        }
    }

    fn log_followed(&self, attempt: &Attempt) {
        let line = self.about().line("shared session source is a list and is followed");
        let url = redact::url(&attempt.address);
        log::info!("{}", line.field("source_id", attempt.source.id.0).field("stream_url", url));
    }

    /// Opens a source, as soon as no child that is to end is connected to it any more, and none of the owner to its provider.
    fn open<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        attempt: Attempt,
        opening: Opening,
    ) -> Option<Happened> {
        if cx.children.is_one_ending(self.owner, &attempt.source) {
            let is_limited = cx.is_limited(attempt.source.playlist);
            self.slot = Slot::Awaited(Box::new(Awaited::new(attempt, opening, cx.now, is_limited)));
            return None;
        }
        self.open_now(cx, attempt, opening)
    }

    /// Begins the attempt that waits, if it need not wait any longer.
    pub(crate) fn open_awaited<D: CoreDriver>(&mut self, cx: &mut Cx<D>) -> Option<Happened> {
        let Slot::Awaited(awaited) = &self.slot else { return None };
        let is_one_ending = cx.children.is_one_ending(self.owner, awaited.source());
        if awaited.until() > cx.now && is_one_ending {
            return None;
        }
        let Slot::Awaited(awaited) = std::mem::replace(&mut self.slot, Slot::Idle) else { return None };
        let (attempt, opening) = awaited.begin();
        if is_one_ending && cx.is_limited(attempt.source.playlist) {
            let error =
                SourceError::new(Kind::Timeout, "the program that has read from its provider does not end");
            return self.stream_failed(cx, attempt, error);
        }
        self.open_now(cx, attempt, opening)
    }

    fn open_now<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        mut attempt: Attempt,
        opening: Opening,
    ) -> Option<Happened> {
        let (now, detection) = (cx.now, cx.params.sources.ffmpeg.detection);
        let stored = stored_profile(cx.health.registry(), &attempt.source);
        let (inventory, detection) = attempt.terms(opening, attempt.deadline - now, detection, stored);
        let timeout = attempt.stream_deadline(now) - now;
        if let Some(address) = own::own_address_in(&cx.params.own, &attempt.address) {
            return self.stream_failed(cx, attempt, SourceError::own_server(address));
        }
        let verifies = cx.params.sources.trust.verifies(attempt.source.tls_verify);
        attempt.is_unverified =
            !verifies && [&*attempt.source.url, &*attempt.address].into_iter().any(is_by_tls);
        let direct = self.asking(cx, &attempt.source, timeout);
        self.runs += 1;
        let run = self.runs;
        let io = match opening {
            Opening::Direct | Opening::Hls => {
                let web = if opening == Opening::Hls {
                    // Channels that wait for the same provider do not come back to it all at once.
                    let seed = now.as_nanos() ^ attempt.source.id.0.unsigned_abs();
                    let for_others = is_left_to_ffmpeg(cx.params.sources.mode_of(&attempt.source));
                    let hls = hls::HlsParams { for_others, ..cx.params.sources.hls_of(&attempt.source) };
                    let upstream = hls::Upstream::new(&attempt.address, hls, direct, seed, now);
                    upstream.map(|upstream| Web::Hls(Box::new(upstream)))
                } else {
                    Client::new(&attempt.address, direct, now).map(|client| Web::Stream(Box::new(client)))
                };
                match web {
                    Ok(web) => Io::Direct { web, socket: None, is_busy: false, spare: None },
                    Err(error) => return self.stream_failed(cx, attempt, error),
                }
            }
            Opening::Udp => match open_udp(cx, &attempt.address) {
                Ok(socket) => {
                    let (receiver, batches) = (Box::new(udp::Receiver::new()), udp::Batches::default());
                    Io::Udp { receiver, socket, is_gathering: false, batches }
                }
                Err(error) => return self.stream_failed(cx, attempt, error),
            },
            Opening::Ffmpeg(remux) => match self.start_ffmpeg(cx, run, &attempt, remux, detection, direct) {
                Ok(ticket) => Io::Child { ticket, pipe: None, is_busy: false, has_ended: false },
                Err(error) => return self.stream_failed(cx, attempt, error),
            },
        };
        let pace = cx.params.sources.pace;
        let ingest = match (opening, cx.params.sources.mode_of(&attempt.source)) {
            (Opening::Direct, Mode::Auto | Mode::Direct) => {
                Ingest::new(Some(Sniffer::default()), attempt.source.program, pace)
            }
            (Opening::Direct, Mode::FfmpegCopy | Mode::FfmpegTranscode) => {
                Ingest::new(Some(Sniffer::for_lists()), None, pace)
            }
            // Whatever comes of segments begins with a packet, and datagrams are looked at as they come.
            (Opening::Hls | Opening::Udp, _) => Ingest::new(None, attempt.source.program, pace),
            // ffmpeg has chosen the programme, and numbers it anew.
            (Opening::Ffmpeg(_), _) => Ingest::new(None, None, pace),
        };
        let limits = startup::StartupParams { timeout, inventory, ..cx.params.sources.startup };
        let startup = Startup::new(limits, now);
        self.slot = Slot::Run(Box::new(SourceRun::new(run, attempt, opening, io, ingest, startup)));
        self.drive_start(cx)
    }

    /// How the servers of a source are asked.
    pub(crate) fn asking<D: CoreDriver>(
        &self,
        cx: &Cx<D>,
        source: &Source,
        startup_timeout: Duration,
    ) -> direct::Params {
        let sources = &cx.params.sources;
        direct::Params {
            startup_timeout,
            via: self.via.clone(),
            headers: source.headers.clone(),
            cookies: cx.cookies_of(source.id),
            tls: sources.trust.client(sources.trust.verifies(source.tls_verify)),
            ..sources.direct.clone()
        }
    }

    fn start_ffmpeg<D: CoreDriver>(
        &self,
        cx: &mut Cx<D>,
        run: u32,
        attempt: &Attempt,
        remux: Remux,
        detection: Detection,
        direct: direct::Params,
    ) -> Result<Ticket, SourceError> {
        let params = &cx.params.sources.ffmpeg;
        let Attempt { source, address, sound, .. } = attempt;
        let is_chosen = |chosen: &&(SourceId, String, u16)| chosen.0 == source.id && chosen.1 == *address;
        let chosen = self.chosen.as_ref().filter(is_chosen).map(|chosen| chosen.2);
        // What is asked for of a multiplex is within the segments of HLS, and no quality of it.
        let asked = source.program.filter(|_| !attempt.is_playlist);
        // Radio that was there before has its cover again.
        let is_radio = stored_profile(cx.health.registry(), source).components() == ComponentState::AudioOnly;
        let verification = cx.params.sources.verification(source.tls_verify);
        let wish = ffmpeg::Run {
            remux,
            detection,
            timestamp_offset: Duration::ZERO,
            sound: *sound,
            may_be_radio: attempt.look.takes_what_is_listed() || is_radio,
            tracks: attempt.tracks(),
            program: attempt.programme.or(asked).or(chosen),
            playlist: attempt.is_playlist,
            verification,
            input: source.manner.input.clone(),
            output: source.manner.output.clone(),
        };
        let arguments = ffmpeg::arguments(address, &wish, params, &cx.params.sources.capabilities)?;
        let listing = wish.listing(address, params);
        let arguments = arguments.into_iter().map(std::ffi::OsString::from).collect();
        let startup_timeout = cx.params.sources.direct.startup_timeout;
        let direct = direct::Params { startup_timeout, ..direct };
        let relayed = Relayed::of(&source.url, address, direct, &cx.params.sources.admission)?.map(Box::new);
        let work = ChildWork { arguments, listing, relayed };
        cx.start_child(self.owner, run, source, self.listing.id.0, work)
            .ok_or_else(|| SourceError::spawn("too many requests are waiting for control"))
    }

    /// The source is not wanted any more. True when there was a run, whose bytes may be in the ring.
    pub(crate) fn stop<D: CoreDriver>(&mut self, cx: &mut Cx<D>) -> bool {
        let halted = self.halt(cx);
        // A child is connected until it has ended, also one that was to be followed by another way.
        if let Some(ticket) = cx.children.one_ending_of(self.owner)
            && let Some(place) = self.place.take()
        {
            cx.params.places.lock().leave(&place);
            cx.children.keep_place(ticket, place);
        }
        self.give_back(cx, halted.unwrap_or_default());
        halted.is_some()
    }

    /// The provider may count somebody else in the place of this.
    fn give_back<D: CoreDriver>(&mut self, cx: &Cx<D>, counted: Duration) {
        if let Some(place) = self.place.take() {
            cx.give_playlist_place_back(&place, counted);
        }
    }

    /// Nothing is read any more, but the source may be opened in another way: it has its place. When there was a run: how long its
    /// provider goes on counting it.
    fn halt<D: CoreDriver>(&mut self, cx: &mut Cx<D>) -> Option<Duration> {
        let Slot::Run(run) = std::mem::replace(&mut self.slot, Slot::Idle) else { return None };
        let source = &run.attempt().source;
        let (id, provider) = (source.id, ProviderScope::of(&source.url, source.id.0));
        let was_read = run.ingest().bytes() > 0;
        self.datagrams += run.datagrams();
        self.continuity_errors += run.ingest().inspector().counts().continuity_gaps;
        // Who asks for segments is counted between them, too. A provider sees the end of its connection before the place is
        // somebody else's, on whatever core.
        let (handle, hangup, is_counted) = match run.into_io() {
            Io::Direct { web, socket, .. } => {
                cx.keep_cookies(id, web.cookies().clone());
                (socket, Hangup::AtOnce, socket.is_some() || matches!(web, Web::Hls(_)))
            }
            // Who sends to a group does not know who receives.
            Io::Udp { socket, .. } => (Some(socket), Hangup::Finish, false),
            Io::Child { ticket, pipe, .. } => {
                cx.stop_child(ticket);
                (pipe, Hangup::Finish, pipe.is_some())
            }
        };
        if let Some(handle) = handle {
            cx.driver.close(handle, hangup);
        }
        // What was refused was not counted.
        let mut counted = Duration::ZERO;
        if is_counted && was_read {
            cx.providers().gave_up(cx.now, &provider);
            counted = cx.providers().counted(&provider);
        }
        Some(counted)
    }

    /// Does what a source that is being started needs next, as far as that goes without waiting.
    pub(crate) fn drive_start<D: CoreDriver>(&mut self, cx: &mut Cx<D>) -> Option<Happened> {
        loop {
            let run = self.run_mut()?;
            if run.selected_at().is_some() || run.gathers_drips(cx.now) || run.is_waiting() {
                return None;
            }
            match self.step(cx, true) {
                Step::Wait => return None,
                Step::Again => {}
                Step::Happened(happened) => return Some(happened),
                Step::Take => {
                    if let Some(happened) = self.stage_body(cx) {
                        return Some(happened);
                    }
                }
                Step::Fill(inlet) => {
                    let memory = self.run_mut()?.staging_mut()?.room();
                    if self.fill(cx, inlet, Lent::Heap(memory)).is_err() {
                        return None;
                    }
                }
            }
        }
    }

    /// One step of a run that can be asked for something. What concerns its bytes is left to the caller, who says whether more of
    /// them are wanted now.
    pub(crate) fn step<D: CoreDriver>(&mut self, cx: &mut Cx<D>, may_read: bool) -> Step {
        self.log_remarks();
        let owner = self.owner;
        let Some(run) = self.run_mut() else { return Step::Wait };
        let number = run.number();
        let token = |step| Token::Source { owner, run: number, step };
        let (web, socket, is_busy, spare) = match run.io_mut() {
            Io::Child { pipe: Some(pipe), .. } => return Step::Fill(Inlet::Pipe(*pipe)),
            Io::Child { pipe: None, .. } => return Step::Wait,
            Io::Udp { .. } => return self.step_udp(cx),
            Io::Direct { web, socket, is_busy, spare } => (web, socket, is_busy, spare),
        };
        let (operation, step) = match web.want(cx.now, may_read) {
            Want::Resolve { host, port } => {
                let host = host.to_owned();
                let request = |core, ticket| ControlRequest::Resolve { core, ticket, host, port };
                if cx.ask(Question::Host(owner, number), request).is_some() {
                    *is_busy = true;
                    return Step::Wait;
                }
                web.resolved(cx.now, Err("too many names are being looked up".to_owned()));
                return Step::Again;
            }
            Want::Connect(address) => {
                let admission = &cx.params.sources.admission;
                let checked =
                    web.client_mut().map(|client| admission.check_connection(client.url(), address.ip()));
                if let Some(Err(refused)) = checked {
                    web.refuse(refused);
                    return Step::Again;
                }
                if own::is_own(&cx.params.own, address) {
                    web.refuse(SourceError::own_server(address));
                    return Step::Again;
                }
                if let Some(old) = socket.take() {
                    cx.driver.close(old, Hangup::AtOnce);
                }
                match cx.driver.open_socket(&address) {
                    Ok(handle) => {
                        *socket = Some(handle);
                        (Operation::Connect { socket: handle, address }, SourceStep::Connect)
                    }
                    Err(errno) => {
                        web.connected(cx.now, Err(errno));
                        return Step::Again;
                    }
                }
            }
            Want::Send => {
                let client = web.client_mut().expect("a request is on its way");
                let bytes = HeapBytes::from_vec(client.outgoing().to_vec());
                let socket = socket.expect("the client sends on a connection");
                (Operation::Send { socket, from: Lent::Heap(bytes) }, SourceStep::Send)
            }
            Want::ReceivePrivate => {
                let bytes = spare.take().unwrap_or_else(|| HeapBytes::zeroed(direct::RECEIVE_BYTES_MAX));
                let socket = socket.expect("the client receives on a connection");
                (Operation::Receive { socket, into: Lent::Heap(bytes) }, SourceStep::ReceivePrivate)
            }
            Want::TakeBody => return Step::Take,
            Want::ReceiveBody => {
                return Step::Fill(Inlet::Socket(socket.expect("the client receives on a connection")));
            }
            Want::Reconnect => {
                if let Some(old) = socket.take() {
                    cx.driver.close(old, Hangup::AtOnce);
                }
                web.disconnected(cx.now);
                return Step::Again;
            }
            Want::Wait => return Step::Wait,
            Want::Finished => return self.output_ended(cx).map_or(Step::Wait, Step::Happened),
            Want::Failed => {
                let error = web.failure().expect("what has failed says why");
                return self.failed(cx, error).map_or(Step::Wait, Step::Happened);
            }
        };
        match cx.driver.push(operation, token(step)) {
            Ok(_) => *is_busy = true,
            Err(_full) => web.lost(Errno::NOBUFS),
        }
        Step::Again
    }

    /// One step of a run that receives datagrams.
    fn step_udp<D: CoreDriver>(&mut self, cx: &mut Cx<D>) -> Step {
        let owner = self.owner;
        let Some(run) = self.run_mut() else { return Step::Wait };
        let token = Token::Source { owner, run: run.number(), step: SourceStep::Gather };
        let Io::Udp { receiver, socket, is_gathering, .. } = run.io_mut() else { return Step::Wait };
        if receiver.has_bytes() {
            return Step::Take;
        }
        if let Some(error) = receiver.failure().cloned() {
            return self.failed(cx, error).map_or(Step::Wait, Step::Happened);
        }
        if *is_gathering {
            return Step::Wait;
        }
        match cx.driver.push(Operation::Gather { socket: *socket }, token) {
            Ok(_) => {
                *is_gathering = true;
                Step::Again
            }
            Err(_full) => {
                cx.counters.queue_full += 1;
                // Tried again next turn.
                cx.block(owner);
                Step::Wait
            }
        }
    }

    /// Datagrams have come, or cannot.
    fn gathered<D: CoreDriver>(&mut self, cx: &mut Cx<D>, result: Result<u32, Errno>) -> Option<Happened> {
        let now = cx.now;
        let run = self.run_mut()?;
        let Io::Udp { receiver, socket, batches, .. } = run.io_mut() else { return None };
        match result {
            Ok(count) => {
                batches.came(count);
                cx.driver.datagrams(*socket, &mut |datagram| receiver.came(now, datagram));
                receiver.have_dropped(cx.driver.dropped_datagrams(*socket));
                None
            }
            Err(errno) => {
                let text = format!("receive datagrams: {errno}");
                self.failed(cx, SourceError::new(Kind::Connection, &text))
            }
        }
    }

    /// What has come in datagrams, over all sources.
    pub(crate) fn datagrams(&self) -> udp::DatagramCounters {
        let mut counters = self.datagrams;
        if let Some(run) = self.run() {
            counters += run.datagrams();
        }
        counters
    }

    /// Holes in what has come, over all sources.
    pub(crate) fn continuity_errors(&self) -> u64 {
        let of_run = self.run().map_or(0, |run| run.ingest().inspector().counts().continuity_gaps);
        self.continuity_errors + of_run
    }

    /// Has memory filled with what comes next. When there is no room for an operation the memory comes back.
    pub(crate) fn fill<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        inlet: Inlet,
        into: Lent,
    ) -> Result<(), Option<WriteSpan>> {
        let owner = self.owner;
        let Some(run) = self.run_mut() else { return Err(span_of(inlet.operation(into))) };
        let token = Token::Source { owner, run: run.number(), step: SourceStep::Fill };
        match cx.driver.push(inlet.operation(into), token) {
            Ok(_) => {
                run.set_busy(true);
                Ok(())
            }
            Err(refused) => {
                cx.counters.queue_full += 1;
                // Tried again next turn.
                cx.block(owner);
                Err(span_of(refused.0))
            }
        }
    }

    /// Takes body bytes that the client holds, while the stream is staged.
    fn stage_body<D: CoreDriver>(&mut self, cx: &mut Cx<D>) -> Option<Happened> {
        let now = cx.now;
        let run = self.run_mut()?;
        let mut room = run.staging_mut()?.room();
        let taken = run.take_body(now, room.as_mut_slice());
        self.staged(cx, room, taken)
    }

    /// Bytes of a stream that is not shown yet have come.
    fn staged<D: CoreDriver>(&mut self, cx: &mut Cx<D>, memory: HeapBytes, count: usize) -> Option<Happened> {
        self.note_read(cx.now, count);
        let run = self.run_mut()?;
        let staging = run.staging_mut()?;
        staging.push(&memory.as_slice()[..count]);
        staging.keep(memory);
        run.look_at_staged(cx.now, count);
        if let Some(error) = run.take_unsuitable() {
            return self.failed(cx, error);
        }
        let verdict = run.observe_start(cx.now);
        self.on_verdict(cx, verdict)
    }

    /// An operation of a source has ended. What follows is up to the owner, who drives it on.
    pub(crate) fn on_completion<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        number: u32,
        step: SourceStep,
        event: Event<Lent, D::Descriptor>,
    ) -> Completed {
        let Event::Done { result, memory } = event else {
            unreachable!("a source's operations end in one piece")
        };
        let Some(run) = self.numbered(number) else {
            return match memory {
                Some(Lent::Span(span)) => Completed::Stale(span),
                Some(Lent::Heap(_) | Lent::Lease(_)) | None => Completed::Here(None),
            };
        };
        run.set_busy(false);
        if let (Ok(count), Some(memory)) = (result, &memory)
            && matches!(step, SourceStep::Fill | SourceStep::ReceivePrivate)
        {
            run.note_received(cx.now, count as usize, memory.len());
        }
        match (step, memory) {
            (SourceStep::Gather, _) => Completed::Here(self.gathered(cx, result)),
            (SourceStep::Fill, Some(Lent::Span(span))) => Completed::Filled(span, result),
            (SourceStep::Fill, Some(Lent::Heap(bytes))) => {
                Completed::Here(self.filled_staged(cx, bytes, result))
            }
            (SourceStep::Connect | SourceStep::Send | SourceStep::ReceivePrivate, memory) => {
                run.on_private_step(cx.now, step, result, memory);
                Completed::Here(None)
            }
            (SourceStep::Fill, memory) => unreachable!("the ring is filled by spans, not by {memory:?}"),
        }
    }

    fn filled_staged<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        mut memory: HeapBytes,
        result: Result<u32, Errno>,
    ) -> Option<Happened> {
        let now = cx.now;
        let run = self.run_mut()?;
        let count = result.map_or(0, |count| count as usize);
        match run.came(now, &mut memory.as_mut_slice()[..count], result) {
            Came::Bytes(count) => self.staged(cx, memory, count),
            Came::Nothing => None,
            Came::End => self.output_ended(cx),
        }
    }

    /// The answer to the question where the host is.
    pub(crate) fn on_resolved<D: CoreDriver>(
        &mut self,
        cx: &Cx<D>,
        number: u32,
        result: Result<Vec<SocketAddr>, String>,
    ) {
        let Some(run) = self.numbered(number) else { return };
        if let Io::Direct { web, is_busy, .. } = run.io_mut() {
            *is_busy = false;
            web.resolved(cx.now, result);
        }
    }

    /// A child has been started for a run, or not.
    pub(crate) fn on_child_started<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        number: u32,
        result: Result<D::Descriptor, ChildRefused>,
    ) -> Option<Happened> {
        // If nobody wants it any more its pipe closes here, and its end has been asked for.
        let run = self.numbered(number)?;
        let pipe = match result {
            Ok(pipe) => pipe,
            Err(ChildRefused::NotStarted(reason)) => return self.failed(cx, SourceError::spawn(reason)),
            Err(ChildRefused::Several(listing)) => return self.choose(cx, &listing),
        };
        let Ok(handle) = cx.driver.adopt(pipe) else {
            return self.failed(cx, SourceError::spawn("no file descriptor is left"));
        };
        match run.io_mut() {
            Io::Child { pipe, .. } => *pipe = Some(handle),
            Io::Direct { .. } | Io::Udp { .. } => cx.driver.close(handle, Hangup::Finish),
        }
        None
    }

    /// The source has several programmes, and is opened anew for one of them.
    fn choose<D: CoreDriver>(&mut self, cx: &mut Cx<D>, listing: &Listing) -> Option<Happened> {
        let run = self.run()?;
        let (mut attempt, opening) = (run.attempt().clone(), run.opening());
        let programme = listing.choice(cx.params.sources.hls_of(&attempt.source).variant_max)?;
        let line = self.about().line("shared session source has several programmes, and one is taken");
        log::info!("{}", line.field("source_id", attempt.source.id.0).field("program", programme));
        attempt.programme = Some(programme);
        self.chosen = Some((attempt.source.id, attempt.address.clone(), programme));
        self.halt(cx);
        self.open(cx, attempt, opening)
    }

    /// The child of a run that is being started has ended. Of a selected one the end of the pipe is the end.
    pub(crate) fn on_child_ended<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        number: u32,
        exit: ChildExit,
        stderr_tail: &str,
    ) -> Option<Happened> {
        let run = self.numbered(number).filter(|run| run.selected_at().is_none())?;
        if let Io::Child { has_ended: false, .. } = run.io_mut() {
            // The rest of its pipe comes first.
            run.keep_child_end(exit, stderr_tail);
            return None;
        }
        let verdict = run.child_verdict(exit, stderr_tail);
        self.on_verdict(cx, verdict)
    }

    /// True when this run is the selected one.
    pub(crate) fn is_selected(&self, number: u32) -> bool {
        self.run().is_some_and(|run| run.number() == number && run.selected_at().is_some())
    }

    /// Does what is due. The owner drives it on.
    pub(crate) fn expire<D: CoreDriver>(&mut self, cx: &mut Cx<D>) -> Option<Happened> {
        let now = cx.now;
        let run = self.run_mut()?;
        if let Some(startup) = run.startup_mut()
            && startup.next_deadline().is_some_and(|deadline| deadline <= now)
        {
            let verdict = startup.expire(now);
            return self.on_verdict(cx, verdict);
        }
        run.watch().and_then(|watch| Watch::expire(watch, now)).map(Happened::Stalled)
    }

    /// The client's time may be up: whatever was in flight for it no longer matters. True when it is.
    pub(crate) fn expire_client<D: CoreDriver>(&mut self, cx: &mut Cx<D>) -> bool {
        let (now, next) = (cx.now, self.runs + 1);
        let Some(run) = self.run_mut() else { return false };
        if let Io::Udp { receiver, .. } = run.io_mut() {
            let is_due = receiver.next_deadline().is_some_and(|deadline| deadline <= now);
            if is_due {
                receiver.expire(now);
            }
            return is_due;
        }
        let Io::Direct { web, socket, is_busy, .. } = run.io_mut() else { return false };
        if web.next_deadline().is_none_or(|deadline| deadline > now) {
            return false;
        }
        web.expire(now);
        let want = web.want(now, false);
        if matches!(want, Want::Failed | Want::Finished) {
            *is_busy = false;
        } else if *is_busy && matches!(want, Want::Connect(_) | Want::Reconnect) {
            *is_busy = false;
            if let Some(old) = socket.take() {
                cx.driver.close(old, Hangup::AtOnce);
            }
            // The next address, or the next request: the old attempt's completion is an earlier run's from now on.
            run.renumber(next);
            self.runs = next;
        }
        true
    }

    /// The source has ended by itself.
    pub(crate) fn output_ended<D: CoreDriver>(&mut self, cx: &mut Cx<D>) -> Option<Happened> {
        let run = self.run_mut()?;
        if run.selected_at().is_some() {
            run.ingest_mut().has_ended();
            return Some(Happened::Ended);
        }
        let child_end = run.take_child_end();
        let verdict = match (run.io_mut(), child_end) {
            // Why it ended is known when it has been reaped; its end is certain and soon.
            (Io::Child { has_ended, ticket, .. }, None) => {
                *has_ended = true;
                let ticket = *ticket;
                cx.stop_child(ticket);
                return None;
            }
            (Io::Child { has_ended, .. }, Some((exit, stderr_tail))) => {
                *has_ended = true;
                run.child_verdict(exit, &stderr_tail)
            }
            (Io::Direct { .. } | Io::Udp { .. }, _) => run.end_verdict(),
        };
        self.on_verdict(cx, verdict)
    }

    /// What the startup machine has decided.
    fn on_verdict<D: CoreDriver>(&mut self, cx: &mut Cx<D>, verdict: Verdict) -> Option<Happened> {
        match verdict {
            Verdict::KeepGoing => None,
            Verdict::Ready { from, .. } => Some(Happened::Ready { from }),
            Verdict::Failed(error) => self.failed(cx, error),
        }
    }

    /// The source cannot go on as it is.
    pub(crate) fn failed<D: CoreDriver>(&mut self, cx: &mut Cx<D>, error: SourceError) -> Option<Happened> {
        let run = self.run_mut()?;
        if run.selected_at().is_some() {
            return Some(Happened::Broken(error));
        }
        let (mut attempt, opening) = (run.attempt().clone(), run.opening());
        if let Io::Direct { web, .. } = run.io_mut() {
            if let Some(others) = web.for_others() {
                attempt.address = others.list.text();
                attempt.programme = others.programme;
            }
            attempt.is_playlist |= opening == Opening::Hls;
        }
        let text = run.ingest_mut().take_list();
        if let (Io::Direct { web, .. }, Some(text)) = (run.io_mut(), text)
            && (error.kind() == Kind::NotTransportStream(Body::List) || is_called_list(&attempt, web))
            && let Some(next) = attempt.clone().of_list(list::entries(&text, web.url()), cx.now)
        {
            self.halt(cx);
            self.log_followed(&next);
            return self.open_planned(cx, next);
        }
        if let Kind::NotTransportStream(Body::Sound(sound)) = error.kind() {
            attempt.sound = Some(sound);
        }
        attempt.is_foreign |= matches!(error.kind(), Kind::NotTransportStream(Body::OtherContainer(_)));
        attempt.is_dash |= error.kind() == Kind::NotTransportStream(Body::Dash);
        if let Some(other) = mode::plan_after(cx.params.sources.mode_of(&attempt.source), opening, &error) {
            self.halt(cx);
            return self.open(cx, attempt, other);
        }
        let inventory = self.run()?.ingest().inspector().inventory();
        let is_sound = inventory.video_streams == 0 && inventory.audio_streams > 0;
        let (left, detection) = (attempt.deadline - cx.now, cx.params.sources.ffmpeg.detection);
        if let Some(look) = attempt.longer_look(opening, left, detection, &error, is_sound) {
            let line = self.about().line("shared session source is looked at longer");
            log::info!("{}", line.field("source_id", attempt.source.id.0).field("reason", error.reason()));
            self.halt(cx);
            attempt.look = look;
            return self.open(cx, attempt, opening);
        }
        self.stream_failed(cx, attempt, error)
    }
}

/// The mode has ffmpeg read HLS.
const fn is_left_to_ffmpeg(mode: Mode) -> bool {
    match mode {
        Mode::Auto | Mode::Direct => false,
        Mode::FfmpegCopy | Mode::FfmpegTranscode => true,
    }
}

/// A socket that receives what an address names.
fn open_udp<D: CoreDriver>(cx: &mut Cx<D>, address: &str) -> Result<Handle, SourceError> {
    let udp::DatagramAddress { to, from, interface } = udp::DatagramAddress::parse(address)?;
    let interface = interface.or_else(|| cx.params.sources.udp.interface.clone());
    let opened = cx.driver.open_receiver(&Reception { to, from, interface });
    opened.map_err(|error| SourceError::new(Kind::Connection, &format!("receive datagrams to {to}: {error}")))
}

fn span_of(operation: Operation<Lent>) -> Option<WriteSpan> {
    match operation {
        Operation::Receive { into: Lent::Span(span), .. }
        | Operation::Read { into: Lent::Span(span), .. } => Some(span),
        Operation::Receive { .. }
        | Operation::Read { .. }
        | Operation::Accept { .. }
        | Operation::AwaitHangup { .. }
        | Operation::AwaitRoom { .. }
        | Operation::Send { .. }
        | Operation::SendNow { .. }
        | Operation::SendZeroCopy { .. }
        | Operation::Connect { .. }
        | Operation::Gather { .. } => None,
    }
}
