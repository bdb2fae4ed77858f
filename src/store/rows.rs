//! What channels and sources have in common as rows.

use std::collections::BTreeSet;

use rusqlite::{Connection, params};

use super::error::ChannelError;
use super::records::signed;
use crate::base::WallTime;

/// Notes that a channel was changed, and thereby that it is there.
pub(super) fn touch(connection: &Connection, channel_id: i64, now: WallTime) -> Result<(), ChannelError> {
    let sql = "UPDATE published_channels SET updated_at = ?2 WHERE channel_id = ?1";
    match connection.prepare_cached(sql)?.execute(params![channel_id, signed(now.unix_seconds())])? {
        0 => Err(ChannelError::ChannelNotFound { channel_id }),
        _one => Ok(()),
    }
}

/// Refuses an order that leaves out, repeats or invents something.
pub(super) fn check_permutation(
    field: &'static str,
    order: &[i64],
    present: &BTreeSet<i64>,
) -> Result<(), ChannelError> {
    let distinct: BTreeSet<i64> = order.iter().copied().collect();
    if order.len() == present.len() && distinct == *present {
        return Ok(());
    }
    let shown: Vec<String> = order.iter().take(32).map(i64::to_string).collect();
    Err(ChannelError::Invalid { field, value: shown.join(","), allowed: "every id there is, exactly once" })
}
