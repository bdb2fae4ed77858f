//! Chance that can be repeated.

use std::time::Duration;

/// A probability.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Chance(u64);

impl Chance {
    /// Never.
    pub const NEVER: Self = Self(0);
    /// Always.
    pub const ALWAYS: Self = Self(Self::PARTS);
    /// What [`Chance::parts`] are parts of.
    const PARTS: u64 = 1 << 32;

    /// Once in `times`.
    #[must_use]
    pub const fn one_in(times: u64) -> Self {
        Self(Self::PARTS / times)
    }
}

/// A SplitMix64 sequence: small, fast, and the same everywhere.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

impl Random {
    /// The sequence of a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next 64 bits.
    pub const fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`; zero when `limit` is.
    pub fn below(&mut self, limit: u64) -> u64 {
        let scaled = (u128::from(self.bits()) * u128::from(limit)) >> 64;
        u64::try_from(scaled).expect("the upper half of 128 bits")
    }

    /// A number from `least` to `most`, both included.
    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        assert!(least <= most, "{least} to {most} holds no number");
        least + self.below((most - least).saturating_add(1))
    }

    /// A count of bytes from `least` to `most`, both included.
    pub fn bytes(&mut self, least: usize, most: usize) -> usize {
        usize::try_from(self.between(least as u64, most as u64)).expect("not above `most`")
    }

    /// A time from nothing to `most`, both included.
    pub fn time(&mut self, most: Duration) -> Duration {
        let nanos = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.between(0, nanos))
    }

    /// True as often as the chance says.
    pub fn happens(&mut self, chance: Chance) -> bool {
        // A fault that is off takes no number, so that switching one on does not stir the others up.
        chance != Chance::NEVER && self.below(Chance::PARTS) < chance.0
    }

    /// One of some things.
    pub fn pick<'a, V>(&mut self, from: &'a [V]) -> &'a V {
        let index = self.below(from.len() as u64);
        &from[usize::try_from(index).expect("below the length")]
    }

    /// A sequence of its own: what is drawn from it does not stir this one.
    pub const fn split(&mut self) -> Self {
        Self::new(self.bits())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_the_published_one() {
        let mut random = Random::new(1_234_567);
        assert_eq!(random.bits(), 6_457_827_717_110_365_317);
        assert_eq!(random.bits(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn numbers_stay_between_their_bounds_and_reach_them() {
        let mut random = Random::new(7);
        let drawn: Vec<u64> = (0..200).map(|_| random.between(3, 6)).collect();
        assert_eq!((drawn.iter().min(), drawn.iter().max()), (Some(&3), Some(&6)));
        assert_eq!(random.below(0), 0);
    }

    #[test]
    fn a_fault_that_is_off_leaves_the_sequence_alone() {
        let (mut one, mut other) = (Random::new(7), Random::new(7));
        assert!(!one.happens(Chance::NEVER));
        assert_eq!(one.bits(), other.bits());
        assert!(one.happens(Chance::ALWAYS));
        assert_ne!(one.bits(), other.bits());
    }
}
