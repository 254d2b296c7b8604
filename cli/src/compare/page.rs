//! What is written: the page with picture and tables, and the parts of a document that are made from them.

use std::fmt::Write;
use std::path::Path;

use super::shape::Shape;
use super::{Cell, Place, chart, load, table};
use crate::failure::Failure;
use crate::show;

/// What stands around the generated part of a document.
const BEGIN: &str = "<!-- made by `pirn compare --into`: begin -->";
const END: &str = "<!-- made by `pirn compare --into`: end -->";

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The page. `notes`: how it was measured, a sentence each.
pub(crate) fn html(cells: &[Cell], notes: &[String]) -> String {
    let mut text = String::from(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Pirn: topologies compared</title>\n<style>\
         body { font: 15px sans-serif; max-width: 980px; margin: 2em auto; color: #222 }\
         table { border-collapse: collapse; font-size: 12px } td, th { padding: 2px 8px; text-align: right; border-bottom: 1px solid #ddd }\
         td:nth-child(-n+4), th:nth-child(-n+4) { text-align: left } svg { max-width: 100%; height: auto }\
         </style></head><body>\n<h1>Topologies compared</h1>\n",
    );
    for note in notes {
        let _ = writeln!(text, "<p>{}</p>", escaped(note));
    }
    text += &chart::svg(cells);
    text += "<h2>Topologies</h2><ul>\n";
    for shape in Shape::ALL {
        let _ = writeln!(text, "<li><b>{}</b>: {}</li>", shape.name(), escaped(shape.about()));
    }
    text += "</ul><h2>Workloads</h2><ul>\n";
    for load in load::ALL {
        let _ = writeln!(text, "<li><b>{}</b>: {}</li>", load.name, escaped(load.about));
    }
    text += "</ul><h2>All figures</h2>\n<table><tr>";
    for name in table::HEAD {
        let _ = write!(text, "<th>{name}</th>");
    }
    text += "</tr>\n";
    for cell in cells {
        text += "<tr>";
        for part in table::row(cell) {
            let _ = write!(text, "<td>{}</td>", escaped(&part));
        }
        text += "</tr>\n";
    }
    let _ = writeln!(text, "</table><p>{}</p></body></html>", escaped(table::LEGEND));
    text
}

/// Rates and p99 of one place and size: a row for each workload, a column for each topology.
fn matrix(cells: &[Cell], place: Place, os: &str, workers: usize) -> String {
    let own: Vec<_> =
        cells.iter().filter(|cell| (cell.place, cell.os, cell.workers) == (place, os, workers)).collect();
    if own.is_empty() {
        return String::new();
    }
    let shapes: Vec<_> =
        Shape::ALL.into_iter().filter(|shape| own.iter().any(|cell| cell.shape == *shape)).collect();
    let what = match place {
        Place::Live => "Live",
        Place::Simulated => "Simulated",
        Place::Shared => "Simulated on as many CPUs as live",
    };
    let names: Vec<_> = shapes.iter().map(|shape| shape.name()).collect();
    let mut text = format!(
        "\n{what}, {os}, {workers} worker(s): thousands a second; p99\n\n| workload | {} |\n|---|",
        names.join(" | ")
    );
    text += &"--:|".repeat(shapes.len());
    for load in load::ALL.iter().filter(|load| own.iter().any(|cell| cell.load.name == load.name)) {
        let _ = write!(text, "\n| {} |", load.name);
        for shape in &shapes {
            let found = own.iter().find(|cell| cell.load.name == load.name && cell.shape == *shape);
            let part = found.map_or_else(String::new, |Cell { figures, .. }| {
                format!("{:.1}; {}", figures.rate / 1e3, show::time(figures.p99 as u64))
            });
            let _ = write!(text, " {part} |");
        }
    }
    text + "\n"
}

/// Of the simulated sizes, those that a document shows, if they were run.
const SHOWN: [usize; 5] = [2, 8, 16, 32, 64];

/// The generated part of a document.
fn markdown(cells: &[Cell], notes: &[String], picture: &str) -> String {
    let mut text =
        format!("![rate of each worker and p99 over workers, for each workload and topology]({picture})\n\n");
    for note in notes {
        let _ = writeln!(text, "- {note}");
    }
    let mut live: Vec<_> =
        cells.iter().filter(|cell| cell.place == Place::Live).map(|cell| cell.workers).collect();
    live.sort_unstable();
    live.dedup();
    for os in ["epoll", "uring"] {
        for workers in &live {
            text += &matrix(cells, Place::Live, os, *workers);
            text += &matrix(cells, Place::Shared, os, *workers);
        }
        for workers in SHOWN {
            text += &matrix(cells, Place::Simulated, os, workers);
        }
    }
    text
}

/// The document with a new generated part.
fn replaced(document: &str, part: &str) -> Option<String> {
    let (before, rest) = document.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{part}\n{END}{after}"))
}

/// Puts picture and table into a document: the picture beside it, under its name, the table between the marks.
pub(crate) fn into(document: &Path, cells: &[Cell], notes: &[String]) -> Result<(), Failure> {
    let failed = |path: &Path, error: std::io::Error| Failure::input(format!("{}: {error}", path.display()));
    let text = std::fs::read_to_string(document).map_err(|error| failed(document, error))?;
    let picture = document.with_extension("svg");
    let name = picture.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let text = replaced(&text, &markdown(cells, notes, &name)).ok_or_else(|| {
        Failure::input(format!(
            "{} has no place for the table: put the lines `{BEGIN}` and `{END}` where it shall stand",
            document.display()
        ))
    })?;
    std::fs::write(&picture, chart::svg(cells)).map_err(|error| failed(&picture, error))?;
    std::fs::write(document, text).map_err(|error| failed(document, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_between_the_marks_is_replaced() {
        let document = format!("above\n{BEGIN}\nold\n{END}\nbelow\n");
        let new = replaced(&document, "new").expect("the marks are there");
        assert_eq!(new, format!("above\n{BEGIN}\nnew\n{END}\nbelow\n"));
        assert_eq!(replaced(&new, "new"), Some(new.clone()), "a second time changes nothing");
        assert_eq!(replaced("no marks", "new"), None);
    }
}
