//! The descriptors of a core: a number in the process, a slot in the io_uring, and what is in flight on them.

use crate::base::behind_last;

use super::driver::{Handle, Hangup};

pub(super) enum Slot<D> {
    Free,
    Open { descriptor: D, in_flight: InFlightOn },
    Closing { descriptor: D, in_flight: InFlightOn, how: Hangup },
}

/// The operations on a descriptor whose completion is to come; a zero-copy send that only awaits its notification does not
/// count, for the notification needs no descriptor.
///
/// A viewer has two at most: one that sends, and one that waits for its end. The kernel finds an operation by its own number at once, but
/// looks through all of them for those of a descriptor.
#[derive(Clone, Copy)]
pub(super) struct InFlightOn {
    count: u32,
    /// Where in the table of operations two of them are.
    known: [u32; 2],
}

/// The place in [`InFlightOn::known`] of no operation.
const NONE: u32 = u32::MAX;

impl InFlightOn {
    const NOTHING: Self = Self { count: 0, known: [NONE; 2] };

    fn begin(&mut self, operation: u32) {
        self.count += 1;
        if let Some(place) = self.known.iter_mut().find(|place| **place == NONE) {
            *place = operation;
        }
    }

    fn end(&mut self, operation: u32) {
        self.count = self.count.checked_sub(1).expect("each operation ends once");
        if let Some(place) = self.known.iter_mut().find(|place| **place == operation) {
            *place = NONE;
        }
    }

    fn to_cancel(self) -> ToCancel {
        let known = self.known.iter().filter(|place| **place != NONE).count();
        if known == self.count as usize {
            ToCancel::These(self.known.map(|place| (place != NONE).then_some(place)))
        } else {
            ToCancel::All
        }
    }
}

/// The slots of a core, for descriptors of one kind.
pub(super) struct Slots<D> {
    slots: Vec<Slot<D>>,
    free: Vec<u32>,
    limit: u32,
}

impl<D> Slots<D> {
    pub(super) const fn with_limit(limit: u32) -> Self {
        Self { slots: Vec::new(), free: Vec::new(), limit }
    }

    pub(super) fn insert(&mut self, descriptor: D) -> Result<Handle, D> {
        let open = Slot::Open { descriptor, in_flight: InFlightOn::NOTHING };
        if let Some(index) = self.free.pop() {
            self.slots[index as usize] = open;
            return Ok(Handle(index));
        }
        let full = u32::try_from(self.slots.len()).map_or(true, |count| count >= self.limit);
        match (full, open) {
            (true, Slot::Open { descriptor, .. }) => Err(descriptor),
            (_, open) => {
                let index = u32::try_from(self.slots.len()).expect("below the limit");
                self.slots.push(open);
                Ok(Handle(index))
            }
        }
    }

    /// The descriptor of a handle that is open or closing.
    pub(super) fn descriptor(&self, handle: Handle) -> &D {
        match &self.slots[handle.0 as usize] {
            Slot::Open { descriptor, .. } | Slot::Closing { descriptor, .. } => descriptor,
            Slot::Free => unreachable!("{handle:?} is not open"),
        }
    }

    /// True from when it is closed until its last operation has ended.
    pub(super) fn is_closing(&self, handle: Handle) -> bool {
        matches!(self.slots[handle.0 as usize], Slot::Closing { .. })
    }

    /// Notes an operation on an open handle, by its place in the table of operations.
    pub(super) fn begin(&mut self, handle: Handle, operation: u32) {
        match &mut self.slots[handle.0 as usize] {
            Slot::Open { in_flight, .. } => in_flight.begin(operation),
            Slot::Free | Slot::Closing { .. } => unreachable!("{handle:?} is not open"),
        }
    }

    /// An operation on a handle has ended. Gives the descriptor to close when it was the last of a closing one.
    pub(super) fn end(&mut self, handle: Handle, operation: u32) -> Option<(D, Hangup)> {
        let slot = &mut self.slots[handle.0 as usize];
        match slot {
            Slot::Open { in_flight, .. } => {
                in_flight.end(operation);
                None
            }
            Slot::Closing { in_flight, .. } => {
                in_flight.end(operation);
                if in_flight.count == 0 { self.free(handle) } else { None }
            }
            Slot::Free => unreachable!("{handle:?} has operations in flight and cannot be free"),
        }
    }

    /// Begins to close. True when operations are in flight and must be cancelled first.
    pub(super) fn close(&mut self, handle: Handle, how: Hangup) -> Closed<D> {
        let slot = &mut self.slots[handle.0 as usize];
        match std::mem::replace(slot, Slot::Free) {
            Slot::Open { descriptor, in_flight } if in_flight.count == 0 => {
                self.free.push(handle.0);
                Closed::Now(descriptor)
            }
            Slot::Open { descriptor, in_flight } => {
                *slot = Slot::Closing { descriptor, in_flight, how };
                Closed::AfterCancel(in_flight.to_cancel())
            }
            Slot::Free | Slot::Closing { .. } => unreachable!("{handle:?} is closed once"),
        }
    }

    fn free(&mut self, handle: Handle) -> Option<(D, Hangup)> {
        match std::mem::replace(&mut self.slots[handle.0 as usize], Slot::Free) {
            Slot::Closing { descriptor, how, .. } => {
                self.free.push(handle.0);
                Some((descriptor, how))
            }
            Slot::Free | Slot::Open { .. } => unreachable!("{handle:?} was closing"),
        }
    }

    /// Takes an idle descriptor out.
    pub(super) fn remove(&mut self, handle: Handle) -> D {
        match self.close(handle, Hangup::Finish) {
            Closed::Now(descriptor) => descriptor,
            Closed::AfterCancel(_) => unreachable!("{handle:?} has operations in flight"),
        }
    }

    /// Gives the memory back that lies behind the last descriptor.
    pub(super) fn give_back(&mut self) {
        let count = behind_last(&mut self.free, self.slots.len());
        self.slots.truncate(count);
        self.slots.shrink_to_fit();
        self.free.retain(|index| (*index as usize) < count);
        self.free.shrink_to_fit();
    }

    #[cfg(any(test, feature = "sim"))]
    pub(super) fn open_count(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(super) fn open_handles(&self) -> Vec<Handle> {
        let indexed = self.slots.iter().zip(0u32..);
        indexed
            .filter(|(slot, _)| matches!(slot, Slot::Open { .. }))
            .map(|(_, index)| Handle(index))
            .collect()
    }
}

/// How far [`Slots::close`] got.
pub(super) enum Closed<D> {
    /// Nothing was in flight.
    Now(D),
    /// The descriptor is closed by the last operation's end.
    AfterCancel(ToCancel),
}

/// What is in flight on a descriptor that is closed.
pub(super) enum ToCancel {
    /// Operations by their places in the table.
    These([Option<u32>; 2]),
    /// More than are known one by one: whatever is on the descriptor.
    All,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_behind_the_last_descriptor_are_given_back() {
        let mut slots = Slots::with_limit(100);
        let handles: Vec<_> = (0..100_u32).map(|descriptor| slots.insert(descriptor).unwrap()).collect();
        for handle in handles.iter().filter(|handle| handle.0 != 40) {
            assert!(matches!(slots.close(*handle, Hangup::Finish), Closed::Now(_)));
        }
        slots.give_back();
        assert_eq!((slots.slots.capacity(), *slots.descriptor(handles[40]), slots.open_count()), (41, 40, 1));
        let again: Vec<_> = (0..99).map(|descriptor| slots.insert(descriptor).unwrap().0).collect();
        assert!(again.iter().copied().eq((0..40).chain(41..100)) && slots.insert(7).is_err());
    }

    #[test]
    fn what_is_in_flight_on_a_closed_descriptor_is_known_up_to_two_operations() {
        let cancelled = |begun: &[u32], ended: &[u32]| {
            let mut slots = Slots::with_limit(1);
            let handle = slots.insert(()).unwrap();
            begun.iter().for_each(|operation| slots.begin(handle, *operation));
            for operation in ended {
                assert!(slots.end(handle, *operation).is_none(), "it is open");
            }
            match slots.close(handle, Hangup::Finish) {
                Closed::Now(()) => Some(Vec::new()),
                Closed::AfterCancel(ToCancel::These(these)) => Some(these.into_iter().flatten().collect()),
                Closed::AfterCancel(ToCancel::All) => None,
            }
        };
        for (begun, ended, expected) in [
            (&[][..], &[][..], Some(vec![])),
            (&[7], &[7], Some(vec![])),
            (&[7], &[], Some(vec![7])),
            (&[7, 0], &[], Some(vec![7, 0])),
            (&[7, 0, 3], &[0], None),
            (&[7, 0, 3], &[3], Some(vec![7, 0])),
            (&[7, 0, 3], &[7, 0], None),
            (&[7, 0, 3], &[3, 7, 0], Some(vec![])),
        ] {
            assert_eq!(cancelled(begun, ended), expected, "{begun:?} begun, {ended:?} ended");
        }
    }
}
