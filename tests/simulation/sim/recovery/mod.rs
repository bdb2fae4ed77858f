//! Channels whose sources fail in every way there is, and viewers who are to notice as little of it as possible.

mod feed;
mod hostile;
mod mark;
mod origin;
mod pace;
mod truth;
mod watcher;
mod witness;

pub(crate) use hostile::{Sum, run, run_on_several};
pub(crate) use pace::run as run_paced;
