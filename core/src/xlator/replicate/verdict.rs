//! The verdict on the answers of all children to a LOOKUP (docs/spec/10-replicate.md, "Decision
//! order").

use super::children::Children;

/// The answers of the children, in short.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Answers {
    /// Children that found the object, and those that found nothing.
    pub(super) found: Children,
    pub(super) absent: Children,
    /// Children that found an object with another gfid or type than the first one did.
    pub(super) differs: Children,
    /// Somebody changes the names of the parent at this moment.
    pub(super) parent_locked: bool,
}

/// The verdict on the answers of all children together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Too few have answered.
    Unanswered,
    Absent,
    /// These children have the object that the first one found.
    Found(Children),
    /// These children are right, and have another object than the first one found.
    Differs(Children),
    /// Children that should agree do not.
    Contradiction,
}

pub(super) fn judge(
    answers: &Answers,
    trusted: Children,
    has_quorum: impl Fn(Children) -> bool,
) -> Verdict {
    let found = answers.found;
    if found.is_empty() && answers.absent.is_empty() || !has_quorum(found.or(answers.absent)) {
        return Verdict::Unanswered;
    }
    if found.is_empty() {
        return Verdict::Absent;
    }
    let absent = answers.absent.and(trusted);
    match (found.and(trusted).is_empty(), absent.is_empty()) {
        // Only children that miss something have it: it was removed. Or it was being made when its
        // maker died.
        (true, false) => return Verdict::Absent,
        // Children that should agree do not: somebody makes or removes it at this moment, or died
        // while doing that.
        (false, false) if !has_quorum(found) => return Verdict::Absent,
        _ => {}
    }
    let same = found.without(answers.differs);
    let (same_trusted, differs_trusted) = (same.and(trusted), answers.differs.and(trusted));
    match (same_trusted.is_empty(), differs_trusted.is_empty()) {
        (_, true) => Verdict::Found(same),
        (true, false) => Verdict::Differs(differs_trusted),
        // The majority has the object whose name the others have not been told of yet.
        (false, false) if answers.parent_locked && has_quorum(same) => Verdict::Found(same),
        (false, false) => Verdict::Contradiction,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Judges answers of three children: those that found it, found something else, or have no such
    /// name, and those that miss nothing of the directory.
    fn verdict(found: u16, differs: u16, absent: u16, trusted: u16) -> Verdict {
        let answers = Answers {
            found: Children(found),
            differs: Children(differs),
            absent: Children(absent),
            ..Answers::default()
        };
        judge(&answers, Children(trusted), |set| set.len() >= 2)
    }

    #[test]
    fn a_name_is_there_if_copies_that_miss_nothing_say_so() {
        assert_eq!(verdict(7, 0, 0, 7), Verdict::Found(Children(7)));
        assert_eq!(verdict(3, 0, 4, 3), Verdict::Found(Children(3)));
        assert_eq!(verdict(1, 0, 6, 1), Verdict::Found(Children(1)));
        assert_eq!(verdict(4, 0, 3, 3), Verdict::Absent, "only the copy that is behind has it");
        assert_eq!(verdict(0, 0, 3, 7), Verdict::Absent);
    }

    #[test]
    fn a_minority_says_nothing() {
        assert_eq!(verdict(0, 0, 1, 7), Verdict::Unanswered);
        assert_eq!(verdict(1, 0, 0, 7), Verdict::Unanswered);
        assert_eq!(verdict(0, 0, 0, 7), Verdict::Unanswered);
    }

    #[test]
    fn copies_that_should_agree_on_the_gfid_and_do_not_are_never_guessed_at() {
        assert_eq!(verdict(7, 4, 0, 7), Verdict::Contradiction);
        assert_eq!(verdict(7, 4, 0, 3), Verdict::Found(Children(3)));
        assert_eq!(verdict(7, 6, 0, 6), Verdict::Differs(Children(6)));
    }
}
