//! Faults: how often each kind comes, and how long it lasts.

use crate::dice::Dice;
use crate::scenario::MS;

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A server process is killed. Its kernel lives, so nothing that it wrote is lost.
    Kill,
    /// A host loses its power, with everything that was not synced.
    PowerFailure,
    /// A client process is killed, and another one takes its place.
    KillClient,
    /// A client's host vanishes without a word, and another client comes.
    LoseClient,
    /// A server process is stopped (SIGSTOP): its connections stay, and it answers nothing.
    Freeze,
    /// A client does not run for a while, as on a host that sleeps.
    Sleep,
    /// Nothing passes between a client and a host, in one or both directions.
    Cut,
    /// A connection is reset.
    Reset,
    /// A connection is reset in the middle of a record.
    Tear,
    /// A disk is slow, full or broken.
    Disk,
    /// An administrator changes an option: clients exchange their graphs.
    NewVolfile,
}

impl Fault {
    /// All kinds.
    pub const ALL: [Fault; 11] = [
        Fault::Kill,
        Fault::PowerFailure,
        Fault::KillClient,
        Fault::LoseClient,
        Fault::Freeze,
        Fault::Sleep,
        Fault::Cut,
        Fault::Reset,
        Fault::Tear,
        Fault::Disk,
        Fault::NewVolfile,
    ];
}

/// Which faults a run has, and how many.
#[derive(Clone, Debug, Default)]
pub struct Rates {
    /// The faults of the run, drawn from with equal chances.
    pub kinds: Vec<Fault>,
    /// Number of faults.
    pub count: usize,
    /// Longest time between two faults, in nanoseconds.
    pub pause: u64,
    /// Longest duration of a fault, in nanoseconds.
    pub duration: u64,
}

impl Rates {
    /// Draws the faults of a run: one kind, some, or all of them. `focused`: on connections that
    /// break while their bytes are on the way. `work` is the time that the clients' work takes
    /// without faults, more or less.
    pub fn draw(dice: &mut Dice, work: u64, focused: bool) -> Self {
        let share = dice.pick(&[0, 2_000, 5_000, 10_000]);
        let mut kinds: Vec<Fault> = Fault::ALL.into_iter().filter(|_| dice.chance(share)).collect();
        if kinds.is_empty() {
            kinds.push(dice.pick(&Fault::ALL));
        }
        if focused {
            // Old bytes that arrive late: the most dangerous faults, while everybody writes.
            kinds = vec![Fault::Reset];
            kinds.extend(dice.pick(&[
                None,
                Some(Fault::Cut),
                Some(Fault::Disk),
                Some(Fault::Kill),
            ]));
        }
        let count = if focused { 6 + dice.below(14) } else { dice.below(16) };
        Self {
            kinds,
            count,
            pause: 2 * work / (count as u64 + 1),
            duration: dice.pick(&[10, 500, 5_000, 25_000]) * MS,
        }
    }
}
