//! A vector that grows without moving what it holds.

/// Values per block.
const BLOCK: usize = 64;

/// Values in blocks of 64. Growing asks for one more block: nothing is copied, and nothing of twice the size is
/// asked for, so a thousand more viewers cost what a thousand viewers need.
pub struct Blocks<T> {
    blocks: Vec<Vec<T>>,
}

impl<T> Blocks<T> {
    /// Holds nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { blocks: Vec::new() }
    }

    /// How many values there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.blocks.last().map_or(0, |last| (self.blocks.len() - 1) * BLOCK + last.len())
    }

    /// Adds a value behind all others.
    pub fn push(&mut self, value: T) {
        match self.blocks.last_mut() {
            Some(last) if last.len() < BLOCK => last.push(value),
            Some(_) | None => {
                let mut block = Vec::with_capacity(BLOCK);
                block.push(value);
                self.blocks.push(block);
            }
        }
    }

    /// Gives the memory of whole blocks back behind the first `count` values; what stays of others in the last block is kept.
    pub fn truncate(&mut self, count: usize) {
        self.blocks.truncate(count.div_ceil(BLOCK));
        self.blocks.shrink_to_fit();
    }

    /// The value at an index.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&T> {
        self.blocks.get(index / BLOCK)?.get(index % BLOCK)
    }

    /// The value at an index, mutable.
    pub fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        self.blocks.get_mut(index / BLOCK)?.get_mut(index % BLOCK)
    }

    /// All values, in order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.blocks.iter().flatten()
    }

    /// All values, in order, mutable.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.blocks.iter_mut().flatten()
    }
}

impl<T> Default for Blocks<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_where_they_were_put_across_blocks() {
        let mut blocks = Blocks::new();
        assert!(blocks.count() == 0 && blocks.get(0).is_none());
        for value in 0..1000 {
            assert_eq!(blocks.count(), value);
            blocks.push(value);
        }
        assert!((0..1000).all(|index| blocks.get(index) == Some(&index)));
        assert!(blocks.get(1000).is_none());
        assert!(blocks.iter().copied().eq(0..1000));
    }

    #[test]
    fn whole_blocks_are_given_back() {
        let mut blocks = Blocks::new();
        (0..1000).for_each(|value| blocks.push(value));
        for (count, kept) in [(1000, 1000), (961, 1000), (960, 960), (65, 128), (1, 64), (0, 0)] {
            blocks.truncate(count);
            assert_eq!(blocks.count(), kept, "{count}");
            assert!(blocks.iter().copied().eq(0..kept));
        }
        blocks.push(7);
        assert_eq!((blocks.count(), blocks.get(0)), (1, Some(&7)));
    }

    #[test]
    fn growing_moves_nothing() {
        let mut blocks = Blocks::new();
        blocks.push(7_u64);
        let first: *const u64 = blocks.get(0).unwrap();
        for value in 0..10_000 {
            blocks.push(value);
        }
        assert!(std::ptr::eq(first, blocks.get(0).unwrap()));
    }
}
