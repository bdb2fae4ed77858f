//! A viewer with what it watches.

use std::net::SocketAddr;

use serde::Serialize;

use crate::engine::snapshot::{SessionSnapshot, ViewerSnapshot};

use super::encode::{address, is_zero};
use super::go_time::{GoTime, Moment};
use super::source::{SourceIdentity, Stream};

/// A viewer's row.
#[derive(Serialize, Debug)]
pub(super) struct ClientStreamStatus<'a> {
    tuner_id: u16,
    kind: &'static str,
    #[serde(skip_serializing_if = "is_zero")]
    channel_id: i64,
    #[serde(skip_serializing_if = "str::is_empty")]
    guide_number: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    guide_name: &'a str,
    #[serde(flatten)]
    source: SourceIdentity<'a>,
    #[serde(flatten)]
    stream: Stream<'a>,
    subscriber_id: u64,
    client_addr: SocketAddr,
    connected_at: GoTime,
}

impl<'a> ClientStreamStatus<'a> {
    pub(super) fn new(
        tuner: u16,
        kind: &'static str,
        session: &'a SessionSnapshot,
        viewer: &ViewerSnapshot,
        moment: Moment,
    ) -> Self {
        let record = &session.record;
        let source = record.source();
        Self {
            tuner_id: tuner,
            kind,
            channel_id: record.channel.0,
            guide_number: &record.guide_number,
            guide_name: &record.guide_name,
            source: source.map(SourceIdentity::new).unwrap_or_default(),
            stream: source.map(|source| Stream::new(source, session.bitrate_bps)).unwrap_or_default(),
            subscriber_id: viewer.id,
            client_addr: address(viewer.peer),
            connected_at: moment.time(viewer.joined_at),
        }
    }
}
