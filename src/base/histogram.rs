//! How often something came out how large, counted in a few ranges.

/// Counts below fixed bounds. A value at a bound is below it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Histogram<const N: usize> {
    bounds: &'static [f64; N],
    below: [u64; N],
    above: u64,
    sum: f64,
}

impl<const N: usize> Histogram<N> {
    /// Of nothing yet. The bounds rise.
    #[must_use]
    pub const fn new(bounds: &'static [f64; N]) -> Self {
        Self { bounds, below: [0; N], above: 0, sum: 0.0 }
    }

    /// It came out so large.
    pub fn observe(&mut self, value: f64) {
        let index = self.bounds.partition_point(|bound| *bound < value);
        *self.below.get_mut(index).unwrap_or(&mut self.above) += 1;
        self.sum += value;
    }

    /// What another one has counted comes to it.
    pub fn add(&mut self, other: &Self) {
        for (count, others) in self.below.iter_mut().zip(other.below) {
            *count += others;
        }
        self.above += other.above;
        self.sum += other.sum;
    }

    /// Everything added up.
    #[must_use]
    pub const fn sum(&self) -> f64 {
        self.sum
    }

    /// How often it was counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.below.iter().sum::<u64>() + self.above
    }

    /// Each bound with what lies between it and the one before; the last has none, which is `f64::MAX`.
    #[must_use]
    pub fn ranges(&self) -> Vec<(f64, u64)> {
        let bounded = self.bounds.iter().copied().zip(self.below);
        bounded.chain([(f64::MAX, self.above)]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_counted_once_below_the_first_bound_that_it_does_not_pass() {
        const BOUNDS: [f64; 3] = [1.0, 2.0, 4.0];
        let mut histogram = Histogram::new(&BOUNDS);
        for value in [0.5, 1.0, 1.5, 4.0, 4.5, 100.0] {
            histogram.observe(value);
        }
        assert_eq!(histogram.ranges(), [(1.0, 2), (2.0, 1), (4.0, 1), (f64::MAX, 2)]);
        assert_eq!((histogram.count(), histogram.sum()), (6, 111.5));
        let mut both = Histogram::new(&BOUNDS);
        both.observe(3.0);
        both.add(&histogram);
        assert_eq!(both.ranges(), [(1.0, 2), (2.0, 1), (4.0, 2), (f64::MAX, 2)]);
        assert_eq!((both.count(), both.sum()), (7, 114.5));
    }
}
