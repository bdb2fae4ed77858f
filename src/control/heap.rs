//! Memory that a crowd or a long list has left behind is given back once nobody holds it.

use std::time::Duration;

use tokio::time::sleep;

use crate::base::heap;

const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// Less is not worth it.
const MORE_BYTES_MIN: usize = 1024 * 1024;

/// Looks after it for ever.
pub(super) async fn keep_small() -> ! {
    let mut leftover = Leftover::default();
    loop {
        let free_bytes = heap::free_bytes();
        if leftover.is_worth_it(free_bytes, resident_bytes()) {
            heap::give_back();
            leftover = Leftover { free_bytes, resident_bytes: resident_bytes() };
        }
        sleep(LOOK_INTERVAL).await;
    }
}

/// Bytes of this process that are resident and stand in no file; zero where nobody says.
fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|value| value.split_whitespace().next()?.parse::<usize>().ok());
    kib.unwrap_or(0) * 1024
}

/// How it was when memory was given back last. What is free between things that stay cannot be, and is not tried for again.
#[derive(Default)]
struct Leftover {
    free_bytes: usize,
    resident_bytes: usize,
}

impl Leftover {
    /// Whether to give back now: more is free, or what was given back has been taken and left again.
    fn is_worth_it(&mut self, free_bytes: usize, resident_bytes: usize) -> bool {
        self.free_bytes = self.free_bytes.min(free_bytes);
        self.resident_bytes = self.resident_bytes.min(resident_bytes);
        let is_more_free = free_bytes >= self.free_bytes + MORE_BYTES_MIN;
        let is_back = resident_bytes >= self.resident_bytes + MORE_BYTES_MIN && free_bytes >= MORE_BYTES_MIN;
        is_more_free || is_back
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_given_back_when_a_mebibyte_more_is_free_or_resident_than_the_last_time() {
        const MIB: usize = 1024 * 1024;
        let mut leftover = Leftover { free_bytes: 0, resident_bytes: 4 * MIB };
        for (what, free, resident, is_worth_it) in [
            ("little is free", MIB / 2, 4 * MIB, false),
            ("viewers have come", MIB / 2, 20 * MIB, false),
            ("they have gone", 12 * MIB, 20 * MIB, true),
            ("it was given back, and stays in the books", 12 * MIB, 5 * MIB, false),
            ("some is in use again", 4 * MIB, 12 * MIB, true),
            ("it is in use still", 4 * MIB, 12 * MIB, false),
            ("and is not any more", 12 * MIB, 12 * MIB, true),
            ("taken and left between two looks", 12 * MIB, 13 * MIB, true),
        ] {
            assert_eq!(leftover.is_worth_it(free, resident), is_worth_it, "{what}");
            if is_worth_it {
                let resident_bytes = if free == 12 * MIB { 5 * MIB } else { resident };
                leftover = Leftover { free_bytes: free, resident_bytes };
            }
        }
    }
}
