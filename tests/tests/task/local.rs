//! Task-locals.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use super::everywhere;

pirn::task_local! {
    static NUMBER: u64;
    static SHARED: Rc<Cell<u64>>;
}

#[test]
fn each_task_sees_its_own_value() {
    everywhere("each_task_sees_its_own_value", || async {
        let tasks: Vec<_> = (0..10)
            .map(|number| {
                pirn::spawn(NUMBER.scope(number, async move {
                    for _ in 0..4 {
                        assert_eq!(NUMBER.get(), number);
                        pirn::yield_now().await;
                    }
                    pirn::time::sleep(Duration::from_micros(50)).await;
                    NUMBER.with(|seen| *seen)
                }))
            })
            .collect();
        for (number, task) in tasks.into_iter().enumerate() {
            assert_eq!(task.await.expect("no panic"), number as u64);
        }
        assert!(NUMBER.try_with(|_| ()).is_err());
    });
}

#[test]
fn scopes_nest_and_spawned_tasks_inherit_nothing() {
    everywhere("scopes_nest_and_spawned_tasks_inherit_nothing", || async {
        let nested = NUMBER.scope(1, async {
            let inner = NUMBER.scope(2, async {
                pirn::yield_now().await;
                NUMBER.get()
            });
            assert_eq!(inner.await, 2);
            let seen = pirn::spawn(async { NUMBER.try_with(|_| ()).is_ok() }).await;
            assert!(!seen.expect("no panic"));
            assert_eq!(NUMBER.sync_scope(3, || NUMBER.get()), 3);
            NUMBER.get()
        });
        assert_eq!(nested.await, 1);
    });
}

#[test]
fn the_value_is_there_when_the_future_is_dropped_or_panics() {
    struct Looks;
    impl Drop for Looks {
        fn drop(&mut self) {
            SHARED.with(|shared| shared.set(shared.get() + 1));
        }
    }
    everywhere("the_value_is_there_when_the_future_is_dropped_or_panics", || async {
        let shared = Rc::new(Cell::new(0));
        let looks = Looks;
        let never = SHARED.scope(Rc::clone(&shared), async move {
            let _looks = looks;
            std::future::pending::<()>().await;
        });
        assert!(pirn::time::timeout(Duration::from_micros(10), never).await.is_err());
        assert_eq!(shared.get(), 1);
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            SHARED.sync_scope(Rc::clone(&shared), || std::panic::resume_unwind(Box::new(())))
        }));
        assert!(caught.is_err());
        assert!(SHARED.try_with(|_| ()).is_err(), "a panic took the value along");
        assert_eq!(Rc::strong_count(&shared), 1);
    });
}

#[test]
#[should_panic(expected = "a task-local has no value here")]
fn without_a_value_there_is_a_sentence() {
    NUMBER.get();
}
