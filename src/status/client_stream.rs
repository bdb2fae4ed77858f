//! A viewer with what it watches.

use std::rc::Rc;

use serde::{Serialize, Serializer};

use crate::engine::snapshot::{SessionSnapshot, ViewerSnapshot};

use super::encode::{Address, address, is_zero};
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
    #[serde(flatten, serialize_with = "shared")]
    stream: Rc<Stream<'a>>,
    subscriber_id: u64,
    /// Unique in the process: its session's number and its own. Not of the reference.
    viewer_id: String,
    /// The core that sends to it. Not of the reference.
    core: u8,
    client_addr: Address,
    connected_at: GoTime,
    /// `hls` for whoever asks for lists and segments. Not of the reference, as the next one.
    #[serde(skip_serializing_if = "str::is_empty")]
    delivery: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    user_agent: &'a str,
    /// What its socket has taken. Not of the reference, as the next one.
    bytes_sent: u64,
    /// What of the stream it has yet to be sent.
    lag_bytes: u64,
}

fn shared<S: Serializer>(stream: &Rc<Stream<'_>>, serializer: S) -> Result<S::Ok, S::Error> {
    stream.as_ref().serialize(serializer)
}

/// What is known of a session's stream; the same for all of its viewers.
pub(super) fn stream_of(session: &SessionSnapshot) -> Rc<Stream<'_>> {
    let source = session.record.source();
    Rc::new(source.map(|source| Stream::new(source, session.bitrate_bps)).unwrap_or_default())
}

impl<'a> ClientStreamStatus<'a> {
    pub(super) fn new(
        tuner: u16,
        kind: &'static str,
        session: &'a SessionSnapshot,
        stream: Rc<Stream<'a>>,
        viewer: &'a ViewerSnapshot,
        moment: Moment,
    ) -> Self {
        let record = &session.record;
        let moment = moment.of_core(record.lost);
        let source = record.source();
        Self {
            tuner_id: tuner,
            kind,
            channel_id: record.channel.0,
            guide_number: &record.guide_number,
            guide_name: &record.guide_name,
            source: source.map(SourceIdentity::new).unwrap_or_default(),
            stream,
            subscriber_id: viewer.id,
            viewer_id: format!("{}-{}", record.id, viewer.id),
            core: viewer.core.0,
            client_addr: address(viewer.peer),
            connected_at: moment.time(viewer.joined_at),
            delivery: viewer.hls.as_ref().map_or("", |_| "hls"),
            user_agent: viewer.hls.as_ref().map_or("", |hls| &hls.user_agent),
            bytes_sent: viewer.bytes_sent,
            lag_bytes: viewer.lag_bytes,
        }
    }
}
