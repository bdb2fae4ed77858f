//! What the kernel still holds of a viewer's zero-copy sends.

/// Where the zero-copy sends begin whose bytes are taken and whose memory the kernel still holds. Most viewers have none, ever, and
/// pay one word for them.
#[derive(Default)]
pub(super) struct Held(Option<Box<Positions>>);

#[derive(Default)]
struct Positions {
    all: Vec<u64>,
}

impl Held {
    fn all(&self) -> &[u64] {
        self.0.as_ref().map_or(&[], |positions| &positions.all)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all().is_empty()
    }

    pub(super) fn count(&self) -> usize {
        self.all().len()
    }

    /// Something is held of what stands before `position`.
    pub(super) fn is_any_below(&self, position: u64) -> bool {
        self.all().iter().any(|held| *held < position)
    }

    pub(super) fn push(&mut self, position: u64) {
        self.0.get_or_insert_default().all.push(position);
    }

    /// The kernel holds the send from `position` on no longer.
    pub(super) fn remove(&mut self, position: u64) {
        let Some(positions) = &mut self.0 else { return };
        if let Some(at) = positions.all.iter().position(|held| *held == position) {
            positions.all.swap_remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sends_are_held_until_each_is_let_go() {
        let mut held = Held::default();
        assert!(held.is_empty() && !held.is_any_below(u64::MAX));
        held.remove(1);
        for position in [10, 20, 20] {
            held.push(position);
        }
        assert_eq!((held.count(), held.is_any_below(10), held.is_any_below(11)), (3, false, true));
        held.remove(20);
        held.remove(10);
        assert_eq!((held.count(), held.is_any_below(20), held.is_any_below(21)), (1, false, true));
        held.remove(20);
        assert!(held.is_empty());
    }
}
