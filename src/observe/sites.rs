//! Numbers for the places that spawn, so that an event of 16 bytes can say where a task comes from.

use core::panic::Location;
use std::collections::BTreeMap;

use super::Site;
use crate::sync::Mutex;

/// A location and the name of a future's type, and their addresses to tell them apart by.
pub(crate) type Origin = (&'static Location<'static>, &'static str);

/// The numbers a worker has seen already, so that it takes no lock for them.
pub(crate) type Seen = BTreeMap<(usize, usize), u32>;

/// All numbers of a runtime.
#[derive(Debug, Default)]
pub(crate) struct Sites(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    numbers: Seen,
    places: Vec<Origin>,
}

/// Addresses of statics: they find a number and are not told.
fn key((location, name): Origin) -> (usize, usize) {
    (core::ptr::from_ref(location) as usize, name.as_ptr() as usize)
}

impl Sites {
    /// The number of a place, from 1.
    pub(crate) fn number(&self, place: Origin, seen: Option<&mut Seen>) -> u32 {
        let key = key(place);
        if let Some(number) = seen.as_ref().and_then(|seen| seen.get(&key)) {
            return *number;
        }
        let number = {
            let known = &mut *self.0.lock();
            let next = known.places.len() as u32 + 1;
            let number = *known.numbers.entry(key).or_insert(next);
            if number == next {
                known.places.push(place);
            }
            number
        };
        if let Some(seen) = seen {
            seen.insert(key, number);
        }
        number
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<Site> {
        let known = self.0.lock();
        let sites = known.places.iter().enumerate();
        sites
            .map(|(at, (location, name))| Site {
                number: at as u32 + 1,
                location: location.to_string(),
                name: (*name).to_owned(),
            })
            .collect()
    }
}
