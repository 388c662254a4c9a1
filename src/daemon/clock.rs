//! Time that passed without us: the process was stopped, the machine slept, a snapshot of it was
//! restored, or somebody set the clock. Connections are dead then that nobody tells us of, tokens
//! have expired, and a wait of a minute has become pointless.
//!
//! | what happened | monotonic clock | clock of the boot | clock on the wall |
//! | --- | --- | --- | --- |
//! | the process was stopped, or starved | ahead of our ticks | with it | with it |
//! | the machine slept | as our ticks | ahead | ahead |
//! | a snapshot was restored, the clock was set | as our ticks | as our ticks | ahead or behind |

use std::io;
use std::time::Duration;

use crossbeam_channel::RecvTimeoutError;
use nix::time::{ClockId, clock_gettime};

use super::rounds::Rounds;

/// How often the clocks are compared: a reader who comes first pays for a dead connection himself.
const TICK: Duration = Duration::from_secs(1);
/// How late a tick may be on a busy machine before it counts as a pause. What is taken for one by
/// mistake costs a few new connections.
const LATE_MAX: Duration = Duration::from_secs(3);
/// How far clocks may part in one tick: a time server that corrects gently stays far below.
const PARTED_MAX: Duration = Duration::from_secs(2);

/// What three clocks say at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Reading {
    monotonic: Duration,
    boot: Duration,
    wall: Duration,
}

/// What happened between two readings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Passed {
    /// A tick.
    Tick,
    /// More time than we saw pass.
    Pause(Duration),
    /// The clock on the wall was put forward by this.
    Forward(Duration),
    /// It was put back by this.
    Back(Duration),
}

fn judge(before: Reading, now: Reading) -> Passed {
    let monotonic = now.monotonic.saturating_sub(before.monotonic);
    let boot = now.boot.saturating_sub(before.boot);
    let unseen = boot.saturating_sub(TICK);
    if monotonic > TICK + LATE_MAX || boot.saturating_sub(monotonic) > PARTED_MAX {
        return Passed::Pause(unseen);
    }
    let expected = before.wall + boot;
    let (ahead, behind) = (
        now.wall.saturating_sub(expected),
        expected.saturating_sub(now.wall),
    );
    if ahead > PARTED_MAX {
        Passed::Forward(ahead)
    } else if behind > PARTED_MAX {
        Passed::Back(behind)
    } else {
        Passed::Tick
    }
}

/// Starts the thread that compares; `jumped` is called with everything that is not a tick.
///
/// # Errors
///
/// There are no such clocks, or no thread.
pub(super) fn start(jumped: impl Fn(Passed) + Send + 'static) -> io::Result<Rounds> {
    let mut before = read()?;
    Rounds::start("clock", move |ended| {
        while ended.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
            let Ok(now) = read() else { continue };
            match judge(before, now) {
                Passed::Tick => {}
                passed => jumped(passed),
            }
            before = now;
        }
    })
}

fn read() -> io::Result<Reading> {
    let read = |clock| clock_gettime(clock).map(Duration::from);
    Ok(Reading {
        monotonic: read(ClockId::CLOCK_MONOTONIC)?,
        boot: read(ClockId::CLOCK_BOOTTIME)?,
        wall: read(ClockId::CLOCK_REALTIME)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: Reading = Reading {
        monotonic: Duration::from_secs(1_000),
        boot: Duration::from_secs(5_000),
        wall: Duration::from_secs(1_800_000_000),
    };

    /// So many seconds later by each clock.
    fn after(monotonic: f64, boot: f64, wall: f64) -> Passed {
        let later =
            |clock: Duration, seconds: f64| Duration::from_secs_f64(clock.as_secs_f64() + seconds);
        let now = Reading {
            monotonic: later(BEFORE.monotonic, monotonic),
            boot: later(BEFORE.boot, boot),
            wall: later(BEFORE.wall, wall),
        };
        match judge(BEFORE, now) {
            Passed::Tick => Passed::Tick,
            Passed::Pause(time) => {
                Passed::Pause(Duration::from_secs(time.as_secs_f64().round() as u64))
            }
            Passed::Forward(time) => {
                Passed::Forward(Duration::from_secs(time.as_secs_f64().round() as u64))
            }
            Passed::Back(time) => {
                Passed::Back(Duration::from_secs(time.as_secs_f64().round() as u64))
            }
        }
    }

    #[test]
    fn ticks_may_be_late_and_clocks_corrected() {
        assert_eq!(after(1.0, 1.0, 1.0), Passed::Tick);
        assert_eq!(after(3.5, 3.5, 3.5), Passed::Tick);
        assert_eq!(after(1.0, 1.0, 2.5), Passed::Tick);
        assert_eq!(after(1.0, 1.0, -0.5), Passed::Tick);
    }

    #[test]
    fn pauses_are_noticed_whichever_clock_stood_still() {
        let pause = |seconds| Passed::Pause(Duration::from_secs(seconds));
        assert_eq!(after(8.0, 8.0, 8.0), pause(7), "stopped");
        assert_eq!(after(1.0, 3_601.0, 3_601.0), pause(3_600), "slept");
        assert_eq!(after(9.0, 9.0, -4.0), pause(8), "stopped, and set");
    }

    #[test]
    fn a_clock_that_was_set_is_noticed_in_both_directions() {
        let seconds = Duration::from_secs;
        assert_eq!(after(1.0, 1.0, 3_601.0), Passed::Forward(seconds(3_600)));
        assert_eq!(after(1.0, 1.0, -599.0), Passed::Back(seconds(600)));
    }

    #[test]
    fn the_thread_ends_with_its_handle() {
        let clock = start(|passed| panic!("{passed:?}")).unwrap();
        drop(clock);
    }
}
