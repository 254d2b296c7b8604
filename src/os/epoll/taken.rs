//! What a home that takes from the kernel itself (a ring) tells its sockets.

use super::side::{Armed, Side};
use super::socket::{Direction, Socket, Stage, Want};
use crate::os::{Address, Completion, Fd};

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
        self.take_in(|side| side.more_ahead().push_connection(fd, peer), Want::Connections, stage, out);
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
        let mut side = self.side(direction).lock();
        if let Some(errno) = error {
            side.more_ahead().fail(errno);
        }
        side.disarmed();
        side.play_all(self.kernel(), &mut stage.scratch, out, &mut stage.spent);
        if let Some(first) = side.first() {
            match self.arm(None, Want::of(first.op(), self.kernel().socket), first.fd()) {
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
        if side.waits() {
            side.event(bits);
            side.play_all(self.kernel(), &mut stage.scratch, out, &mut stage.spent);
            if matches!(side.armed, Armed::Takes | Armed::Pausing) {
                side.ready = false;
            }
        }
        drop(side);
        stage.spent.clear();
    }

    /// Whether an op waits on a side.
    pub(in crate::os) fn waits(&self, direction: Direction) -> bool {
        self.side(direction).lock().waits()
    }
}
