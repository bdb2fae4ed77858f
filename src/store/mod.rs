//! What outlives the process: playlist items, channels with their sources and health, settings.
//!
//! One SQLite connection, owned by one thread. Nothing else in the program names `rusqlite`; whoever wants
//! something hands the thread a closure over [`Database`] and goes on with its own work.
//!
//! A database that is damaged, newer than this program or somebody else's is refused when it is opened and
//! never created anew: the channels in it took somebody an evening. Those of hdhriptv are imported.

mod database;
mod entry;
mod error;
mod hdhriptv;
mod import;
mod migrations;
mod quick;
mod records;
mod rows;
mod thread;

#[cfg(test)]
mod fixtures;

pub use database::Database;
pub use database::{
    Applied, PRIMARY_NAME, PRIMARY_PLAYLIST, Progress, Refresh, STEP_ITEMS_MAX, UPLOADED, key_in, told_apart,
};
pub use database::{
    Duplicates, Group, GuideRow, ITEMS_PAGE_MAX, ImportOutcome, Imported, ItemFilter, ItemPage, JobRun,
    Moved, Reading, RefreshOutcome, Refreshed, Search, SearchCounts, SearchError, SearchLimits, SourceMove,
};
pub use entry::Entry;
pub use error::{ChannelError, CloseError, ImportError, OpenError, StoreBusy, StoreError};
pub use hdhriptv::Hdhriptv;
pub use import::{TakenOver, is_same_file, take_over};
pub use records::{
    ChannelChange, ChannelRecord, ItemRecord, NewChannel, NewItem, NewPlaylist, NewRule, PlaylistChange,
    PlaylistRecord, ProfileRecord, RuleRecord, SourceRecord, SourceRule,
};
pub use thread::{Store, StoreCounts};
