//! The machine in virtual time.

pub(super) mod harness;

mod failover;
mod limits;
mod loss;
mod manual;
mod pass;
mod same_source;
mod viewers;
mod walk;
mod withdrawn;
