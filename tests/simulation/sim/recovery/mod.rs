//! Channels whose sources fail in every way there is, and viewers who are to notice as little of it as possible.

mod feed;
mod mark;
mod origin;
mod pace;
mod story;
mod truth;
mod watcher;
mod witness;

pub(crate) use pace::run as run_paced;
pub(crate) use story::{Sum, run};
