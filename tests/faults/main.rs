//! Providers go wrong in every way they do, and the picture keeps moving: the program from outside, judged by what its
//! viewers get.
//!
//! ```text
//! cargo test --test faults                                a choice of cases, in a minute
//! FAULTS=all cargo test --test faults                     every mode, filler and fault, and the long ones
//! FAULTS=direct/slate_av/silence cargo test --test faults cases by the beginning of their names
//! ```
//!
//! What a viewer of a failing case got is kept in `target/tmp/faults`.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use support::{kit, recorder, tsedit, tsview};

// Its tests are the longest, so they come first.
mod by_hand;
mod judge;
mod matrix;
mod outage;
mod provider;
mod scenario;
mod secrets;
mod tunes;
