//! A value for each PID.

use crate::ts::packet::Pid;

/// PIDs whose values lie together.
const BLOCK: usize = 64;
const BLOCKS: usize = Pid::COUNT / BLOCK;

/// A value for each PID, looked up for every packet. Of the 8192 a stream uses a dozen, in two or three places: only the PIDs
/// around those take memory, all others share one block. It grows when a PID of another place gets a value of its own,
/// and is never larger than a plain table and a block.
#[derive(Clone, Debug)]
pub struct PidTable<T> {
    /// Which block the PIDs of each place have.
    places: [u8; BLOCKS],
    /// The first is that of all places without one of their own.
    blocks: Vec<[T; BLOCK]>,
}

const _: () = assert!(BLOCKS < u8::MAX as usize);

impl<T: Copy> PidTable<T> {
    /// The same value for all.
    #[must_use]
    pub fn new(value: T) -> Self {
        Self { places: [0; BLOCKS], blocks: vec![[value; BLOCK]] }
    }

    /// The value of a PID.
    #[must_use]
    pub fn get(&self, pid: Pid) -> T {
        self.blocks[usize::from(self.places[pid.index() / BLOCK])][pid.index() % BLOCK]
    }

    /// The value of a PID, to be changed.
    pub fn get_mut(&mut self, pid: Pid) -> &mut T {
        let place = &mut self.places[pid.index() / BLOCK];
        if *place == 0 {
            *place = u8::try_from(self.blocks.len()).expect("there are no more blocks than places, and one");
            self.blocks.push(self.blocks[0]);
        }
        &mut self.blocks[usize::from(*place)][pid.index() % BLOCK]
    }

    /// The same value for all from now on.
    pub fn fill(&mut self, value: T) {
        self.places.fill(0);
        self.blocks.clear();
        self.blocks.push([value; BLOCK]);
    }

    /// Changes each value by itself.
    pub fn change(&mut self, new: impl Fn(T) -> T) {
        for value in self.blocks.iter_mut().flatten() {
            *value = new(*value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> impl Iterator<Item = Pid> {
        (0..=Pid::NULL.get()).filter_map(Pid::new)
    }

    #[test]
    fn each_pid_has_its_own_value_also_when_all_have_one() {
        let mut table = PidTable::new(7);
        assert!(all().all(|pid| table.get(pid) == 7));
        for pid in all() {
            *table.get_mut(pid) += pid.get();
        }
        assert!(all().all(|pid| table.get(pid) == 7 + pid.get()));
        table.change(|value| value * 2);
        assert!(all().all(|pid| table.get(pid) == 2 * (7 + pid.get())));
        table.fill(1);
        assert!(all().all(|pid| table.get(pid) == 1));
    }

    #[test]
    fn what_is_not_used_takes_no_memory() {
        let mut table = PidTable::new(0);
        for pid in [0, 0x10, 0x11, 0x100, 0x101, 0x102, 0x1FFE].into_iter().filter_map(Pid::new) {
            *table.get_mut(pid) = 1;
        }
        assert_eq!(table.blocks.len(), 4);
        table.change(|value| value + 1);
        assert_eq!(
            (table.get(Pid::PAT), table.get(Pid::NULL), table.get(Pid::new(0x800).unwrap())),
            (2, 1, 1)
        );
        assert_eq!(table.blocks.len(), 4);
    }
}
