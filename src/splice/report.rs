//! What a splice tells operators.

/// What was signalled at a boundary, in the words of the status document.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BoundaryReport {
    /// There was a boundary: the session did not begin here.
    pub(super) made: bool,
    /// A PCR was written.
    pub(super) pcr: bool,
    /// Tables stand at the boundary and say which version holds from there; it is another one where the programme is.
    pub(super) psi_version: bool,
    /// The clock continues one that viewers have seen.
    pub(super) stitch: bool,
}

impl BoundaryReport {
    /// What was signalled. Empty before the first boundary.
    pub fn applied(&self) -> impl Iterator<Item = &'static str> {
        [
            (self.made, "disc"),
            (self.made, "cc"),
            (self.pcr, "pcr"),
            (self.psi_version, "psi_version"),
            (self.stitch, "stitch"),
        ]
        .into_iter()
        .filter_map(|(said, word)| said.then_some(word))
    }

    /// What could not be, and why.
    pub fn skips(&self) -> impl Iterator<Item = &'static str> {
        (self.made && !self.stitch).then_some("stitch_no_observed_pcr").into_iter()
    }

    /// The clock continues one that viewers have seen.
    #[must_use]
    pub const fn stitch(&self) -> bool {
        self.stitch
    }
}

/// What has been counted since the session began.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SpliceCounts {
    /// Time bases that broke inside a run: of the clock, and of each stream.
    pub reanchorings: u64,
    /// Holes that were signalled in place.
    pub gaps_signalled: u64,
    /// PES packets left out because their time had passed.
    pub pes_dropped: u64,
    /// Packets left out because the session has no place for their PID.
    pub unmapped_packets: u64,
    /// Packets left out because they were damaged.
    pub damaged_packets: u64,
}
