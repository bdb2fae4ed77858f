//! One direction of a connection: bytes in order, not more than fit.

use std::collections::VecDeque;

use super::pages::Pages;
use super::span::{OpId, Span};

/// Bytes in a queue.
#[derive(Debug)]
pub(super) enum Piece {
    /// The kernel's own copy.
    Copied(Vec<u8>),
    /// Pages, and what stood there when they were sent; of a zero-copy send, or sent from a file.
    Held { op: Option<OpId>, bytes: Vec<u8> },
}

impl Piece {
    const fn bytes(&self) -> usize {
        match self {
            Self::Copied(bytes) | Self::Held { bytes, .. } => bytes.len(),
        }
    }
}

/// A bounded queue of bytes.
#[derive(Debug)]
pub(super) struct Flow {
    pieces: VecDeque<Piece>,
    /// The pages of those that are held.
    pages: Option<Pages>,
    /// There was no room for pages.
    pages_full: bool,
    /// How much of the first piece is gone.
    taken: usize,
    bytes: usize,
    capacity: usize,
}

impl Flow {
    pub(super) const fn new(capacity: usize) -> Self {
        Self { pieces: VecDeque::new(), pages: None, pages_full: false, taken: 0, bytes: 0, capacity }
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

    /// As in Linux: who has waited is woken when a third of the queue is free.
    pub(super) const fn has_room(&self) -> bool {
        self.free() > 0 && self.free() >= self.capacity / 3 && !self.pages_full
    }

    pub(super) fn push(&mut self, piece: Piece) {
        assert!(piece.bytes() <= self.free(), "a queue holds what fits");
        if piece.bytes() > 0 {
            self.bytes += piece.bytes();
            self.pieces.push_back(piece);
        }
    }

    /// Takes over the pages of a span that fits, as far as there is room for pages. Gives the bytes.
    pub(super) fn hold(&mut self, op: Option<OpId>, span: Span) -> usize {
        let held = self.pages.get_or_insert_with(Pages::new).put(span);
        self.pages_full = held < span.bytes();
        self.push(Piece::Held { op, bytes: span.part(0, held).read() });
        held
    }

    /// Takes the oldest bytes, `most` or what there is.
    pub(super) fn take(&mut self, most: usize) -> Vec<Piece> {
        let mut left = most.min(self.bytes);
        let mut taken = Vec::new();
        while left > 0 {
            let first = self.pieces.front().expect("bytes are counted as they are pushed");
            let bytes = (first.bytes() - self.taken).min(left);
            let part = self.taken..self.taken + bytes;
            taken.push(match first {
                Piece::Copied(all) => Piece::Copied(all[part].to_vec()),
                Piece::Held { op, bytes: sent } => {
                    let now = self.pages.as_mut().expect("what is held has pages").take(bytes);
                    assert!(now == sent[part], "leased bytes changed in a socket's queue");
                    self.pages_full = false;
                    Piece::Held { op: *op, bytes: now }
                }
            });
            self.taken += bytes;
            self.bytes -= bytes;
            left -= bytes;
            if self.taken == self.pieces.front().map_or(0, Piece::bytes) {
                self.pieces.pop_front();
                self.taken = 0;
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copied(pieces: Vec<Piece>) -> Vec<u8> {
        let parts = pieces.into_iter().map(|piece| match piece {
            Piece::Copied(bytes) => bytes,
            Piece::Held { .. } => panic!("nothing is held"),
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
