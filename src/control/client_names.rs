//! What clients' addresses are called in the DNS, for those who ask. The system's resolver blocks, so each look-up has a thread.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use crate::base::{Clock, Instant};

/// How long one look-up is waited for, and all of one request.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(2);
const ALL_TIMEOUT: Duration = Duration::from_secs(8);
/// How long a name counts, and that there is none.
const NAME_TTL: Duration = Duration::from_secs(120);
const NO_NAME_TTL: Duration = Duration::from_secs(15);
/// Addresses that are remembered. Full: all that is known is forgotten, and learnt again by whoever asks.
const REMEMBERED_MAX: usize = 4096;
/// Threads at the same time. Full: an address waits for its turn, and has no name when that does not come in time.
const LOOKUPS_MAX: usize = 16;
/// The longest name.
const NAME_BYTES_MAX: usize = 253;

/// What is known, and who looks up.
pub(super) struct ClientNames {
    known: RefCell<BTreeMap<IpAddr, (Option<String>, Instant)>>,
    threads: Arc<Semaphore>,
}

impl Default for ClientNames {
    fn default() -> Self {
        Self { known: RefCell::default(), threads: Arc::new(Semaphore::new(LOOKUPS_MAX)) }
    }
}

impl ClientNames {
    /// What is known of an address; nothing when it has to be looked up.
    fn known(&self, now: Instant, address: IpAddr) -> Option<Option<String>> {
        let known = self.known.borrow();
        known.get(&address).filter(|(_, until)| now < *until).map(|(name, _)| name.clone())
    }

    fn learn(&self, now: Instant, address: IpAddr, name: Option<String>) {
        let mut known = self.known.borrow_mut();
        if known.len() >= REMEMBERED_MAX && !known.contains_key(&address) {
            known.clear();
        }
        let ttl = if name.is_some() { NAME_TTL } else { NO_NAME_TTL };
        known.insert(address, (name, now + ttl));
    }
}

/// The names of these addresses, as far as they have some and it is found in time.
pub(super) async fn names(
    of: &Rc<ClientNames>,
    clock: Clock,
    addresses: BTreeSet<IpAddr>,
) -> BTreeMap<IpAddr, String> {
    let unknown: Vec<_> = addresses
        .iter()
        .copied()
        .filter(|address| of.known(clock.now(), *address).is_none())
        .take(REMEMBERED_MAX)
        .map(|address| tokio_uring::spawn(look_up(Rc::clone(of), clock, address)))
        .collect();
    let all = async {
        for lookup in unknown {
            // One that ended in a panic has found nothing.
            let _learnt = lookup.await;
        }
    };
    // What comes later is there for the next who asks.
    let _in_time = timeout(ALL_TIMEOUT, all).await;
    let now = clock.now();
    let name = |address: IpAddr| Some((address, of.known(now, address)??));
    addresses.into_iter().filter_map(name).collect()
}

async fn look_up(of: Rc<ClientNames>, clock: Clock, address: IpAddr) {
    let Ok(turn) = Arc::clone(&of.threads).acquire_owned().await else { return };
    let (sender, found) = oneshot::channel();
    let started = std::thread::Builder::new().name("client-name".to_owned()).spawn(move || {
        let name = dns_lookup::lookup_addr(&address).ok().filter(|name| is_name(name, address));
        // Nobody waits any more after the timeout.
        let _unheard = sender.send(name);
        drop(turn);
    });
    let name = match started {
        Ok(_thread) => timeout(LOOKUP_TIMEOUT, found).await.ok().and_then(Result::ok).flatten(),
        Err(_no_thread) => None,
    };
    of.learn(clock.now(), address, name);
}

/// Whoever owns an address writes what he likes into its entry: a name is letters, digits, dots and dashes. An address that has none
/// comes back as it is.
fn is_name(name: &str, address: IpAddr) -> bool {
    let is_written = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
    is_written && !name.is_empty() && name.len() <= NAME_BYTES_MAX && name != address.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_name_is_not_shown() {
        let address = IpAddr::from([192, 0, 2, 7]);
        for (name, expected) in [
            ("tv.lan", true),
            ("living-room_2", true),
            ("192.0.2.7", false),
            ("", false),
            ("<script>", false),
            ("a b", false),
        ] {
            assert_eq!(is_name(name, address), expected, "{name}");
        }
        assert!(!is_name(&"a".repeat(254), address));
    }

    #[test]
    fn a_name_counts_for_two_minutes_and_no_name_for_a_quarter_of_one() {
        let names = ClientNames::default();
        let at = |second: u64| Instant::from_millis(second * 1000);
        let (named, unnamed) = (IpAddr::from([192, 0, 2, 7]), IpAddr::from([192, 0, 2, 8]));
        names.learn(at(0), named, Some("tv.lan".to_owned()));
        names.learn(at(0), unnamed, None);
        assert_eq!(names.known(at(119), named), Some(Some("tv.lan".to_owned())));
        assert_eq!((names.known(at(120), named), names.known(at(14), unnamed)), (None, Some(None)));
        assert_eq!(names.known(at(15), unnamed), None);
    }

    #[test]
    fn no_more_is_remembered_than_the_bound_says() {
        let names = ClientNames::default();
        for number in 0..5000_u32 {
            names.learn(Instant::START, IpAddr::from(number.to_be_bytes()), None);
            assert!(names.known.borrow().len() <= REMEMBERED_MAX);
        }
    }
}
