//! `pirn view`: a dump or a trace as a page that needs nothing else, or as trace-event JSON for Perfetto.

use std::fs;
use std::path::PathBuf;

use pirn::observe::Dump;
use pirn_sim::Trace;

use crate::args;
use crate::failure::Failure;
use crate::program;
use crate::show;
use timeline::Timeline;

mod build;
mod live;
mod perfetto;
mod simulated;
mod timeline;

/// The page; `/*DATA*/` stands where the timeline goes, the others for its style and its program.
const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const DRAW: &str = include_str!("draw.js");
const PROGRAM: &str = include_str!("page.js");

pub(crate) fn view(args: &args::View) -> Result<(), Failure> {
    let name = args.file.display();
    let bytes =
        fs::read(&args.file).map_err(|error| Failure::input(format!("{name} can't be read: {error}")))?;
    let timeline = if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{') {
        let trace = Trace::load(&args.file).map_err(|error| Failure::input(format!("{name}: {error}")))?;
        let simulation = program::of_trace(&trace)?;
        simulated::timeline(&simulation, &trace, args.guided)
            .map_err(|error| Failure::input(format!("{name}: {error}")))?
    } else {
        let dump = Dump::load(&args.file).map_err(|error| Failure::input(format!("{name}: {error}")))?;
        live::timeline(&dump)
    };
    let (ending, text) = match args.perfetto {
        true => ("json", perfetto::json(&timeline)),
        false => ("html", page(&timeline)),
    };
    let output = args.output.clone().unwrap_or_else(|| beside(&args.file, ending));
    fs::write(&output, text)
        .map_err(|error| Failure::input(format!("{} can't be written: {error}", output.display())))?;
    println!(
        "{}: {} lanes, {} polls of {} tasks, {} events",
        output.display(),
        timeline.lanes.len(),
        show::count(timeline.polls() as u64),
        show::count(timeline.tasks.len() as u64),
        show::count(timeline.lanes.iter().map(|lane| lane.events.len()).sum::<usize>() as u64),
    );
    if args.perfetto {
        println!("open it at https://ui.perfetto.dev");
    }
    Ok(())
}

/// The file's name with another ending, and never the file itself.
fn beside(file: &std::path::Path, ending: &str) -> PathBuf {
    match file.extension().is_some_and(|now| now == ending) {
        true => file.with_extension(format!("view.{ending}")),
        false => file.with_extension(ending),
    }
}

/// The page with the timeline in it.
fn page(timeline: &Timeline) -> String {
    // Nothing in the data may end the script it stands in.
    let data = serde_json::to_string(timeline).expect("a timeline is plain data").replace('<', "\\u003c");
    let program = format!("{DRAW}\n{PROGRAM}");
    PAGE.replace("/*STYLE*/", STYLE).replace("/*PROGRAM*/", &program).replace("/*DATA*/", &data)
}
