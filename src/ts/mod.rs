//! MPEG transport streams (ISO/IEC 13818-1): from bytes to aligned packets, and what can be told from them.
//!
//! ```text
//! bytes ─▶ Aligner ─▶ packets ─▶ Inspector ─▶ EntryPoint { position, Snapshot } ─▶ write_join, write_skip
//!                                    ├──▶ Programme (PAT, PMT), Inventory
//!                                    └──▶ PacketCounts, MediaSeen, the last PCR
//! ```
//!
//! [`es`] reads what headers of elementary streams tell of pictures and sound.
//!
//! Pure: no clock, socket or log. Nothing here asks for memory per packet, and nothing that arrives makes it panic.

mod clock_ref;
mod codec;
mod continuity;
mod crc;
mod elapsed;
mod entry_point;
pub mod es;
mod inspector;
mod inventory;
mod media_clock;
mod nal;
mod null;
mod obu;
mod packet;
mod pcr_clock;
mod pes;
mod pes_rest;
mod pes_times;
mod pid_table;
mod plain_run;
pub mod psi;
mod skip;
mod stream_profile;
mod sync;
#[cfg(test)]
pub(crate) mod testing;

pub use clock_ref::{Pcr, Pts};
pub use codec::{Codec, CodecSet, Descriptor, Descriptors, StreamKind};
pub use continuity::{Continuity, ContinuityTable, PayloadDigest};
pub use crc::crc32;
pub use elapsed::Elapsed;
#[cfg(test)]
pub(crate) use elapsed::tests as elapsed_tests;
pub use entry_point::{BARE_PICTURES_MAX, Grade};
pub use inspector::{EntryPoint, Inspector, MediaSeen, PacketCounts};
pub use inventory::{ComponentState, Inventory, InventoryMethod};
pub(crate) use nal::{Piece, StartCodes};
pub use null::NULL_PACKET;
pub use packet::{
    AdaptationField, ContinuityCounter, Packet, PacketBytes, PacketError, PacketMut, Pid, SYNC_BYTE,
    discontinuity_packet,
};
pub use pcr_clock::PcrSample;
pub(crate) use pes::PesReader;
pub use pes_rest::PesRest;
pub use pes_times::{PesStart, PesTimes, pes_bytes, strip_pes_times, write_pes_times};
pub use pid_table::PidTable;
pub use plain_run::PlainRun;
pub use skip::{PidCounter, Snapshot, write_join, write_skip};
pub use stream_profile::{ProfileCodec, StreamProfile, codec_name};
pub use sync::{AlignCounts, Aligned, Aligner, UNDECIDED_BYTES_MAX};
