//! A mailbox for one value and one reader, out of a std lock and a waker: what a user would write.

use std::future::poll_fn;
use std::sync::{Mutex, PoisonError};
use std::task::{Poll, Waker};

/// Holds at most one value.
#[derive(Debug)]
pub(crate) struct Mailbox<T>(Mutex<State<T>>);

#[derive(Debug)]
struct State<T> {
    value: Option<T>,
    reader: Option<Waker>,
}

impl<T> Mailbox<T> {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Self(Mutex::new(State { value: None, reader: None }))
    }

    /// Puts a value in and wakes the reader. Returns the value if the box is full.
    pub(crate) fn put(&self, value: T) -> Result<(), T> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.value.is_some() {
            return Err(value);
        }
        state.value = Some(value);
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
        Ok(())
    }

    /// Waits for a value.
    pub(crate) async fn take(&self) -> T {
        poll_fn(|cx| {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match state.value.take() {
                Some(value) => Poll::Ready(value),
                None => {
                    state.reader = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

/// Counts rings and lets one listener wait for them.
#[derive(Debug, Default)]
pub(crate) struct Bell(Mutex<(u32, Option<Waker>)>);

impl Bell {
    /// Rings once.
    pub(crate) fn ring(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 += 1;
        let listener = state.1.take();
        drop(state);
        if let Some(listener) = listener {
            listener.wake();
        }
    }

    /// Whether somebody waits for it.
    pub(crate) fn is_awaited(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1.is_some()
    }

    /// Waits until it has rung `times` in all.
    pub(crate) async fn rung(&self, times: u32) {
        poll_fn(|cx| {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if state.0 >= times {
                return Poll::Ready(());
            }
            state.1 = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}
