//! Metrics as text in the format that Prometheus scrapes (text exposition format 0.0.4).

use core::fmt::{self, Display, Write};

use super::{Histogram, Metrics, WorkerMetrics};

/// A family with one figure a worker: name, type, meaning, the figure.
type Family = (&'static str, &'static str, &'static str, fn(&WorkerMetrics) -> f64);

const FAMILIES: &[Family] = &[
    ("worker_polls_total", "counter", "Polls of tasks and main futures.", |w| w.polls as f64),
    ("worker_slow_polls_total", "counter", "Polls longer than the slow_poll option.", |w| {
        w.slow_polls as f64
    }),
    ("worker_tasks_spawned_total", "counter", "Tasks spawned from this worker.", |w| w.tasks_spawned as f64),
    ("worker_tasks_finished_total", "counter", "Tasks that finished on this worker.", |w| {
        w.tasks_finished as f64
    }),
    ("worker_tasks_panicked_total", "counter", "Tasks that panicked on this worker.", |w| {
        w.tasks_panicked as f64
    }),
    ("worker_steals_total", "counter", "Successful steals.", |w| w.steals as f64),
    ("worker_tasks_stolen_total", "counter", "Tasks moved by steals.", |w| w.tasks_stolen as f64),
    ("worker_searches_total", "counter", "Searches for work of others.", |w| w.searches as f64),
    ("worker_parks_total", "counter", "Parks in the driver.", |w| w.parks as f64),
    ("worker_wakes_total", "counter", "Parks that another thread ended.", |w| w.wakes as f64),
    ("worker_wakes_wasted_total", "counter", "Wakes that found nothing to poll.", |w| w.wakes_wasted as f64),
    ("worker_looks_total", "counter", "Looks at a driver.", |w| w.looks as f64),
    ("worker_takeovers_total", "counter", "Takeovers of a busy worker's driver.", |w| w.takeovers as f64),
    ("worker_parked_seconds_total", "counter", "Time in parks; 0 if the clock is not read.", |w| {
        w.parked.as_secs_f64()
    }),
    ("worker_ring_tasks", "gauge", "Tasks in the worker's ring.", |w| w.ring_len as f64),
    ("worker_ops_in_flight", "gauge", "Ops in flight.", |w| w.ops_in_flight as f64),
    ("worker_timers_armed", "gauge", "Timers armed.", |w| w.timers_armed as f64),
];

impl Metrics {
    /// Writes all of it in the text format of Prometheus: every name begins with `pirn_`, workers are told apart by the label
    /// `worker`, times are in seconds. Answer a scrape with it and the type `text/plain; version=0.0.4`.
    ///
    /// # Errors
    /// Those of `out`.
    ///
    /// ```
    /// let runtime = pirn::Builder::new().workers(1).timing(true).build()?;
    /// runtime.block_on(async { pirn::spawn(async {}).await.unwrap() });
    /// let mut text = String::new();
    /// runtime.metrics().write_prometheus(&mut text).unwrap();
    /// assert!(text.contains("pirn_worker_tasks_spawned_total{worker=\"0\"} 1\n"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn write_prometheus(&self, out: &mut impl Write) -> fmt::Result {
        for (name, kind, help, figure) in FAMILIES {
            head(out, name, kind, help)?;
            for (number, worker) in self.workers.iter().enumerate() {
                writeln!(out, "pirn_{name}{{worker=\"{number}\"}} {}", figure(worker))?;
            }
        }
        let blocking = &self.blocking;
        single(out, "injector_tasks", "gauge", "Tasks in the injector.", self.injector_len)?;
        single(out, "blocking_threads", "gauge", "Threads for blocking calls.", blocking.threads)?;
        single(out, "blocking_threads_idle", "gauge", "Of these, the idle ones.", blocking.idle)?;
        single(out, "blocking_queued", "gauge", "Blocking calls without a thread.", blocking.queued)?;
        single(out, "blocking_calls_total", "counter", "Blocking calls that were begun.", blocking.calls)?;
        histogram(out, "poll_seconds", "Time of polls; empty unless timing is on.", &self.poll_time)?;
        let help = "Time from a wake to its poll; empty unless timing is on.";
        histogram(out, "schedule_delay_seconds", help, &self.schedule_delay)
    }
}

fn head(out: &mut impl Write, name: &str, kind: &str, help: &str) -> fmt::Result {
    writeln!(out, "# HELP pirn_{name} {help}\n# TYPE pirn_{name} {kind}")
}

fn single(out: &mut impl Write, name: &str, kind: &str, help: &str, value: impl Display) -> fmt::Result {
    head(out, name, kind, help)?;
    writeln!(out, "pirn_{name} {value}")
}

fn histogram(out: &mut impl Write, name: &str, help: &str, histogram: &Histogram) -> fmt::Result {
    head(out, name, "histogram", help)?;
    let mut below = 0;
    for (bound, count) in histogram.buckets() {
        below += count;
        match bound {
            Some(bound) => writeln!(out, "pirn_{name}_bucket{{le=\"{}\"}} {below}", bound.as_secs_f64())?,
            None => writeln!(out, "pirn_{name}_bucket{{le=\"+Inf\"}} {below}")?,
        }
    }
    writeln!(out, "pirn_{name}_sum {}\npirn_{name}_count {below}", histogram.sum().as_secs_f64())
}
