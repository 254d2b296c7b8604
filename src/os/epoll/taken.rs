//! What a home that takes from the kernel itself (a ring) tells its sockets.

use super::home::{Direction, Want};
use super::side::{self, Armed, Kernel, Side, Waiting};
use super::socket::{Socket, Stage};
use crate::os::sys as calls;
use crate::os::{Address, Completion, Fd, Op};

/// Bytes of one receive in a home's place.
const AROUND: usize = 64 << 10;

impl Socket {
    /// Bytes came.
    pub(in crate::os) fn bytes(&self, chunk: Vec<u8>, stage: &mut Stage, out: &mut Vec<Completion>) {
        self.take_in(|side| side.more_ahead().push(chunk), Want::Bytes, stage, out);
    }

    /// A connection came.
    pub(in crate::os) fn connection(
        &self,
        fd: Fd,
        peer: Address,
        stage: &mut Stage,
        out: &mut Vec<Completion>,
    ) {
        self.settle(&fd);
        self.take_in(|side| side.more_ahead().push_connection(fd, peer), Want::Connections, stage, out);
    }

    /// The connect that the home made came to this: 0 or a negative error number.
    pub(in crate::os) fn connected(&self, result: i32, stage: &mut Stage, out: &mut Vec<Completion>) {
        let outcome = match -result {
            0 | libc::EISCONN => Some(Ok(0)),
            // Of the ring, or of a call that a peer made in its place: what waits asks the kernel itself.
            libc::ECANCELED | libc::EALREADY | libc::EINPROGRESS | libc::EAGAIN | libc::EINTR => None,
            errno => Some(Err(std::io::Error::from_raw_os_error(errno))),
        };
        self.not_connecting();
        let end = |side: &mut Side| outcome.and_then(|outcome| side.end_connect(outcome));
        let resolved = end(&mut self.side(Direction::Write).lock());
        if let Some((completion, fd)) = resolved {
            out.push(completion);
            drop(fd);
        }
        self.ended(Direction::Write, None, stage, out);
    }

    fn take_in(
        &self,
        push: impl FnOnce(&mut Side),
        want: Want,
        stage: &mut Stage,
        out: &mut Vec<Completion>,
    ) {
        let mut side = self.side(Direction::Read).lock();
        push(&mut side);
        side.play_all(self.kernel(), &mut stage.scratch, out, &mut stage.spent);
        if side.should_pause() {
            self.with_home(|home, key| home.pause(key, want));
        }
        drop(side);
        stage.spent.clear();
    }

    /// The home does nothing for a side any more, with an error that the kernel told it only. What waits is played, and what
    /// still waits then has the home begin anew.
    pub(in crate::os) fn ended(
        &self,
        direction: Direction,
        error: Option<i32>,
        stage: &mut Stage,
        out: &mut Vec<Completion>,
    ) {
        let fail = |side: &mut Side| {
            if let Some(errno) = error {
                side.more_ahead().fail(errno);
            }
        };
        self.end(direction, fail, stage, out);
    }

    /// The same, because the home goes on with another ring. `forget` drops what the home was asked to do for this side and has not done:
    /// under the side's lock, so that who asks anew asks behind it and is not heard twice.
    pub(in crate::os) fn moved(
        &self,
        direction: Direction,
        forget: impl FnOnce(),
        stage: &mut Stage,
        out: &mut Vec<Completion>,
    ) {
        let before = |side: &mut Side| {
            // Who has nobody see to it has asked for nothing.
            if side.armed != Armed::No {
                forget();
            }
        };
        self.end(direction, before, stage, out);
    }

    fn end(
        &self,
        direction: Direction,
        before: impl FnOnce(&mut Side),
        stage: &mut Stage,
        out: &mut Vec<Completion>,
    ) {
        let mut side = self.side(direction).lock();
        before(&mut side);
        side.disarmed();
        side.play_all(self.kernel(), &mut stage.scratch, out, &mut stage.spent);
        if let Some(first) = side.first() {
            match self.arm(None, Want::of(first.op(), self.kind()), first.fd()) {
                Ok(armed) => {
                    side.armed = armed;
                    side.ready = false;
                }
                Err(error) => {
                    while let Some(waiting) = side.pop() {
                        let (mut completion, fd) = waiting.cancelled();
                        completion.result = Err(std::io::Error::new(error.kind(), error.to_string()));
                        out.push(completion);
                        stage.spent.push(fd);
                    }
                }
            }
        }
        drop(side);
        stage.spent.clear();
    }

    /// Serves the ops that wait here by direct calls, around a home that cannot: nothing it has taken is on its way.
    pub(in crate::os) fn around(
        &self,
        direction: Direction,
        bits: u32,
        stage: &mut Stage,
        out: &mut Vec<Completion>,
    ) {
        let mut side = self.side(direction).lock();
        if !side.waits() {
            return;
        }
        if direction == Direction::Write || !matches!(side.armed, Armed::Takes | Armed::Pausing) {
            side.event(bits);
        } else if let Some(Op::Accept { .. }) = side.first().map(Waiting::op) {
            self.take_connection(&mut side);
        } else {
            self.take_bytes(&mut side, &mut stage.scratch);
        }
        side.play_all(self.kernel(), &mut stage.scratch, out, &mut stage.spent);
        drop(side);
        stage.spent.clear();
    }

    /// In the home's place: behind what it took comes what the kernel still has.
    fn take_bytes(&self, side: &mut Side, scratch: &mut Vec<u8>) {
        let Kernel { fd, socket, .. } = self.kernel();
        match calls::recv_vec(fd, socket, scratch, AROUND) {
            Ok(None) => {}
            Ok(Some(0)) => side.more_ahead().fail(0),
            Ok(Some(_)) => side.more_ahead().push(scratch.clone()),
            Err(error) => side.more_ahead().fail(error.raw_os_error().unwrap_or(libc::EIO)),
        }
    }

    fn take_connection(&self, side: &mut Side) {
        // An error waits for the next accept that asks the kernel itself.
        if let Ok(Some((fd, peer))) = side::accept(self.kernel().fd) {
            self.settle(&fd);
            side.more_ahead().push_connection(fd, peer);
        }
    }

    /// Whether an op waits on a side.
    pub(in crate::os) fn waits(&self, direction: Direction) -> bool {
        self.side(direction).lock().waits()
    }
}
