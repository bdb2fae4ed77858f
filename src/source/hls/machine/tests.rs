//! Runs of the machine against scripted providers, in virtual time.

mod faults;
mod shapes;
mod world;
