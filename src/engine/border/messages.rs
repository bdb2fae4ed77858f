//! How a channel tells its outlets.

use crate::engine::context::cx::{CoreDriver, Cx};

use super::feed::Feed;
use crate::engine::port::outlets::{Reply, ToOutlet};

/// Those who read a channel.
pub(crate) trait Readers<D: CoreDriver> {
    /// Tells them something. What comes of it on other cores is told later, by [`ToHome`](crate::engine::port::outlets::ToHome).
    fn tell(&mut self, cx: &mut Cx<D>, feed: &Feed, word: ToOutlet) -> Reply;
}
