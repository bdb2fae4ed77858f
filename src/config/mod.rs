//! Settings: what was typed, and what the program uses, are two types.
//!
//! ```text
//! flags ─┐                                            ┌─▶ Settings, warnings
//! env  ──┼─▶ Raw (text, with its origin) ─▶ resolve ──┤
//! file ──┘                                            └─▶ every problem at once
//! ```
//!
//! [`GROUPS`] says everything about a setting but its type: names, default, what is allowed, a
//! sentence. The command line, its help and the checks follow from it. `main` alone imports this module and
//! fills each other module's `Params` from [`Settings`].

mod address;
mod checks;
mod cli;
mod device_id;
mod duration;
mod file;
mod guide;
mod load;
mod playlist;
mod problem;
mod raw;
mod reader;
mod resolve;
mod schedule;
mod secret;
mod setting;
mod settings;
mod table;
mod typo;
mod words;

#[cfg(test)]
mod tests;

pub use address::{AddressError, BindAddress};
pub use cli::{Command, CommandLine};
pub use device_id::{DeviceIdError, device_id_is_valid_hdhomerun, generate_device_id, parse_device_id};
pub use duration::{DurationError, format_duration, parse_duration};
pub use file::CONFIG_FILE_BYTES_MAX;
pub use guide::GuideSource;
pub use load::{Loaded, load};
pub use playlist::{PlaylistSource, remembered_playlist};
pub use problem::{Problem, Problems, Warning};
pub use raw::{Effective, Origin};
pub use schedule::{Schedule, ScheduleError};
pub use secret::Secret;
pub use setting::{Group, Kind, Setting};
pub use settings::*;
pub use table::GROUPS;
pub use words::{LogFormat, Word};
