//! Sources' health on its way from the cores to the store, and the operator's wish to forget it.

use std::rc::Rc;

use crate::engine::{CoreCommand, CoreId};
use crate::lineup::{ChannelId, HealthRow, SourceId};
use crate::store::StoreError;

use super::state::State;

/// Has the store write what a core has learned. The core is told what came of it, exactly once.
pub(super) fn persist(state: &Rc<State>, core: CoreId, seq: u64, rows: Vec<HealthRow<SourceId>>) {
    // Handed over before anything else is read from the cores: the store does things in the order of their asking.
    let asked = state.tell_store::<_, StoreError>(move |database| database.write_health(&rows));
    let state = Rc::clone(state);
    tokio_uring::spawn(async move {
        let written = match asked {
            Ok(answer) => answer.await.expect("every job that is taken is answered"),
            Err(busy) => Err(busy.into()),
        };
        let result = written.map_err(|error| with_cause(&error));
        state.outbox.send(core, CoreCommand::HealthPersisted { seq, result });
    });
}

/// The database has been reset: the cores are told. They may read the rows of the lineup, so that comes first.
pub(super) async fn cleared(state: &State, channel: Option<ChannelId>) {
    if let Err(error) = state.publish_lineup().await {
        log::warn!("the cores keep the old health of sources they have not used: {}", with_cause(&error));
    }
    state.outbox.send_all(|| CoreCommand::ClearHealth { channel });
}

fn with_cause(error: &StoreError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests;
