//! Tests of the tests: each deliberately broken part is caught within a few seeds. The number of
//! seeds is several times what it took when the test was written.

use brickwire_sim::mutant::Mutant;
use brickwire_sim::run::{Options, run};

/// Runs seeds until the checker of this name catches the mutant.
fn is_caught(mutant: Mutant, checker: &str, within: u64) {
    let mut others = Vec::new();
    for seed in 0..within {
        let report = run(seed, Options { mutant: Some(mutant), ..Options::default() });
        match report.violation {
            Some(violation) if violation.checker == checker => return,
            Some(violation) => others.push((seed, violation.checker)),
            None => {}
        }
    }
    panic!("{mutant:?} was not caught by {checker} in {within} seeds; others: {others:?}");
}

#[test]
fn a_storage_that_acknowledges_fsync_and_syncs_nothing() {
    is_caught(Mutant::FsyncLies, "register", 20);
}

#[test]
fn a_storage_that_syncs_every_second_page() {
    is_caught(Mutant::FsyncByHalves, "register", 20);
}

#[test]
fn a_storage_that_answers_a_write_before_it_executes_it() {
    is_caught(Mutant::WriteAnsweredEarly, "register", 20);
}

#[test]
fn a_write_that_is_executed_again_later() {
    is_caught(Mutant::WriteReplayed, "register", 20);
}

#[test]
fn a_long_write_of_which_only_a_part_is_written() {
    is_caught(Mutant::WriteCutShort, "register", 40);
}

#[test]
fn a_read_of_an_earlier_state() {
    is_caught(Mutant::ReadStale, "register", 20);
}

#[test]
fn a_read_of_another_place() {
    is_caught(Mutant::ReadMisplaced, "register", 20);
}

#[test]
fn a_call_that_is_never_answered() {
    is_caught(Mutant::CallForgotten, "leftovers", 40);
}

#[test]
fn a_server_that_is_not_told_of_a_closed_connection() {
    is_caught(Mutant::CloseForgotten, "leftovers", 20);
}

#[test]
fn a_client_that_keeps_its_locks() {
    is_caught(Mutant::LockKept, "leftovers", 40);
}

#[test]
fn a_rename_that_is_answered_and_not_done() {
    is_caught(Mutant::RenameForgotten, "tree", 40);
}

#[test]
fn a_brick_that_does_not_store_what_others_have_missed() {
    is_caught(Mutant::BlameForgotten, "register", 200);
}
