//! The state of a fop in `cluster/replicate`: the children that it was wound to, and what they have
//! answered so far.

use super::children::Children;
use crate::id::TransactionId;
use crate::xdr::Errno;
use crate::xlator::frames::Failure;

/// The step of a fop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Stage {
    /// Not begun.
    #[default]
    New,
    /// Begun again: the children refused it for different reasons, and it was not known which of
    /// them are right.
    Again,
    /// Waits in a list of a transaction.
    Waiting,
    /// A FLUSH whose transaction is settled, to be sent.
    Settled,
    /// The children change their copies.
    Changing,
    /// Waits until the transaction has recorded which children have failed.
    Held,
    /// The children look for the object.
    Looking,
    /// The children disagree about a name: they are asked for the counters of its directory.
    Parent,
    /// The chosen child is asked once more, for its attributes.
    Confirming,
    /// The children are asked for their counters, before a read.
    Refreshing,
    /// One child reads.
    Reading,
    /// The children open the file.
    Opening,
    /// Every child does the same, and one success suffices.
    Everywhere,
    /// The children are asked for the counters of what is to be changed.
    Directory,
    /// The directory or file that is to be replaced or removed is looked up.
    Victim,
}

/// A fop among the children.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Round {
    pub(crate) stage: Stage,
    /// Children that the fop was wound to.
    pub(crate) asked: Children,
    pub(crate) waiting: Children,
    /// Children that have done the most that any child has: `count`.
    pub(crate) best: Children,
    /// Children that a read was tried on; of a directory, those that are accused.
    pub(crate) tried: Children,
    pub(crate) count: u32,
    /// Children whose copy nobody accuses: what they answer counts.
    pub(crate) trusted: Children,
    /// The errno of the failures, by priority: of trusted children, if one has failed.
    pub(crate) errno: Option<Errno>,
    /// That errno is from a trusted child.
    pub(crate) by_trusted: bool,
    /// The failures of trusted children differ, or one may have executed the fop without an answer.
    pub(crate) mixed: bool,
    /// The connection to a child ended before its answer.
    pub(crate) lost: bool,
    /// The counters were read for this fop.
    pub(crate) refreshed: bool,
    /// It was begun a second time: see `Stage::Again`.
    pub(crate) again: bool,
    /// The file is truncated as a second step of OPEN or CREATE.
    pub(crate) truncates: bool,
    /// FSYNC: the number of changes that it covers.
    pub(crate) covers: u32,
    pub(crate) transaction: Option<TransactionId>,
}

impl Round {
    /// Begins a round among these children.
    pub(crate) fn begin(&mut self, stage: Stage, asked: Children) {
        *self = Self {
            stage,
            asked,
            waiting: asked,
            trusted: asked,
            tried: self.tried,
            refreshed: self.refreshed,
            truncates: self.truncates,
            again: self.again || self.stage == Stage::Again,
            covers: self.covers,
            transaction: self.transaction,
            ..Self::default()
        };
    }

    /// Takes a success.
    pub(crate) fn succeeded(&mut self, child: u16, count: u32) {
        if self.best.is_empty() || count > self.count {
            self.best = Children::NONE;
            self.count = count;
        }
        if count == self.count {
            self.best.add(child);
        }
    }

    /// Takes a failure.
    pub(crate) fn failed(&mut self, child: u16, failure: &Failure) {
        let trusted = self.trusted.contains(child);
        self.lost |= matches!(failure, Failure::Lost { .. });
        if self.by_trusted && !trusted {
            return;
        }
        if trusted && !self.by_trusted {
            self.by_trusted = true;
            self.errno = None;
            self.mixed = false;
        }
        let errno = match failure {
            Failure::Errno(errno) => *errno,
            Failure::Lost { .. } | Failure::NotSent(_) => Errno::ENOTCONN,
            Failure::TooLong | Failure::BadAnswer(_) | Failure::Busy(_) => {
                self.mixed = true;
                Errno::EIO
            }
        };
        self.mixed |= errno == Errno::ENOTCONN || self.errno.is_some_and(|other| other != errno);
        self.errno = Some(self.errno.map_or(errno, |other| merged(other, errno)));
    }

    /// Says whether every trusted child has refused the fop for the same reason: the copies agree.
    pub(crate) fn is_refused(&self) -> bool {
        let trusted = self.trusted.and(self.asked);
        let counts = if trusted.is_empty() { self.asked } else { trusted };
        self.best.and(counts).is_empty() && self.errno.is_some() && !self.mixed
    }
}

/// The errno that counts of two (docs/spec/10-replicate.md, "Errno delivered").
pub(crate) fn merged(first: Errno, second: Errno) -> Errno {
    const PRIORITY: [Errno; 4] = [Errno::ENODATA, Errno::ENOENT, Errno::ESTALE, Errno::ENOSPC];
    let rank = |errno| PRIORITY.iter().position(|other| *other == errno).unwrap_or(PRIORITY.len());
    match (first, second) {
        // The end of a connection says nothing about the file.
        (Errno::ENOTCONN, second) => second,
        (first, Errno::ENOTCONN) => first,
        (first, second) if rank(first) < rank(second) => first,
        (_, second) => second,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xlator::Down;

    #[test]
    fn the_children_with_the_largest_count_have_done_it() {
        let mut round = Round::default();
        round.begin(Stage::Changing, Children(7));
        round.succeeded(0, 100);
        round.succeeded(1, 4096);
        round.succeeded(2, 4096);
        assert_eq!((round.best, round.count), (Children(6), 4096));
        round.succeeded(0, 0);
        assert_eq!(round.best, Children(6));
    }

    #[test]
    fn a_fop_is_refused_if_all_copies_agree() {
        let enoent = Failure::Errno(Errno::ENOENT);
        let mut round = Round::default();
        round.begin(Stage::Changing, Children(7));
        round.failed(0, &enoent);
        round.failed(1, &enoent);
        assert!(round.is_refused());
        round.failed(2, &Failure::NotSent(Down::Untried));
        assert!(!round.is_refused());
        assert_eq!(round.errno, Some(Errno::ENOENT));
    }

    #[test]
    fn a_copy_that_is_accused_has_no_say() {
        let mut round = Round::default();
        round.begin(Stage::Changing, Children(7));
        round.trusted = Children(6);
        round.failed(0, &Failure::Errno(Errno::ENOENT));
        round.failed(1, &Failure::Errno(Errno::ENOTDIR));
        round.failed(2, &Failure::Errno(Errno::ENOTDIR));
        assert!(round.is_refused());
        assert_eq!(round.errno, Some(Errno::ENOTDIR));
        round.succeeded(0, 0);
        assert!(round.is_refused());
    }

    #[test]
    fn errnos_about_the_file_go_before_others() {
        assert_eq!(merged(Errno::EIO, Errno::ENOSPC), Errno::ENOSPC);
        assert_eq!(merged(Errno::ENOSPC, Errno::EIO), Errno::ENOSPC);
        assert_eq!(merged(Errno::ENOENT, Errno::ENODATA), Errno::ENODATA);
        assert_eq!(merged(Errno::EIO, Errno::EACCES), Errno::EACCES, "the last");
        assert_eq!(merged(Errno::EACCES, Errno::ENOTCONN), Errno::EACCES);
    }
}
