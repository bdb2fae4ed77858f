//! The operations in flight and what they own.

use crate::base::{Blocks, behind_last};

use super::driver::{Handle, OpKey};

/// Where an operation stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// The kernel has it.
    InFlight,
    /// A zero-copy send whose bytes are taken, but whose memory the kernel still reads.
    AwaitsNotification,
}

/// What kind of completion to expect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Accept,
    Poll,
    Transfer,
    ZeroCopy,
    Connect,
    Gather,
}

pub(super) struct InFlight<T, M> {
    pub(super) token: T,
    pub(super) memory: Option<M>,
    pub(super) handle: Handle,
    pub(super) kind: Kind,
    pub(super) stage: Stage,
    /// Of its slot. It stands here because beside the operation it would take a word and not a half.
    generation: u32,
}

impl<T, M> InFlight<T, M> {
    /// An operation that the kernel is given.
    pub(super) const fn new(token: T, memory: Option<M>, handle: Handle, kind: Kind) -> Self {
        Self { token, memory, handle, kind, stage: Stage::InFlight, generation: 0 }
    }
}

/// One cache line, if the token and the memory leave room: thousands of them are looked at in no order. (An enum that is
/// aligned itself would keep its tag apart, in a line of its own.)
#[repr(align(64))]
struct OpSlot<T, M>(Place<T, M>);

enum Place<T, M> {
    /// The generation of the next operation.
    Free(u32),
    Taken(InFlight<T, M>),
}

impl<T, M> OpSlot<T, M> {
    const fn generation(&self) -> u32 {
        match &self.0 {
            Place::Free(generation) => *generation,
            Place::Taken(op) => op.generation,
        }
    }
}

/// A slab of operations, addressed by the completion's `user_data`: index below, generation above.
pub(super) struct Table<T, M> {
    slots: Blocks<OpSlot<T, M>>,
    free: Vec<u32>,
    limit: u32,
    /// Of slots that are made anew: late completions of those that were given back find nothing in them.
    generation_first: u32,
}

/// How many inserts ahead a free slot is fetched.
const TOUCH_AHEAD: usize = 8;

/// `user_data` of operations nobody waits for: cancellations.
pub(super) const NOBODY: u64 = u64::MAX;

impl<T, M> Table<T, M> {
    /// What one operation in flight takes.
    pub(super) const BYTES_PER_OPERATION: usize = size_of::<OpSlot<T, M>>();

    pub(super) const fn with_limit(limit: u32) -> Self {
        Self { slots: Blocks::new(), free: Vec::new(), limit, generation_first: 0 }
    }

    pub(super) fn insert(&mut self, mut op: InFlight<T, M>) -> Result<OpKey, InFlight<T, M>> {
        if let Some(index) = self.free.pop() {
            // The one that will be wanted a few inserts from now.
            if let Some(&ahead) = self.free.len().checked_sub(TOUCH_AHEAD).and_then(|at| self.free.get(at)) {
                self.touch(OpKey { index: ahead, generation: 0 });
            }
            let slot = self.slots.get_mut(index as usize).expect("a free slot exists");
            let Place::Free(generation) = slot.0 else { unreachable!("a free slot owns nothing") };
            op.generation = generation;
            slot.0 = Place::Taken(op);
            return Ok(OpKey { index, generation });
        }
        let Ok(index) = u32::try_from(self.slots.count()) else { return Err(op) };
        if index >= self.limit {
            return Err(op);
        }
        op.generation = self.generation_first;
        self.slots.push(OpSlot(Place::Taken(op)));
        Ok(OpKey { index, generation: self.generation_first })
    }

    /// Begins to fetch an operation's slot, so that a batch of completions waits for memory once and not each in turn.
    pub(super) fn touch(&self, key: OpKey) {
        std::hint::black_box(self.slots.get(key.index as usize).map(OpSlot::generation));
    }

    pub(super) fn get_mut(&mut self, key: OpKey) -> Option<&mut InFlight<T, M>> {
        match &mut self.slots.get_mut(key.index as usize)?.0 {
            Place::Taken(op) if op.generation == key.generation => Some(op),
            Place::Taken(_) | Place::Free(_) => None,
        }
    }

    /// The key of the operation at a place.
    pub(super) fn key(&self, index: u32) -> OpKey {
        let slot = self.slots.get(index as usize).expect("an operation in flight has a place");
        OpKey { index, generation: slot.generation() }
    }

    pub(super) fn remove(&mut self, key: OpKey) -> Option<InFlight<T, M>> {
        self.get_mut(key)?;
        // NOBODY's generation is never reached: the counter starts again before it.
        let free = Place::Free((key.generation + 1) % (u32::MAX - 1));
        let slot = self.slots.get_mut(key.index as usize)?;
        let Place::Taken(op) = std::mem::replace(&mut slot.0, free) else {
            unreachable!("it was found above")
        };
        self.free.push(key.index);
        Some(op)
    }

    /// Gives the memory back that lies behind the last operation.
    pub(super) fn give_back(&mut self) {
        let count = behind_last(&mut self.free, self.slots.count());
        let dropped = self.slots.iter().skip(count).map(OpSlot::generation).max();
        self.slots.truncate(count);
        let kept = self.slots.count();
        self.free.retain(|index| (*index as usize) < kept);
        self.free.shrink_to_fit();
        self.generation_first = self.generation_first.max(dropped.unwrap_or(0));
    }

    pub(super) fn count(&self) -> usize {
        self.slots.count() - self.free.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.free.is_empty() && u32::try_from(self.slots.count()).map_or(true, |count| count >= self.limit)
    }

    /// Gives up on everything still in the table without freeing it.
    #[expect(clippy::mem_forget, reason = "the kernel may still write there")]
    pub(super) fn leak(&mut self) {
        for slot in self.slots.iter_mut() {
            let free = Place::Free(slot.generation());
            std::mem::forget(std::mem::replace(&mut slot.0, free));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(token: u8) -> InFlight<u8, ()> {
        InFlight::new(token, None, Handle(0), Kind::Poll)
    }

    #[test]
    fn a_late_completion_does_not_find_the_slots_next_operation() {
        let mut table = Table::with_limit(4);
        let first = table.insert(op(1)).ok().unwrap();
        assert_eq!(table.remove(first).unwrap().token, 1);
        let second = table.insert(op(2)).ok().unwrap();
        assert_eq!(first.index, second.index);
        assert!(table.remove(OpKey::from_user_data(first.to_user_data())).is_none());
        assert_eq!(table.remove(OpKey::from_user_data(second.to_user_data())).unwrap().token, 2);
    }

    #[test]
    fn a_late_completion_finds_nothing_in_a_slot_that_was_given_back_and_made_anew() {
        let mut table = Table::with_limit(1000);
        let keys: Vec<_> = (0..1000).map(|_| table.insert(op(1)).ok().unwrap()).collect();
        keys.iter().for_each(|key| assert!(table.remove(*key).is_some()));
        table.give_back();
        assert_eq!((table.slots.count(), table.free.capacity()), (0, 0));
        let again: Vec<_> = (0..1000).map(|_| table.insert(op(2)).ok().unwrap()).collect();
        assert!(keys.iter().all(|key| table.get_mut(*key).is_none()));
        assert!(again.iter().all(|key| table.get_mut(*key).is_some()) && table.is_full());
    }

    #[test]
    fn no_key_is_ever_taken_for_nobody() {
        let mut table = Table::with_limit(1);
        table.slots.push(OpSlot(Place::Free(u32::MAX - 2)));
        table.free.push(0);
        let key = table.insert(op(0)).ok().unwrap();
        table.remove(key).unwrap();
        let next = table.insert(op(0)).ok().unwrap();
        assert_eq!(next.generation, 0);
        assert_ne!(next.to_user_data(), NOBODY);
    }
}
