//! Prometheus' text format, version 0.0.4.

use std::fmt::{Display, Write};

use super::counters::Times;

/// The content type.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A text to which metrics are appended.
#[derive(Debug, Default)]
pub(super) struct Exposition {
    text: String,
    family: &'static str,
}

pub(super) type Labels<'a> = &'a [(&'a str, &'a str)];

impl Exposition {
    /// Starts a metric. Its samples follow.
    pub(super) fn family(&mut self, name: &'static str, kind: &str, help: &str) {
        self.family = name;
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    /// Adds a sample.
    pub(super) fn sample(&mut self, labels: Labels<'_>, value: impl Display) {
        self.suffixed("", labels, value);
    }

    /// Adds the samples of a histogram.
    pub(super) fn times(&mut self, labels: Labels<'_>, times: &Times) {
        let mut up_to = 0;
        for (count, bound) in times.counts.iter().zip(Times::BOUNDS) {
            up_to += count;
            let bound = bound.to_string();
            self.suffixed("_bucket", &[labels, &[("le", &bound)]].concat(), up_to);
        }
        let all: u64 = times.counts.iter().sum();
        self.suffixed("_bucket", &[labels, &[("le", "+Inf")]].concat(), all);
        self.suffixed("_sum", labels, times.sum.as_secs_f64());
        self.suffixed("_count", labels, all);
    }

    fn suffixed(&mut self, suffix: &str, labels: Labels<'_>, value: impl Display) {
        let name = self.family;
        if labels.is_empty() {
            return self.line(format_args!("{name}{suffix} {value}"));
        }
        let label = |(label, value): &(&str, &str)| format!("{label}=\"{}\"", escaped(value));
        let labels: Vec<String> = labels.iter().map(label).collect();
        self.line(format_args!("{name}{suffix}{{{}}} {value}", labels.join(",")));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "{line}");
    }

    pub(super) fn finish(self) -> String {
        self.text
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
