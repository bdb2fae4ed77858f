//! One direction of a connection: bytes in order, not more than fit.

use std::collections::VecDeque;

use super::span::{OpId, Span};

/// Bytes in a queue.
#[derive(Debug)]
pub(super) enum Piece {
    /// The kernel's own copy.
    Copied(Vec<u8>),
    /// Memory lent by a zero-copy send: what arrives is what is there when it is read.
    Lent { op: OpId, span: Span },
}

impl Piece {
    const fn bytes(&self) -> usize {
        match self {
            Self::Copied(bytes) => bytes.len(),
            Self::Lent { span, .. } => span.bytes(),
        }
    }

    fn part(&self, from: usize, bytes: usize) -> Self {
        match self {
            Self::Copied(all) => Self::Copied(all[from..from + bytes].to_vec()),
            Self::Lent { op, span } => Self::Lent { op: *op, span: span.part(from, bytes) },
        }
    }
}

/// A bounded queue of bytes.
#[derive(Debug)]
pub(super) struct Flow {
    pieces: VecDeque<Piece>,
    /// How much of the first piece is gone.
    taken: usize,
    bytes: usize,
    capacity: usize,
}

impl Flow {
    pub(super) const fn new(capacity: usize) -> Self {
        Self { pieces: VecDeque::new(), taken: 0, bytes: 0, capacity }
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) const fn free(&self) -> usize {
        self.capacity - self.bytes
    }

    pub(super) const fn capacity(&self) -> usize {
        self.capacity
    }

    pub(super) fn push(&mut self, piece: Piece) {
        assert!(piece.bytes() <= self.free(), "a queue holds what fits");
        if piece.bytes() > 0 {
            self.bytes += piece.bytes();
            self.pieces.push_back(piece);
        }
    }

    /// Takes the oldest bytes, `most` or what there is.
    pub(super) fn take(&mut self, most: usize) -> Vec<Piece> {
        let mut left = most.min(self.bytes);
        let mut taken = Vec::new();
        while left > 0 {
            let first = self.pieces.front().expect("bytes are counted as they are pushed");
            let bytes = (first.bytes() - self.taken).min(left);
            taken.push(first.part(self.taken, bytes));
            self.taken += bytes;
            self.bytes -= bytes;
            left -= bytes;
            if self.taken == first.bytes() {
                self.pieces.pop_front();
                self.taken = 0;
            }
        }
        taken
    }

    /// Turns what a driver has lent into copies.
    pub(super) fn copy_lent_by(&mut self, driver: u32) {
        for piece in &mut self.pieces {
            if let Piece::Lent { op, span } = piece
                && op.driver == driver
            {
                *piece = Piece::Copied(span.read());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copied(pieces: Vec<Piece>) -> Vec<u8> {
        let parts = pieces.into_iter().map(|piece| match piece {
            Piece::Copied(bytes) => bytes,
            Piece::Lent { .. } => panic!("nothing was lent"),
        });
        parts.flatten().collect()
    }

    #[test]
    fn bytes_come_out_in_the_order_they_went_in_however_they_are_cut() {
        let mut flow = Flow::new(10);
        flow.push(Piece::Copied(vec![1, 2, 3, 4]));
        flow.push(Piece::Copied(vec![5, 6]));
        assert_eq!((flow.bytes(), flow.free()), (6, 4));
        assert_eq!(copied(flow.take(3)), [1, 2, 3]);
        assert_eq!(copied(flow.take(2)), [4, 5]);
        assert_eq!(copied(flow.take(99)), [6]);
        assert_eq!((flow.bytes(), flow.free()), (0, 10));
        assert!(flow.take(1).is_empty());
    }
}
