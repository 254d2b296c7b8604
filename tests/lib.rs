//! The integration tests of Pirn live in `tests/`.
