//! Stacks: many at a time, pools that shrink, overflows, and what is said when there are no more.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pirn::coro::{self, StackSize};
use pirn::{Builder, Runtime};

use super::life::dies;
use crate::support::{PATIENCE, eventually, isolated, runtime, text, within};

fn stacks(runtime: &Runtime) -> usize {
    runtime.handle().metrics().workers.iter().map(|worker| worker.stacks).sum()
}

/// Starts so many coroutines, has all of them wait at once, then lets them end.
async fn crowd(count: usize, meanwhile: impl FnOnce()) {
    let (waiting, (open, gate)) = (Arc::new(AtomicUsize::new(0)), async_channel::bounded::<()>(1));
    let tasks: Vec<_> = (0..count)
        .map(|n| {
            let (waiting, gate) = (waiting.clone(), gate.clone());
            coro::spawn(move || {
                waiting.fetch_add(1, Ordering::Relaxed);
                assert!(coro::wait(gate.recv()).is_err(), "nothing is sent");
                n
            })
        })
        .collect();
    while waiting.load(Ordering::Relaxed) < count {
        pirn::yield_now().await;
    }
    meanwhile();
    drop(open);
    for (n, task) in tasks.into_iter().enumerate() {
        assert_eq!(task.await.unwrap(), n);
    }
}

#[test]
fn a_hundred_thousand_live_at_once_in_a_few_mappings() {
    isolated("coro::stacks::a_hundred_thousand_live_at_once_in_a_few_mappings", || {
        within(4 * PATIENCE, || {
            let runtime = runtime(2);
            let maps = || std::fs::read_to_string("/proc/self/maps").expect("/proc").lines().count();
            let before = maps();
            runtime.block_on(async {
                let guards = guards_in_mappings();
                // Without them each stack takes two mappings, and 65,530 is the usual limit.
                let count = if guards { 100_000 } else { 20_000 };
                crowd(count, || {
                    let live: usize =
                        runtime.handle().metrics().workers.iter().map(|worker| worker.coroutines).sum();
                    assert_eq!(live, count);
                    assert!(!guards || maps() < before + 200, "{} mappings, {before} before", maps());
                })
                .await;
            });
            let most: usize =
                runtime.handle().metrics().workers.iter().map(|worker| worker.coroutines_most).sum();
            assert!(most >= 20_000, "high water at {most}");
        });
    });
}

/// Whether this kernel makes guards inside of a mapping (Linux 6.13).
fn guards_in_mappings() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("/proc");
    let mut numbers = release.split(['.', '-']).map(|part| part.trim().parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    version >= (6, 13)
}

#[test]
fn a_worker_with_nothing_to_do_gives_stacks_back() {
    let runtime = Builder::new().workers(2).stacks_kept(8).build().expect("a runtime");
    runtime.block_on(async {
        for _ in 0..3 {
            crowd(500, || assert!(stacks(&runtime) >= 500)).await;
            // Both park in this time.
            let mut rounds = 0;
            while stacks(&runtime) > 16 {
                pirn::time::sleep(std::time::Duration::from_millis(1)).await;
                rounds += 1;
                assert!(rounds < 10_000, "{} stacks are kept", stacks(&runtime));
            }
            let most: usize =
                runtime.handle().metrics().workers.iter().map(|worker| worker.coroutines_most).sum();
            assert!(most >= 500, "the high-water mark stays: {most}");
        }
    });
}

#[test]
fn a_kept_pool_serves_the_next_crowd() {
    let runtime = Builder::new().workers(1).build().expect("a runtime");
    runtime.block_on(async {
        crowd(300, || ()).await;
        let made = stacks(&runtime);
        for _ in 0..5 {
            crowd(300, || ()).await;
        }
        assert_eq!(stacks(&runtime), made);
    });
}

#[test]
#[cfg_attr(pirn_asan, ignore = "the sanitizer needs mappings too, and ends where there are none")]
fn without_room_for_a_guard_the_handle_names_the_limit() {
    isolated("coro::stacks::without_room_for_a_guard_the_handle_names_the_limit", || {
        within(4 * PATIENCE, || {
            let limit = std::fs::read_to_string("/proc/sys/vm/max_map_count").expect("/proc");
            let limit: usize = limit.trim().parse().expect("a number");
            if limit > 200_000 {
                return eprintln!("vm.max_map_count is {limit}: too many stacks for a test");
            }
            let runtime = Builder::new().workers(1).stack_guards_mapped().build().expect("a runtime");
            let said = runtime.block_on(async {
                let mut tasks: Vec<_> = (0..limit / 2 + 10)
                    .map(|_| coro::spawn_on(StackSize::Small, || coro::wait(std::future::pending::<()>())))
                    .collect();
                let failed = loop {
                    pirn::time::sleep(std::time::Duration::from_millis(1)).await;
                    if let Some(at) = tasks.iter().position(pirn::task::JoinHandle::is_finished) {
                        break tasks.swap_remove(at);
                    }
                };
                let payload = failed.await.unwrap_err().into_panic().expect("no stack");
                text(&*payload)
            });
            assert!(said.contains("vm.max_map_count") && said.contains("mprotect failed"), "{said}");
        });
    });
}

#[test]
fn guards_by_mprotect_hold_too() {
    let runtime = Builder::new().workers(2).stack_guards_mapped().stacks_kept(0).build().expect("a runtime");
    runtime.block_on(crowd(200, || ()));
    eventually("nothing is kept", || stacks(&runtime) == 0);
}

fn overflow(depth: usize) -> usize {
    let bytes = std::hint::black_box([depth as u8; 512]);
    if depth == usize::MAX {
        return 0;
    }
    overflow(depth + 1) + usize::from(bytes[depth % 512])
}

#[test]
fn an_overflow_is_reported_as_such() {
    let test = "coro::stacks::an_overflow_is_reported_as_such";
    let ended = dies(test, || {
        let runtime = runtime(2);
        runtime.block_on(async {
            for _ in 0..3 {
                coro::spawn(|| coro::yield_now()).await.unwrap();
            }
            coro::spawn(|| overflow(0)).await.unwrap();
        });
    });
    let (status, said) = ended.expect("the parent");
    assert!(!status.success(), "{status}: {said}");
    for part in
        ["a coroutine overflowed its stack of 128 KiB", "spawned at", "stacks.rs:", "StackSize::Large"]
    {
        assert!(said.contains(part), "{part:?} is missing in: {said}");
    }
}

#[test]
#[cfg_attr(pirn_asan, ignore = "a fault is the sanitizer's own to report")]
fn another_fault_is_not_taken_for_an_overflow() {
    let ended = dies("coro::stacks::another_fault_is_not_taken_for_an_overflow", || {
        runtime(1).block_on(async {
            let fault = || {
                // SAFETY: none: the process is meant to end here, as the system ends it.
                unsafe { std::ptr::without_provenance::<u8>(16).read_volatile() }
            };
            coro::spawn(fault).await.unwrap();
        });
    });
    let (status, said) = ended.expect("the parent");
    use std::os::unix::process::ExitStatusExt;
    assert_eq!(status.signal(), Some(libc::SIGSEGV), "{said}");
    assert!(!said.contains("overflowed"), "{said}");
}

#[test]
fn impossible_sizes_are_refused_with_the_options_name() {
    for bytes in [0, 4096, 100_000, 2 << 30] {
        let error = Builder::new().workers(1).stack_size(StackSize::Small, bytes).build().unwrap_err();
        assert!(error.to_string().contains(&format!("stack_size({bytes})")), "{error}");
    }
}
