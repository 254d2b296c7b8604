//! The one table of the comparison.

use super::{Cell, Place};
use crate::show;

/// Its columns; the first four are text.
pub(crate) const HEAD: [&str; 13] = [
    "workload", "where", "os", "topology", "workers", "rate/s", "p50", "p99", "p999", "CPU µs", "moves",
    "stolen", "calls",
];

/// Says what the columns are.
pub(crate) const LEGEND: &str = "rate: requests (graphs: nodes; churn: connections) a second until the last answer. p50 to p999: latency of a request (of a graph). \
For each request: CPU µs: CPU time of the server's workers; moves: times its task went on on another worker, by a hop, a steal or a hand-over; \
stolen: tasks stolen; calls: live, looks at drivers (a system call each, others are not counted); simulated, all system calls of the server.";

/// The columns of a cell.
pub(crate) fn row(cell: &Cell) -> [String; 13] {
    let figures = &cell.figures;
    let place = match cell.place {
        Place::Live => "live",
        Place::Simulated => "simulated",
        Place::Shared => "shared",
    };
    [
        cell.load.name.to_owned(),
        place.to_owned(),
        cell.os.to_owned(),
        cell.shape.name().to_owned(),
        cell.workers.to_string(),
        show::count(figures.rate as u64),
        show::time(figures.p50 as u64),
        show::time(figures.p99 as u64),
        show::time(figures.p999 as u64),
        format!("{:.1}", figures.cpu / 1e3),
        format!("{:.2}", figures.moves),
        format!("{:.2}", figures.stolen),
        format!("{:.2}", figures.calls.unwrap_or(figures.looks)),
    ]
}

/// Whether a column holds text.
fn is_text(column: usize) -> bool {
    column < 4
}

/// Prints it.
pub(crate) fn print(cells: &[Cell]) {
    let rows: Vec<_> = cells.iter().map(row).collect();
    let width = |column: usize| {
        let all = rows.iter().map(|row| row[column].chars().count());
        all.chain([HEAD[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: [usize; 13] = std::array::from_fn(width);
    let line = |row: &[String]| {
        let mut text = String::new();
        for (column, part) in row.iter().enumerate() {
            let width = widths[column];
            text += &if is_text(column) { format!("{part:<width$}  ") } else { format!("{part:>width$}  ") };
        }
        println!("{}", text.trim_end());
    };
    line(&HEAD.map(str::to_owned));
    for row in &rows {
        line(row);
    }
    println!("{LEGEND}");
}
