//! Bytes that must wait for later ones, in front of memory that is used in place.

/// Holds the last bytes of a stream back. What is passed goes through the caller's memory, moved by as many bytes as wait.
#[derive(Debug, Default)]
pub(super) struct Delay {
    held: Vec<u8>,
}

impl Delay {
    pub(super) fn held(&self) -> &[u8] {
        &self.held
    }

    pub(super) const fn held_mut(&mut self) -> &mut Vec<u8> {
        &mut self.held
    }

    pub(super) fn into_held(self) -> Vec<u8> {
        self.held
    }

    /// Of what waits and then `bytes`, the first `count` come to the front of `bytes`; the rest waits.
    pub(super) fn pass(&mut self, bytes: &mut [u8], count: usize) {
        let before = self.held.len();
        if count < before {
            self.held.extend_from_slice(bytes);
            bytes[..count].copy_from_slice(&self.held[..count]);
            self.held.drain(..count);
            return;
        }
        // Nearly always nothing waits, or less than a packet.
        let own = count - before;
        self.held.extend_from_slice(&bytes[own..]);
        bytes.copy_within(..own, before);
        bytes[..before].copy_from_slice(&self.held[..before]);
        self.held.drain(..before);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_byte_is_lost_doubled_or_moved(
            pieces in prop::collection::vec((0_usize..60, 0_usize..60), 1..20),
        ) {
            let mut delay = Delay::default();
            let (mut next, mut passed) = (0_u8, Vec::new());
            for (length, wanted) in pieces {
                let mut bytes: Vec<u8> = (0..length).map(|at| next.wrapping_add(u8::try_from(at).unwrap())).collect();
                next = next.wrapping_add(u8::try_from(length).unwrap());
                let count = wanted.min(length);
                delay.pass(&mut bytes, count);
                passed.extend_from_slice(&bytes[..count]);
            }
            passed.extend(delay.into_held());
            prop_assert!(passed.iter().enumerate().all(|(at, byte)| usize::from(*byte) == at % 256));
        }
    }
}
