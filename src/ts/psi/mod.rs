//! Programme specific information (ISO/IEC 13818-1, 2.4.4): reading, keeping and writing PAT and PMT.

mod build;
mod capture;
mod pat;
mod pmt;
mod section;
mod tracker;

pub use build::{BuildError, PatProgramme, PmtStream, SectionBuffer, packetise, pat_section, pmt_section};
pub use capture::TablePackets;
pub use pat::Pat;
pub use pmt::{Pmt, STREAMS_MAX, Stream};
pub use section::{SECTION_BYTES_MAX, Section, SectionAssembler, SectionError};
pub use tracker::{PROGRAMMES_MAX, Programme, PsiTracker, Unfit};
