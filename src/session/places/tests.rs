//! Places are counted right, case by case and in random worlds.

use super::*;

const P: PlaylistId = PlaylistId(1);

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

fn places(limit: u32) -> Places<u32> {
    let mut places = Places::default();
    places.set_limits(&BTreeMap::from([(P, limit)]));
    places
}

fn take(places: &mut Places<u32>, millis: u64, holder: u32, purpose: Purpose) -> Option<Place> {
    places.take(at(millis), P, holder, purpose)
}

#[test]
fn no_more_are_taken_than_there_are_and_the_last_one_is_a_viewers() {
    let mut places = places(2);
    let trial = take(&mut places, 0, 1, Purpose::Trial).unwrap();
    assert_eq!(take(&mut places, 0, 2, Purpose::Trial), None, "the last one is for viewers");
    assert_eq!(take(&mut places, 0, 2, Purpose::Look), None);
    let stream = take(&mut places, 0, 2, Purpose::Stream).unwrap();
    assert_eq!(take(&mut places, 0, 3, Purpose::Stream), None);
    places.give_back(at(1), &trial, Duration::ZERO);
    assert!(take(&mut places, 1, 3, Purpose::Stream).is_some());
    places.give_back(at(1), &stream, Duration::ZERO);
    assert_eq!(take(&mut self::places(1), 0, 1, Purpose::Trial), None, "of one none is left");
}

#[test]
fn it_is_told_how_many_are_in_use_and_what_the_provider_still_counts() {
    let mut places = places(2);
    let stream = take(&mut places, 0, 1, Purpose::Stream).unwrap();
    let _other = take(&mut places, 0, 2, Purpose::Stream).unwrap();
    let _free = places.take(at(0), PlaylistId(2), 3, Purpose::Stream).unwrap();
    places.give_back(at(10), &stream, Duration::from_millis(500));
    let told = |playlist, taken, counted, limit| PlacesInUse { playlist, taken, counted, limit };
    let free = told(PlaylistId(2), 1, 0, None);
    assert_eq!(places.in_use(at(509)), [told(P, 1, 1, Some(2)), free]);
    assert_eq!(places.in_use(at(510)), [told(P, 1, 0, Some(2)), free]);
}

#[test]
fn a_place_is_given_up_from_when_nobody_wants_it_until_its_provider_may_count_another() {
    let mut places = places(1);
    let stream = take(&mut places, 0, 1, Purpose::Stream).unwrap();
    assert!(!places.is_given_up(at(0), P), "somebody watches");
    places.leave(&stream);
    assert!(places.is_given_up(at(0), P) && !places.is_given_up(at(0), PlaylistId(2)));
    places.give_back(at(700), &stream, Duration::from_secs(3));
    assert!(places.is_given_up(at(3699), P) && !places.is_given_up(at(3700), P));
}

#[test]
fn a_playlist_without_a_number_has_any_number_of_places() {
    let mut places = places(1);
    let other = PlaylistId(2);
    let taken: Vec<_> =
        (0..9).map(|holder| places.take(at(0), other, holder, Purpose::Trial).unwrap()).collect();
    assert_eq!((places.taken(at(0), other), places.free_at(at(0), other, 9, Purpose::Trial)), (9, None));
    // It gets a number: who has a place keeps it.
    places.set_limits(&BTreeMap::from([(other, 9)]));
    assert_eq!(places.take(at(0), other, 9, Purpose::Stream), None);
    places.give_back(at(0), &taken[0], Duration::ZERO);
    assert!(places.take(at(0), other, 9, Purpose::Stream).is_some());
}

#[test]
fn a_place_is_counted_for_as_long_as_its_provider_does() {
    let mut places = places(1);
    let stream = take(&mut places, 0, 1, Purpose::Stream).unwrap();
    places.give_back(at(100), &stream, Duration::from_millis(200));
    assert_eq!(places.free_at(at(150), P, 2, Purpose::Stream), Some(at(300)));
    assert_eq!(take(&mut places, 299, 2, Purpose::Stream), None);
    assert_eq!(places.taken(at(299), P), 1);
    assert!(take(&mut places, 300, 2, Purpose::Stream).is_some());
}

#[test]
fn a_session_that_goes_from_one_source_of_a_playlist_to_another_is_not_in_its_own_way() {
    let mut places = places(1);
    let stream = take(&mut places, 0, 1, Purpose::Stream).unwrap();
    assert_eq!(places.free_at(at(1), P, 1, Purpose::Stream), None);
    assert_eq!(places.free_at(at(1), P, 2, Purpose::Stream), Some(at(251)));
    assert_eq!(take(&mut places, 1, 1, Purpose::Stream), None, "but it has to give up the one that it has");
    places.leave(&stream);
    assert_eq!(places.free_at(at(1), P, 1, Purpose::Stream), Some(at(251)), "what it waits for itself");
    places.set_idle(1, true);
    assert_eq!(places.ask_to_give_way(at(1), P, 2), None, "it is being given up");
}

#[test]
fn probes_give_way_before_sessions_that_nobody_watches_and_who_is_watched_does_not() {
    let mut places = places(3);
    let watched = take(&mut places, 0, 1, Purpose::Stream).unwrap();
    let idle = take(&mut places, 0, 2, Purpose::Stream).unwrap();
    assert_eq!(places.ask_to_give_way(at(0), P, 9), None, "one is left");
    let look = take(&mut places, 0, 1, Purpose::Look);
    assert_eq!(look, None);
    let trial = self::take(&mut places, 0, 3, Purpose::Stream).unwrap();
    assert_eq!(places.ask_to_give_way(at(1), P, 9), None, "all are watched");
    places.give_back(at(1), &trial, Duration::ZERO);
    places.set_limits(&BTreeMap::from([(P, 4)]));
    let trial = take(&mut places, 2, 3, Purpose::Trial).unwrap();
    places.set_limits(&BTreeMap::from([(P, 3)]));
    places.set_idle(2, true);
    let asked = |holder, purpose| Some(Occupant { holder, purpose });
    assert_eq!(places.ask_to_give_way(at(3), P, 9), asked(3, Purpose::Trial));
    assert_eq!(places.ask_to_give_way(at(4), P, 8), None, "one is on its way");
    assert_eq!(places.is_coming_until(at(4), P), Some(at(503)));
    assert_eq!(places.is_coming_until(at(503), P), None);
    assert_eq!(places.free_at(at(4), P, 9, Purpose::Stream), Some(at(54)), "it is looked for soon");
    assert_eq!(
        places.ask_to_give_way(at(1003), P, 9),
        asked(2, Purpose::Stream),
        "the first does not answer"
    );
    places.set_idle(2, false);
    assert_eq!(places.ask_to_give_way(at(2003), P, 9), asked(3, Purpose::Trial), "it is watched again");
    for place in [&watched, &idle, &trial] {
        places.give_back(at(3000), place, Duration::ZERO);
    }
    assert_eq!(places.taken(at(3000), P), 0);
}

/// A provider that counts, and what it has seen.
struct Counting {
    limit: usize,
    /// How long it counts a connection that is closed.
    counts_for: u64,
    open: usize,
    closed_at: Vec<u64>,
    most: usize,
}

impl Counting {
    fn see(&mut self, now: u64) {
        self.closed_at.retain(|closed| closed + self.counts_for > now);
        let seen = self.open + self.closed_at.len();
        self.most = self.most.max(seen);
        assert!(seen <= self.limit, "{seen} connections at {now} ms where {} are allowed", self.limit);
    }
}

/// Somebody in the world: what it has at which provider, until when.
struct Somebody {
    playlist: usize,
    purpose: Purpose,
    place: Place,
    until: u64,
}

/// Two hours of viewers, failovers and probes at three providers that allow one, two and four connections.
fn world(seed: u64) -> [usize; 3] {
    const END: u64 = 2 * 3600 * 1000;
    // SplitMix64: as good as it needs to be.
    let mut state = seed;
    let mut up_to = |max: u64| {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % max
    };
    let limits = [1_u32, 2, 4];
    let id = |playlist: usize| PlaylistId(i64::try_from(playlist).unwrap() + 1);
    let mut places: Places<u64> = Places::default();
    places.set_limits(&limits.iter().enumerate().map(|(at, limit)| (id(at), *limit)).collect());
    let counts_for = [up_to(4000), up_to(2000), 0];
    let mut providers: Vec<Counting> = limits
        .iter()
        .zip(counts_for)
        .map(|(limit, counts_for)| Counting {
            limit: *limit as usize,
            counts_for,
            open: 0,
            closed_at: Vec::new(),
            most: 0,
        })
        .collect();
    let mut people: BTreeMap<u64, Somebody> = BTreeMap::new();
    let (mut now, mut next) = (0, 0);
    while now < END {
        now += up_to(2000);
        let mut gone: Vec<u64> =
            people.iter().filter(|(_, who)| who.until <= now).map(|(holder, _)| *holder).collect();
        let (playlist, purpose) = (
            usize::try_from(up_to(3)).unwrap(),
            [Purpose::Stream, Purpose::Trial, Purpose::Look][usize::try_from(up_to(3)).unwrap()],
        );
        let (holder, lasts) = (next, if purpose == Purpose::Stream { up_to(600_000) } else { up_to(8000) });
        next += 1;
        if purpose == Purpose::Stream && up_to(4) == 0 {
            // Somebody leaves, and the session stays for a while.
            let idle =
                people.iter().find(|(_, who)| who.purpose == Purpose::Stream).map(|(holder, _)| *holder);
            if let Some(idle) = idle {
                places.set_idle(idle, true);
            }
        }
        if purpose == Purpose::Stream
            && let Some(asked) = places.ask_to_give_way(at(now), id(playlist), holder)
            && up_to(10) > 0
        {
            gone.push(asked.holder);
        }
        for holder in gone {
            let Some(who) = people.remove(&holder) else { continue };
            let provider = &mut providers[who.playlist];
            provider.open -= 1;
            provider.closed_at.push(now);
            places.give_back(at(now), &who.place, Duration::from_millis(provider.counts_for));
            provider.see(now);
        }
        let place = places.take(at(now), id(playlist), holder, purpose);
        let free_at = places.free_at(at(now), id(playlist), holder, purpose);
        if let Some(place) = place {
            providers[playlist].open += 1;
            providers[playlist].see(now);
            people.insert(holder, Somebody { playlist, purpose, place, until: now + lasts });
        } else {
            assert!(free_at.is_some_and(|at| at > self::at(now)), "whoever is refused is told when to come");
        }
        for (at_playlist, provider) in providers.iter_mut().enumerate() {
            provider.see(now);
            let taken = places.taken(at(now), id(at_playlist));
            assert_eq!(taken, provider.open + provider.closed_at.len(), "both count the same");
        }
    }
    [0, 1, 2].map(|at| providers[at].most)
}

#[test]
fn in_two_hours_no_provider_sees_more_connections_than_it_allows() {
    for seed in 0..300 {
        assert_eq!(world(seed), [1, 2, 4], "seed {seed}: what is allowed is used, too");
    }
}
