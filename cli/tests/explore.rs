//! `pirn explore`: shards, summaries and their sum, resuming, and clear errors for what makes no sense.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn pirn(arguments: &str) -> Output {
    let arguments = arguments.split_whitespace();
    Command::new(env!("CARGO_BIN_EXE_pirn")).args(arguments).output().expect("the pirn binary starts")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[track_caller]
fn fine(arguments: &str) -> String {
    let output = pirn(arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments}:\n{}", text(&output));
    text(&output)
}

#[track_caller]
fn refused(arguments: &str) -> String {
    let output = pirn(arguments);
    assert_eq!(output.status.code(), Some(2), "{arguments}:\n{}", text(&output));
    text(&output)
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("pirn-explore-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn digest(text: &str) -> &str {
    text.split("digest ").nth(1).expect("a digest").split_whitespace().next().expect("a number")
}

#[test]
fn shards_merge_into_the_whole_sweep() {
    let folder = folder("shards");
    let file = |name: &str| folder.join(name).display().to_string();
    let (one, two, whole, sum) = (file("1.json"), file("2.json"), file("whole.json"), file("sum.json"));
    let sweep = "explore spawn --seeds 60 --first 5";
    fine(&format!("{sweep} --shard 1/2 --summary {one}"));
    fine(&format!("{sweep} --shard 2/2 --summary {two} --jobs 1"));
    fine(&format!("{sweep} --summary {whole}"));
    let merged = fine(&format!("merge {one} {two} --into {sum}"));
    assert!(merged.contains("60 of 60 executions") && merged.contains("no violation"), "{merged}");
    assert!(merged.contains("no schedule reached the events"), "{merged}");
    assert!(refused(&format!("merge {one} {whole}")).contains("given twice"));
    let other = file("other.json");
    fine(&format!("explore echo --seeds 4 --summary {other}"));
    assert!(refused(&format!("merge {one} {other}")).contains("different sweeps: the program"));
    assert!(refused(&format!("{sweep} --resume {one}")).contains("of shard 1/2, not of 1/1"));
    // What was done is not done again.
    assert!(fine(&format!("{sweep} --shard 1/2 --resume {one}")).contains("spawn: 30 schedules"));
    assert_eq!(digest(&merged), digest(&fine(&format!("merge {whole}"))));
    assert_eq!(digest(&merged), digest(&fine(&format!("merge {sum}"))));
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_bounded_depth_first_search_says_when_it_has_seen_all() {
    let said = fine("explore spawn --strategy dfs:1 --workers 1 --connections 1 --rounds 1 --seeds 100000");
    assert!(said.contains("all schedules within the bound were seen"), "{said}");
}

#[test]
fn what_makes_no_sense_is_refused() {
    assert!(refused("explore echo --shard 0/4").contains("no shard 0/4"));
    assert!(refused("explore echo --shard 5/4").contains("no shard 5/4"));
    assert!(refused("explore echo --shard half").contains("write K/N"));
    assert!(refused("explore echo --seeds 3 --shard 1/4").contains("at most 3 shards"));
    assert!(refused("explore echo --seeds 0").contains("at least 1"));
    assert!(refused("explore echo --seeds many").contains("no number"));
    assert!(refused("explore echo --seeds=-1").contains("no number"));
    assert!(refused(&format!("explore echo --first {}", u64::MAX)).contains("pass the last seed"));
    assert!(refused(&format!("explore echo --first {}0", u64::MAX)).contains("--first"));
    assert!(refused("explore echo --strategy luck").contains("no strategy is called `luck`"));
    assert!(refused("explore echo --strategy pct:0").contains("between 1 and 100"));
    assert!(refused("explore echo --seconds 0").contains("between"));
    assert!(refused("explore echo --resume /nowhere/at/all.json").contains("can't be read"));
    assert!(refused("merge").contains("SUMMARY"));
    let no_summary = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    assert!(refused(&format!("merge {}", no_summary.display())).contains("is no summary"));
}

#[test]
fn passing_runs_are_the_same_in_fresh_processes() {
    let said = fine("explore echo --seeds 300 --first 3 --faults mild --tso --verify");
    assert!(said.contains("verified: 300 runs were the same in 2 fresh processes"), "{said}");
    assert!(refused("explore echo --strategy dfs --verify").contains("--verify compares runs"));
}
