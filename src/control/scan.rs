//! The scan for channels that clients begin and wait for. There is nothing to be searched: the channels are known. But
//! clients show its progress, and take what the lineup holds when it is over.

use std::time::Duration;

use crate::base::Instant;

/// How long one takes: long enough to be seen, short enough to be waited for.
const SCAN_TIME: Duration = Duration::from_secs(3);

/// Where a client says that its channels come from. It changes nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ScanSource {
    Antenna,
    Cable,
}

impl ScanSource {
    /// All of them, as clients may choose.
    pub(super) const ALL: [Self; 2] = [Self::Antenna, Self::Cable];

    /// Its name.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Antenna => "Antenna",
            Self::Cable => "Cable",
        }
    }
}

/// The one scan there may be, and what the last one was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Scan {
    began_at: Option<Instant>,
    source: ScanSource,
}

impl Default for Scan {
    fn default() -> Self {
        Self { began_at: None, source: ScanSource::Antenna }
    }
}

impl Scan {
    /// The source that was scanned last.
    pub(super) const fn source(self) -> ScanSource {
        self.source
    }

    /// Begins anew, whether one is going on or not.
    pub(super) fn started(self, now: Instant, source: Option<ScanSource>) -> Self {
        Self { began_at: Some(now), source: source.unwrap_or(self.source) }
    }

    /// None goes on any more.
    pub(super) fn aborted(self) -> Self {
        Self { began_at: None, ..self }
    }

    /// How much of it is done, in percent; `None` when none goes on.
    pub(super) fn progress_percent(self, now: Instant) -> Option<u8> {
        let elapsed = now - self.began_at?;
        let percent = elapsed.as_millis() * 100 / SCAN_TIME.as_millis();
        u8::try_from(percent).ok().filter(|percent| *percent < 100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::START + Duration::from_millis(millis)
    }

    #[test]
    fn a_scan_progresses_by_time_and_is_over() {
        let idle = Scan::default();
        assert_eq!((idle.progress_percent(at(0)), idle.source()), (None, ScanSource::Antenna));
        let scan = idle.started(at(1000), Some(ScanSource::Cable));
        assert_eq!(scan.source(), ScanSource::Cable);
        for (millis, percent) in
            [(1000, Some(0)), (2500, Some(50)), (3999, Some(99)), (4000, None), (900_000_000, None)]
        {
            assert_eq!(scan.progress_percent(at(millis)), percent, "{millis}");
        }
    }

    #[test]
    fn a_scan_can_be_aborted_and_begun_again() {
        let scan = Scan::default().started(at(0), Some(ScanSource::Cable)).aborted();
        assert_eq!((scan.progress_percent(at(1)), scan.source()), (None, ScanSource::Cable));
        assert_eq!(scan.started(at(100), None).progress_percent(at(1600)), Some(50));
        assert_eq!(scan.started(at(100), None).source(), ScanSource::Cable);
    }
}
