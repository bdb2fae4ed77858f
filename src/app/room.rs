//! How many viewers and channels fit into what this process may use, and which setting changes that.

use std::fmt;
use std::fs;

use nix::unistd::{SysconfVar, sysconf};

use tunerd::base::limits::{
    CHANNELS_PER_CORE_MAX, CONNECTIONS_PER_CORE_MAX, CONTROL_CONNECTIONS_MAX, DESCRIPTORS_BASE,
    DESCRIPTORS_PER_CHANNEL, DESCRIPTORS_PER_CORE,
};
use tunerd::base::{Errno, KernelBytes};
use tunerd::config::Settings;
use tunerd::engine::{self, RingBudget, ZeroCopy};
use tunerd::ring::{Lent, RegisteredSpan, Ring, Segments};
use tunerd::uring::{Driver, Files, KernelDriver, Probe};

/// Rings that are tried are no more than this together: a start takes no longer for it than a few hundredths of a second.
const TRIED_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// Of the descriptors, such a part is kept for connections that are not viewers yet,
const NEWCOMERS_PART: u64 = 8;
/// and such a part for those of administrators and clients who ask for lists.
const CONTROL_PART: u64 = 16;
/// The capability to lock any amount of memory, in the numbers of the kernel.
const CAP_IPC_LOCK: u32 = 14;

/// What there is, as far as it bounds something.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Facts {
    /// Descriptors that this process may have.
    open_files: u64,
    cores: u64,
    /// Channels that may be open at once, by the settings.
    channels: u64,
    /// Viewers, by the settings.
    viewers: Option<u64>,
    /// Memory that one ring takes.
    ring_bytes: u64,
    /// Memory for all rings, and whether a setting says so.
    rings_bytes: u64,
    is_set: bool,
    /// What a try of rings came to.
    tried: Tried,
    /// Locked memory that this process may have; `None` when it may have any.
    locked_bytes: Option<u64>,
}

/// What came of rings that were made, and registered with io_uring, as each core does that has viewers of a channel. A ring is in
/// memory once; what is locked is counted for each registration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Tried {
    /// There is no memory for this many.
    NoRing(u64, nix::Error),
    /// So many could be registered with every core, each of so many bytes on all of them together, and no more.
    Refused { rings: u64, bytes: u64, errno: Errno },
    /// All that were tried could be registered with every core, each of so many bytes on all of them together.
    Registered { rings: u64, bytes: u64 },
    /// They could be made. Registered they are not: nothing is sent from registered memory.
    Made,
}

/// A number and what it is bounded by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Fit {
    /// So many fit.
    pub(crate) count: u64,
    /// What to change for more.
    pub(crate) bound: String,
}

/// What follows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Plan {
    channels: u64,
    /// Viewers of all channels.
    pub(crate) viewers: Fit,
    /// Channels that can be watched at once.
    pub(crate) fit: Fit,
    /// Connections, viewers included.
    connections: u64,
    /// Connections for what is no stream.
    pub(crate) control: usize,
    /// What is to be said of registered memory; nothing where none is wanted.
    registered: Option<String>,
    /// Channels whose rings cannot be registered.
    unregistered: u64,
}

impl Plan {
    /// What follows from these facts.
    pub(crate) fn new(facts: &Facts) -> Self {
        let base = DESCRIPTORS_BASE + DESCRIPTORS_PER_CORE * facts.cores;
        // What channels need of them is at most half: somebody must be able to watch.
        let of_channels = (facts.open_files / 2).saturating_sub(base) / DESCRIPTORS_PER_CHANNEL;
        let by_memory = facts.rings_bytes / facts.ring_bytes.max(1);
        let memory = if facts.is_set {
            format!(
                "RING_MEMORY_BYTES={}, a ring takes {} (SUBSCRIBER_JOIN_LAG_BYTES)",
                facts.rings_bytes, facts.ring_bytes
            )
        } else {
            format!(
                "half of the memory, {} MiB, a ring takes {} KiB; RING_MEMORY_BYTES says how much rings may take, \
                 SUBSCRIBER_JOIN_LAG_BYTES how large one is",
                facts.rings_bytes / 1024 / 1024,
                facts.ring_bytes / 1024
            )
        };
        let mut fit = [
            Fit { count: facts.channels, bound: "TUNER_COUNT".to_owned() },
            Fit { count: u64::from(CHANNELS_PER_CORE_MAX) * facts.cores, bound: "CORES".to_owned() },
            Fit { count: by_memory, bound: memory },
            Fit { count: of_channels, bound: open_files(facts.open_files) },
        ]
        .into_iter()
        .min_by_key(|fit| fit.count)
        .expect("there are some");
        if let Tried::NoRing(rings, error) = &facts.tried {
            let bound = format!(
                "there is no memory for more rings of {} KiB: {}",
                facts.ring_bytes / 1024,
                error.desc()
            );
            fit = Fit { count: fit.count.min(*rings), bound };
        }
        let kept = base + fit.count * DESCRIPTORS_PER_CHANNEL;
        let newcomers = (facts.open_files / NEWCOMERS_PART).max(16);
        let control = (facts.open_files / CONTROL_PART).clamp(8, CONTROL_CONNECTIONS_MAX as u64);
        let all = u64::from(CONNECTIONS_PER_CORE_MAX) * facts.cores;
        let by_descriptors = facts.open_files.saturating_sub(kept + newcomers + control);
        let mut viewers = [
            Fit { count: by_descriptors, bound: open_files(facts.open_files) },
            Fit { count: all.saturating_sub(newcomers.min(all / 2)), bound: "CORES".to_owned() },
        ]
        .into_iter()
        .min_by_key(|fit| fit.count)
        .expect("there are some");
        if let Some(count) = facts.viewers.filter(|count| *count <= viewers.count) {
            viewers = Fit { count, bound: "VIEWERS_MAX".to_owned() };
        }
        let connections = viewers.count + newcomers;
        let (registered, unregistered) = registered(facts, fit.count);
        Self {
            channels: facts.channels,
            viewers,
            fit,
            connections,
            control: usize::try_from(control).unwrap_or(CONTROL_CONNECTIONS_MAX),
            registered,
            unregistered,
        }
    }

    /// What the engine is told of it.
    pub(crate) fn apply(&self, engine: &mut engine::Params) {
        let whole = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        // Zero would be any number.
        engine.gate.viewers_max = whole(self.viewers.count).max(1);
        engine.room.connections_max = whole(self.connections);
    }

    /// What does not fit, for the log.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        if self.fit.count < self.channels {
            complaints.push(format!(
                "only {} of TUNER_COUNT={} channels fit: {}",
                self.fit.count, self.channels, self.fit.bound
            ));
        }
        if self.unregistered > 0 {
            complaints.extend(self.registered.clone());
        }
        complaints
    }

    /// All of it, for `check`.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = vec![
            self.to_string(),
            format!("  viewers are bounded by {}", self.viewers.bound),
            format!("  channels are bounded by {}", self.fit.bound),
        ];
        lines.extend(self.registered.as_ref().map(|said| format!("  {said}")));
        lines
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (viewers, fit, channels) = (self.viewers.count, self.fit.count, self.channels);
        write!(formatter, "room for {viewers} viewers and {fit} of {channels} channels")
    }
}

fn open_files(count: u64) -> String {
    format!("{count} open files (ulimit -n, systemd: LimitNOFILE=)")
}

/// What is to be said of registered memory, and for how many of these channels there is none.
fn registered(facts: &Facts, channels: u64) -> (Option<String>, u64) {
    let limit =
        facts.locked_bytes.map_or_else(|| "not limited".to_owned(), |bytes| format!("{} KiB", bytes / 1024));
    let each = if facts.cores > 1 { format!(" with each of {} cores", facts.cores) } else { String::new() };
    let without = |count: u64, errno: Option<Errno>| {
        let error = errno.map_or_else(String::new, |errno| format!(" ({errno})"));
        let sentence = format!(
            "the rings of {count} of {channels} channels can be registered{each}{error}, viewers of the others are sent to by copying or \
             from files: locked memory is {limit} (ulimit -l, systemd: LimitMEMLOCK=infinity)"
        );
        (Some(sentence), channels.saturating_sub(count))
    };
    match (&facts.tried, facts.locked_bytes) {
        (Tried::Made | Tried::NoRing(..), _) => (None, 0),
        (Tried::Refused { rings, errno, .. }, _) => without(*rings, Some(*errno)),
        (Tried::Registered { rings, bytes }, Some(locked)) => {
            let count = (locked / (*bytes).max(1)).max(*rings);
            if count < channels {
                without(count, None)
            } else {
                (Some(format!("the rings of all channels can be registered{each}")), 0)
            }
        }
        (Tried::Registered { .. }, None) => {
            (Some(format!("the rings of all channels can be registered{each}")), 0)
        }
    }
}

/// Asks this host, and tries what will be used. The budget is for all rings.
pub(crate) fn facts(settings: &Settings, engine: &engine::Params, probe: &Probe) -> Facts {
    let ring_bytes = engine.ring_memory_bytes(engine.ring_bytes());
    let locked_bytes = locked_bytes(probe);
    Facts {
        open_files: probe.open_files_limit,
        cores: u64::from(engine.cores),
        channels: u64::from(engine.tuners),
        viewers: settings.subscriber.viewers_max.map(u64::from),
        ring_bytes,
        rings_bytes: engine.room.rings.bytes_max(),
        is_set: settings.engine.ring_memory_bytes.is_some(),
        tried: tried(engine, probe, ring_bytes, locked_bytes),
        locked_bytes,
    }
}

/// Memory that this process may lock; `None` when it may lock any amount.
pub(crate) fn locked_bytes(probe: &Probe) -> Option<u64> {
    probe.locked_memory_limit.filter(|_| !may_lock_any_amount())
}

/// Memory that rings may take.
pub(crate) fn budget(settings: &Settings) -> RingBudget {
    RingBudget::with_bytes(settings.engine.ring_memory_bytes.unwrap_or_else(|| memory_bytes() / 2))
}

/// Rings are made and registered as cores do, by a thread that is gone afterwards, with all that it held.
fn tried(engine: &engine::Params, probe: &Probe, ring_bytes: u64, locked_bytes: Option<u64>) -> Tried {
    let rings = (TRIED_BYTES_MAX / ring_bytes.max(1)).min(u64::from(engine.tuners)).max(1);
    let (bytes, segments, files) = (usize::try_from(engine.ring_bytes()), engine.segments, probe.files);
    let cores = engine.cores;
    let registers = matches!(engine.egress.zero_copy, ZeroCopy::Auto | ZeroCopy::SendZc);
    let try_all = move || {
        let Ok(bytes) = bytes else { return Tried::NoRing(0, nix::Error::ENOMEM) };
        let mut made = Vec::new();
        for number in 0..rings {
            match Ring::new(bytes, segments) {
                Ok(ring) => made.push(ring),
                Err(error) => return Tried::NoRing(number, error),
            }
        }
        if !registers { Tried::Made } else { registered_of(&made, segments, (files, cores), locked_bytes) }
    };
    let thread = std::thread::Builder::new().name("try-rings".to_owned()).spawn(try_all);
    thread.ok().and_then(|thread| thread.join().ok()).unwrap_or(Tried::Made)
}

/// How many of these rings can be registered with every core: each has an io_uring of its own. What is certain to be refused is not
/// tried: what a try has locked is free again a little later only, and a core may need it.
fn registered_of(
    made: &[Ring],
    segments: Segments,
    (files, cores): (Files, u8),
    locked_bytes: Option<u64>,
) -> Tried {
    let spans = |ring: &Ring| -> Vec<RegisteredSpan> {
        let all = (0..ring.capacity() + segments.bytes() as u64).step_by(segments.bytes());
        all.filter_map(|position| ring.reader().unregistered(position)).collect()
    };
    let once: u64 = made.first().map_or(0, |ring| spans(ring).iter().map(|span| span.len() as u64).sum());
    let bytes = once * u64::from(cores);
    if locked_bytes.is_some_and(|locked| locked < bytes) {
        return Tried::Refused { rings: 0, bytes, errno: Errno::NOMEM };
    }
    let drivers: Result<Vec<_>, _> = (0..cores).map(|_| KernelDriver::<(), Lent>::new(files)).collect();
    // A core says it, and ends the start.
    let Ok(mut drivers) = drivers else { return Tried::Made };
    for (ring, rings) in made.iter().zip(0..) {
        for driver in &mut drivers {
            if let Err(errno) = spans(ring).iter().try_for_each(|span| driver.register_memory(span).map(drop))
            {
                return Tried::Refused { rings, bytes, errno };
            }
        }
    }
    Tried::Registered { rings: made.len() as u64, bytes }
}

/// What this host or its container has.
fn memory_bytes() -> u64 {
    let of =
        |variable| sysconf(variable).ok().flatten().and_then(|value| u64::try_from(value).ok()).unwrap_or(0);
    let host = of(SysconfVar::_PHYS_PAGES).saturating_mul(of(SysconfVar::PAGE_SIZE));
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    cgroup_limit(&own, |path| fs::read_to_string(path).ok()).map_or(host, |limit| limit.min(host))
}

/// The least that a control group of this process, or one around it, may have. `own` is `/proc/self/cgroup`.
fn cgroup_limit(own: &str, read: impl Fn(&str) -> Option<String>) -> Option<u64> {
    let path = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    let around = path.match_indices('/').map(|(end, _)| &path[..end]).chain([path.trim_end_matches('/')]);
    around.filter_map(|path| read(&format!("/sys/fs/cgroup{path}/memory.max"))?.trim().parse().ok()).min()
}

/// A limit on locked memory does not hold for who has the capability.
fn may_lock_any_amount() -> bool {
    has_capability(&fs::read_to_string("/proc/self/status").unwrap_or_default(), CAP_IPC_LOCK)
}

fn has_capability(status: &str, number: u32) -> bool {
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    effective
        .and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok())
        .is_some_and(|bits| bits >> number & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    fn roomy() -> Facts {
        Facts {
            open_files: 262_144,
            cores: 1,
            channels: 2,
            viewers: None,
            ring_bytes: 11 * MIB,
            rings_bytes: 4096 * MIB,
            is_set: false,
            tried: Tried::Registered { rings: 2, bytes: 16 * MIB },
            locked_bytes: None,
        }
    }

    #[test]
    fn what_bounds_viewers_and_channels_is_named_with_what_changes_it() {
        for (facts, viewers, by, channels, because) in [
            (roomy(), 16_384, "CORES", 2, "TUNER_COUNT"),
            (Facts { cores: 2, ..roomy() }, 32_768, "CORES", 2, "TUNER_COUNT"),
            (Facts { viewers: Some(500), ..roomy() }, 500, "VIEWERS_MAX", 2, "TUNER_COUNT"),
            (
                Facts { open_files: 1024, ..roomy() },
                742,
                "1024 open files (ulimit -n, systemd: LimitNOFILE=)",
                2,
                "TUNER_COUNT",
            ),
            (
                Facts { open_files: 1024, viewers: Some(9000), ..roomy() },
                742,
                "LimitNOFILE=",
                2,
                "TUNER_COUNT",
            ),
            (
                Facts { open_files: 1024, channels: 200, ..roomy() },
                322,
                "LimitNOFILE=",
                44,
                "1024 open files",
            ),
            (Facts { open_files: 100, ..roomy() }, 6, "LimitNOFILE=", 0, "100 open files"),
            (
                Facts { channels: 200, rings_bytes: 1000 * MIB, ..roomy() },
                16_384,
                "CORES",
                90,
                "RING_MEMORY_BYTES says",
            ),
            (
                Facts { channels: 200, rings_bytes: 30 * MIB, is_set: true, ..roomy() },
                16_384,
                "CORES",
                2,
                "RING_MEMORY_BYTES=31457280",
            ),
            (
                Facts { rings_bytes: MIB, is_set: true, ..roomy() },
                16_384,
                "CORES",
                0,
                "SUBSCRIBER_JOIN_LAG_BYTES",
            ),
            (
                Facts { tried: Tried::NoRing(1, nix::Error::ENOMEM), ..roomy() },
                16_384,
                "CORES",
                1,
                "no memory for more rings",
            ),
        ] {
            let plan = Plan::new(&facts);
            assert_eq!((plan.viewers.count, plan.fit.count), (viewers, channels), "{facts:?}");
            assert!(plan.viewers.bound.contains(by), "{plan:?}");
            assert!(plan.fit.bound.contains(because), "{plan:?}");
            let kept = facts.open_files.saturating_sub(plan.connections + plan.control as u64);
            assert!(
                kept >= DESCRIPTORS_BASE.min(facts.open_files / 2) + channels * DESCRIPTORS_PER_CHANNEL,
                "{plan:?}"
            );
            let complains = plan.complaints().iter().any(|said| said.contains(because));
            assert_eq!(complains, channels < facts.channels, "{:?}", plan.complaints());
        }
    }

    #[test]
    fn how_many_rings_can_be_registered_is_said_with_the_limit() {
        let refused = Tried::Refused { rings: 0, bytes: 65_536, errno: Errno::NOMEM };
        for (tried, locked_bytes, channels, without, expected) in [
            (roomy().tried, None, 200, 0, Some("the rings of all channels can be registered")),
            (roomy().tried, Some(64 * MIB), 4, 0, Some("the rings of all channels can be registered")),
            (
                roomy().tried,
                Some(64 * MIB),
                200,
                196,
                Some("the rings of 4 of 200 channels can be registered, viewers"),
            ),
            (refused, Some(65_536), 2, 2, Some("the rings of 0 of 2 channels can be registered (")),
            (Tried::Made, Some(65_536), 2, 0, None),
        ] {
            let facts = Facts { tried, locked_bytes, channels, ..roomy() };
            let on_two = Plan::new(&Facts { cores: 2, ..facts.clone() });
            let each = on_two.registered.is_none_or(|said| said.contains(" with each of 2 cores"));
            assert!(each, "{facts:?}");
            let plan = Plan::new(&facts);
            assert_eq!(plan.unregistered, without, "{plan:?}");
            assert!(
                plan.registered.as_deref().is_some_and(|said| said.starts_with(expected.unwrap_or("?")))
                    == expected.is_some(),
                "{plan:?}"
            );
            assert_eq!(plan.complaints().len(), usize::from(without > 0));
            if without > 0 {
                assert!(plan.complaints()[0].contains("LimitMEMLOCK=infinity"), "{plan:?}");
            }
        }
    }

    #[test]
    fn a_container_has_what_the_groups_around_it_have() {
        let read = |path: &str| match path {
            "/sys/fs/cgroup/memory.max" => None,
            "/sys/fs/cgroup/system.slice/memory.max" => Some("max\n".to_owned()),
            "/sys/fs/cgroup/system.slice/tv.slice/memory.max" => Some("1073741824\n".to_owned()),
            "/sys/fs/cgroup/system.slice/tv.slice/tunerd.service/memory.max" => {
                Some("2147483648\n".to_owned())
            }
            other => panic!("{other}"),
        };
        assert_eq!(cgroup_limit("0::/system.slice/tv.slice/tunerd.service\n", read), Some(1 << 30));
        assert_eq!(cgroup_limit("0::/system.slice\n", read), None);
        assert_eq!(
            cgroup_limit("0::/\n", |path| (path == "/sys/fs/cgroup/memory.max").then(|| "7\n".to_owned())),
            Some(7)
        );
        assert_eq!(cgroup_limit("4:memory:/old\n", read), None);
    }

    #[test]
    fn who_may_lock_any_amount_is_known_by_its_capability() {
        for (status, has) in [
            ("Name:\tx\nCapEff:\t0000000000004000\n", true),
            ("CapEff:\t000001ffffffffff\n", true),
            ("CapEff:\t0000000000000000\n", false),
            ("CapPrm:\t0000000000004000\n", false),
            ("", false),
        ] {
            assert_eq!(has_capability(status, CAP_IPC_LOCK), has, "{status}");
        }
    }
}
