//! Partitions: hosts that lose sight of one another, and what waits until they are healed.

use crate::choice::Kind;
use crate::clock::Due;
use crate::world::World;

impl World {
    /// Perhaps cuts two hosts off from one another for a while.
    pub(crate) fn maybe_partition(&mut self, a: u32, b: u32) {
        if self.options.partition == 0 || a == b {
            return;
        }
        let options = if self.options.rates.one_way { 7 } else { 4 };
        let rank = self.rarely(Kind::Partition, options, self.options.partition);
        if rank > 0 && !self.net.is_cut(a, b) {
            let one_way = rank > 3;
            self.cut_link(a, b);
            if !one_way {
                self.cut_link(b, a);
            }
            let span = self.options.latency_ns.max(1000) * [400, 4, 40][rank as usize % 3];
            self.net.drawn.push((a, b, one_way));
            self.due.push(self.now + span, Due::Heal(a, b, one_way));
        }
    }

    /// A drawn partition ends, if it has not yet.
    pub(crate) fn end_partition(&mut self, a: u32, b: u32, one_way: bool) {
        let Some(at) = self.net.drawn.iter().position(|cut| *cut == (a, b, one_way)) else { return };
        self.net.drawn.swap_remove(at);
        self.heal_link(a, b);
        if !one_way {
            self.heal_link(b, a);
        }
    }

    /// Ends all that were drawn.
    pub(crate) fn end_partitions(&mut self) {
        while let Some(&(a, b, one_way)) = self.net.drawn.last() {
            self.end_partition(a, b, one_way);
        }
        for (a, b) in std::mem::take(&mut self.net.drawn_clogs) {
            self.unclog(a, b);
        }
    }

    /// Nothing that `from` sends reaches `to`. Cuts count.
    pub(crate) fn cut_link(&mut self, from: u32, to: u32) {
        match self.net.cut.iter_mut().find(|cut| (cut.0, cut.1) == (from, to)) {
            Some(cut) => cut.2 += 1,
            None => self.net.cut.push((from, to, 1)),
        }
    }

    /// Takes one cut back; what waited is sent on.
    pub(crate) fn heal_link(&mut self, from: u32, to: u32) {
        if let Some(at) = self.net.cut.iter().position(|cut| (cut.0, cut.1) == (from, to)) {
            self.net.cut[at].2 -= 1;
            if self.net.cut[at].2 == 0 {
                self.net.cut.remove(at);
            }
        }
        let mut held = std::mem::take(&mut self.net.held);
        // One that was under way when the link was cut came here after later ones.
        held.sort_by_key(|packet| packet.number);
        for packet in held {
            if self.net.is_cut(packet.from_host, packet.to_host) {
                self.net.held.push(packet);
            } else {
                self.transmit(packet);
            }
        }
    }
}
