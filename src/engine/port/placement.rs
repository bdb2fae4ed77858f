//! Which core a channel lives on.

use crate::lineup::ChannelId;

use super::ids::CoreId;

/// A channel's core: channels that follow each other in the database live on different cores, and every core
/// finds the same answer without asking.
///
/// # Panics
/// Never: the remainder is less than the number of cores.
#[must_use]
pub fn home(channel: ChannelId, cores: u8) -> CoreId {
    let index = channel.0.rem_euclid(i64::from(cores.max(1)));
    CoreId(u8::try_from(index).expect("less than the number of cores"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_channels_in_a_row_spread_evenly_over_two_cores() {
        let on_first = (1..=8).filter(|&id| home(ChannelId(id), 2) == CoreId(0)).count();
        assert_eq!(on_first, 4);
        assert_eq!(home(ChannelId(-1), 3), CoreId(2));
        assert_eq!(home(ChannelId(7), 1), CoreId(0));
    }
}
