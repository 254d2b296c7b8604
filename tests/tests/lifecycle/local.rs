//! Tasks that are not Send, on a single worker: what happens during a poll happens inside it, by the task itself or by
//! another thread that it waits for.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::thread;

use super::every_order;
use super::model::{Answer, Case, Model, Outcome, Step};
use super::probe::{Hands, Probe, Seen};
use crate::support::{PATIENCE, runtime, within};

/// One task's script, run by the main future and, between Enter and Leave, by the task.
struct Script {
    steps: Vec<Step>,
    at: usize,
    model: Model,
    hands: Option<Hands>,
    courier: Option<Rc<Courier>>,
    failure: Option<String>,
}

/// Does things on a thread of its own.
struct Courier {
    jobs: mpsc::Sender<Box<dyn FnOnce() + Send>>,
}

impl Courier {
    fn start() -> Rc<Self> {
        let (jobs, work) = mpsc::channel::<Box<dyn FnOnce() + Send>>();
        thread::spawn(move || work.into_iter().for_each(|job| job()));
        Rc::new(Self { jobs })
    }

    fn perform(&self, mut hands: Hands, step: Step) -> (Hands, Option<Outcome>) {
        let (done, wait) = mpsc::channel();
        let job = move || {
            let outcome = hands.perform(step);
            done.send((hands, outcome)).expect("somebody waits");
        };
        self.jobs.send(Box::new(job)).expect("the courier lives");
        wait.recv().expect("the courier lives")
    }
}

impl Script {
    /// A step from outside of the task.
    fn perform(&mut self, step: Step) {
        let told = self.model.outcome;
        self.model.apply(step);
        let mut hands = self.hands.take().expect("hands");
        let given = match &self.courier {
            None => hands.perform(step),
            Some(courier) => {
                let (back, outcome) = courier.perform(hands, step);
                hands = back;
                outcome
            }
        };
        if step == Step::Join && given != told {
            self.fail(format!("the handle gave {given:?}, must be {told:?}"));
        }
        self.hands = Some(hands);
    }

    fn fail(&mut self, why: String) {
        self.failure.get_or_insert(why);
    }

    fn check(&mut self) {
        if let Err(why) = self.hands.as_ref().expect("hands").check(&self.model) {
            let at = self.at;
            self.fail(format!("after step {at}: {why}"));
        }
    }

    /// The task's poll.
    fn inside(&mut self) -> Answer {
        if !self.model.running {
            // Woken in its last poll, it may come again by itself.
            if !self.model.scheduled || self.model.aborted {
                self.fail("polled, but it should not be".to_owned());
            }
            self.model.apply(Step::Enter);
        }
        loop {
            let step = self.steps.get(self.at).copied().unwrap_or(Step::Leave);
            self.at += 1;
            match step {
                Step::Enter => {}
                Step::Leave => {
                    let answer = self.model.answer();
                    self.model.apply(Step::Leave);
                    return answer;
                }
                step => {
                    self.perform(step);
                    self.check();
                }
            }
        }
    }
}

async fn enter(script: &RefCell<Script>) {
    let polls = {
        let mut script = script.borrow_mut();
        if script.model.running {
            return;
        }
        script.model.apply(Step::Enter);
        script.model.polls
    };
    // Enough that what must happen has happened, and what must not would have.
    for _ in 0..100 {
        pirn::yield_now().await;
        let script = script.borrow();
        let hands = script.hands.as_ref().expect("hands");
        let polled = hands.seen.polls.load(Ordering::SeqCst) >= polls;
        if polled && hands.is_finished() == script.model.outcome.is_some() {
            break;
        }
    }
    pirn::yield_now().await;
}

async fn run(case: Case, steps: &[Step], courier: Option<Rc<Courier>>) -> Result<(), String> {
    let model = Model::new(case, false);
    let script = Script { steps: steps.to_vec(), at: 0, model, hands: None, courier, failure: None };
    let script = Rc::new(RefCell::new(script));
    let seen = std::sync::Arc::new(Seen::default());
    let inner = script.clone();
    let task = pirn::spawn_local(Probe::new(case, &seen, move || inner.borrow_mut().inside()));
    script.borrow_mut().hands = Some(Hands::new(seen, task, steps.len()));
    loop {
        let step = {
            let mut script = script.borrow_mut();
            let at = script.at;
            script.at += 1;
            script.steps.get(at).copied()
        };
        match step {
            None => break,
            Some(Step::Enter) => enter(&script).await,
            // The poll that it ended is over.
            Some(Step::Leave) => {}
            Some(step) => script.borrow_mut().perform(step),
        }
        script.borrow_mut().check();
    }
    // The end: whatever state it is in, an abort and a turn finish it.
    if script.borrow().model.outcome.is_none() {
        script.borrow_mut().perform(Step::Abort);
        enter(&script).await;
    }
    pirn::yield_now().await;
    let mut script = script.borrow_mut();
    let hands = script.hands.take().expect("hands");
    let finished = hands.finish(&mut script.model, thread::current().id());
    script.failure.take().map_or(finished, Err)
}

fn product(length: usize, foreign: bool) {
    within(2 * PATIENCE, move || {
        let courier = foreign.then(Courier::start);
        let runtime = runtime(1);
        let count = every_order(length, false, |case, steps| {
            let result = runtime.block_on(run(case, steps, courier.clone()));
            if let Err(why) = result {
                panic!("{case:?} {steps:?}: {why}");
            }
        });
        println!("{count} orders");
        assert!(count > 1_000);
    });
}

#[test]
fn every_order_of_events_on_a_local_task() {
    product(7, false);
}

#[test]
fn every_order_of_events_on_a_local_task_from_another_thread() {
    product(6, true);
}
