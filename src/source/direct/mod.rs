//! An HTTP(S) client for one upstream, without a socket.
//!
//! The engine asks [`Client::want`] what to do next, does it, and reports what came of it. All waiting is the
//! engine's; the client only names its next deadline.
//!
//! ```text
//!              ┌──────────────────────── Reconnect ◀───────────── redirect ─┐
//!              ▼                                                            │
//! new ─▶ Resolve ─▶ Connect ─▶ Send / ReceivePrivate ─▶ head complete ──────┤
//!                   ▲      │   (TLS handshake, request,                     │
//!                   └──────┘    response head)                      2xx ────┼─▶ TakeBody / ReceiveBody ─▶ Finished
//!                next address                                               │
//!                                                       another status ─────┴─▶ ReceivePrivate (preview) ─▶ Failed
//! ```
//!
//! Bytes of a plain body are received straight into the ring and decoded in place. Bytes that came with the head,
//! and those of an encrypted body, are copied once, by [`Client::take_body`].

mod client;
mod exchange;
mod refusal;
mod steps;
mod tls;

pub use client::Client;
pub use exchange::{BodyPart, Kept};
pub use steps::{Params, Part, Want};
pub use tls::{tls_config, unverified_tls_config};

/// Size of the buffer the engine receives private bytes into: what a client takes at once.
pub const RECEIVE_BYTES_MAX: usize = 64 * 1024;
