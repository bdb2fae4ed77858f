//! tunerd: a live-TV engine.
//!
//! IPTV sources appear as an HDHomeRun tuner; each channel is read once from upstream into a ring of
//! registered memory and sent from there to every viewer by a single-threaded io_uring core.
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
