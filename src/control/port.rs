//! The cores' way to control: a bounded queue that gives back what does not fit.

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::base::limits::CONTROL_REQUESTS_MAX;
use crate::engine::{ControlPort, ControlRequest};

/// The sending side, one clone per core. A core drops its clone when its thread returns: control knows by
/// that when a drain is over, so nobody else may keep one.
#[derive(Clone)]
pub struct Port(Sender<ControlRequest>);

/// Control's side.
pub struct Inbox(pub(super) Receiver<ControlRequest>);

/// A queue of [`CONTROL_REQUESTS_MAX`] requests, made before the threads are started.
#[must_use]
pub fn port() -> (Port, Inbox) {
    let (sender, receiver) = channel(CONTROL_REQUESTS_MAX);
    (Port(sender), Inbox(receiver))
}

impl ControlPort for Port {
    fn request(&self, request: ControlRequest) -> Result<(), Box<ControlRequest>> {
        self.0.try_send(request).map_err(|error| match error {
            TrySendError::Full(request) | TrySendError::Closed(request) => Box::new(request),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{CoreId, Ticket};

    fn stop(number: u64) -> ControlRequest {
        ControlRequest::StopChild { core: CoreId(0), ticket: Ticket(number) }
    }

    #[test]
    fn a_request_that_does_not_fit_comes_back() {
        let (port, inbox) = port();
        for number in 0..CONTROL_REQUESTS_MAX {
            port.request(stop(u64::try_from(number).unwrap())).unwrap();
        }
        let returned = port.request(stop(77)).unwrap_err();
        assert!(matches!(*returned, ControlRequest::StopChild { ticket: Ticket(77), .. }));
        drop(inbox);
        assert!(port.request(stop(78)).is_err());
    }
}
