//! The machine in virtual time.

pub(super) mod harness;

mod viewers;
