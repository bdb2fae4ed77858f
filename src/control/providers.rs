//! What cores have seen of providers: on its way to the store and back.

use std::rc::Rc;

use crate::engine::{CoreCommand, CoreId};
use crate::session::{Counted, ProviderScope};
use crate::store::StoreError;

use super::state::State;

/// Has the store write how long a provider counts a connection that is closed. All cores know it already.
pub(super) fn remember(state: &Rc<State>, counted: Counted) {
    let (name, time, now) = (counted.provider.to_string(), counted.time, state.wall_now());
    let asked = state.tell_store::<_, StoreError>(move |database| database.set_counted(&name, time, now));
    tokio_uring::spawn(async move {
        let written = match asked {
            Ok(answer) => answer.await.expect("every job that is taken is answered"),
            Err(busy) => Err(busy.into()),
        };
        // It is learnt again.
        if let Err(error) = written {
            log::debug!("what a provider does is not kept: {error}");
        }
    });
}

/// Tells the cores what was seen before this process began: one of them, since they know the same of providers.
pub(super) async fn recall(state: &State) {
    let now = state.wall_now();
    match state.ask_store::<_, StoreError>(move |database| database.counted(now)).await {
        Ok(rows) => {
            for (name, time) in rows {
                let counted = Counted { provider: ProviderScope::named(&name), time: Some(time) };
                state.outbox.send(CoreId(0), CoreCommand::ProviderSeen(counted));
            }
        }
        Err(error) => log::warn!("what providers did before is not known: {error}"),
    }
}
