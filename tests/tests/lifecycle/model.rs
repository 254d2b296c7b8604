//! What must be observable of a task after each event: a plain model.

/// How a task ends if it is let.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Ready,
    Panic,
}

/// What kind of task it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) end: End,
    /// The drop of the future panics.
    pub(crate) drop_panics: bool,
    /// The drop of the output panics.
    pub(crate) output_panics: bool,
}

/// An event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The task has its turn: if it is scheduled, its poll begins.
    Enter,
    /// The poll ends.
    Leave,
    /// Its waker is called.
    Wake,
    Abort,
    /// From now on the end of a poll is the task's end.
    End,
    /// The handle is dropped.
    Detach,
    /// The handle is polled once.
    Join,
}

impl Step {
    pub(crate) const ALL: [Self; 7] =
        [Self::Enter, Self::Leave, Self::Wake, Self::Abort, Self::End, Self::Detach, Self::Join];
}

/// What a finished task leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Value,
    Panic,
    Cancelled,
}

#[derive(Clone, Debug)]
pub(crate) struct Model {
    case: Case,
    blocking: bool,
    pub(crate) scheduled: bool,
    pub(crate) running: bool,
    pub(crate) aborted: bool,
    ending: bool,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) polls: usize,
    /// Drops of the future.
    pub(crate) drops: usize,
    /// Drops of the output.
    pub(crate) outputs: usize,
    /// There is a handle whose result was not taken.
    pub(crate) handle: bool,
    waiting: bool,
    /// Wakes of the handle's waker.
    pub(crate) join_wakes: usize,
}

impl Model {
    pub(crate) fn new(case: Case, blocking: bool) -> Self {
        Self {
            case,
            blocking,
            scheduled: true,
            running: false,
            aborted: false,
            // A call has no other way to go.
            ending: blocking,
            outcome: None,
            polls: 0,
            drops: 0,
            outputs: 0,
            handle: true,
            waiting: false,
            join_wakes: 0,
        }
    }

    /// Whether an event makes sense now; `before` are those so far. Each at most so often that all pairs occur.
    pub(crate) fn allows(&self, step: Step, before: &[Step]) -> bool {
        let times = before.iter().filter(|&&other| other == step).count();
        match step {
            Step::Enter => !self.running && times < 3 && before.last() != Some(&Step::Enter),
            Step::Leave => self.running,
            Step::Wake => self.polls > 0 && times < 2 && !self.blocking,
            Step::Abort => times < 2,
            Step::End => !self.ending && self.outcome.is_none(),
            Step::Detach => self.handle,
            Step::Join => self.handle && times < 2,
        }
    }

    pub(crate) fn apply(&mut self, step: Step) {
        match step {
            Step::Enter if !self.scheduled || self.outcome.is_some() => {}
            Step::Enter if self.aborted => self.complete(Outcome::Cancelled),
            Step::Enter => {
                (self.running, self.scheduled) = (true, false);
                self.polls += 1;
            }
            Step::Leave => {
                self.running = false;
                if self.ending {
                    self.complete(if self.case.end == End::Ready { Outcome::Value } else { Outcome::Panic });
                } else if self.aborted {
                    self.complete(Outcome::Cancelled);
                }
            }
            Step::Wake => self.scheduled |= self.outcome.is_none(),
            Step::Abort if self.outcome.is_none() => {
                self.aborted = true;
                self.scheduled |= !self.running;
            }
            Step::Abort => {}
            Step::End => self.ending = true,
            Step::Detach => {
                self.handle = false;
                self.outputs += usize::from(self.outcome == Some(Outcome::Value));
            }
            Step::Join if self.outcome.is_some() => self.apply(Step::Detach),
            Step::Join => self.waiting = true,
        }
    }

    fn complete(&mut self, outcome: Outcome) {
        self.drops += 1;
        let mut outcome = outcome;
        // The value of a future that panics in its drop goes too.
        self.outputs += usize::from(outcome == Outcome::Value && (self.case.drop_panics || !self.handle));
        if self.case.drop_panics {
            outcome = Outcome::Panic;
        }
        self.outcome = Some(outcome);
        self.scheduled = false;
        self.join_wakes += usize::from(self.waiting && self.handle);
        self.waiting = false;
    }

    /// What the poll that ends now answers.
    pub(crate) fn answer(&self) -> Answer {
        match (self.ending, self.case.end) {
            (false, _) => Answer::Pending,
            (true, End::Ready) => Answer::Ready,
            (true, End::Panic) => Answer::Panic,
        }
    }
}

/// The end of a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Pending,
    Ready,
    Panic,
}
