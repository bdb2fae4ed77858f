//! Which sources a recovery tries, in which order and for how long.

use std::time::Duration;

use crate::base::Instant;
use crate::lineup::SourceId;

use super::actions::Notice;
use super::events::{Candidate, Params, StallPolicy};
use super::pass::Pass;
use super::retry::{Retry, Then};
use super::search::{Outage, Plan};
use super::step::{End, Look};

/// The wait before another source is opened when no startup timeout says how long starts take.
const SETTLE_UNKNOWN: Duration = Duration::from_millis(800);
const SETTLE_RANGE: (Duration, Duration) = (Duration::from_millis(400), Duration::from_secs(2));
const SETTLE_MIN: Duration = Duration::from_millis(50);
/// The window in which the other source alone is tried.
const WINDOW_RANGE: (Duration, Duration) = (Duration::from_secs(3), Duration::from_secs(8));
/// What it leaves for all the others.
const WINDOW_RESERVE: Duration = Duration::from_millis(500);
/// The other source gets at least so many attempts.
const ALTERNATE_ATTEMPTS_MIN: u32 = 3;

/// What a recovery is to do.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) plan: Plan,
    pub(super) candidates: Vec<Candidate>,
    pub(super) deadline: Instant,
    pub(super) notice: Option<Notice>,
}

/// Decides how a recovery goes on. `candidates` are all sources as they stand, `end` is when viewers have been
/// without a source for too long, `settle` what the tuners ask for.
pub(super) fn choose(
    look: &Look<'_>,
    outage: &Outage,
    candidates: Vec<Candidate>,
    end: Instant,
    settle: Duration,
) -> Result<Choice, End> {
    if candidates.is_empty() {
        return Err(End::NoSources);
    }
    let deadline = end.min(look.now + total_time(look.params, outage));
    match look.params.stall_policy {
        StallPolicy::FailoverSource => Ok(failover(look, outage, candidates, deadline, settle)),
        StallPolicy::RestartSame => restart(look, outage.current, candidates, deadline),
        StallPolicy::CloseSession => unreachable!("a session that closes does not recover"),
    }
}

fn total_time(params: &Params, outage: &Outage) -> Duration {
    match (params.failover_total_timeout, outage.is_stall) {
        (Duration::ZERO, _) => params.stall_hard_deadline,
        (total, true) => total.min(params.stall_hard_deadline),
        (total, false) => total,
    }
}

fn attempts_max(params: &Params) -> u32 {
    params.stall_retries_max.saturating_add(1)
}

/// The current source again, as the database knows it: what was learnt since its loss does not count.
fn same(look: &Look<'_>, current: &Candidate, deadline: Instant) -> Plan {
    Plan::Retry(Retry {
        id: current.id,
        cooling_until: current.persisted_cooling_until,
        attempts_max: attempts_max(look.params),
        end: deadline,
        not_before: look.now,
        then: Then::End,
        insists: false,
        attempts: 0,
        last: None,
    })
}

fn restart(
    look: &Look<'_>,
    current: SourceId,
    candidates: Vec<Candidate>,
    deadline: Instant,
) -> Result<Choice, End> {
    let limited = limited(candidates.clone(), look.params.failovers_max);
    let Some(current) = candidates.iter().find(|candidate| candidate.id == current) else {
        return Ok(Choice {
            plan: Plan::Pass(Pass::after(None, look.now)),
            candidates: limited,
            deadline,
            notice: None,
        });
    };
    if !current.has_url {
        return Err(End::NoSources);
    }
    Ok(Choice { plan: same(look, current, deadline), candidates: limited, deadline, notice: None })
}

fn failover(
    look: &Look<'_>,
    outage: &Outage,
    candidates: Vec<Candidate>,
    deadline: Instant,
    settle: Duration,
) -> Choice {
    let current = outage.current;
    let same_source = candidates.iter().find(|candidate| candidate.id == current).cloned();
    let is_cooling = |candidate: &Candidate| look.standing(candidate).cooling_until.is_some();
    let wished = outage.is_manual.then(|| soonest(look, &candidates, current)).flatten();
    let candidates = limited(reorder(candidates, current, is_cooling), look.params.failovers_max);
    let alternates: Vec<&Candidate> =
        candidates.iter().filter(|candidate| candidate.id != current && candidate.has_url).collect();
    let eligible: Vec<&Candidate> =
        alternates.iter().copied().filter(|candidate| !is_cooling(candidate)).collect();
    // By the list of this moment: the loss itself may have been its provider's 429.
    let is_free = |candidate: &&&Candidate| {
        let free_at = look.fresh(candidate.id).and_then(|fresh| fresh.provider_free_at);
        free_at.is_none_or(|free_at| free_at <= look.now)
    };
    let alternate = eligible.iter().find(is_free).or(eligible.first()).copied().or(wished.as_ref());
    let Some(alternate) = alternate else {
        let (plan, notice) = match same_source {
            Some(source) => {
                let notice = Notice::SameSourceFallback {
                    source: source.id,
                    alternates: alternates.len(),
                    alternates_cooling: alternates.len() - eligible.len(),
                };
                (same(look, &source, deadline), Some(notice))
            }
            None => (Plan::Pass(Pass::after(None, look.now)), None),
        };
        return Choice { plan, candidates, deadline, notice };
    };
    let left = deadline - look.now;
    let begin = look.now + settle_wait(look.params, settle).min(left);
    let plan = Plan::Retry(Retry {
        id: alternate.id,
        cooling_until: None,
        attempts_max: attempts_max(look.params).max(ALTERNATE_ATTEMPTS_MIN),
        end: begin + attempt_window(look.params, deadline - begin, eligible.len()),
        not_before: begin,
        then: Then::Pass,
        insists: outage.is_manual,
        attempts: 0,
        last: None,
    });
    Choice { plan, candidates, deadline, notice: None }
}

/// Of the other sources, all of which cool, the one that has cooled first: whoever asks for another source by hand has
/// seen the current one, and does not want it again.
fn soonest(look: &Look<'_>, candidates: &[Candidate], current: SourceId) -> Option<Candidate> {
    let others = candidates.iter().filter(|candidate| candidate.id != current && candidate.has_url);
    others.min_by_key(|candidate| look.standing(candidate).cooling_until).cloned()
}

/// How long after a loss another source is opened: a provider may still count the lost stream.
fn settle_wait(params: &Params, pool: Duration) -> Duration {
    let base = if params.startup_timeout.is_zero() { SETTLE_UNKNOWN } else { params.startup_timeout / 2 };
    let base = base.clamp(SETTLE_RANGE.0, SETTLE_RANGE.1);
    let base = if params.stall_detect.is_zero() {
        base
    } else {
        base.min((params.stall_detect / 2).max(SETTLE_MIN))
    };
    base.max(pool)
}

/// How long one alternate is tried before all sources are. Of several, one does not take the others' time.
fn attempt_window(params: &Params, left: Duration, alternates: usize) -> Duration {
    let window = params.startup_timeout.saturating_mul(2).clamp(WINDOW_RANGE.0, WINDOW_RANGE.1);
    let usable = if left > WINDOW_RESERVE { left - WINDOW_RESERVE } else { left };
    let share = usable / u32::try_from(alternates.max(1)).unwrap_or(u32::MAX);
    window.min(share)
}

fn limited(mut candidates: Vec<Candidate>, failovers_max: u32) -> Vec<Candidate> {
    if failovers_max > 0 {
        candidates.truncate((failovers_max as usize).saturating_add(1));
    }
    candidates
}

/// The first `failovers_max + 1` sources, as they are tried at the start.
pub(super) fn at_startup(candidates: &[Candidate], failovers_max: u32) -> Vec<Candidate> {
    limited(candidates.to_vec(), failovers_max)
}

/// A ready alternate, then the current source, then the other alternates; whoever cools goes last. Without a ready
/// alternate the current source goes first.
fn reorder(
    candidates: Vec<Candidate>,
    current: SourceId,
    is_cooling: impl Fn(&Candidate) -> bool,
) -> Vec<Candidate> {
    let (mut own, alternates): (Vec<_>, Vec<_>) =
        candidates.into_iter().partition(|candidate| candidate.id == current);
    if own.is_empty() {
        return alternates;
    }
    let own_cools = own.iter().any(&is_cooling);
    let (cooling, ready): (Vec<_>, Vec<_>) = alternates.into_iter().partition(&is_cooling);
    let mut ready = ready.into_iter();
    let mut order: Vec<_> = ready.next().into_iter().collect();
    if order.is_empty() || !own_cools {
        order.append(&mut own);
    }
    order.extend(ready);
    order.append(&mut own);
    order.extend(cooling);
    order
}

#[cfg(test)]
mod tests {
    use super::super::tests::harness::{PARAMS, candidate};
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn ordered(ids: &[i64], cooling: &[i64], current: i64, failovers_max: u32) -> Vec<i64> {
        let candidates = ids.iter().map(|id| candidate(*id)).collect();
        let order = reorder(candidates, SourceId(current), |candidate| cooling.contains(&candidate.id.0));
        limited(order, failovers_max).into_iter().map(|candidate| candidate.id.0).collect()
    }

    #[test]
    fn a_ready_alternate_goes_before_the_current_source_and_cooling_ones_last() {
        for (ids, cooling, current, limit, expected) in [
            (&[6, 10, 7, 8, 9][..], &[7, 8, 9][..], 6, 0, &[10, 6, 7, 8, 9][..]),
            (&[6, 10, 7, 8, 9], &[7, 8, 9], 6, 2, &[10, 6, 7]),
            (&[10, 7, 8], &[7], 6, 0, &[10, 7, 8]),
            (&[6, 10, 11, 12], &[6, 12], 6, 0, &[10, 11, 6, 12]),
            (&[10, 6, 11], &[10, 11, 6], 6, 0, &[6, 10, 11]),
            (&[6], &[], 6, 0, &[6]),
        ] {
            assert_eq!(ordered(ids, cooling, current, limit), expected, "{ids:?} {cooling:?}");
        }
    }

    #[test]
    fn the_settle_wait_follows_the_startup_timeout_the_stall_time_and_the_tuners() {
        for (startup, stall, pool, expected) in [
            (12_000, 0, 0, 2000),
            (12_000, 4000, 0, 2000),
            (12_000, 1000, 0, 500),
            (12_000, 60, 0, 50),
            (200, 0, 0, 400),
            (0, 0, 0, 800),
            (200, 4000, 3000, 3000),
        ] {
            let params = Params { startup_timeout: MS(startup), stall_detect: MS(stall), ..PARAMS };
            assert_eq!(settle_wait(&params, MS(pool)), MS(expected), "{startup} {stall} {pool}");
        }
    }

    #[test]
    fn the_window_of_one_alternate_leaves_time_for_the_others() {
        for (startup, left, alternates, expected) in [
            (12_000, 30_000, 1, 8000),
            (1000, 30_000, 1, 3000),
            (12_000, 2500, 1, 2000),
            (12_000, 500, 1, 500),
            (12_000, 180, 1, 180),
            (12_000, 30_000, 2, 8000),
            (12_000, 6500, 3, 2000),
        ] {
            let params = Params { startup_timeout: MS(startup), ..PARAMS };
            assert_eq!(attempt_window(&params, MS(left), alternates), MS(expected), "{startup} {left}");
        }
    }
}
