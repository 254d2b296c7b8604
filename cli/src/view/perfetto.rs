//! A timeline as trace-event JSON, which Perfetto and about:tracing read.

use serde_json::{Value, json};

use super::timeline::{ArrowKind, Span, SpanKind, Timeline};

/// All of it. A step of the simulator is drawn as a microsecond.
pub(super) fn json(timeline: &Timeline) -> String {
    let time = |at: u64| if timeline.unit == "ns" { at as f64 / 1e3 } else { at as f64 };
    let mut events = vec![json!({
        "ph": "M", "pid": 1, "tid": 0, "name": "process_name", "args": {"name": timeline.title}
    })];
    for (tid, lane) in timeline.lanes.iter().enumerate() {
        events.push(
            json!({"ph": "M", "pid": 1, "tid": tid, "name": "thread_name", "args": {"name": lane.name}}),
        );
        events.push(json!({"ph": "M", "pid": 1, "tid": tid, "name": "thread_sort_index", "args": {"sort_index": tid}}));
        for span in &lane.spans {
            let (name, args) = described(timeline, span);
            events.push(json!({
                "ph": "X", "pid": 1, "tid": tid, "ts": time(span.from), "dur": time(span.to - span.from),
                "name": name, "cat": span.kind, "args": args
            }));
        }
        for mark in &lane.marks {
            events.push(json!({
                "ph": "i", "s": "t", "pid": 1, "tid": tid, "ts": time(mark.at), "name": mark.kind,
                "args": {"event": mark.text}
            }));
        }
    }
    for (id, arrow) in timeline.arrows.iter().enumerate() {
        if !matches!(arrow.kind, ArrowKind::Wake | ArrowKind::Spawn) {
            continue;
        }
        let end = |ph: &str, tid: usize, at: u64| {
            json!({
                "ph": ph, "bp": "e", "pid": 1, "tid": tid, "ts": time(at), "id": id, "name": arrow.kind, "cat": "flow"
            })
        };
        events.push(end("s", arrow.from, arrow.start));
        events.push(end("f", arrow.to, arrow.end));
    }
    json!({"displayTimeUnit": "ns", "traceEvents": events}).to_string()
}

fn described(timeline: &Timeline, span: &Span) -> (String, Value) {
    let Some(task) = timeline.tasks.get(&span.task).filter(|_| span.kind == SpanKind::Poll) else {
        let name = match span.kind {
            SpanKind::Main => "main future",
            SpanKind::Park => "park",
            SpanKind::Look => "look",
            SpanKind::Poll => "poll",
        };
        return (name.to_owned(), json!({}));
    };
    let args = json!({"future": task.name, "spawned at": task.spawned_at, "ended": span.end});
    (task.label.clone(), args)
}
