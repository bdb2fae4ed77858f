//! Sources that ffmpeg reads: what the installed ffmpeg can do, what it is told, what it said when it ended.
//!
//! Builds differ (5.1 knows neither `-readrate_initial_burst` nor `-reconnect_max_retries`), and an option that
//! no part of ffmpeg takes ends it before it reads a byte. So the installed one is asked once, and each source is
//! given only what this build knows and its protocol takes.

mod arguments;
mod capabilities;
mod filters;
mod listing;
mod numbers;
mod options;
mod params;
mod pattern;
mod verification;

pub use arguments::{Run, Tracks, arguments};
pub use capabilities::{Capabilities, Feature};
pub use listing::{Listing, levelled};
pub use options::{OptionError, Options, Side};
pub use params::{Detection, FfmpegParams, LogLevel, Reconnect};
pub use verification::{Verification, is_by_tls, options as verification_options};
