//! Deliberately broken parts. The checkers must catch each of them: a test of the tests.

/// A broken part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// The storage acknowledges FSYNC and makes nothing durable.
    FsyncLies,
    /// FSYNC makes every second page durable.
    FsyncByHalves,
    /// A WRITE is answered before it is executed, so that overlapping ones change places.
    WriteAnsweredEarly,
    /// A WRITE that was answered is executed again later.
    WriteReplayed,
    /// Of a long WRITE only a first part is executed.
    WriteCutShort,
    /// READ is answered from an earlier state of the brick.
    ReadStale,
    /// READ returns bytes of another offset.
    ReadMisplaced,
    /// A call is never answered.
    CallForgotten,
    /// RENAME is answered, and nothing is renamed.
    RenameForgotten,
    /// XATTROP is answered, and the children that it accuses are not stored.
    BlameForgotten,
    /// The server is not told that a connection has ended.
    CloseForgotten,
    /// A client that holds locks does not leave.
    LockKept,
}

impl Mutant {
    /// All of them, by name.
    pub const ALL: [(&'static str, Mutant); 12] = [
        ("fsync-lies", Mutant::FsyncLies),
        ("fsync-by-halves", Mutant::FsyncByHalves),
        ("write-answered-early", Mutant::WriteAnsweredEarly),
        ("write-replayed", Mutant::WriteReplayed),
        ("write-cut-short", Mutant::WriteCutShort),
        ("read-stale", Mutant::ReadStale),
        ("read-misplaced", Mutant::ReadMisplaced),
        ("call-forgotten", Mutant::CallForgotten),
        ("rename-forgotten", Mutant::RenameForgotten),
        ("blame-forgotten", Mutant::BlameForgotten),
        ("close-forgotten", Mutant::CloseForgotten),
        ("lock-kept", Mutant::LockKept),
    ];

    /// The mutant of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, mutant)| *mutant)
    }
}
