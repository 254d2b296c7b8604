//! The way of the running task to another group, as a future.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::sync::Arc;

use super::{Shared, keep_task, move_task, with_context};
use crate::group::HopError;

/// The group that the task that is polled on this thread is in, if it is one of this runtime and may leave it.
pub(crate) fn group_of_task(shared: &Shared) -> Option<u32> {
    with_context(|cx| {
        let cx = cx.filter(|cx| core::ptr::eq(Arc::as_ptr(&cx.shared), shared))?;
        // SAFETY: set while that task is polled, which is now; the poll has a reference.
        let task = unsafe { cx.task.get().as_ref() }?;
        if task.is_pinned() { None } else { Some(shared.seat(cx.seat?).group) }
    })
}

/// Ready when the task that polls it is in the group; dropped in the poll that began it, it leaves the task where it is.
pub(crate) struct Move {
    shared: Arc<Shared>,
    group: u32,
    on_its_way: bool,
}

impl Move {
    pub(crate) fn new(shared: Arc<Shared>, group: u32) -> Self {
        Self { shared, group, on_its_way: false }
    }
}

impl Future for Move {
    type Output = Result<(), HopError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let moved = move_task(&self.shared, self.group);
        self.on_its_way = matches!(moved, Ok(false));
        match moved {
            Err(error) => Poll::Ready(Err(error)),
            Ok(true) => Poll::Ready(Ok(())),
            Ok(false) => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}

impl Drop for Move {
    fn drop(&mut self) {
        if self.on_its_way {
            keep_task(self.group);
        }
    }
}
