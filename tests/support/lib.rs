//! What tests share: the program and its clients as seen from outside, generated streams, and judges of what comes.
//!
//! Nothing here uses the crate it judges: a mistake of that is not made again by its judge.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

pub mod hdhriptv;
pub mod house;
pub mod kit;
pub mod recorder;
pub mod tscheck;
pub mod tsedit;
pub mod tsgen;
pub mod tsview;
