//! What each invariant says, in a sentence.

/// The sentence of invariant `id`; empty if there is no such invariant.
pub fn rule(id: &str) -> &'static str {
    RULES.iter().find(|(name, _)| *name == id).map_or("", |(_, rule)| rule)
}

const RULES: &[(&str, &str)] = &[
    ("S1", "a live task is in at most one place: a ring, a LIFO slot, the injector, an inbox, or running"),
    (
        "S2",
        "no task is lost: spawned = finished + cancelled + live, and each scheduled task lies in a container",
    ),
    ("S3", "at most one worker polls a task, and its next poll starts after the last one ended"),
    (
        "S4",
        "a task whose scheduled bit is set lies somewhere, and a task that lies in a queue has the bit set",
    ),
    ("S5", "a complete or cancelled task stays so, is never enqueued, and its output is written once"),
    ("S6", "a task's memory is freed when nobody refers to it any more, and not touched afterwards"),
    (
        "S7",
        "a ring's slots are written only outside of what is still to be read, and each written slot is read once",
    ),
    ("S8", "an open steal section has exactly one live thief"),
    ("S9", "a ring's tail and a LIFO slot change only by the worker they belong to"),
    ("S10", "no worker is among the sleepers twice, and the counts of parked and searching workers are true"),
    ("S11", "whoever takes a worker off the sleepers gives it exactly one token"),
    ("S12", "every count equals what its container holds"),
    ("S13", "a seat and a driver have at most one holder, and only the holder submits or reaps"),
    ("S14", "after an object was handed over, the giver touches it only through a counted reference"),
    ("S15", "no user code runs while the runtime holds a lock"),
    ("S16", "locks are taken in one order"),
    ("S17", "a completion reaches an op only if the generation of its token matches"),
    ("S18", "buffer, descriptor, path and address of an op live until its terminal completion"),
    ("S19", "each op resolves once, with the kernel's result"),
    ("S20", "what a cancelled op delivers is closed, returned or kept for the next read"),
    ("S21", "a cancel names the op's own ring and live generation"),
    ("S22", "an event, registration or op acts only on the descriptor it was made for"),
    ("S23", "readiness is cleared only for the event that was consumed"),
    ("S24", "a timer is armed, firing or neither; it never fires after a cancel that succeeded"),
    ("S25", "a parked worker wakes no later than its earliest deadline, or a token is on its way"),
    ("S26", "after a shutdown was observed no poll starts, and each future is dropped once"),
    (
        "S27",
        "a pinned task is polled and dropped by its own worker only, another one by workers of its own group",
    ),
    ("S28", "a poll sees all that happened before every wake it answers"),
    ("S29", "a ready resource wakes the waker of the last poll"),
    ("S30", "what a write accepted is sent once and in order, or an error is reported"),
    (
        "L1",
        "while work waits that others could take and a worker sleeps, somebody searches or a token is on its way",
    ),
    ("L2", "when all workers are parked and nothing is due, every container is empty"),
    ("L3", "a wake is never lost: after it the task is polled again, or complete"),
    ("L4", "a token that was given makes the park return at once"),
    ("L5", "a park has what is to end it armed in the kernel"),
    ("L6", "a timer fires in time, even if the worker it is armed on is busy, blocked or gone"),
    (
        "L7",
        "a completion is dispatched, and what was staged at a stuck worker leaves, in time while anybody is idle",
    ),
    (
        "L8",
        "no source of work is passed over for ever: LIFO runs end, and every place is looked at every so many polls",
    ),
    ("L9", "a worker that was woken and can't take the work wakes another"),
    ("L10", "workers do not park, wake and search round after round without use"),
    ("L11", "a shutdown ends within its bound"),
    ("L12", "a cancelled op, timer or task ends within a bound, and all who wait for it are woken"),
    ("L13", "searching, stealing and holding a driver end on every path"),
    ("L14", "what a worker leaves behind is taken up by another"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_invariant_that_is_checked_has_its_sentence() {
        for (id, name) in crate::check::NAMES {
            assert!(!rule(id).is_empty(), "{id} ({name}) says nothing");
        }
    }
}
