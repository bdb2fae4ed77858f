//! What channels and sources have in common as rows.

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
