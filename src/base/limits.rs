//! Every bound in one place, and what must hold between them.

use std::time::Duration;

/// Bytes of an MPEG transport stream packet.
pub const PACKET_BYTES: usize = 188;

/// The longest request head a listener accepts.
pub const REQUEST_HEAD_BYTES_MAX: usize = 16 * 1024;
/// The most header fields in a request.
pub const HEADERS_MAX: usize = 64;
/// The most header fields in an upstream's response.
pub const UPSTREAM_HEADERS_MAX: usize = 256;
/// A request head must have arrived this long after the connection was accepted.
pub const REQUEST_HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest response head an upstream may send.
pub const UPSTREAM_HEAD_BYTES_MAX: usize = 32 * 1024;
/// Redirects followed on the way to an upstream.
pub const UPSTREAM_REDIRECTS_MAX: u32 = 20;
/// Streams that are tried of a list that an upstream sends instead of one.
pub const LIST_ENTRIES_MAX: usize = 8;
/// Lists that lead to lists.
pub const LIST_NESTING_MAX: u32 = 3;
/// Bytes of an upstream's unusable body that are kept for the error message.
pub const PREVIEW_BYTES_MAX: usize = 256;
/// Bytes of a child's standard error that are kept.
pub const STDERR_TAIL_BYTES: usize = 8 * 1024;

/// The most bytes in one send.
pub const SEND_BYTES_MAX: usize = 256 * 1024;
/// The most whole packets that the network stack takes as one unit (64 KiB less headers, in whole segments of
/// 1448 bytes). A zero-copy send of one byte more costs nearly twice as much: it becomes two units.
pub const SEGMENTED_BYTES: usize = 346 * PACKET_BYTES;
/// The most bytes in one read from a source.
pub const READ_BYTES_MAX: usize = 128 * 1024;
/// The most datagrams that are received in one go.
pub const DATAGRAMS_PER_READ_MAX: u16 = 64;
/// What the kernel is to keep of the datagrams of one source: half a second at 50 Mbit/s, as it counts its own room, too.
pub const DATAGRAM_QUEUE_BYTES: usize = 4 * 1024 * 1024;
/// A ring grows by so much at most, for streams whose entry points lie far apart: ten seconds at 50 Mbit/s.
pub const RING_GROWTH_BYTES_MAX: u64 = 80 * 1024 * 1024;
/// Sends a core submits in one turn. At 64 KiB each this is 16 MiB, 2 to 3 ms of work: the time a new
/// connection or a source's bytes may have to wait.
pub const SENDS_PER_TURN: usize = 256;
/// Submission queue entries of a core.
pub const SUBMISSION_ENTRIES: u32 = 1024;
/// Completion queue entries of a core. When more are outstanding the kernel keeps them in a list of its own.
pub const COMPLETION_ENTRIES: u32 = 8192;
/// Both where locked memory is so little that the usual ones do not fit: 16 KiB in all. Waiting entries are queued here then, and
/// completions by the kernel.
pub const SUBMISSION_ENTRIES_LEAST: u32 = 64;
/// See [`SUBMISSION_ENTRIES_LEAST`].
pub const COMPLETION_ENTRIES_LEAST: u32 = 512;
/// Connections and viewers a core holds at most.
pub const CONNECTIONS_PER_CORE_MAX: u32 = 32 * 1024;
/// Operations in flight on a core: a viewer has a hang-up poll, one send, and up to
/// [`ZERO_COPY_IN_FLIGHT_MAX`] sends whose notification is still to come.
pub const OPERATIONS_PER_CORE_MAX: u32 = CONNECTIONS_PER_CORE_MAX * (2 + ZERO_COPY_IN_FLIGHT_MAX as u32);
/// Zero-copy sends of one viewer whose memory the kernel still holds.
pub const ZERO_COPY_IN_FLIGHT_MAX: u8 = 16;
/// Parts of rings that are registered with a core's io_uring at a time: the kernel's own bound (`IORING_MAX_REG_BUFFERS`).
pub const REGISTERED_SPANS_MAX: u32 = 16 * 1024;
/// Channels, for each core there is: those of all of them may have viewers on every one.
pub const CHANNELS_PER_CORE_MAX: u32 = 1024;
/// Messages waiting for a core.
pub const MAILBOX_MESSAGES_MAX: usize = 4096;
/// Requests waiting for control.
pub const CONTROL_REQUESTS_MAX: usize = 4096;
/// Connections for what is no stream at the same time, if there are descriptors for so many.
pub const CONTROL_CONNECTIONS_MAX: usize = 1024;
/// Descriptors that are open whoever comes: listeners, io_urings, the database, the log, a playlist that is read.
pub const DESCRIPTORS_BASE: u64 = 64;
/// Descriptors of a core: its io_uring, its wake-up, its listeners.
pub const DESCRIPTORS_PER_CORE: u64 = 6;
/// Descriptors of a channel: its ring, a source and the next one, what a child of each is read and told by.
pub const DESCRIPTORS_PER_CHANNEL: u64 = 10;
/// Jobs waiting for the store.
pub const STORE_JOBS_MAX: usize = 1024;
/// Entry points remembered per ring. At one every 0.25 s this is more than a minute.
pub const ENTRY_POINTS_MAX: usize = 256;
/// Bytes of PAT and PMT packets kept for a joining viewer.
pub const PSI_PACKETS_MAX: usize = 16;

const _: () = assert!(SENDS_PER_TURN < SUBMISSION_ENTRIES as usize);
const _: () = assert!(SUBMISSION_ENTRIES <= COMPLETION_ENTRIES);
const _: () = assert!(REQUEST_HEAD_BYTES_MAX <= SEND_BYTES_MAX);
const _: () = assert!(SEGMENTED_BYTES <= 45 * 1448 && 45 * 1448 + 1448 > 65_535 - 40);

/// Viewers of one channel that ask for lists and segments. Each costs a row; their requests are connections as all are.
pub const HLS_VIEWERS_MAX: usize = 16 * 1024;
/// The longest HLS list, unpacked: five hours of segments of two seconds with long addresses.
pub const HLS_LIST_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The longest list or manifest with addresses of ours in the place of its own, which are longer: one that grows more is made to.
pub const RELAYED_LIST_BYTES_MAX: usize = 4 * HLS_LIST_BYTES_MAX;
/// Segments of an HLS list.
pub const HLS_SEGMENTS_MAX: usize = 32 * 1024;
/// Variants of an HLS master list.
pub const HLS_VARIANTS_MAX: usize = 128;
/// Renditions of an HLS master list.
pub const HLS_RENDITIONS_MAX: usize = 512;
/// Sounds in segments of their own that are read beside a picture.
pub const HLS_SOUNDS_MAX: usize = 8;
/// Tags in front of sound without a container: with a picture of its station.
pub const HLS_TAGS_BYTES_MAX: usize = 256 * 1024;
/// Packets of such a sound that wait for the picture: 4 MB, of the richest sound that is sent a minute.
pub const HLS_SOUND_PACKETS_MAX: usize = 22 * 1024;
/// Packets of a picture that wait for its sound: 4 MB, of a picture in ultra high definition two seconds.
pub const HLS_HELD_PACKETS_MAX: usize = 22 * 1024;
/// What may stand in front of the first packet of an HLS segment: pictures as large as a poster.
pub const HLS_JUNK_BYTES_MAX: usize = 512 * 1024;
