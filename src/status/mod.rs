//! What operators see, under the names and in the notation that existing dashboards read.

mod churn;
mod client_stream;
mod core_status;
mod device;
mod encode;
pub mod go_time;
mod metrics;
mod playlist_status;
mod second_format;
mod session_history;
mod source;
mod tuner_row;
pub mod tuners;
pub mod words;

pub use device::DeviceTuner;
pub use go_time::Moment;
pub use metrics::{ControlMetrics, Metrics, MetricsFormat, PlaylistMetrics};
pub use second_format::{TUNERS_SCHEMA, second_format};
pub use tuners::{DrainWait, TunerStatusSnapshot};

#[cfg(test)]
mod tests;
