//! The picture: for each workload, the rate of each worker and p99 over the number of workers, a colour for each topology. Lines are simulated, marks are live.

use std::fmt::Write;

use super::shape::Shape;
use super::{Cell, Place};

const PANEL: (f64, f64) = (400.0, 150.0);
/// Room left of, above, right of and below a panel.
const ROOM: (f64, f64, f64, f64) = (64.0, 26.0, 12.0, 34.0);
const HEAD: f64 = 74.0;
const INK: &str = "#222";
const GRID: &str = "#ddd";

/// Colours that people with any kind of colour vision tell apart (Okabe and Ito, 2008).
fn colour(shape: Shape) -> &'static str {
    match shape {
        Shape::Stealing => "#0072b2",
        Shape::PerCore => "#d55e00",
        Shape::Stages => "#009e73",
        Shape::Dispatcher => "#cc79a7",
        Shape::WithSlow => "#b58900",
    }
}

/// A logarithmic scale from one of its ticks to another.
struct Scale {
    ticks: Vec<f64>,
    from: f64,
    to: f64,
}

impl Scale {
    /// Over all positive values, with ticks at a power of `base` times each of `steps`, which begin with 1.
    fn new(values: impl Iterator<Item = f64>, from: f64, to: f64, base: f64, steps: &[f64]) -> Self {
        let (mut low, mut high) = (f64::MAX, f64::MIN);
        for value in values.filter(|value| *value > 0.0) {
            low = low.min(value);
            high = high.max(value);
        }
        if low > high {
            (low, high) = (1.0, base);
        }
        let first = low.log(base).floor() as i32 - 1;
        let all: Vec<f64> = (first..first + 64)
            .flat_map(|power| steps.iter().map(move |step| step * base.powi(power)))
            .collect();
        // A hair's breadth of room for what the powers are off.
        let begin = all.iter().rposition(|tick| *tick <= low * 1.000_001).unwrap_or(0);
        let end = all.iter().position(|tick| *tick >= high * 0.999_999).unwrap_or(all.len() - 1);
        Self { ticks: all[begin..=end.max(begin + 1)].to_vec(), from, to }
    }

    fn at(&self, value: f64) -> f64 {
        let (low, high) = (self.ticks[0], self.ticks[self.ticks.len() - 1]);
        self.from + (value / low).ln() / (high / low).ln() * (self.to - self.from)
    }
}

/// `1.5 k`, `20 M`.
fn short(value: f64) -> String {
    let (value, unit) = match value {
        v if v >= 1e6 => (v / 1e6, " M"),
        v if v >= 1e3 => (v / 1e3, " k"),
        v => (v, ""),
    };
    format!("{}{unit}", (value * 100.0).round() / 100.0)
}

/// What shows best how a topology grows: a level line is all that one can wish for.
fn per_worker(cell: &Cell) -> f64 {
    cell.figures.rate / cell.workers as f64
}

/// The whole picture as SVG.
pub(crate) fn svg(cells: &[Cell]) -> String {
    let mut loads: Vec<_> = Vec::new();
    for cell in cells {
        if !loads.iter().any(|known: &&super::load::Load| known.name == cell.load.name) {
            loads.push(cell.load);
        }
    }
    let (left, above, right, below) = ROOM;
    let (wide, high) = (left + PANEL.0 + right, above + PANEL.1 + below);
    let (width, height) = (2.0 * wide, HEAD + high * loads.len() as f64);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"11\" fill=\"{INK}\">\n<rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n"
    );
    legend(&mut text, cells);
    let workers = || cells.iter().map(|cell| cell.workers as f64);
    for (row, load) in loads.iter().enumerate() {
        let own: Vec<&Cell> = cells.iter().filter(|cell| cell.load.name == load.name).collect();
        let top = HEAD + high * row as f64 + above;
        type Figure = fn(&Cell) -> f64;
        let sides: [(&str, Figure); 2] =
            [("a second, for each worker", per_worker), ("p99, µs", |cell| cell.figures.p99 / 1e3)];
        for (column, (what, figure)) in sides.into_iter().enumerate() {
            let start = wide * column as f64 + left;
            let x = Scale::new(workers(), start, start + PANEL.0, 2.0, &[1.0]);
            let values = own.iter().map(|cell| figure(cell));
            let y = Scale::new(values, top + PANEL.1, top, 10.0, &[1.0, 2.0, 5.0]);
            let title = match column {
                0 => format!("{}: {} {what}", load.name, load.unit),
                _ => format!("{}: {what}", load.name),
            };
            panel(&mut text, &title, &x, &y);
            lines(&mut text, &own, &x, &y, figure);
        }
    }
    text += "</svg>\n";
    text
}

fn legend(text: &mut String, cells: &[Cell]) {
    let mut at = 20.0;
    for shape in Shape::ALL.into_iter().filter(|shape| cells.iter().any(|cell| cell.shape == *shape)) {
        let colour = colour(shape);
        let name = shape.name();
        let _ = writeln!(
            text,
            "<rect x=\"{at}\" y=\"14\" width=\"22\" height=\"5\" fill=\"{colour}\"/><text x=\"{}\" y=\"21\" font-size=\"13\">{name}</text>",
            at + 28.0
        );
        at += 50.0 + 8.0 * name.len() as f64;
    }
    let _ = writeln!(
        text,
        "<text x=\"20\" y=\"44\">Lines: simulated, epoll (dashed: io_uring). Marks: live on this machine, filled: epoll, hollow: io_uring.</text>\
         <text x=\"20\" y=\"60\">Across: workers. All scales are logarithmic. Left: higher is better, and level is perfect growth. Right: lower is better.</text>"
    );
}

fn panel(text: &mut String, title: &str, x: &Scale, y: &Scale) {
    let _ = writeln!(text, "<text x=\"{}\" y=\"{}\" font-weight=\"bold\">{title}</text>", x.from, y.to - 8.0);
    for &tick in &y.ticks {
        let at = y.at(tick);
        let _ = writeln!(
            text,
            "<line x1=\"{}\" x2=\"{}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"{GRID}\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            x.from,
            x.to,
            x.from - 6.0,
            at + 4.0,
            short(tick)
        );
    }
    for &tick in &x.ticks {
        let at = x.at(tick);
        let _ = writeln!(
            text,
            "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{}\" y2=\"{}\" stroke=\"{GRID}\"/><text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            y.from,
            y.to,
            y.from + 15.0,
            short(tick)
        );
    }
}

fn lines(text: &mut String, cells: &[&Cell], x: &Scale, y: &Scale, figure: fn(&Cell) -> f64) {
    for shape in Shape::ALL {
        let colour = colour(shape);
        for os in ["epoll", "uring"] {
            let of = |place: Place| {
                let mut own: Vec<_> = cells
                    .iter()
                    .filter(|cell| cell.shape == shape && cell.os == os && cell.place == place)
                    .filter(|cell| figure(cell) > 0.0)
                    .map(|cell| (cell.workers, x.at(cell.workers as f64), y.at(figure(cell))))
                    .collect();
                own.sort_by_key(|(workers, ..)| *workers);
                own
            };
            let points = of(Place::Simulated);
            let joined: Vec<_> = points.iter().map(|(_, x, y)| format!("{x:.1},{y:.1}")).collect();
            if points.len() > 1 {
                let dash = if os == "uring" { " stroke-dasharray=\"5 3\"" } else { "" };
                let _ = writeln!(
                    text,
                    "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"{dash}/>",
                    joined.join(" ")
                );
            }
            let fill = if os == "epoll" { colour } else { "#fff" };
            for (_, x, y) in of(Place::Live) {
                let _ = writeln!(
                    text,
                    "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{fill}\" stroke=\"{colour}\" stroke-width=\"1.5\"/>"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_end_at_ticks() {
        let scale = Scale::new([3.0, 470.0].into_iter(), 0.0, 100.0, 10.0, &[1.0, 2.0, 5.0]);
        assert_eq!(scale.ticks, [2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0]);
        assert!((scale.at(500.0) - 100.0).abs() < 1e-6 && scale.at(2.0).abs() < 1e-6);
        let workers = Scale::new([1.0, 2.0, 256.0].into_iter(), 0.0, 100.0, 2.0, &[1.0]);
        assert_eq!((workers.ticks[0], workers.ticks[8], workers.ticks.len()), (1.0, 256.0, 9));
        let one = Scale::new([4.0].into_iter(), 0.0, 100.0, 2.0, &[1.0]);
        assert!(one.ticks.len() == 2 && one.at(4.0).is_finite());
        assert_eq!(short(20_000.0), "20 k");
    }
}
