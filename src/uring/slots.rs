//! The descriptors of a core: a number in the process, a slot in the io_uring, and what is in flight on them.

use super::driver::{Handle, Hangup};

pub(super) enum Slot<D> {
    Free,
    Open {
        descriptor: D,
        /// Operations whose completion is to come; a zero-copy send that only awaits its notification does not
        /// count, for the notification needs no descriptor.
        in_flight: u32,
    },
    Closing {
        descriptor: D,
        in_flight: u32,
        how: Hangup,
    },
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
        let open = Slot::Open { descriptor, in_flight: 0 };
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

    /// Counts an operation on an open handle.
    pub(super) fn begin(&mut self, handle: Handle) {
        match &mut self.slots[handle.0 as usize] {
            Slot::Open { in_flight, .. } => *in_flight += 1,
            Slot::Free | Slot::Closing { .. } => unreachable!("{handle:?} is not open"),
        }
    }

    /// An operation on a handle has ended. Gives the descriptor to close when it was the last of a closing one.
    pub(super) fn end(&mut self, handle: Handle) -> Option<(D, Hangup)> {
        let slot = &mut self.slots[handle.0 as usize];
        match slot {
            Slot::Open { in_flight, .. } => {
                *in_flight = in_flight.checked_sub(1).expect("each operation ends once");
                None
            }
            Slot::Closing { in_flight, .. } => {
                *in_flight = in_flight.checked_sub(1).expect("each operation ends once");
                if *in_flight == 0 { self.free(handle) } else { None }
            }
            Slot::Free => unreachable!("{handle:?} has operations in flight and cannot be free"),
        }
    }

    /// Begins to close. True when operations are in flight and must be cancelled first.
    pub(super) fn close(&mut self, handle: Handle, how: Hangup) -> Closed<D> {
        let slot = &mut self.slots[handle.0 as usize];
        match std::mem::replace(slot, Slot::Free) {
            Slot::Open { descriptor, in_flight: 0 } => {
                self.free.push(handle.0);
                Closed::Now(descriptor)
            }
            Slot::Open { descriptor, in_flight } => {
                *slot = Slot::Closing { descriptor, in_flight, how };
                Closed::AfterCancel
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
            Closed::AfterCancel => unreachable!("{handle:?} has operations in flight"),
        }
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
    AfterCancel,
}
