//! What a program can check of how the code is written: who imports whom, what only the OS layer may name, comments on
//! orderings, sizes of files, the README's promises. Each finding names file and line, and says what to do.

use std::fs;
use std::path::{Path, PathBuf};

/// Lines a file may have.
const LONGEST: usize = 600;
/// One source file: path from the root of the repository, and its lines.
struct Source {
    path: String,
    lines: Vec<String>,
}

impl Source {
    /// Lines with numbers from 1, without comments, doc lines and what stands below `#[cfg(test)]`.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let end =
            self.lines.iter().position(|line| line.trim() == "#[cfg(test)]").unwrap_or(self.lines.len());
        self.lines[..end].iter().enumerate().map(|(at, line)| (at + 1, line.split("//").next().unwrap_or("")))
    }

    fn at(&self, line: usize) -> String {
        format!("{}:{line}", self.path)
    }

    fn is_in(&self, folder: &str) -> bool {
        self.path.starts_with(folder)
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests lie in a folder of the workspace")
        .to_owned()
}

/// All files with one of these endings, outside of `target` and hidden folders.
fn files(endings: &[&str]) -> Vec<Source> {
    let root = root();
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the repository is readable").flatten() {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            if path.is_dir() {
                if name != "target" && (!name.starts_with('.') || name == ".ci") {
                    folders.push(path);
                }
            } else if endings.iter().any(|ending| name.ends_with(ending))
                && let Ok(text) = fs::read_to_string(&path)
            {
                let path = path.strip_prefix(&root).expect("the file lies below the root").to_string_lossy();
                found.push(Source {
                    path: path.into_owned(),
                    lines: text.lines().map(str::to_owned).collect(),
                });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn rust() -> Vec<Source> {
    let files = files(&[".rs"]);
    assert!(files.len() > 30, "only {} Rust files were found: the walk is broken", files.len());
    files
}

/// The core: what runs in both worlds.
fn core() -> Vec<Source> {
    rust().into_iter().filter(|file| file.is_in("src/")).collect()
}

/// Fails with all findings at once.
fn none(findings: Vec<String>, remedy: &str) {
    assert!(findings.is_empty(), "{} finding(s):\n  {}\n{remedy}", findings.len(), findings.join("\n  "));
}

/// Whether `word` stands in `text` as a whole word.
fn has_word(text: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        !text[..at].chars().next_back().is_some_and(part)
            && !text[at + word.len()..].chars().next().is_some_and(part)
    })
}

#[test]
fn a_file_is_short_and_says_first_what_it_is_for() {
    let mut findings = Vec::new();
    for file in rust() {
        if file.lines.len() > LONGEST {
            findings.push(format!("{} has {} lines", file.path, file.lines.len()));
        }
        if !file.lines.first().is_some_and(|line| line.starts_with("//! ") && line.len() > 10) {
            findings.push(format!("{} does not begin with a line `//! what it is for`", file.path));
        }
    }
    none(findings, &format!("split files over {LONGEST} lines by idea; one file, one idea"));
}

/// Modules of the crate that a file's code names, with the lines.
fn imports(file: &Source) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (line, code) in file.code() {
        for (at, _) in code.match_indices("crate::") {
            let rest = &code[at + "crate::".len()..];
            match rest.strip_prefix('{') {
                Some(list) => {
                    let names =
                        list.split([',', '}', '{']).map(|name| name.trim().split("::").next().unwrap_or(""));
                    found.extend(names.filter(|name| !name.is_empty()).map(|name| (line, name.to_owned())));
                }
                None => {
                    let name: String =
                        rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                    found.push((line, name));
                }
            }
        }
    }
    found
}

#[test]
fn layers_import_downwards_only() {
    // Folder or file, and what it may name of the crate besides itself.
    let rules: &[(&str, &[&str])] = &[
        ("src/queue/", &["queue", "sleep", "sync"]),
        ("src/sleep/", &["queue", "sleep", "sync"]),
        ("src/task/state.rs", &["sync"]),
        ("src/timer/", &["timer"]),
        ("src/os/mod.rs", &["os", "time"]),
        ("src/os/op.rs", &["os", "time"]),
        ("src/os/epoll", &["os", "time", "sync"]),
        ("src/os/uring", &["os", "time", "sync"]),
        ("src/os/thread.rs", &["os", "time", "sync"]),
        ("src/io/", &["io", "os", "sched", "sync", "trace", "time"]),
        ("src/net/", &["net", "io", "os", "sync", "time", "spawn_blocking"]),
        ("src/fs/", &["fs", "io", "os"]),
        ("src/trace/", &["trace", "sync"]),
        ("src/sync", &["sync", "trace"]),
    ];
    let mut findings = Vec::new();
    for file in core() {
        for (place, allowed) in rules.iter().filter(|(place, _)| file.is_in(place)) {
            for (line, name) in imports(&file) {
                if !allowed.contains(&name.as_str()) {
                    findings.push(format!(
                        "{} names crate::{name}; {place} may name {}",
                        file.at(line),
                        allowed.join(", ")
                    ));
                }
            }
        }
        if file.is_in("src/timer/") {
            let std = file.code().filter(|(_, code)| code.contains("std::"));
            findings.extend(
                std.map(|(line, _)| format!("{} names std; the wheel takes core and alloc", file.at(line))),
            );
        }
    }
    none(findings, "move what both need downwards, or hand it in through a trait or an argument");
}

#[test]
fn a_concrete_os_layer_is_named_in_one_file() {
    let mut findings = Vec::new();
    for file in core() {
        if file.is_in("src/os/") || file.path == "src/runtime.rs" {
            continue;
        }
        for (line, code) in file.code() {
            if code.contains("os::epoll")
                || code.contains("os::uring")
                || code.contains("os::thread")
                || code.contains("os::sys")
            {
                findings.push(format!("{} names a live backend", file.at(line)));
            }
        }
    }
    none(findings, "take an `Arc<dyn Os>` instead: src/runtime.rs chooses the backend");
}

#[test]
fn nothing_nondeterministic_outside_of_the_os_layer() {
    let words: &[(&str, &str)] = &[
        ("std::time::Instant", "ask the Os for the time"),
        ("SystemTime::now", "ask the Os for the time"),
        ("thread::spawn", "start threads through the Os"),
        ("thread::Builder", "start threads through the Os"),
        ("thread::sleep", "park through the sync door"),
        ("thread::current", "ask the Os for the thread's number"),
        ("HashMap", "use a BTreeMap, a Vec or a fixed hasher"),
        ("HashSet", "use a BTreeSet, a Vec or a fixed hasher"),
        ("RandomState", "use a fixed hasher"),
        ("std::env", "take an option of the Builder"),
        ("std::process::id", "take an option of the Builder"),
        ("libc", "put the call into src/os"),
    ];
    let mut findings = Vec::new();
    for file in core() {
        if file.is_in("src/os/") {
            continue;
        }
        for (line, code) in file.code() {
            for (word, remedy) in words {
                if has_word(code, word) {
                    findings.push(format!("{} names {word}: {remedy}", file.at(line)));
                }
            }
            let is_static = has_word(code, "static") && code.contains(':') && !code.contains("'static");
            let mutable = ["Atomic", "Mutex", "OnceLock", "LazyLock", "UnsafeCell"];
            let door = file.is_in("src/sync");
            if is_static && !door && mutable.iter().any(|kind| code.contains(kind)) {
                findings.push(format!(
                    "{} is a static with interior mutability: put it into the runtime",
                    file.at(line)
                ));
            }
        }
    }
    none(findings, "all that can go two ways comes from the Os, so that the simulator decides it");
}

#[test]
fn the_core_takes_atomics_and_locks_from_the_sync_door() {
    let mut findings = Vec::new();
    for file in core() {
        if file.is_in("src/sync") || file.is_in("src/os/") {
            continue;
        }
        for (line, code) in file.code() {
            let names = [
                "sync::atomic",
                "std::sync::Mutex",
                "std::sync::Condvar",
                "thread::park",
                "std::sync::RwLock",
            ];
            if names.iter().any(|name| code.contains(name)) {
                findings.push(format!("{}: {}", file.at(line), code.trim()));
            }
        }
    }
    none(findings, "import it from crate::sync: what goes past the door has no points");
}

#[test]
fn a_feature_never_changes_logic() {
    let mut findings = Vec::new();
    for file in core() {
        for (line, code) in file.code() {
            let sim = code.contains("feature = \"sim\"") && !file.is_in("src/sync");
            if sim || code.contains("cfg(loom)") || code.contains("cfg!(test)") {
                findings.push(format!("{}: {}", file.at(line), code.trim()));
            }
        }
        // `#[cfg(test)]` opens the file's test module and nothing else.
        for (at, _) in file.lines.iter().enumerate().filter(|(_, line)| line.trim() == "#[cfg(test)]") {
            let next = file.lines.get(at + 1).map_or("", |line| line.trim());
            if !next.starts_with("mod ") {
                findings.push(format!("{} switches `{next}` by cfg(test)", file.at(at + 1)));
            }
        }
    }
    none(
        findings,
        "the code that is tested is the code that runs: the feature `sim` adds points in src/sync.rs, no more",
    );
}

/// The lines from the doc comment of the enclosing function to line number `line`.
fn function_until(lines: &[String], line: usize) -> &[String] {
    let head = lines[..line].iter().rposition(|line| has_word(line, "fn") && line.contains('(')).unwrap_or(0);
    let above = |line: &String| line.trim_start().starts_with("//") || line.trim_start().starts_with("#[");
    let docs = lines[..head].iter().rev().take_while(|line| above(line)).count();
    &lines[head - docs..line]
}

/// Whether the documentation of a type in this file speaks of the ordering that `code` uses: one word, one rule.
fn type_says(file: &Source, code: &str) -> bool {
    let strong = ["Acquire", "Release", "AcqRel", "SeqCst"];
    let structs = file.lines.iter().enumerate().filter(|(_, line)| has_word(line, "struct"));
    structs.map(|(at, _)| at).any(|at| {
        let docs = file.lines[..at]
            .iter()
            .rev()
            .take_while(|line| line.starts_with("///") || line.starts_with("#["));
        let docs: Vec<&String> = docs.collect();
        strong.iter().any(|word| has_word(code, word) && docs.iter().any(|line| has_word(line, word)))
    })
}

#[test]
fn an_ordering_stronger_than_relaxed_says_what_it_pairs_with() {
    let strong = ["Acquire", "Release", "AcqRel", "SeqCst"];
    let mut findings = Vec::new();
    for file in core() {
        if file.is_in("src/sync") {
            continue;
        }
        for (line, code) in file.code() {
            if code.trim_start().starts_with("use ") || !strong.iter().any(|word| has_word(code, word)) {
                continue;
            }
            let said = function_until(&file.lines, line).iter().filter_map(|line| line.split_once("//"));
            let said = said.map(|(_, comment)| comment).any(|comment| {
                comment.to_lowercase().contains("pair") || strong.iter().any(|word| has_word(comment, word))
            });
            if !said && !type_says(&file, code) {
                findings.push(format!("{}: {}", file.at(line), code.trim()));
            }
        }
    }
    none(findings, "write a comment `// Pairs with the ... in ...` in that function, above the line");
}

#[test]
fn nothing_is_left_to_do_in_the_code() {
    let words = [
        concat!("to", "do!"),
        concat!("unimpl", "emented!"),
        concat!("FIX", "ME"),
        concat!("TO", "DO"),
        concat!("XX", "X"),
    ];
    let mut findings = Vec::new();
    for file in rust() {
        for (at, line) in file.lines.iter().enumerate() {
            if words.iter().any(|word| has_word(line, word.trim_end_matches('!')) && line.contains(word)) {
                findings.push(format!("{}: {}", file.at(at + 1), line.trim()));
            }
        }
    }
    none(findings, "do it, or write an issue");
}

#[test]
fn no_path_of_somebodys_machine() {
    let paths = [
        concat!("/ho", "me/"),
        concat!("/ro", "ot/"),
        concat!("/wo", "rk/"),
        concat!("/Us", "ers/"),
        concat!("/tm", "p/"),
    ];
    let mut findings = Vec::new();
    for file in files(&[".rs", ".md", ".toml", ".json", ".sh", "run"]) {
        for (at, line) in file.lines.iter().enumerate() {
            for path in paths.iter().filter(|path| line.contains(**path)) {
                findings.push(format!("{} holds {path}", file.at(at + 1)));
            }
        }
    }
    none(findings, "write a path from the root of the repository, or ask std::env::temp_dir");
}

#[test]
fn every_package_takes_the_workspaces_lints() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("the root has a manifest");
    for lint in [
        "missing_docs = \"deny\"",
        "unsafe_op_in_unsafe_fn = \"deny\"",
        "unreachable_pub = \"deny\"",
        "undocumented_unsafe_blocks = \"deny\"",
    ] {
        assert!(manifest.contains(lint), "Cargo.toml does not deny: {lint}");
    }
    let mut findings = Vec::new();
    for file in files(&["Cargo.toml"]).iter().filter(|file| !file.is_in("bench/")) {
        let text = file.lines.join("\n");
        if !text.contains("[lints]\nworkspace = true") {
            findings.push(format!("{} lacks `[lints] workspace = true`", file.path));
        }
    }
    none(findings, "add the two lines");
}

#[test]
fn the_readme_gives_one_sentence_an_example_and_two_commands() {
    let readme = fs::read_to_string(root().join("README.md")).expect("the root has a README");
    let blocks: Vec<&str> = readme.split("```").collect();
    let first = blocks[0].trim();
    let sentence = first.lines().skip(1).collect::<Vec<_>>().join(" ");
    assert_eq!(sentence.matches(". ").count(), 0, "the README opens with more than one sentence: {sentence}");
    assert!(sentence.trim().ends_with('.'), "the README opens with no sentence: {sentence}");
    assert!(blocks[1].starts_with("rust"), "the README's first block is no example in Rust");
    let commands = blocks.iter().skip(1).step_by(2).find(|block| block.starts_with("sh\n"));
    let commands: Vec<&str> =
        commands.expect("the README has no block of commands").lines().skip(1).collect();
    assert_eq!(commands, ["cargo run --release -- run echo", "cargo test --workspace"]);
    for line in readme.lines().filter(|line| line.starts_with("| `")) {
        let name = line.split('`').nth(1).unwrap_or("");
        if name.ends_with('/') {
            assert!(root().join(name).is_dir(), "the README's map names `{name}`, which is no folder");
        }
    }
}

/// The README's simulated test is a real one: it stands, word for word, in a test of this crate.
#[test]
fn the_readmes_simulated_test_is_run() {
    let readme = fs::read_to_string(root().join("README.md")).expect("the root has a README");
    let example = readme
        .split("```")
        .skip(1)
        .step_by(2)
        .find(|block| block.contains("#[pirn_sim::test"))
        .expect("the README shows a simulated test");
    let example = example.split_once('\n').expect("the block has lines").1.trim();
    let (imports, function) = example.split_at(example.find("#[pirn_sim::test").expect("found above"));
    let test =
        fs::read_to_string(root().join("tests/tests/readme.rs")).expect("tests/tests/readme.rs exists");
    for part in [imports.trim(), function] {
        assert!(
            test.contains(part),
            "tests/tests/readme.rs does not contain this part of the README:\n{part}"
        );
    }
}
