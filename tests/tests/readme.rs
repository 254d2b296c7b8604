//! The README's simulated test, word for word (tests/tidy.rs compares). It fails, as the README says it does.
#![cfg(feature = "sim")]

use std::sync::{Arc, Mutex};

#[should_panic(expected = "left: ")]
#[pirn_sim::test(seeds = 200, workers = 2..=3)]
async fn no_deposit_is_lost() {
    let balance = Arc::new(Mutex::new(0));
    let deposit = |amount: u32| {
        let balance = balance.clone();
        pirn::spawn(async move {
            let before = *balance.lock().unwrap();
            pirn::yield_now().await; // others may run here
            *balance.lock().unwrap() = before + amount;
        })
    };
    let (one, two) = (deposit(1), deposit(2));
    one.await.unwrap();
    two.await.unwrap();
    assert_eq!(*balance.lock().unwrap(), 3);
}
