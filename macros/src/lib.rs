//! The attributes of Pirn.
