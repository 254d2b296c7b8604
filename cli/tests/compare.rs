//! `pirn compare` and its files, in runs that are as short as can be.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

/// A folder of one test, gone at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("pirn-compare-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).expect("a fresh folder");
        Self(path)
    }

    fn pirn(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_pirn"))
            .args(arguments)
            .current_dir(&self.0)
            .output()
            .expect("the pirn binary starts")
    }

    /// Runs it, demands success and returns what it printed.
    fn fine(&self, arguments: &[&str]) -> String {
        let output = self.pirn(arguments);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "pirn {}: {}, {errors}", arguments.join(" "), output.status);
        String::from_utf8(output.stdout).expect("text")
    }

    /// Runs it, demands exit code 2 and returns the message.
    fn refused(&self, arguments: &[&str]) -> String {
        let output = self.pirn(arguments);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "pirn {}: {errors}", arguments.join(" "));
        errors
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).expect("the file was written")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The lines of the table for a workload, as words.
fn rows<'a>(text: &'a str, workload: &str, place: &str) -> Vec<Vec<&'a str>> {
    let rows = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row.first() == Some(&workload) && row.get(1) == Some(&place)).collect()
}

#[test]
fn every_workload_runs_live_on_every_topology() {
    let folder = Folder::new("live");
    fs::write(folder.0.join("doc.md"), "above\n<!-- made by `pirn compare --into`: begin -->\n<!-- made by `pirn compare --into`: end -->\nbelow\n")
        .expect("writable");
    let short = ["compare", "--only", "live", "--quick", "--os", "epoll", "--workers", "2"];
    let said = folder.fine(&[&short[..], &["--into", "doc.md"]].concat());
    for workload in ["balanced", "skewed", "staged", "graphs", "hog", "churn"] {
        let rows = rows(&said, workload, "live");
        assert_eq!(rows.len(), 5, "{workload}: {said}");
        assert!(rows.iter().all(|row| row[5] != "0"), "{workload}: {said}");
    }
    // Where temporary files lie in memory there are no cold reads.
    assert!(matches!(rows(&said, "files", "live").len(), 0 | 5), "{said}");
    let page = folder.read("pirn-compare.html");
    assert!(page.contains("<svg ") && page.contains("hog: p99") && !page.contains("http-equiv"));
    let document = folder.read("doc.md");
    assert!(
        document.starts_with("above\n")
            && document.ends_with("below\n")
            && document.contains("| workload | stealing |")
    );
    assert!(folder.read("doc.svg").contains("balanced: requests a second, for each worker"));
}

#[test]
fn what_cannot_be_compared_is_named() {
    let folder = Folder::new("refused");
    let said = folder.refused(&["compare", "luck"]);
    assert!(said.contains("there is no workload `luck`") && said.contains("balanced, skewed"), "{said}");
    let said = folder.refused(&["compare", "--topologies", "round"]);
    assert!(said.contains("there is no topology `round`") && said.contains("per-core"), "{said}");
    let said = folder.refused(&["compare", "--workers", "0"]);
    assert!(said.contains("at least one worker"), "{said}");
    let said = folder.refused(&["compare", "--simulated-workers", "257"]);
    assert!(said.contains("at most 256 workers"), "{said}");
    let short = ["compare", "churn", "--quick", "--only", "live", "--os", "epoll", "--workers", "1"];
    let said = folder.refused(&[&short[..], &["--into", "none.md"]].concat());
    assert!(said.contains("none.md"), "{said}");
}

#[test]
fn every_workload_is_simulated_on_every_topology_and_again_the_same() {
    let folder = Folder::new("simulated");
    let short = ["compare", "--quick", "--only", "simulated", "--simulated-workers", "1,5"];
    for os in ["epoll", "uring"] {
        let said = folder.fine(&[&short[..], &["--os", os]].concat());
        for workload in ["balanced", "skewed", "staged", "graphs", "hog", "files", "churn"] {
            let rows = rows(&said, workload, "simulated");
            // One worker: stealing, per-core; five: all.
            assert_eq!(rows.len(), 7, "{workload}: {said}");
            assert!(rows.iter().all(|row| row[2] == os && row[5] != "0"), "{workload}: {said}");
        }
        let again = folder.fine(&[&short[..], &["--os", os]].concat());
        assert_eq!(said, again, "another process simulates something else");
    }
}

#[test]
fn costs_are_measured_kept_and_used() {
    let folder = Folder::new("costs");
    let short = ["compare", "balanced", "--quick", "--only", "simulated", "--simulated-workers", "2"];
    assert!(folder.fine(&short).contains("the built-in costs"));
    let both =
        ["compare", "balanced", "--quick", "--os", "epoll", "--workers", "1", "--simulated-workers", "2"];
    let said = folder.fine(&both);
    assert_eq!(
        (rows(&said, "balanced", "live").len(), rows(&said, "balanced", "shared").len()),
        (2, 2),
        "{said}"
    );
    assert!(said.contains("The model against this machine"), "{said}");
    let said = folder.fine(&["calibrate", "--quick"]);
    assert!(said.contains("transfer") && said.contains("kept in pirn-costs.json"), "{said}");
    let said = folder.fine(&short);
    assert!(said.contains("the costs of pirn-costs.json") && said.contains("this machine"), "{said}");
    assert!(said.contains("assumed: node_factor"), "{said}");

    let kept = folder.read("pirn-costs.json");
    fs::write(folder.0.join("later.json"), kept.replace("\"format\": 1", "\"format\": 9")).expect("writable");
    fs::write(folder.0.join("half.json"), &kept[..kept.len() / 2]).expect("writable");
    for (file, why) in [
        ("later.json", "its format is 9"),
        ("half.json", "no file of costs"),
        ("none.json", "No such file"),
        (".", "Is a directory"),
    ] {
        let said = folder.refused(&[&short[..], &["--costs", file]].concat());
        assert!(said.contains(why) && said.contains("pirn calibrate"), "{said}");
    }
    let said = folder.refused(&["calibrate", "--quick", "--output", "nowhere/costs.json"]);
    assert!(said.contains("nowhere/costs.json") && said.contains("--output"), "{said}");
}
