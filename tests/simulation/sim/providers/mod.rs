//! Providers that allow one, two and four connections, and count them: people zap, sources fail, programs and probes read, and
//! nobody ever sees one more than allowed.

mod ledger;
mod person;
mod programs;
mod stream;
mod visit;
mod world;

pub(crate) use world::{Sum, run, run_two_hours};
