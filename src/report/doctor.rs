//! What `doctor` found, as text.

use super::look::{Look, bad, good, odd};
use super::plain::{WIDTH, plain, width, wrapped};
use crate::doctor::{DoctorReport, Finding, Verdict};

/// How far a finding's words are set in.
const INSET: usize = 6;

/// A line for each thing that was looked at, and under it what to do.
#[must_use]
pub fn doctor(report: &DoctorReport, look: &Look) -> String {
    let mut text = String::new();
    for finding in &report.findings {
        told(&mut text, finding, look);
    }
    let end = match report.exit_status {
        0 => format!("\n{}: a run would begin\n", plain(&report.pipeline)),
        status => format!("\n{}: a run would end with exit status {status}\n", plain(&report.pipeline)),
    };
    text.push_str(&end);
    text
}

fn told(text: &mut String, finding: &Finding, look: &Look) {
    let style = match finding.verdict {
        Verdict::Ok => good(),
        Verdict::Warn => odd(),
        Verdict::Fail => bad(),
    };
    let verdict = finding.verdict.as_str();
    text.push_str(&look.paint(style, verdict));
    text.push_str(&" ".repeat(INSET - width(verdict)));
    let words = format!("{}: {}", plain(&finding.what), plain(&finding.told));
    let hint = finding.hint.iter().map(|hint| format!("hint: {}", plain(hint)));
    let lines = wrapped(&words, WIDTH - INSET);
    let hints = hint.flat_map(|hint| wrapped(&hint, WIDTH - INSET));
    for (at, line) in lines.into_iter().chain(hints).enumerate() {
        if at > 0 {
            text.push_str(&" ".repeat(INSET));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
}
