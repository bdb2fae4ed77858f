//! The policy of sources: how one is opened, read, judged and given up. Pure; the engine and control do the IO.

pub mod error;
pub mod ffmpeg;
pub mod mode;
pub mod scheme;
pub mod sniff;

pub use error::{Kind, Origin, SourceError};
pub use mode::{Mode, Opening, Remux, plan, plan_after};
