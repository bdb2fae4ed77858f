//! What operators see, under the names and in the notation that existing dashboards read.

pub mod go_time;
pub mod tuners;

pub use go_time::Moment;
pub use tuners::TunerStatusSnapshot;
