//! Reads and writes through GlusterFS's C library that are longer than any buffer of
//! `brickwire serve`, and calls that are too long: done, or refused with an errno, and never lost.

use std::io::Read as _;
use std::path::Path;

use brickwire_tests::gfapi::{byte_at, expect};
use brickwire_tests::serve::{Served, full, wanted};

/// Is a file of the brick what `pwrite` wrote with a seed?
fn is_as_written(path: &Path, seed: u8) {
    let mut file = std::fs::File::open(path).expect("a file");
    let (mut at, mut bytes) = (0, vec![0; 1 << 20]);
    loop {
        let n = file.read(&mut bytes).expect("a read");
        if n == 0 {
            return;
        }
        let wrong = (0..n).find(|i| bytes[*i] != byte_at(at + *i as u64, seed));
        assert_eq!(wrong, None, "in what begins at {at}");
        at += n as u64;
    }
}

#[test]
fn what_is_longer_than_a_buffer_is_written_and_read_as_one() {
    if !wanted() {
        return;
    }
    let served = Served::one();
    expect(
        &served,
        "v",
        "
            creat 1 /f 2 0600 -> 0
            pwrite 1 0 17M 3 -> 17825792
            fsync 1 -> 0
            pread 1 0 17M 3 -> 17825792
            pwrite 1 5 50M 3 -> 52428800
            fsync 1 -> 0
            fstat 1 -> 0 mode 100600 size 52428805
            pread 1 5 50M 3 -> 52428800
            pread 1 5 51M 3 -> 52428800
            pread 1 50M 51M 3 -> 5
            pread 1 51M 51M 3 -> 0
            pwrite 1 52428805 33554433 3 -> 33554433
            fsync 1 -> 0
            pread 1 1 82M 3 -> 85983232
            close 1 -> 0
            open 2 /f 0 -> 0
            pread 2 7 32M 3 -> 33554432
            close 2 -> 0
        ",
    );
    is_as_written(&served.brick().join("f"), 3);
    let resident = served.resident();
    assert!(resident < 100 * 1024, "{resident} kB");
}

#[test]
fn a_thousand_megabytes_are_one_write_and_one_read() {
    if !wanted() || !full() {
        return;
    }
    let served = Served::one();
    expect(
        &served,
        "v",
        "
            creat 1 /f 2 0600 -> 0
            pwrite 1 0 1000M 9 -> 1048576000
            fsync 1 -> 0
            pread 1 0 1000M 9 -> 1048576000
            close 1 -> 0
        ",
    );
    is_as_written(&served.brick().join("f"), 9);
}

#[test]
fn a_long_write_that_fails_says_so_and_the_connection_goes_on() {
    if !wanted() {
        return;
    }
    let served = Served::one();
    expect(
        &served,
        "v",
        "
            creat 1 /f 2 0600 -> 0
            creat 2 /g 2 0600 -> 0
            pwrite 1 9223372036850000000 17M 3 -> 17825792
            fsync 1 -> -1 EFBIG
            pwrite 2 0 10 3 -> 10
            fsync 2 -> 0
            pread 2 0 10 3 -> 10
            open 3 /f 0 -> 0
            pwrite 3 0 17M 3 -> 17825792
            fsync 3 -> -1 EBADF
            fstat 2 -> 0 mode 100600 size 10
        ",
    );
}

#[test]
fn a_call_that_is_too_long_is_refused_with_an_errno() {
    if !wanted() {
        return;
    }
    let served = Served::one();
    expect(
        &served,
        "v",
        "
            creat 1 /f 2 0600 -> 0
            pwrite 1 0 10 3 -> 10
            setxattr-of /f user.big 70000 -> -1 E2BIG
            setxattr-of /f user.big 300000 -> -1 E2BIG
            pwrite 1 10 10 3 -> 10
            fsync 1 -> 0
            fstat 1 -> 0 mode 100600 size 20
            close 1 -> 0
        ",
    );
}
