//! The faults, and what somebody who needs the server is told while they last.

use std::time::Duration;

use crate::support::faults::{Fault, FaultProxy, Line};

/// What goes wrong.
#[derive(Clone, Debug)]
pub enum Harm {
    /// Every exchange.
    Each(Fault),
    /// The line.
    Line(Line),
    /// The connections of now, and nothing else.
    Forgotten,
}

impl Harm {
    /// Does it.
    pub fn strike(&self, proxy: &FaultProxy) {
        match self {
            Harm::Each(fault) => proxy.always(fault.clone()),
            Harm::Line(line) => proxy.set_line(*line),
            Harm::Forgotten => proxy.forget_connections(),
        }
    }
}

/// What becomes of pending work once the fault is gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum After {
    /// It is pushed by itself, within seconds.
    Drains,
    /// It waits for a minute, or for somebody who asks: the server said that it is refused, or that
    /// it wants to be left alone.
    Asked,
}

/// One row: its name, what goes wrong, what a listing and a read fail with (nothing: they work), and
/// what comes after.
pub type Row = (&'static str, Harm, &'static [i32], &'static [i32], After);

/// What the server cannot be reached for, or too slowly.
const AWAY: &[i32] = &[libc::ENETUNREACH];
const SLOW: &[i32] = &[libc::ENETUNREACH, libc::ETIMEDOUT];
const STRANGE: &[i32] = &[libc::EREMOTEIO];

/// Every fault; those that take long come first, so that several at a time end together.
pub fn rows() -> Vec<Row> {
    use After::{Asked, Drains};
    use Fault::*;
    let each = Harm::Each;
    let tenth = Duration::from_millis(100);
    vec![
        ("silent", Harm::Line(Line::Silent), AWAY, AWAY, Drains),
        ("forgotten", Harm::Forgotten, &[], &[], Drains),
        ("silence", each(Silence), AWAY, AWAY, Drains),
        ("stalled at once", each(Stall(0)), SLOW, SLOW, Drains),
        ("stalled midway", each(Stall(40)), SLOW, SLOW, Drains),
        ("dripping", each(Drip(tenth)), SLOW, SLOW, Drains),
        ("silence after", each(SilenceAfter), AWAY, AWAY, Drains),
        ("cut at once", each(Cut(0)), SLOW, SLOW, Drains),
        ("refusing", Harm::Line(Line::Refusing), AWAY, AWAY, Drains),
        ("deaf", Harm::Line(Line::Deaf), AWAY, AWAY, Drains),
        ("503", each(Status(503, Some(2))), STRANGE, STRANGE, Drains),
        (
            "502 after",
            each(StatusAfter(502)),
            STRANGE,
            STRANGE,
            Drains,
        ),
        ("cut midway", each(Cut(40)), SLOW, SLOW, Drains),
        (
            "429, soon",
            each(Status(429, Some(1))),
            STRANGE,
            STRANGE,
            Drains,
        ),
        ("too long", each(WrongLength(7)), SLOW, SLOW, Drains),
        ("500", each(Status(500, None)), STRANGE, STRANGE, Drains),
        ("latency", each(Latency(tenth * 3)), &[], &[], Drains),
        ("narrow", each(Bandwidth(4_000)), &[], &[], Drains),
        ("reset", each(Reset), AWAY, AWAY, Drains),
        ("reset after", each(ResetAfter), AWAY, AWAY, Drains),
        (
            "401",
            each(Status(401, None)),
            &[libc::EKEYREJECTED],
            &[libc::EKEYREJECTED],
            Asked,
        ),
        (
            "403",
            each(Status(403, None)),
            &[libc::EACCES],
            &[libc::EACCES],
            Asked,
        ),
        ("409", each(Status(409, None)), STRANGE, STRANGE, Drains),
        (
            "409 after",
            each(StatusAfter(409)),
            STRANGE,
            STRANGE,
            Drains,
        ),
        ("413", each(Status(413, None)), STRANGE, STRANGE, Asked),
        (
            "429, late",
            each(Status(429, Some(60))),
            STRANGE,
            STRANGE,
            Asked,
        ),
        (
            "wrong content",
            each(WrongContent),
            STRANGE,
            &[libc::EIO, libc::EREMOTEIO],
            Drains,
        ),
        (
            "too short",
            each(WrongLength(-1)),
            STRANGE,
            &[libc::EIO, libc::EREMOTEIO],
            Drains,
        ),
    ]
}
