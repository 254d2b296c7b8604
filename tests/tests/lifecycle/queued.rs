//! Tasks on another thread: of a worker, or of the blocking pool. A gate in the same queue keeps that thread while things happen,
//! so that each event meets the task in the state that the order says.

use std::sync::{Arc, mpsc};
use std::thread::{self, ThreadId};
use std::time::Duration;

use pirn::{Builder, Runtime};

use super::every_order;
use super::model::{Answer, Case, Model, Outcome, Step};
use super::probe::{Hands, Probe, Seen};
use crate::support::{PATIENCE, within};

/// Where the other thread is.
enum Told {
    /// In the gate.
    Gate(ThreadId),
    /// In the task.
    Poll,
}

/// What a task inside its poll is told.
enum Order {
    End(Answer),
    /// To do something itself.
    Do(Box<dyn FnOnce() + Send>),
}

/// The other thread and what it does.
struct Stage {
    runtime: Runtime,
    blocking: bool,
    /// Steps during a poll are done by the task itself.
    inside: bool,
    tell: mpsc::Sender<Told>,
    told: mpsc::Receiver<Told>,
    /// Opens the gate that the thread is in.
    gate: Option<mpsc::Sender<()>>,
    /// The next gate, in the queue.
    next: Option<mpsc::Sender<()>>,
    home: ThreadId,
}

impl Stage {
    fn new(blocking: bool, inside: bool) -> Self {
        let runtime =
            Builder::new().workers(2).blocking_threads(1).blocking_keep_alive(PATIENCE).build().unwrap();
        let (tell, told) = mpsc::channel();
        let home = thread::current().id();
        let mut stage = Self { runtime, blocking, inside, tell, told, gate: None, next: None, home };
        stage.queue_gate();
        match stage.wait() {
            Told::Gate(home) => stage.home = home,
            Told::Poll => unreachable!("there is no task yet"),
        }
        stage
    }

    fn queue_gate(&mut self) {
        if self.next.is_some() {
            return;
        }
        let (open, closed) = mpsc::channel::<()>();
        let tell = self.tell.clone();
        let gate = move || {
            let _ = tell.send(Told::Gate(thread::current().id()));
            let _ = closed.recv();
        };
        self.next = Some(open);
        if self.blocking {
            self.runtime.spawn_blocking(gate).detach();
        } else {
            self.runtime.spawn(async move { gate() }).detach();
        }
    }

    fn wait(&mut self) -> Told {
        let told = self.told.recv_timeout(PATIENCE).expect("the other thread goes on");
        if matches!(told, Told::Gate(_)) {
            self.gate = self.next.take();
        }
        told
    }

    /// Lets the thread out of its gate, and says where it is next.
    fn pass(&mut self) -> Told {
        self.queue_gate();
        drop(self.gate.take().expect("the thread is in a gate"));
        self.wait()
    }

    fn run(&mut self, case: Case, steps: &[Step]) -> Result<(), String> {
        let seen = Arc::new(Seen::default());
        let (orders, ordered) = mpsc::channel::<Order>();
        let tell = self.tell.clone();
        let probe = Probe::new(case, &seen, move || {
            let _ = tell.send(Told::Poll);
            loop {
                match ordered.recv_timeout(PATIENCE).expect("an order") {
                    Order::End(answer) => return answer,
                    Order::Do(job) => job(),
                }
            }
        });
        let task = if self.blocking {
            self.runtime.spawn_blocking(move || probe.call())
        } else {
            self.runtime.spawn(probe)
        };
        let mut act = Act {
            model: Model::new(case, self.blocking),
            hands: Some(Hands::new(seen, task, steps.len())),
            orders,
            stage: self,
        };
        for (at, &step) in steps.iter().enumerate() {
            act.step(step).map_err(|why| format!("step {at}: {why}"))?;
        }
        // The end: whatever state it is in, an abort and a turn finish it.
        while act.model.outcome.is_none() {
            if !act.model.running {
                act.step(Step::Abort)?;
                act.step(Step::Enter)?;
            }
            if act.model.running {
                act.step(Step::Leave)?;
            }
        }
        // Nothing happens any more.
        act.step(Step::Enter)?;
        let Act { mut model, hands, .. } = act;
        hands.expect("hands").finish(&mut model, self.home)?;
        match self.pass() {
            Told::Gate(_) => Ok(()),
            Told::Poll => Err("polled after its end".to_owned()),
        }
    }
}

/// One task on the stage.
struct Act<'a> {
    stage: &'a mut Stage,
    model: Model,
    hands: Option<Hands>,
    orders: mpsc::Sender<Order>,
}

impl Act<'_> {
    fn step(&mut self, step: Step) -> Result<(), String> {
        match step {
            // Entered by itself.
            Step::Enter if self.model.running => {}
            Step::Enter => self.enter()?,
            Step::Leave => self.leave()?,
            step => {
                let told = self.model.outcome;
                self.model.apply(step);
                let given = self.perform(step);
                if step == Step::Join && given != told {
                    return Err(format!("the handle gave {given:?}, must be {told:?}"));
                }
            }
        }
        self.hands.as_ref().expect("hands").check(&self.model)
    }

    fn perform(&mut self, step: Step) -> Option<Outcome> {
        let mut hands = self.hands.take().expect("hands");
        if !(self.model.running && self.stage.inside) {
            let given = hands.perform(step);
            self.hands = Some(hands);
            return given;
        }
        let (done, wait) = mpsc::channel();
        let job = move || {
            let given = hands.perform(step);
            let _ = done.send((hands, given));
        };
        self.orders.send(Order::Do(Box::new(job))).expect("the task is in its poll");
        let (hands, given) = wait.recv_timeout(PATIENCE).expect("the task does it");
        self.hands = Some(hands);
        given
    }

    fn enter(&mut self) -> Result<(), String> {
        self.model.apply(Step::Enter);
        // The queues are fair, if not strictly in order.
        for _ in 0..100 {
            match self.stage.pass() {
                Told::Poll if self.model.running => return Ok(()),
                Told::Poll => return Err(format!("polled, but it should not be: {:?}", self.model)),
                Told::Gate(_) if self.model.running => {}
                Told::Gate(_) => {
                    if self.hands.as_ref().expect("hands").is_finished() == self.model.outcome.is_some() {
                        return Ok(());
                    }
                }
            }
        }
        Err(format!("nothing came of it: {:?}", self.model))
    }

    fn leave(&mut self) -> Result<(), String> {
        self.stage.queue_gate();
        self.orders.send(Order::End(self.model.answer())).expect("the task is in its poll");
        self.model.apply(Step::Leave);
        match self.stage.wait() {
            Told::Gate(_) => Ok(()),
            // Woken meanwhile, it may come again at once.
            Told::Poll if self.model.scheduled && !self.model.aborted => {
                self.model.apply(Step::Enter);
                Ok(())
            }
            Told::Poll => Err(format!("polled again, but it should not be: {:?}", self.model)),
        }
    }
}

fn product(length: usize, blocking: bool, inside: bool) {
    within(2 * PATIENCE, move || {
        let mut stage = Stage::new(blocking, inside);
        let count = every_order(length, blocking, |case, steps| {
            if let Err(why) = stage.run(case, steps) {
                panic!("{case:?} {steps:?}: {why}");
            }
        });
        println!("{count} orders");
        assert!(count > 1_000);
        drop(stage.gate.take());
        stage.runtime.shutdown_timeout(Duration::from_secs(10)).expect("all tasks have ended");
    });
}

#[test]
fn every_order_of_events_on_a_remote_task() {
    product(6, false, false);
}

#[test]
fn every_order_of_events_on_a_remote_task_that_does_them_itself() {
    product(6, false, true);
}

#[test]
fn every_order_of_events_on_blocking_work() {
    product(7, true, false);
}

#[test]
fn every_order_of_events_on_blocking_work_that_does_them_itself() {
    product(7, true, true);
}
