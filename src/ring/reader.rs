//! The reading side of a ring, one for each core that reads it.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::memory::{Hold, Lease, RegisteredSpan, Registrations, Shared};

/// A ring on its way to another core, which reads it there.
#[derive(Clone, Debug)]
pub struct SharedRing {
    shared: Arc<Shared>,
}

impl SharedRing {
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Reads the ring here, with registrations of its own.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader::new(&self.shared)
    }

    /// Whether this reader reads it.
    #[must_use]
    pub fn is_read_by(&self, reader: &Reader) -> bool {
        Arc::ptr_eq(&self.shared, &reader.shared)
    }
}

/// Reads a ring on one core. The writer is not waited for and waits for nobody: what it has given up in the meantime is not lent any
/// more.
#[derive(Clone, Debug)]
pub struct Reader {
    shared: Arc<Shared>,
    registered: Rc<Registrations>,
}

impl Reader {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self { registered: Rc::new(Registrations::new(shared)), shared: Arc::clone(shared) }
    }

    pub(super) fn registered(&self) -> &Registrations {
        &self.registered
    }

    /// What lies so many bytes before the end of what is received or being received is still there.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.shared.memory.bytes() as u64 - self.shared.segment_bytes()
    }

    /// The oldest position that can be read.
    #[must_use]
    pub fn tail(&self) -> u64 {
        self.shared.at.tail.load(Ordering::Acquire)
    }

    /// The end of what can be read.
    #[must_use]
    pub fn head(&self) -> u64 {
        self.shared.at.head.load(Ordering::Acquire)
    }

    /// The end of what has been received.
    #[must_use]
    pub fn filled(&self) -> u64 {
        self.shared.at.filled.load(Ordering::Acquire)
    }

    /// The end of what is to be read for now.
    #[must_use]
    pub fn mark(&self) -> u64 {
        self.shared.at.mark.load(Ordering::Acquire)
    }

    /// What is to be registered with a driver for an operation at this position; nothing if it is.
    #[must_use]
    pub fn unregistered(&self, position: u64) -> Option<RegisteredSpan> {
        self.registered.missing(&self.shared, position)
    }

    /// Notes under which index that is registered; what is lent of it from now on says so.
    pub fn note_registered(&self, span: &RegisteredSpan, buffer: u16) {
        self.registered.note(span, buffer);
    }

    /// Registrations that are to be withdrawn: what they name is not the ring's any more.
    #[must_use]
    pub fn take_outdated(&self) -> Vec<u16> {
        self.registered.take_outdated(&self.shared)
    }

    /// All registrations, to be withdrawn: the ring is not read here any more.
    #[must_use]
    pub fn withdraw(&self) -> Vec<u16> {
        self.registered.take_all()
    }

    /// Lends a committed span whose bytes are read where they are, before long. Nothing when the writer has been there.
    #[must_use]
    pub fn lease(&self, position: u64, bytes: usize) -> Option<Lease> {
        self.new_lease(position, bytes, Hold::Reading, None)
    }

    /// Lends a committed span whose pages are held until the lease is dropped. Nothing when the writer has been there.
    #[must_use]
    pub fn lend(&self, position: u64, bytes: usize) -> Option<Lease> {
        let buffer = self.registered.of_span(&self.shared, position, bytes);
        self.new_lease(position, bytes, Hold::Lent, buffer)
    }

    /// Gives a committed span to be sent from the file. Its pages may be held when the lease is long gone. Nothing when the writer has
    /// been there.
    #[must_use]
    pub fn give(&self, position: u64, bytes: usize) -> Option<Lease> {
        self.new_lease(position, bytes, Hold::Given, None)
    }

    /// A copy of a committed span. Nothing when the writer has been there.
    #[must_use]
    pub fn copy(&self, position: u64, bytes: usize) -> Option<Vec<u8>> {
        self.lease(position, bytes).map(|lease| lease.bytes().to_vec())
    }

    fn new_lease(&self, position: u64, bytes: usize, hold: Hold, buffer: Option<u16>) -> Option<Lease> {
        let end = position + bytes as u64;
        assert!(
            end <= self.head(),
            "only what is committed can be read: {position}+{bytes} of {}",
            self.head()
        );
        Lease::new(&self.shared, position, bytes, hold, buffer)
    }
}
