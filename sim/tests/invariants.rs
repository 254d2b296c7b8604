//! Every invariant has a test that breaks it on purpose and sees it named: the tests of `check_*.rs` and `laws.rs`, which are called after it.

use std::path::Path;

use pirn_sim::check::NAMES;

/// S22 can't be broken from inside: a descriptor is counted, and lives as long as any op on it, which is S18. S28 is loom's.
const NOT_CHECKED: [&str; 2] = ["S22", "S28"];

#[test]
fn each_is_checked_and_broken_by_a_test() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut tests = String::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name == "laws.rs" || name.starts_with("check_") && name.ends_with(".rs") {
            tests += &std::fs::read_to_string(path).unwrap();
        }
    }
    let all = (1..=30).map(|n| format!("S{n}")).chain((1..=14).map(|n| format!("L{n}")));
    for id in all {
        let checked = !NOT_CHECKED.contains(&id.as_str());
        assert_eq!(NAMES.iter().any(|(name, _)| *name == id), checked, "{id} is in check::NAMES");
        let called = tests.contains(&format!("fn {}_", id.to_lowercase()));
        let named = tests.contains(&format!("\"{id}\""));
        assert_eq!((called && named), checked, "a test called after {id} breaks it and sees its name");
    }
}
