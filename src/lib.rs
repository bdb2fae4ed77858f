//! tunerd: a live-TV engine.
//!
//! IPTV sources appear as an HDHomeRun tuner; each channel is read once from upstream into a ring of
//! registered memory and sent from there to every viewer by a single-threaded io_uring core.
//!
//! Imports go downwards only (`tests/architecture.rs` holds the table):
//!
//! ```text
//! base  <-  ts http ring uring store health  <-  source tuner recovery  <-  session  <-  engine
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
pub mod health;
pub mod http;
pub mod recovery;
pub mod reference;
pub mod ring;
pub mod session;
pub mod source;
pub mod status;
pub mod store;
pub mod ts;
pub mod tuner;
pub mod uring;
