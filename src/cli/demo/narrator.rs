//! Tells what the demo does: one line for each step, with what came out of it and how long it took.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// How often a progress line is drawn again: often enough to look alive.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);
/// Width of the column of step names.
const NAME_WIDTH: usize = 44;

/// Writes the story to standard output.
pub(super) struct Narrator {
    step: usize,
    began: Instant,
    terminal: bool,
}

/// A step under way.
pub(super) struct Step<'a> {
    narrator: &'a mut Narrator,
    name: &'static str,
    began: Instant,
    drawn: Instant,
}

impl Narrator {
    /// Begins the story.
    pub(super) fn new() -> Narrator {
        Narrator {
            step: 0,
            began: Instant::now(),
            terminal: io::stdout().is_terminal(),
        }
    }

    /// Begins a step.
    pub(super) fn step(&mut self, name: &'static str) -> Step<'_> {
        self.step += 1;
        let now = Instant::now();
        let step = Step {
            narrator: self,
            name,
            began: now,
            drawn: now,
        };
        step.draw("");
        step
    }

    /// Ends the story.
    pub(super) fn end(self, text: &str) {
        say(&format!(
            "\n{text} ({:.1} s)\n",
            self.began.elapsed().as_secs_f64()
        ));
    }
}

impl Step<'_> {
    /// Shows how far it is, on a terminal.
    pub(super) fn progress(&mut self, text: &str) {
        if self.drawn.elapsed() >= PROGRESS_EVERY {
            self.drawn = Instant::now();
            self.draw(text);
        }
    }

    /// Ends the step with what came out of it.
    pub(super) fn done(self, text: &str) {
        let erase = if self.narrator.terminal {
            "\r\x1b[K"
        } else {
            ""
        };
        let seconds = self.began.elapsed().as_secs_f64();
        say(&format!(
            "{erase}{:>3}. {:NAME_WIDTH$} {seconds:>6.2} s  {text}\n",
            self.narrator.step, self.name
        ));
    }

    fn draw(&self, text: &str) {
        if self.narrator.terminal {
            say(&format!(
                "\r\x1b[K{:>3}. {:NAME_WIDTH$} {text}",
                self.narrator.step, self.name
            ));
        }
    }
}

/// A reader that goes away does not end the demo: it still has to clean up, and its exit code still
/// says how it went.
fn say(text: &str) {
    let mut output = io::stdout().lock();
    let _unheard = output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush());
}
