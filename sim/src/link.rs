//! Links between hosts, and what goes wrong on them: how long packets take, loss, resets, hosts that are gone.

use std::collections::VecDeque;

use crate::choice::Kind;
use crate::net::{Net, Packet, Role, What};
use crate::rng::mix;
use crate::world::World;

/// Latency between two sockets of one host.
const LOOPBACK_NS: u64 = 8_000;
/// How much longer packets of a clogged link take.
const CLOG: u64 = 50;
/// What bad luck and a clogged link make a packet take at most: it would have been sent again by then. Longer ones would arrive when
/// faults have stopped and the program has to get on, and idle workers look after busy ones all the while.
const LONGEST_NS: u64 = 2_000_000_000;
/// How long a sender waits before it sends a lost packet again, at first.
const RESEND_NS: u64 = 200_000_000;
/// How often a packet is sent again to a host that is down before its connection is given up.
const TRIES: u32 = 10;

impl Net {
    /// A host is gone with all its sockets: nobody is told.
    pub(crate) fn crashed(&mut self, host: u32) {
        for socket in self.sockets.iter_mut().filter(|socket| socket.host == host && !socket.closed) {
            socket.closed = true;
            socket.inbox = VecDeque::new();
            socket.letters.clear();
            socket.name = None;
            socket.readers.clear();
            socket.writers.clear();
            if let Role::Listener { .. } | Role::Fresh = socket.role {
                socket.role = Role::Fresh;
                socket.local = None;
            }
        }
        let Self { listeners, sockets, .. } = self;
        listeners.retain(|&listener| sockets[listener as usize].host != host);
        if let Some(table) = self.descriptors.get_mut(host as usize) {
            table.clear();
        }
    }
}

impl World {
    /// How long a packet takes, if it has to be sent again with the time until then.
    pub(crate) fn delay(&mut self, from: u32, to: u32) -> u64 {
        let rates = &self.options.rates;
        let (permille, delays, loss) = (rates.delay, rates.delays, rates.loss);
        let mut latency = if from == to { LOOPBACK_NS } else { self.options.latency_ns };
        if from != to && rates.spread {
            // Between half and four and a half times.
            let link = mix(mix(self.options.entropy, u64::from(from)), u64::from(to));
            latency = latency / 2 * (1 + link % 9);
        }
        let longest = LONGEST_NS.max(latency * 3);
        if self.net.clogged.iter().any(|&(a, b, _)| (a, b) == (from, to)) {
            latency *= CLOG;
        }
        let delay = match self.rarely(Kind::Delay, delays, permille) {
            0 => latency,
            1 => latency + latency / 2,
            2 => latency * 3,
            3 => latency / 2,
            more => latency * [10, 30, 100, 300][more as usize % 4],
        };
        let delay = delay.min(longest);
        if from == to || loss == 0 {
            return delay;
        }
        // The timer for sending again doubles.
        let lost = self.rarely(Kind::Loss, 4, loss);
        delay + RESEND_NS * ((1 << lost) - 1)
    }

    /// Whether a packet has overtaken an earlier one of its sender, which a cut link held up and which is under way again.
    pub(crate) fn is_early(&mut self, packet: &mut Packet) -> bool {
        let now = self.now;
        let sender = self.net.socket(packet.from);
        let early = packet.number > sender.arrived + 1 && sender.last_arrival >= now && !packet.late;
        if early {
            packet.late = sender.last_arrival == now;
        } else {
            sender.arrived = sender.arrived.max(packet.number);
        }
        early
    }

    /// A packet came to a host that is down: it is sent again, until its sender gives up.
    pub(crate) fn nobody_there(&mut self, mut packet: Packet) {
        if matches!(packet.what, What::Datagram { .. } | What::Unreachable) {
            return;
        }
        packet.tries += 1;
        if packet.tries <= TRIES {
            let at = self.now + (RESEND_NS << packet.tries);
            let sender = self.net.socket(packet.from);
            sender.last_arrival = sender.last_arrival.max(at);
            sender.arrived = packet.number.saturating_sub(1);
            self.schedule(packet, at);
            return;
        }
        let socket = self.net.socket(packet.from);
        if !socket.closed && !socket.reset {
            socket.reset = true;
            socket.error = Some(libc::ETIMEDOUT);
            self.both(packet.from);
        }
    }

    /// Perhaps resets a connection: both ends learn of it.
    pub(crate) fn maybe_reset(&mut self, id: u32) {
        if self.options.reset > 0
            && matches!(self.net.socket(id).role, Role::Stream)
            && !self.net.socket(id).reset
        {
            let options = if self.options.rates.half_open { 3 } else { 2 };
            let rank = self.rarely(Kind::Reset, options, self.options.reset);
            if rank == 1 {
                self.send_to_other(id, What::Rst);
            }
            if rank > 0 {
                self.be_reset(id);
            }
        }
    }
}
