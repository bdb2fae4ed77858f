//! The world around a simulated core: sources that misbehave, viewers that come and go, and checkers of what
//! the viewers get. All of it is a function of a seed.

mod checker;
mod outside;
mod packets;
pub(crate) mod providers;
pub(crate) mod recovery;
pub(crate) mod run;
mod scene;
mod upstream;
mod viewer;
