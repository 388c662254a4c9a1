//! Which chunks of a large object are under way: each is asked for once, however many want it.
//!
//! Whoever waits claims what nobody else has claimed yet, also what others only mean to fetch ahead: so it
//! never waits for its turn. What a request of somebody who waited ended with, all who waited for it are
//! told; of a failure of what was fetched ahead nobody is, but asks again.

use std::ops::Range;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::MutexGuard;

use super::pace::Pace;
use super::partial::{Partial, State, chunks_of};
use super::{Error, SourceError};

/// How long a chunk is waited for: longer than the largest request takes on the slowest line that a source
/// bears, 2 MiB at 16 KiB/s. Sources give up earlier by themselves.
const WAIT_MAX: Duration = Duration::from_secs(150);

/// Whether a source has ranges at all, when it was asked for one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ranges {
    Came,
    Unknown,
}

/// How a request ended; whoever only fetched ahead tells nobody of a failure.
pub(super) type Landing = OnceLock<Option<Result<Ranges, Error>>>;

impl Partial {
    /// How many threads wait for a request of others: each holds it beside the list and who made it.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        let state = self.state.lock();
        let coming = state.coming.iter();
        coming
            .map(|(_, landing)| Arc::strong_count(landing) - 2)
            .sum()
    }

    /// Makes sure that bytes are here, or were a moment ago, by `request`s for chunks, or by waiting for
    /// those of others, whose failure is then shared.
    ///
    /// # Errors
    ///
    /// The request's; `TimedOut` when another thread's took longer than 150 s.
    pub(super) fn obtain(
        &self,
        range: &Range<u64>,
        pace: &Pace,
        mut request: impl FnMut(&Range<u64>) -> Result<Ranges, Error>,
    ) -> Result<Ranges, Error> {
        let wanted = chunks_of(range);
        loop {
            let mut state = self.state.lock();
            if let Some(chunks) = state.claim(&wanted, pace.request()) {
                let result = Flight::begin(self, state, &chunks).land(|| request(&chunks), true);
                match result? {
                    Ranges::Came => continue,
                    Ranges::Unknown => return Ok(Ranges::Unknown),
                }
            }
            let Some(landing) = state.coming_of(&wanted) else {
                return Ok(Ranges::Came);
            };
            let is_late = |_: &mut State| landing.get().is_none();
            let waited = self
                .landed
                .wait_while_for(&mut state, is_late, WAIT_MAX)
                .timed_out();
            match landing.get() {
                Some(Some(Err(error))) => return Err(error.share()),
                Some(Some(Ok(Ranges::Unknown))) => return Ok(Ranges::Unknown),
                None if waited => return Err(SourceError::TimedOut.into()),
                Some(Some(Ok(Ranges::Came)) | None) | None => {}
            }
        }
    }

    /// As [`Partial::obtain`] of what nobody asks for yet, until a request fails.
    pub(super) fn obtain_ahead(
        &self,
        chunks: &Range<u64>,
        pace: &Pace,
        mut request: impl FnMut(&Range<u64>) -> Result<Ranges, Error>,
    ) {
        loop {
            let state = self.state.lock();
            let Some(claimed) = state.claim(chunks, pace.request()) else {
                return;
            };
            let flight = Flight::begin(self, state, &claimed);
            match flight.land(|| request(&claimed), false) {
                Ok(Ranges::Came) => {}
                Ok(Ranges::Unknown) => return,
                Err(error) => {
                    tracing::debug!(oid = %self.oid, %error, "reading ahead ended early");
                    return;
                }
            }
        }
    }
}

impl State {
    /// The first chunks that are neither here nor coming, without a gap.
    fn claim(&self, wanted: &Range<u64>, most: u64) -> Option<Range<u64>> {
        let is_lacking = |chunk: &u64| {
            !self.here.has(*chunk) && !self.coming.iter().any(|(range, _)| range.contains(chunk))
        };
        let first = wanted.clone().find(is_lacking)?;
        let run = (first..wanted.end).take_while(is_lacking);
        let count = run.count().min(usize::try_from(most).unwrap_or(usize::MAX)) as u64;
        Some(first..first + count)
    }

    /// The request for the first of some chunks that are not here.
    fn coming_of(&self, wanted: &Range<u64>) -> Option<Arc<Landing>> {
        let chunk = wanted.clone().find(|chunk| !self.here.has(*chunk))?;
        let mut coming = self.coming.iter();
        let found = coming.find(|(range, _)| range.contains(&chunk))?;
        Some(found.1.clone())
    }
}

/// A request under way; it lands on every way out, a panic included.
struct Flight<'a> {
    partial: &'a Partial,
    landing: Arc<Landing>,
}

impl<'a> Flight<'a> {
    fn begin(
        partial: &'a Partial,
        mut state: MutexGuard<'_, State>,
        chunks: &Range<u64>,
    ) -> Flight<'a> {
        let landing = Arc::<Landing>::default();
        state.coming.push((chunks.clone(), landing.clone()));
        Flight { partial, landing }
    }

    fn land(
        self,
        request: impl FnOnce() -> Result<Ranges, Error>,
        is_awaited: bool,
    ) -> Result<Ranges, Error> {
        let result = request();
        let shared = result.as_ref().copied().map_err(Error::share);
        let told = (is_awaited || shared.is_ok()).then_some(shared);
        let _first = self.landing.set(told);
        result
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let mut state = self.partial.state.lock();
        state
            .coming
            .retain(|(_, landing)| !Arc::ptr_eq(landing, &self.landing));
        let _panicked = self.landing.set(None);
        self.partial.landed.notify_all();
    }
}
