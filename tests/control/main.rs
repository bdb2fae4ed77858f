//! What cores ask control for, on its own thread and with real programs: child processes and slates.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod children;
mod control;
mod slates;
