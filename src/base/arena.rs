//! Slots addressed by an index and a generation, so that a key outlives its value harmlessly.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;

use super::blocks::Blocks;

/// The address of a value in an [`Arena`]. A key whose value is gone finds nothing, even after the slot
/// has been given to somebody else.
pub struct Key<T> {
    index: u32,
    generation: u32,
    of: PhantomData<fn() -> T>,
}

impl<T> Key<T> {
    /// The slot's index. Two live values never share it.
    #[must_use]
    #[cfg(test)]
    pub const fn index(self) -> u32 {
        self.index
    }

    /// The key without its type.
    #[must_use]
    pub const fn to_bits(self) -> KeyBits {
        KeyBits { generation: self.generation, index: self.index }
    }

    /// The inverse of [`Key::to_bits`].
    #[must_use]
    pub const fn from_bits(bits: KeyBits) -> Self {
        Self { index: bits.index, generation: bits.generation, of: PhantomData }
    }
}

/// A [`Key`] for those who do not know what it leads to. Two halves and not one word, because what lies beside it in a
/// record would else be rounded up to a word as well.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct KeyBits {
    generation: u32,
    index: u32,
}

impl KeyBits {
    /// What the first value of a slot gets.
    #[must_use]
    #[cfg(test)]
    pub const fn first_of(index: u32) -> Self {
        Self { generation: 0, index }
    }
}

impl<T> Clone for Key<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Key<T> {}
impl<T> PartialEq for Key<T> {
    fn eq(&self, other: &Self) -> bool {
        self.index == other.index && self.generation == other.generation
    }
}
impl<T> Eq for Key<T> {}
impl<T> Hash for Key<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.to_bits().hash(state);
    }
}
impl<T> fmt::Debug for Key<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}#{}", self.index, self.generation)
    }
}

struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

/// A bounded slab of values with generation-checked keys.
pub struct Arena<T> {
    slots: Blocks<Slot<T>>,
    free: Vec<u32>,
    limit: u32,
    /// Of slots that are made anew: keys of those that were given back find nothing in them.
    generation_first: u32,
}

impl<T> Arena<T> {
    /// An empty arena that will hold at most `limit` values. It grows in small steps until then.
    #[must_use]
    pub const fn with_limit(limit: u32) -> Self {
        Self { slots: Blocks::new(), free: Vec::new(), limit, generation_first: 0 }
    }

    /// Stores a value, or gives it back when the arena is full.
    ///
    /// # Errors
    /// The value itself, when `limit` values are stored already.
    pub fn insert(&mut self, value: T) -> Result<Key<T>, T> {
        if let Some(index) = self.free.pop() {
            let slot = self.slots.get_mut(index as usize).expect("a free slot exists");
            debug_assert!(slot.value.is_none(), "a free slot is empty");
            slot.value = Some(value);
            return Ok(Key { index, generation: slot.generation, of: PhantomData });
        }
        let Ok(index) = u32::try_from(self.slots.count()) else { return Err(value) };
        if index >= self.limit {
            return Err(value);
        }
        let generation = self.generation_first;
        self.slots.push(Slot { generation, value: Some(value) });
        Ok(Key { index, generation, of: PhantomData })
    }

    /// Stores a value that is made with its key; nothing is made when the arena is full.
    pub fn insert_with(&mut self, make: impl FnOnce(Key<T>) -> T) -> Option<Key<T>> {
        let at = |slots: &Blocks<Slot<T>>, index: u32| slots.get(index as usize).map(|slot| slot.generation);
        let (index, generation) = match self.free.last() {
            Some(&index) => (index, at(&self.slots, index).expect("a free slot exists")),
            None => {
                let index = u32::try_from(self.slots.count()).ok().filter(|index| *index < self.limit)?;
                (index, self.generation_first)
            }
        };
        let value = make(Key { index, generation, of: PhantomData });
        self.insert(value).ok()
    }

    /// Takes a value out; its key and all copies of it find nothing from now on.
    pub fn remove(&mut self, key: Key<T>) -> Option<T> {
        let slot = self.slots.get_mut(key.index as usize)?;
        if slot.generation != key.generation {
            return None;
        }
        let value = slot.value.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(key.index);
        Some(value)
    }

    /// Gives the memory back that lies behind the last value, and fills from the first slot on: after a crowd a few who came
    /// with it hold the rest no longer than they stay.
    pub fn give_back(&mut self) {
        let count = behind_last(&mut self.free, self.slots.count());
        let dropped = self.slots.iter().skip(count).map(|slot| slot.generation).max();
        self.slots.truncate(count);
        let kept = self.slots.count();
        self.free.retain(|index| (*index as usize) < kept);
        self.free.shrink_to_fit();
        self.generation_first = self.generation_first.max(dropped.unwrap_or(0));
    }

    /// Begins to fetch a value that will be wanted soon.
    pub fn touch(&self, key: Key<T>) {
        std::hint::black_box(self.slots.get(key.index as usize).map(|slot| slot.generation));
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: Key<T>) -> Option<&T> {
        let slot = self.slots.get(key.index as usize)?;
        if slot.generation == key.generation { slot.value.as_ref() } else { None }
    }

    /// The value of a key, mutable.
    pub fn get_mut(&mut self, key: Key<T>) -> Option<&mut T> {
        let slot = self.slots.get_mut(key.index as usize)?;
        if slot.generation == key.generation { slot.value.as_mut() } else { None }
    }

    /// The number of values.
    #[must_use]
    pub fn count(&self) -> usize {
        self.slots.count() - self.free.len()
    }

    /// All values with their keys, in slot order.
    pub fn iter(&self) -> impl Iterator<Item = (Key<T>, &T)> {
        self.slots.iter().zip(0u32..).filter_map(|(slot, index)| {
            slot.value
                .as_ref()
                .map(|value| (Key { index, generation: slot.generation, of: PhantomData }, value))
        })
    }

    /// All values with their keys, in slot order, mutable.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Key<T>, &mut T)> {
        self.slots.iter_mut().zip(0u32..).filter_map(|(slot, index)| {
            let generation = slot.generation;
            slot.value.as_mut().map(|value| (Key { index, generation, of: PhantomData }, value))
        })
    }
}

/// Puts free slots into the order in which the lowest is taken next, and gives how many slots there are up to the last that is not.
pub fn behind_last(free: &mut [u32], slots: usize) -> usize {
    free.sort_unstable_by(|one, other| other.cmp(one));
    free.iter().fold(slots, |count, index| if *index as usize + 1 == count { count - 1 } else { count })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_a_removed_value_does_not_find_the_slots_next_owner() {
        let mut arena = Arena::with_limit(2);
        let first = arena.insert('a').unwrap();
        assert_eq!(arena.remove(first), Some('a'));
        let second = arena.insert('b').unwrap();
        assert_eq!(second.index(), first.index());
        assert_eq!(arena.get(first), None);
        assert_eq!(arena.remove(first), None);
        assert_eq!(arena.get(second), Some(&'b'));
    }

    #[test]
    fn what_lies_behind_the_last_value_is_given_back_and_its_keys_find_nothing() {
        let mut arena = Arena::with_limit(10_000);
        let keys: Vec<_> = (0..10_000).map(|value| arena.insert(value).unwrap()).collect();
        let stays = keys[300];
        keys.iter().filter(|key| **key != stays).for_each(|key| assert!(arena.remove(*key).is_some()));
        arena.give_back();
        assert_eq!((arena.slots.count(), arena.count(), arena.get(stays)), (320, 1, Some(&300)));
        let again: Vec<_> = (0..9999).map(|value| arena.insert_with(|_| value).unwrap()).collect();
        assert!(again.iter().take(300).map(|key| key.index()).eq(0..300), "from the first slot on");
        assert_eq!(keys.iter().filter(|key| arena.get(**key).is_some()).count(), 1);
        again.iter().for_each(|key| assert!(arena.remove(*key).is_some()));
        arena.remove(stays).unwrap();
        arena.give_back();
        assert_eq!((arena.slots.count(), arena.free.capacity()), (0, 0));
    }

    #[test]
    fn a_full_arena_gives_the_value_back() {
        let mut arena = Arena::with_limit(1);
        arena.insert(1).unwrap();
        assert_eq!(arena.insert(2), Err(2));
        assert_eq!(arena.count(), 1);
    }

    #[test]
    fn bits_and_back() {
        let mut arena = Arena::with_limit(3);
        let stale = arena.insert(0).unwrap();
        arena.remove(stale).unwrap();
        let key = arena.insert(7).unwrap();
        assert_eq!(Key::from_bits(key.to_bits()), key);
        assert_ne!(Key::from_bits(stale.to_bits()), key);
    }
}
