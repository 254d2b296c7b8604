//! Partitions: hosts that lose sight of one another, and what waits until they are healed.

use crate::choice::Kind;
use crate::clock::Due;
use crate::world::World;

impl World {
    /// Perhaps cuts two hosts off from one another for a while.
    pub(crate) fn maybe_partition(&mut self, a: u32, b: u32) {
        if self.options.partition == 0 || a == b || self.now >= self.faults_end() {
            return;
        }
        let rank = self.rarely(Kind::Partition, 4, self.options.partition);
        if rank > 0 && !self.net.is_cut(a, b) {
            self.cut(a, b);
            let span = self.options.latency_ns.max(1000) * [0, 4, 40, 400][rank as usize];
            self.due.push(self.now + span, Due::Heal(a, b));
        }
    }

    /// Cuts two hosts off from one another, both ways. Cuts count.
    pub(crate) fn cut(&mut self, a: u32, b: u32) {
        for (from, to) in [(a, b), (b, a)] {
            match self.net.cut.iter_mut().find(|cut| (cut.0, cut.1) == (from, to)) {
                Some(cut) => cut.2 += 1,
                None => self.net.cut.push((from, to, 1)),
            }
        }
    }

    /// Takes one cut back; what waited is sent on.
    pub(crate) fn heal(&mut self, a: u32, b: u32) {
        for (from, to) in [(a, b), (b, a)] {
            if let Some(at) = self.net.cut.iter().position(|cut| (cut.0, cut.1) == (from, to)) {
                self.net.cut[at].2 -= 1;
                if self.net.cut[at].2 == 0 {
                    self.net.cut.remove(at);
                }
            }
        }
        let held = std::mem::take(&mut self.net.held);
        for packet in held {
            if self.net.is_cut(packet.from_host, packet.to_host) {
                self.net.held.push(packet);
            } else {
                self.transmit(packet);
            }
        }
    }
}
