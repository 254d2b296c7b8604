//! Numbers for people, progress bars, and the name of this command.

use std::time::Duration;

use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressStyle};

/// A bar on standard error, drawn only if that is a terminal. `rest` is a template for what follows the bar.
pub(crate) fn bar(length: u64, title: &str, rest: &str) -> ProgressBar {
    let bar = ProgressBar::new(length);
    let template = format!("{{prefix}} {{bar:30}} {rest}");
    bar.set_style(ProgressStyle::with_template(&template).expect("the progress bar's template is valid"));
    bar.set_prefix(title.to_owned());
    bar
}

/// `1,234,567`.
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `n` per second.
pub(crate) fn rate(n: u64, span: Duration) -> String {
    count((n as f64 / span.as_secs_f64().max(1e-9)) as u64)
}

/// The usual three quantiles.
pub(crate) fn quantiles(latencies: &Histogram<u64>) -> String {
    let at = |quantile| time(latencies.value_at_quantile(quantile));
    format!("p50 {}  p99 {}  p999 {}", at(0.5), at(0.99), at(0.999))
}

/// Nanoseconds in a unit that fits.
pub(crate) fn time(ns: u64) -> String {
    match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..1_000_000 => format!("{:.1} µs", ns as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.2} ms", ns as f64 / 1e6),
        _ => format!("{:.2} s", ns as f64 / 1e9),
    }
}

/// How the user calls this command again: through cargo if that is how it was started.
pub(crate) fn command(arguments: &str) -> String {
    if std::env::var_os("CARGO").is_some() {
        let profile = if cfg!(debug_assertions) { "" } else { "--release " };
        return format!("cargo run {profile}-- {arguments}");
    }
    let program = std::env::args().next().unwrap_or_else(|| "pirn".to_owned());
    format!("{program} {arguments}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_000), "1,000");
        assert_eq!(count(12_345_678), "12,345,678");
        assert_eq!(time(999), "999 ns");
        assert_eq!(time(1_500), "1.5 µs");
        assert_eq!(time(2_500_000), "2.50 ms");
        assert_eq!(time(61_000_000_000), "61.00 s");
    }
}
