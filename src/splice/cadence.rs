//! How long what a PES packet carries lasts: it does not say so itself.

use crate::ts::StreamKind;

/// Two decoding times further apart are a pause, not a frame.
pub(super) const FRAME_TICKS_MAX: i64 = 90_000;
/// Distances that are remembered.
const KEPT: usize = 8;
/// How much of the account of bytes and time wears off with each PES packet: one part in so many.
const WEAR: u64 = 8;

/// How the decoding times of a stream follow each other.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Cadence {
    /// The latest distances, forwards or backwards, in 90 kHz ticks.
    steps: [i64; KEPT],
    seen: usize,
    /// Bytes of PES packets that say how long they are, and the ticks they have lasted.
    bytes: u64,
    ticks: u64,
    /// Of the last PES packet.
    last_bytes: u64,
    /// The next distance is of another source than those that are remembered, or may be.
    is_new: bool,
}

impl Cadence {
    /// Another source begins, or the same one anew: what was before tells nothing once something is known of this.
    pub(super) const fn begin(&mut self) {
        self.is_new = true;
    }

    /// A PES packet of so many bytes, zero when it does not say, begins so much later than the one before, which is the one that came
    /// before it unless something is `missing`. Such a distance counts only until there is another.
    pub(super) fn step(&mut self, ticks: Option<i64>, bytes: u64, missing: bool) {
        let last_bytes = std::mem::replace(&mut self.last_bytes, bytes);
        let Some(ticks) = ticks.filter(|ticks| (1..=FRAME_TICKS_MAX).contains(&ticks.abs())) else { return };
        if missing && self.is_known() {
            return;
        }
        if self.is_new {
            *self = Self { last_bytes: bytes, ..Self::default() };
        }
        self.is_new = missing;
        self.steps[self.seen % KEPT] = ticks.abs();
        self.seen += 1;
        if let Ok(ticks) = u64::try_from(ticks)
            && last_bytes > 0
        {
            self.bytes = self.bytes - self.bytes / WEAR + last_bytes * WEAR;
            self.ticks = self.ticks - self.ticks / WEAR + ticks * WEAR;
        }
    }

    /// How long PES packets of this source last has been seen.
    pub(super) const fn is_known(&self) -> bool {
        self.seen > 0 && !self.is_new
    }

    /// How long the last PES packet lasts.
    ///
    /// A picture lasts as long as pictures mostly do: distances that are longer are of pictures left out, or of those between
    /// which others are shown. Sound comes with many frames in a PES packet or few, and its bytes tell how many.
    pub(super) fn lasts(&self, kind: StreamKind) -> Option<i64> {
        let known = self.seen.min(KEPT);
        let mut steps = self.steps;
        let steps = &mut steps[..known];
        steps.sort_unstable();
        let usual = match kind {
            StreamKind::Video => steps.get(known / 5).copied(),
            StreamKind::Audio | StreamKind::Other => steps.last().copied(),
        }?;
        if kind != StreamKind::Audio || self.bytes == 0 || self.last_bytes == 0 {
            return Some(usual);
        }
        let ticks = u128::from(self.last_bytes) * u128::from(self.ticks) / u128::from(self.bytes);
        let ticks = i64::try_from(ticks).unwrap_or(usual);
        // Frames differ in size, and those of a stream that has so many of them in each PES packet mean nothing by it.
        let is_even = steps.first().is_some_and(|least| usual - least <= usual / 16);
        if is_even && ticks > usual - usual / 3 {
            return Some(usual);
        }
        // A PES packet that is much larger than others is no measure.
        Some(ticks.clamp(1, usual.saturating_mul(2)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cadence(steps: &[(i64, u64)]) -> Cadence {
        let mut cadence = Cadence::default();
        cadence.step(None, steps[0].1, false);
        for (ticks, bytes) in steps {
            cadence.step(Some(*ticks), *bytes, false);
        }
        cadence
    }

    #[test]
    fn a_picture_lasts_as_long_as_most_and_a_pause_or_another_order_changes_nothing() {
        assert_eq!(Cadence::default().lasts(StreamKind::Video), None);
        for steps in [
            &[3600, 3600, 3600, 3600][..],
            &[3600, 3600, 40_000],
            &[3600, 3600, 3600, 200_000],
            &[10_800, -7200, 3600, 10_800, -7200, 3600, 10_800, -7200, 3600],
        ] {
            let steps: Vec<_> = steps.iter().map(|ticks| (*ticks, 0)).collect();
            assert_eq!(cadence(&steps).lasts(StreamKind::Video), Some(3600), "{steps:?}");
        }
    }

    #[test]
    fn sound_of_another_source_lasts_as_long_as_its_own_does() {
        let mut sound = cadence(&[(61_200, 500); 8]);
        sound.begin();
        sound.step(None, 170, false);
        assert!(sound.lasts(StreamKind::Audio).is_some(), "nothing is known of it");
        sound.step(Some(39_600), 170, false);
        assert_eq!(sound.lasts(StreamKind::Audio), Some(39_600));
    }

    #[test]
    fn a_distance_in_which_something_is_missing_tells_only_where_nothing_else_does() {
        // Distances, and whether something is missing in them -> how long the last one lasts, and whether that is known.
        type Case = (&'static [(i64, bool)], i64, bool);
        let table: [Case; 5] = [
            (&[(32_400, false), (64_800, true), (32_400, false), (32_400, false)], 32_400, true),
            (&[(64_800, true)], 64_800, false),
            (&[(64_800, true), (32_400, false)], 32_400, true),
            (&[(32_400, false), (64_800, true)], 32_400, true),
            // All of its packets are counted wrongly.
            (&[(32_400, true), (32_400, true), (32_400, true)], 32_400, false),
        ];
        for (steps, lasts, is_known) in table {
            let mut sound = Cadence::default();
            sound.step(None, 500, false);
            steps.iter().for_each(|(ticks, missing)| sound.step(Some(*ticks), 500, *missing));
            assert_eq!(sound.lasts(StreamKind::Audio), Some(lasts), "{steps:?}");
            assert_eq!(sound.is_known(), is_known, "{steps:?}");
        }
    }

    #[test]
    fn sound_lasts_as_long_as_its_bytes_say() {
        let steps: Vec<_> = (0..20).map(|_| (15_360, 2900)).collect();
        let mut usual = cadence(&steps);
        assert_eq!(usual.lasts(StreamKind::Audio), Some(15_360));
        // The last one of a file is short.
        usual.step(Some(15_360), 725, false);
        let short = usual.lasts(StreamKind::Audio).unwrap();
        assert!((3800..=3880).contains(&short), "{short}");
        // Nothing is known of one that does not say how long it is.
        usual.step(Some(3840), 0, false);
        assert_eq!(usual.lasts(StreamKind::Audio), Some(15_360));
    }
}
