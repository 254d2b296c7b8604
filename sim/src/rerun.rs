//! A simulation runs again as a trace says: strictly, along a prefix, or guided.

use std::fmt;

use crate::choice::{Entry, Source};
use crate::draw::Draw;
use crate::log::{Log, Step};
use crate::options::Options;
use crate::replay::{Fit, Follow, Mismatch, ReplayError};
use crate::report::Outcome;
use crate::rng::Rng;
use crate::simulation::{Simulation, lease};
use crate::thread::Lease;
use crate::trace::{Summary, Trace};

/// What [`Simulation::walk`] brings.
#[derive(Debug)]
#[non_exhaustive]
pub struct Walk {
    /// How the run ended, or what differs first.
    pub outcome: Result<Outcome, ReplayError>,
    /// How much of a guided replay fitted.
    pub fit: Option<Fit>,
    /// What the threads did.
    pub steps: Vec<Step>,
    /// The host and the name of each thread, by its number.
    pub threads: Vec<(String, String)>,
}

impl Simulation {
    /// Replays a trace strictly: any difference is an error that names the first thing that differs.
    pub fn replay(&self, trace: &Trace) -> Result<Outcome, ReplayError> {
        self.replay_on(&lease(), trace, None)
    }

    /// The same, with the steps of the run (the last million at most), up to the first that differs.
    pub fn replay_steps(&self, trace: &Trace) -> (Result<Outcome, ReplayError>, Vec<Step>) {
        let lease = lease();
        let outcome = self.replay_on(&lease, trace, Some(Log::default()));
        (outcome, lease.executor().world().log.take().unwrap_or_default().steps.into())
    }

    /// A replay for a viewer: its steps (the last million at most) and the threads that made them. `guided`: as
    /// [`replay_guided`](Self::replay_guided), else strictly, up to the first step that differs.
    pub fn walk(&self, trace: &Trace, guided: bool) -> Result<Walk, ReplayError> {
        let lease = lease();
        let (outcome, fit) = if guided {
            self.fits(trace, false)?;
            let (options, source) = (trace.header.options.clone(), Follow::guided(trace.choices.clone()));
            lease.executor().beat.seed(trace.seed());
            self.execute_from(&lease, options, Source::Follow(source), Some(Log::default()));
            let fit = match &lease.executor().world().source {
                Source::Follow(follow) => Some(follow.fit()),
                Source::Draw(_) => None,
            };
            (Ok(self.outcome(&lease, trace.seed())), fit)
        } else {
            (self.replay_on(&lease, trace, Some(Log::default())), None)
        };
        let world = lease.executor().world();
        let host = |number: u32| world.hosts.get(number as usize).map_or("", |host| host.name.as_str());
        let threads =
            world.threads.iter().map(|thread| (host(thread.host).to_owned(), thread.name.clone())).collect();
        let steps = world.log.take().unwrap_or_default().steps.into();
        Ok(Walk { outcome, fit, steps, threads })
    }

    /// The state after event number `event` of a strict replay (at the end if there are fewer): who runs, who waits for what,
    /// where the tasks are.
    pub fn replay_state(&self, trace: &Trace, event: u64) -> Result<String, ReplayError> {
        let lease = lease();
        let log = Log { stop_at: Some(event), ..Log::default() };
        let outcome = self.replay_on(&lease, trace, Some(log));
        let world = lease.executor().world();
        match world.log.take().and_then(|log| log.state) {
            Some(state) => Ok(state),
            None => outcome.map(|_| world.describe_threads()),
        }
    }

    /// Replays a trace as far as it fits, for one that was recorded before a change to pirn or the program: each recorded
    /// choice is taken where it is on offer, the default elsewhere.
    pub fn replay_guided(&self, trace: &Trace) -> Result<(Outcome, Fit), ReplayError> {
        self.fits(trace, false)?;
        let lease = lease();
        let options = trace.header.options.clone();
        Ok(self.guided_on(&lease, trace.seed(), options, trace.choices.clone()))
    }

    /// Follows the first `count` choices of a trace (`usize::MAX`: all) as long as they fit, then lets the trace's own
    /// strategy go on from `seed`: a way to look at what else can happen after the same beginning.
    pub fn replay_prefix(
        &self,
        trace: &Trace,
        count: usize,
        seed: u64,
    ) -> Result<(Outcome, Fit), ReplayError> {
        self.fits(trace, false)?;
        let lease = lease();
        lease.executor().beat.seed(trace.seed());
        let options = trace.header.options.clone();
        let draw = Draw::new(options.walk, Rng::new(seed, 1));
        self.execute_from(&lease, options, Source::Follow(Follow::prefix(trace, count, draw)), None);
        let world = lease.executor().world();
        let fit = match &world.source {
            Source::Follow(follow) => follow.fit(),
            Source::Draw(_) => world.fit.clone().unwrap_or_default(),
        };
        Ok((self.outcome(&lease, trace.seed()), fit))
    }

    /// Runs with those choices where they are on offer.
    pub(crate) fn guided_on(
        &self,
        lease: &Lease,
        seed: u64,
        options: Options,
        entries: Vec<Entry>,
    ) -> (Outcome, Fit) {
        lease.executor().beat.seed(seed);
        self.execute_from(lease, options, Source::Follow(Follow::guided(entries)), None);
        let fit = match &lease.executor().world().source {
            Source::Follow(follow) => follow.fit(),
            Source::Draw(_) => Fit::default(),
        };
        (self.outcome(lease, seed), fit)
    }

    pub(crate) fn replay_on(
        &self,
        lease: &Lease,
        trace: &Trace,
        log: Option<Log>,
    ) -> Result<Outcome, ReplayError> {
        self.fits(trace, true)?;
        let options = trace.header.options.clone();
        lease.executor().beat.seed(trace.seed());
        self.execute_from(lease, options, Source::Follow(Follow::new(trace)), log);
        let world = lease.executor().world();
        if let Some(mismatch) = world.mismatch.take() {
            return Err(ReplayError::Differs(mismatch));
        }
        if let Source::Follow(follow) = &world.source {
            follow.end(world.digests.len()).map_err(ReplayError::Differs)?;
        }
        let outcome = self.outcome(lease, trace.seed());
        compare(&outcome.trace.outcome, &trace.outcome).map_err(ReplayError::Differs)?;
        Ok(outcome)
    }

    fn fits(&self, trace: &Trace, strictly: bool) -> Result<(), ReplayError> {
        let header = &trace.header;
        let other = |what: &str, theirs: &str, ours: &str| {
            Err(ReplayError::Other(format!(
                "the trace was recorded with {what} {theirs}, this is {ours}: replay it with the program that recorded it"
            )))
        };
        if strictly && header.pirn != env!("CARGO_PKG_VERSION") {
            return other("pirn", &header.pirn, env!("CARGO_PKG_VERSION"));
        }
        if header.program != self.name {
            return other("the program", &header.program, &self.name);
        }
        if header.args != self.args {
            return other("the arguments", &format!("{:?}", header.args), &format!("{:?}", self.args));
        }
        let hosts: Vec<&String> = self.hosts.iter().map(|(name, _)| name).collect();
        if header.hosts.iter().ne(hosts.iter().copied()) {
            return other("the hosts", &format!("{:?}", header.hosts), &format!("{hosts:?}"));
        }
        Ok(())
    }
}

/// The first way in which an outcome differs from the recorded one.
fn compare(now: &Summary, recorded: &Summary) -> Result<(), Mismatch> {
    let differs = |what: &str, now: &dyn fmt::Display, recorded: &dyn fmt::Display| {
        Err(Mismatch::new(format!("{what}: recorded {recorded}, now {now}")))
    };
    if now.points != recorded.points {
        return differs("the number of points", &now.points, &recorded.points);
    }
    if now.events != recorded.events {
        return differs("the number of events", &now.events, &recorded.events);
    }
    if now.digest != recorded.digest {
        let (now, recorded) = (format!("{:#x}", now.digest), format!("{:#x}", recorded.digest));
        return differs("the digest of the events", &now, &recorded);
    }
    if now.verdict != recorded.verdict {
        return differs("the verdict", &now.verdict, &recorded.verdict);
    }
    if now.message != recorded.message {
        return differs("the verdict's message", &now.message, &recorded.message);
    }
    Ok(())
}
