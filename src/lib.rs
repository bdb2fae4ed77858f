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
//! [`reference`](mod@reference) leads those who know the program whose place this one takes to what does its work here.
//!
//! Imports go downwards only (`tests/architecture.rs` holds the table):
//!
//! ```text
//! base  <-  ts http ring uring  <-  lineup store health  <-  source tuner splice filler  <-  session  <-  engine
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
