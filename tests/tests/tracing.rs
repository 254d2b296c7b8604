//! What subscribers of the crate tracing are told: spans of tasks, and events.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pirn::{Builder, Runtime};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

type Fields = BTreeMap<String, String>;

/// A span that was made.
#[derive(Clone, Debug)]
struct Made {
    target: String,
    name: String,
    parent: Option<usize>,
    fields: Fields,
    entered: usize,
    closed: bool,
}

/// An event, and the span that it happened in.
#[derive(Clone, Debug)]
struct Happened {
    target: String,
    level: tracing::Level,
    inside: Option<usize>,
    fields: Fields,
}

#[derive(Debug, Default)]
struct Seen {
    spans: Vec<Made>,
    stack: Vec<usize>,
    events: Vec<Happened>,
}

/// Remembers everything that happens on the thread that it is the default of.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Seen>>);

impl Notes {
    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.0.lock().expect("no test panics while it looks")
    }

    /// The one event of a target.
    fn event(&self, target: &str, message: &str) -> Happened {
        let seen = self.seen();
        let mut found =
            seen.events.iter().filter(|event| event.target == target && event.fields["message"] == message);
        let event = found.next().unwrap_or_else(|| panic!("no `{message}` of {target} in {:?}", seen.events));
        event.clone()
    }
}

struct Take<'a>(&'a mut Fields);

impl Visit for Take<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }
}

impl Subscriber for Notes {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut fields = Fields::new();
        span.record(&mut Take(&mut fields));
        let mut seen = self.seen();
        let parent = seen.stack.last().copied();
        let (target, name) = (span.metadata().target().to_owned(), span.metadata().name().to_owned());
        seen.spans.push(Made { target, name, parent, fields, entered: 0, closed: false });
        Id::from_u64(seen.spans.len() as u64)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::new();
        event.record(&mut Take(&mut fields));
        let mut seen = self.seen();
        let inside = seen.stack.last().copied();
        let (target, level) = (event.metadata().target().to_owned(), *event.metadata().level());
        seen.events.push(Happened { target, level, inside, fields });
    }

    fn enter(&self, span: &Id) {
        let at = span.into_u64() as usize - 1;
        let mut seen = self.seen();
        assert!(!seen.spans[at].closed, "a closed span is entered");
        seen.spans[at].entered += 1;
        seen.stack.push(at);
    }

    fn exit(&self, span: &Id) {
        assert_eq!(self.seen().stack.pop(), Some(span.into_u64() as usize - 1), "exits are nested");
    }

    fn try_close(&self, span: Id) -> bool {
        self.seen().spans[span.into_u64() as usize - 1].closed = true;
        true
    }
}

/// A runtime that is this thread and no other.
fn alone() -> Runtime {
    Builder::new().workers(1).slow_poll(Duration::from_millis(20)).build().expect("a runtime")
}

/// Says so when it is dropped.
struct Farewell;

impl Drop for Farewell {
    fn drop(&mut self) {
        tracing::info!(target: "test", "dropped");
    }
}

async fn worker_of_the_test() {
    tracing::info!(target: "test", "first");
    pirn::yield_now().await;
    tracing::info!(target: "test", "second");
}

#[test]
fn a_task_has_a_span_from_its_spawn_to_its_end() {
    let notes = Notes::default();
    let line = tracing::subscriber::with_default(notes.clone(), || {
        alone().block_on(async {
            let line = {
                let _request = tracing::info_span!(target: "test", "request").entered();
                let (line, task) = (line!(), pirn::spawn(worker_of_the_test()));
                task.detach();
                line
            };
            for _ in 0..10 {
                pirn::yield_now().await;
            }
            line
        })
    });
    let (first, second) = (notes.event("test", "first"), notes.event("test", "second"));
    assert_eq!(first.inside, second.inside);
    let seen = notes.seen();
    let span = &seen.spans[first.inside.expect("it happened in a span")];
    assert_eq!((span.target.as_str(), span.name.as_str()), ("pirn::task", "task"));
    assert!(span.fields["name"].contains("worker_of_the_test"), "{span:?}");
    assert!(span.fields["spawned_at"].contains(&format!("tracing.rs:{line}:")), "{span:?}");
    assert_eq!((span.fields["id"].as_str(), span.fields["kind"].as_str()), ("1", "shared"));
    // Two polls, and the drop.
    assert!(span.entered == 3 && span.closed, "{span:?}");
    assert_eq!(seen.spans[span.parent.expect("it was spawned in a span")].name, "request");
    assert!(seen.stack.is_empty());
}

#[test]
fn a_future_is_dropped_inside_of_its_span() {
    let notes = Notes::default();
    tracing::subscriber::with_default(notes.clone(), || {
        alone().block_on(async {
            let task = pirn::spawn_local(async {
                let _farewell = Farewell;
                std::future::pending::<()>().await;
            });
            pirn::yield_now().await;
            task.abort();
            assert!(task.await.expect_err("it was aborted").is_cancelled());
        });
    });
    let dropped = notes.event("test", "dropped");
    let seen = notes.seen();
    let span = &seen.spans[dropped.inside.expect("it was dropped in a span")];
    assert!(span.fields["kind"] == "pinned" && span.closed, "{span:?}");
}

#[test]
fn events_of_slow_polls_panics_and_the_runtime() {
    let notes = Notes::default();
    tracing::subscriber::with_default(notes.clone(), || {
        let runtime = alone();
        runtime.block_on(async {
            pirn::spawn(async { std::thread::sleep(Duration::from_millis(30)) }).await.expect("it ends");
            let failed = pirn::spawn(async { panic!("of the test") }).await;
            assert!(failed.expect_err("it panicked").is_panic());
        });
        runtime.shutdown_timeout(Duration::from_secs(60)).expect("nothing is left");
    });
    let slow = notes.event("pirn::slow_poll", "a task held its worker in one poll");
    assert_eq!((slow.level, slow.fields["id"].as_str()), (tracing::Level::WARN, "1"));
    assert!(slow.fields["took_us"].parse::<u64>().expect("a number") >= 30_000, "{slow:?}");
    assert!(slow.fields["spawned_at"].contains("tracing.rs:"), "{slow:?}");
    let panicked = notes.event("pirn::task", "a task panicked");
    assert_eq!((panicked.level, panicked.fields["id"].as_str()), (tracing::Level::ERROR, "2"));
    let started = notes.event("pirn::runtime", "a runtime starts");
    assert_eq!(started.fields["workers"], "1");
    notes.event("pirn::runtime", "a runtime shuts down");
    notes.event("pirn::runtime", "a runtime has shut down");
}

#[test]
fn a_takeover_is_an_event() {
    let notes = Notes::default();
    let begun = Arc::new(AtomicBool::new(false));
    tracing::subscriber::with_default(notes.clone(), || {
        let runtime = Builder::new().workers(2).build().expect("a runtime");
        runtime.block_on(async {
            let stuck = pirn::spawn({
                let begun = begun.clone();
                async move {
                    let mut nap = Box::pin(pirn::time::sleep(Duration::from_millis(1)));
                    // Armed here, and then this worker has other things to do.
                    std::future::poll_fn(|context| {
                        assert!(nap.as_mut().poll(context).is_pending());
                        begun.store(true, Ordering::SeqCst);
                        std::thread::sleep(Duration::from_millis(300));
                        std::task::Poll::Ready(())
                    })
                    .await;
                    nap.await;
                }
            });
            // Without leaving seat 0, so that the other worker has to take it.
            while !begun.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(1));
            }
            stuck.await.expect("it ends");
        });
    });
    let event = notes.event("pirn::takeover", "an idle worker served what waits at a busy one");
    assert_eq!((event.fields["victim"].as_str(), event.fields["by"].as_str()), ("1", "0"));
}

/// A subscriber that panics at every span that it is told of.
struct Broken;

impl Subscriber for Broken {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "pirn::task"
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        panic!("no span today")
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn a_subscriber_that_panics_costs_the_span_and_nothing_else() {
    let sum = tracing::subscriber::with_default(Broken, || {
        alone().block_on(async { pirn::spawn(async { 1 + 1 }).await.expect("it runs all the same") })
    });
    assert_eq!(sum, 2);
}
