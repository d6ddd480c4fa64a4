//! Progress of a run's steps on a terminal.

use std::sync::Mutex;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::events::{Began, Ended, Event, Listener, RunStep};

/// Shows the step that a run is in, with the time it takes. Draws nothing where stderr is no terminal.
pub struct Progress {
    bar: Mutex<ProgressBar>,
}

impl Progress {
    /// A display that has nothing to show yet.
    #[must_use]
    pub fn new() -> Self {
        Self::on(ProgressDrawTarget::stderr())
    }

    /// A display that shows nothing.
    #[must_use]
    pub fn hidden() -> Self {
        Self::on(ProgressDrawTarget::hidden())
    }

    fn on(target: ProgressDrawTarget) -> Self {
        let steps = RunStep::ALL.len() as u64;
        let bar = ProgressBar::with_draw_target(Some(steps), target);
        if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_bar} {pos}/{len} {msg} {elapsed}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(120));
        Self { bar: Mutex::new(bar) }
    }

    fn with_bar(&self, show: impl FnOnce(&ProgressBar)) {
        if let Ok(bar) = self.bar.lock() {
            show(&bar);
        }
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.with_bar(ProgressBar::finish_and_clear);
    }
}

impl Listener for Progress {
    fn hear(&self, event: &Event) {
        let place =
            |step: RunStep| RunStep::ALL.iter().position(|other| *other == step).unwrap_or_default() as u64;
        match event {
            Event::Files { begun, of } => self.with_bar(|bar| {
                bar.set_length(*of as u64);
                bar.set_position(*begun as u64);
                bar.set_message("files");
            }),
            Event::Began(Began { step, on, .. }) => self.with_bar(|bar| {
                bar.set_length(RunStep::ALL.len() as u64);
                bar.set_position(place(*step));
                bar.set_message(format!("{step} {on}").trim_end().to_owned());
            }),
            Event::Ended(Ended { step, .. }) => self.with_bar(|bar| bar.set_position(place(*step) + 1)),
            Event::Decided(_) | Event::Drifted(_) | Event::Committed(_) | Event::Over(_) => {}
        }
    }
}
