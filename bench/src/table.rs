//! Interleaved rounds, medians, and the table with a target beside each figure.

use std::collections::BTreeMap;

use indicatif::{ProgressBar, ProgressStyle};

use crate::child::Figures;

/// The samples of one variant, by figure.
#[derive(Default)]
pub(crate) struct Samples(BTreeMap<String, Vec<f64>>);

impl Samples {
    /// Adds the figures of one run.
    pub(crate) fn add(&mut self, figures: Figures) {
        for (name, value) in figures {
            self.0.entry(name).or_default().push(value);
        }
    }

    fn sorted(&self, figure: &str) -> Vec<f64> {
        let mut values = self.0.get(figure).cloned().unwrap_or_default();
        values.sort_by(f64::total_cmp);
        values
    }

    /// The median of a figure; NaN if it was never measured.
    pub(crate) fn median(&self, figure: &str) -> f64 {
        let values = self.sorted(figure);
        match values.len() {
            0 => f64::NAN,
            n if n % 2 == 1 => values[n / 2],
            n => (values[n / 2 - 1] + values[n / 2]) / 2.0,
        }
    }

    /// The largest of a figure; NaN if it was never measured.
    pub(crate) fn most(&self, figure: &str) -> f64 {
        self.sorted(figure).last().copied().unwrap_or(f64::NAN)
    }

    /// This one's figure over the other's, round by round.
    pub(crate) fn over(&self, other: &Self, figure: &str) -> Self {
        let values = |samples: &Self| samples.0.get(figure).cloned().unwrap_or_default();
        let ratios = values(self).iter().zip(values(other)).map(|(a, b)| a / b).collect();
        Self(BTreeMap::from([(figure.to_owned(), ratios)]))
    }

    /// Median with smallest and largest.
    pub(crate) fn show(&self, figure: &str) -> String {
        let values = self.sorted(figure);
        match (values.first(), values.last()) {
            (Some(low), Some(high)) => {
                format!("{} ({} – {})", short(self.median(figure)), short(*low), short(*high))
            }
            _ => "not measured".to_owned(),
        }
    }
}

/// Runs the variants in turn, `rounds` times: A B C, A B C, ...
pub(crate) fn interleave<V: Copy>(
    title: &str,
    rounds: usize,
    variants: &[V],
    mut run: impl FnMut(V) -> Result<Figures, String>,
) -> Result<Vec<Samples>, String> {
    let bar = ProgressBar::new((rounds * variants.len()) as u64);
    bar.set_style(
        ProgressStyle::with_template("{msg:24} {bar:30} {pos}/{len} runs, {elapsed} (about {eta} left)")
            .expect("the progress bar's template is valid"),
    );
    bar.set_message(title.to_owned());
    let mut samples: Vec<Samples> = variants.iter().map(|_| Samples::default()).collect();
    for _ in 0..rounds {
        for (samples, variant) in samples.iter_mut().zip(variants) {
            samples.add(run(*variant)?);
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    Ok(samples)
}

/// A number with three or four figures that count.
pub(crate) fn short(value: f64) -> String {
    match value.abs() {
        v if v >= 1e7 => format!("{:.1} M", value / 1e6),
        v if v >= 1e6 => format!("{:.2} M", value / 1e6),
        v if v >= 1e4 => format!("{:.1} k", value / 1e3),
        v if v >= 100.0 || v == 0.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// What a figure should be.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    /// At most.
    Most(f64),
    /// At least.
    Least(f64),
    /// Reported only.
    None,
}

/// Prints lines `what: figure, target, met or missed` and counts the misses.
#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<[String; 4]>,
    pub(crate) missed: usize,
}

impl Table {
    /// A headline.
    pub(crate) fn title(&mut self, text: &str) {
        self.flush();
        println!("\n{text}");
    }

    /// A line.
    pub(crate) fn row(&mut self, what: &str, shown: String, value: f64, target: Target) {
        let (target, verdict) = match target {
            Target::None => (String::new(), ""),
            Target::Most(limit) => (format!("<= {}", short(limit)), verdict(value <= limit)),
            Target::Least(limit) => (format!(">= {}", short(limit)), verdict(value >= limit)),
        };
        if verdict == "MISSED" {
            self.missed += 1;
        }
        self.rows.push([what.to_owned(), shown, target, verdict.to_owned()]);
    }

    /// Prints the lines so far, in columns.
    pub(crate) fn flush(&mut self) {
        let width =
            |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let (a, b, c) = (width(0), width(1), width(2));
        for [what, shown, target, verdict] in self.rows.drain(..) {
            println!("{}", format!("  {what:a$}  {shown:b$}  {target:c$}  {verdict}").trim_end());
        }
    }
}

fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}
