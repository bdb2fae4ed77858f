//! Who holds a connection, and who gives way to somebody else. No sockets.

use std::collections::BTreeMap;
use std::rc::Rc;

use tokio::sync::Notify;

use crate::control::rates::Household;

/// This part of them nobody but this host gets: whoever has to repair something can always come in.
const KEPT_PART: usize = 16;
/// Connections of one household. Full: as above, among its own.
pub(super) const PER_HOUSEHOLD_MAX: usize = 64;

/// Who wants a permit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Holder {
    /// This host, or a proxy that speaks for many.
    Free,
    /// Anybody else.
    Household(Household),
}

struct Held {
    holder: Holder,
    /// Since when it waits for a request, by the table's count.
    waits_since: Option<u64>,
    leave: Rc<Notify>,
}

/// The permits.
pub(super) struct Permits {
    /// Full: the one that has waited longest for a request gives way; without such a one the newcomer is refused.
    max: usize,
    held: BTreeMap<u64, Held>,
    /// Counts what happens, so that it is known what came first.
    count: u64,
}

impl Permits {
    /// So many.
    pub(super) const fn with_max(max: usize) -> Self {
        Self { max, held: BTreeMap::new(), count: 0 }
    }

    /// A permit, or nothing. Whoever gives way for it is told by its [`Notify`] and has its permit no more.
    pub(super) fn take(&mut self, holder: Holder) -> Option<(u64, Rc<Notify>)> {
        let is_room = match holder {
            Holder::Free => {
                self.held.len() < self.max
                    || self.give_way(|other| other != Holder::Free)
                    || self.give_way(|_anybody| true)
            }
            Holder::Household(_) => {
                let own = self.count_of(|other| other == holder);
                let others = self.count_of(|other| other != Holder::Free);
                if own >= PER_HOUSEHOLD_MAX {
                    self.give_way(|other| other == holder)
                } else {
                    others < self.max - self.max / KEPT_PART && self.held.len() < self.max
                        || self.give_way(|other| other != Holder::Free)
                }
            }
        };
        is_room.then(|| {
            let (permit, leave) = (self.next(), Rc::new(Notify::new()));
            self.held.insert(permit, Held { holder, waits_since: None, leave: Rc::clone(&leave) });
            (permit, leave)
        })
    }

    /// It waits for a request, or does not any more.
    pub(super) fn set_waiting(&mut self, permit: u64, waits: bool) {
        let now = self.next();
        if let Some(held) = self.held.get_mut(&permit) {
            held.waits_since = waits.then_some(now);
        }
    }

    /// It is gone.
    pub(super) fn leave(&mut self, permit: u64) {
        self.held.remove(&permit);
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    fn next(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    fn count_of(&self, of: impl Fn(Holder) -> bool) -> usize {
        self.held.values().filter(|held| of(held.holder)).count()
    }

    /// Of these the one that has waited longest goes; false when none waits.
    fn give_way(&mut self, of: impl Fn(Holder) -> bool) -> bool {
        let waiting = self.held.iter().filter(|(_, held)| of(held.holder));
        let oldest = waiting.filter_map(|(permit, held)| Some((held.waits_since?, *permit))).min();
        let Some(held) = oldest.and_then(|(_, permit)| self.held.remove(&permit)) else { return false };
        held.leave.notify_one();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::limits::CONTROL_CONNECTIONS_MAX;

    fn household(number: usize) -> Holder {
        let [.., high, low] = number.to_be_bytes();
        Holder::Household(Household::of(std::net::Ipv4Addr::new(192, 0, high, low).into()))
    }

    #[test]
    fn a_household_has_so_many_and_of_its_own_the_one_that_waits_longest_gives_way() {
        let mut permits = Permits::with_max(CONTROL_CONNECTIONS_MAX);
        let all: Vec<u64> = (0..PER_HOUSEHOLD_MAX).map(|_| permits.take(household(1)).unwrap().0).collect();
        assert!(permits.take(household(1)).is_none(), "all of them are busy");
        let (other, _) = permits.take(household(2)).unwrap();
        permits.set_waiting(other, true);
        for permit in [all[5], all[3], all[5]] {
            permits.set_waiting(permit, true);
        }
        permits.set_waiting(all[9], true);
        permits.set_waiting(all[9], false);
        assert!(permits.take(household(1)).is_some());
        assert!(!permits.held.contains_key(&all[3]) && permits.held.contains_key(&other));
        assert_eq!(permits.held(), PER_HOUSEHOLD_MAX + 1);
    }

    #[test]
    fn some_are_kept_for_this_host_and_it_may_take_those_of_others() {
        let mut permits = Permits::with_max(CONTROL_CONNECTIONS_MAX);
        let others = CONTROL_CONNECTIONS_MAX - CONTROL_CONNECTIONS_MAX / KEPT_PART;
        let taken: Vec<u64> = (0..others).map(|number| permits.take(household(number)).unwrap().0).collect();
        assert!(permits.take(household(others)).is_none());
        for _ in 0..CONTROL_CONNECTIONS_MAX / KEPT_PART {
            permits.take(Holder::Free).unwrap();
        }
        assert!(permits.take(Holder::Free).is_none(), "nobody waits");
        permits.set_waiting(taken[7], true);
        assert!(permits.take(Holder::Free).is_some());
        assert!(!permits.held.contains_key(&taken[7]));
        assert!(permits.take(household(others)).is_none(), "it is full all the same");
        assert_eq!(permits.held(), CONTROL_CONNECTIONS_MAX);
    }

    #[test]
    fn who_gives_way_is_told_and_his_own_end_frees_nothing_more() {
        let mut permits = Permits::with_max(CONTROL_CONNECTIONS_MAX);
        let (first, leave) = permits.take(household(1)).unwrap();
        permits.set_waiting(first, true);
        for _ in 0..PER_HOUSEHOLD_MAX {
            permits.take(household(1)).unwrap();
        }
        let mut told = std::pin::pin!(leave.notified());
        assert!(told.as_mut().enable(), "it was told before it listened");
        permits.leave(first);
        assert_eq!(permits.held(), PER_HOUSEHOLD_MAX);
    }
}
