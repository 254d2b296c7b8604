//! Who is registered in a set or a ring, under keys that outlive no registration.

use std::sync::Weak;

use crate::os::{Descriptor, Fd};

/// Generations have 28 bits: a key leaves the four highest bits of a kernel's user data free.
const GENERATIONS: u32 = 0x0fff_ffff;

/// The registered sockets. A key is an index and the entry's generation, so an event of a socket that has gone finds nobody.
#[derive(Debug)]
pub(in crate::os) struct Registry {
    entries: Vec<Entry>,
    free: Vec<u32>,
    closed: bool,
    /// As many are a crowd.
    crowd: usize,
}

#[derive(Debug)]
struct Entry {
    generation: u32,
    socket: Option<Weak<dyn Descriptor>>,
}

impl Registry {
    /// Nobody yet.
    pub(in crate::os) fn new(crowd: usize) -> Self {
        Self { entries: Vec::new(), free: Vec::new(), closed: false, crowd }
    }

    fn entry(&mut self, key: u64) -> Option<&mut Entry> {
        self.entries.get_mut(key as u32 as usize).filter(|entry| entry.generation == (key >> 32) as u32)
    }

    /// A key for a socket. Fails once the driver is gone.
    pub(in crate::os) fn insert(&mut self, socket: Weak<dyn Descriptor>) -> std::io::Result<u64> {
        if self.closed {
            return Err(std::io::Error::other(
                "the driver of this socket's worker is gone: its runtime was shut down",
            ));
        }
        let index = self.free.pop().unwrap_or_else(|| {
            self.entries.push(Entry { generation: 0, socket: None });
            (self.entries.len() - 1) as u32
        });
        let entry = &mut self.entries[index as usize];
        entry.socket = Some(socket);
        Ok(u64::from(entry.generation) << 32 | u64::from(index))
    }

    /// Forgets a socket; what is returned is to be dropped where no lock is held.
    pub(in crate::os) fn remove(&mut self, key: u64) -> Option<Weak<dyn Descriptor>> {
        let entry = self.entry(key)?;
        let socket = entry.socket.take()?;
        entry.generation = (entry.generation + 1) & GENERATIONS;
        self.free.push(key as u32);
        Some(socket)
    }

    /// The socket of a key, if it lives.
    pub(in crate::os) fn get(&mut self, key: u64) -> Option<Fd> {
        self.entry(key)?.socket.as_ref()?.upgrade()
    }

    /// How many are registered.
    pub(in crate::os) fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// Whether connections should rather be at home elsewhere.
    pub(in crate::os) fn is_crowded(&self) -> bool {
        self.len() >= self.crowd
    }

    /// All registrations.
    pub(in crate::os) fn keys(&self) -> Vec<(u64, Weak<dyn Descriptor>)> {
        let entries = self.entries.iter().enumerate();
        let key = |(index, entry): (usize, &Entry)| {
            let socket = entry.socket.clone()?;
            Some((u64::from(entry.generation) << 32 | index as u64, socket))
        };
        entries.filter_map(key).collect()
    }

    /// No registration from now on. Returns who was registered and lives.
    pub(in crate::os) fn close(&mut self) -> Vec<Fd> {
        self.closed = true;
        self.entries.iter().filter_map(|entry| entry.socket.as_ref()?.upgrade()).collect()
    }
}
