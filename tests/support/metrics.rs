//! What a mount counts, as a test reads it.

use super::process::run;
use super::world::World;

impl World {
    /// A figure of `mesa stats`, by its name and labels.
    #[track_caller]
    pub fn metric(&self, series: &str) -> Option<u64> {
        let text = run(&mut self.mesa(&["stats", "--format", "prometheus"]));
        let text = text.success().text();
        let line = text.lines().find_map(|line| line.strip_prefix(series));
        line.map(|value| value.trim().parse().unwrap())
    }
}
