//! tunerd: a live-TV engine.
//!
//! IPTV sources appear as an HDHomeRun tuner; each channel is read once from upstream into a ring of
//! registered memory and sent from there to every viewer by a single-threaded io_uring core.
//!
//! # The engine in a program of one's own
//!
//! A core is a loop that owns everything that lives on it. It is given what it listens on, the channels there are, and a way to
//! ask for what would make it wait; it runs on a thread of its own until it is told to drain.
//!
//! ```no_run
//! # use std::{net::TcpListener, sync::Arc};
//! use tunerd::{base::Clock, engine::*, lineup::*, uring};
//!
//! /// There is nobody to be asked: addresses need no names, and nothing is stored.
//! struct NoControl;
//! impl ControlPort for NoControl {
//!     fn request(&self, request: ControlRequest) -> Result<(), Box<ControlRequest>> {
//!         Err(Box::new(request))
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let source = Source { id: SourceId(1), url: "http://192.0.2.7/news.ts".into(), ..Source::default() };
//! let (guide_number, name) = ("101".into(), "News".into());
//! let channel = Channel { id: ChannelId(1), guide_number, name, sources: vec![source] };
//! let (mailbox, reader) = Mailbox::new()?;
//! let parts = Parts {
//!     id: CoreId(0),
//!     params: Params::default(),
//!     control: Box::new(NoControl),
//!     wakeup: Some(reader.wakeup_descriptor()?),
//!     mailbox: reader,
//!     cores: vec![mailbox],
//!     listeners: vec![TcpListener::bind("127.0.0.1:5004")?.into()],
//!     lineup: Arc::new(Lineup::new([channel])),
//! };
//! let mut core = Core::new(uring::KernelDriver::new(uring::probe()?.files)?, parts)?;
//! core.run(&Clock::start(), |_now| {})?; // http://127.0.0.1:5004/auto/v101
//! # Ok(())
//! # }
//! ```
//!
//! `examples/embed.rs` does this on a thread, watches, looks at what the core says of itself, and ends it. `examples/custom_source.rs`
//! gives the engine what the program itself reads, and `examples/ring.rs` is a ring of chunks between threads.
//!
//! # The parts
//!
//! A packet's way: [`source`] opens an upstream and watches it, [`ts`] finds packets and entry points, [`splice`] lets
//! whole pictures pass only and makes one stream of every source and every [`filler`], [`ring`] keeps it, and
//! [`engine`] sends it to viewers through [`uring`]. What happens next is decided by machines that take an event
//! and the time: [`session`] for a channel's life, [`tuner`] for who may open one, [`health`] for which source to
//! trust. [`store`] and [`control`] do, on threads of their own, what may take time.
//!
//! # The walk of one completion
//!
//! A read of a source has ended. The core finds by its token whose it is and calls that channel once; everything up to the queue of
//! viewers happens inside of that call, from the top of this list to its end:
//!
//! ```text
//! engine/core.rs                 dispatch        the token names a channel, which is called
//! engine/channel/reading.rs      on_source       the bytes are in the channel's ring, behind what viewers may have
//! engine/source/upstream.rs      on_completion   the step of the source that has ended, or one of a run that is over
//! engine/source/run.rs           came            the watchdog and the body's framing
//! engine/source/ingest.rs        take release    whole packets, entry points, times; only whole pictures go on
//! engine/channel/publishing.rs   commit          they are put on the channel's one timeline
//! engine/border/feed.rs          mark_committed  what viewers may have grows, in steps
//! engine/channel/mod.rs          publish         the outlet is told that it has
//! engine/outlet/mod.rs           tell            the outlet hears of it
//! engine/outlet/egress.rs        wake send_next  those who had caught up stand in the core's queue
//! ```
//!
//! The next turn (`flush` of `engine/core/turn.rs`) takes a bounded part of that queue, and what each viewer is sent goes from the
//! ring's memory to its socket by one operation of [`uring`]. What parts have to say to each other meanwhile waits in
//! `engine/context/post.rs` and is heard when the call has returned.
//!
//! [`reference`](mod@reference) leads those who know the program whose place this one takes to what does its work here.
//!
//! Imports go downwards only (`tests/architecture.rs` holds the table):
//!
//! ```text
//! base  <-  ts http ring hls uring  <-  lineup store health  <-  source tuner splice filler  <-  session  <-  engine
//!       <-  status catalog control  <-  app, main
//! ```
//!
//! `config` is imported by `app` alone: each module has its own `Params`.

pub mod base;
pub mod catalog;
pub mod config;
pub mod control;
pub mod engine;
pub mod exit;
pub mod filler;
pub mod health;
pub mod hls;
pub mod http;
pub mod lineup;
pub mod reference;
pub mod ring;
pub mod session;
pub mod source;
pub mod splice;
pub mod status;
pub mod store;
pub mod ts;
pub mod tuner;
pub mod uring;
