//! One request's processing, written in each of the ways: take the body, wait for a turn of others (as for a back end), answer.

use std::cell::Cell;
use std::future::Future;
use std::pin::{Pin, pin};
use std::ptr;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult, Yielder};
use pirn::coro;
use pirn::net::TcpStream;
use pirn::task::JoinHandle;

use crate::ucontext::{self, STACK, Ucontext};

/// Bytes of a request and of its answer.
pub(crate) const MESSAGE: usize = 64;

/// Turns of others that a request waits for.
const TURNS: usize = 2;

/// How requests are processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Callbacks,
    Naive,
    PooledOnly,
    LightOnly,
    Both,
    Futures,
}

impl Way {
    pub(crate) const ALL: [Self; 6] =
        [Self::Callbacks, Self::Naive, Self::PooledOnly, Self::LightOnly, Self::Both, Self::Futures];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Callbacks => "callbacks (hand-written states)",
            Self::Naive => "naive coroutines (fresh stack, ucontext)",
            Self::PooledOnly => "pooled stacks only",
            Self::LightOnly => "light switch only",
            Self::Both => "both: pirn::coro",
            Self::Futures => "stackless futures",
        }
    }

    /// Starts the processing of one request.
    pub(crate) fn start(self, stream: Arc<TcpStream>, request: [u8; MESSAGE]) -> JoinHandle<()> {
        match self {
            Self::Callbacks => pirn::spawn_local(States { stream, request, turns: 0, sent: 0 }),
            Self::Naive | Self::PooledOnly => {
                pirn::spawn_local(Ucontext::new(self == Self::PooledOnly, move || {
                    for _ in 0..TURNS {
                        ucontext::wait(pirn::yield_now());
                    }
                    ucontext::wait(stream.write_all(&answer(request))).expect("the client reads");
                }))
            }
            Self::LightOnly => pirn::spawn_local(Light::new(move || {
                for _ in 0..TURNS {
                    light_wait(pirn::yield_now());
                }
                light_wait(stream.write_all(&answer(request))).expect("the client reads");
            })),
            Self::Both => coro::spawn(move || {
                for _ in 0..TURNS {
                    coro::wait(pirn::yield_now());
                }
                coro::wait(stream.write_all(&answer(request))).expect("the client reads");
            }),
            Self::Futures => pirn::spawn_local(async move {
                for _ in 0..TURNS {
                    pirn::yield_now().await;
                }
                stream.write_all(&answer(request)).await.expect("the client reads");
            }),
        }
    }
}

/// What there is to compute.
fn answer(mut request: [u8; MESSAGE]) -> [u8; MESSAGE] {
    let sum = request.iter().fold(0_u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(*byte));
    request[MESSAGE - 1] = sum;
    request
}

/// The state machine that callbacks come down to.
struct States {
    stream: Arc<TcpStream>,
    request: [u8; MESSAGE],
    turns: usize,
    sent: usize,
}

impl Future for States {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.turns < TURNS {
            self.turns += 1;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let this = &mut *self;
        if this.sent == 0 {
            this.request = answer(this.request);
        }
        while this.sent < MESSAGE {
            match pin!(this.stream.write(&this.request[this.sent..])).poll(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(sent) => this.sent += sent.expect("the client reads"),
            }
        }
        Poll::Ready(())
    }
}

thread_local! {
    static LIGHT: Cell<(*const Yielder<(), ()>, *const Waker)> = const { Cell::new((ptr::null(), ptr::null())) };
}

/// A fresh stack and corosensei's switch.
struct Light(Coroutine<(), (), ()>, Box<Cell<*const Yielder<(), ()>>>);

impl Light {
    fn new(job: impl FnOnce() + 'static) -> Self {
        let place = Box::new(Cell::new(ptr::null()));
        let told: *const Cell<*const Yielder<(), ()>> = &raw const *place;
        let stack = DefaultStack::new(STACK).expect("memory for a stack");
        let body = Coroutine::with_stack(stack, move |yielder: &Yielder<(), ()>, ()| {
            // SAFETY: the box lives as long as the coroutine.
            unsafe { (*told).set(yielder) };
            LIGHT.set((yielder, LIGHT.get().1));
            job();
        });
        Self(body, place)
    }
}

impl Future for Light {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let before = LIGHT.replace((self.1.get(), context.waker()));
        let result = self.0.resume(());
        LIGHT.set(before);
        match result {
            CoroutineResult::Yield(()) => Poll::Pending,
            CoroutineResult::Return(()) => Poll::Ready(()),
        }
    }
}

fn light_wait<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        let (yielder, waker) = LIGHT.get();
        // SAFETY: this runs inside the coroutine, so its yielder and the waker of the poll it runs in are alive.
        unsafe {
            match future.as_mut().poll(&mut Context::from_waker(&*waker)) {
                Poll::Ready(output) => return output,
                Poll::Pending => (*yielder).suspend(()),
            }
        }
    }
}
