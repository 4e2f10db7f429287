//! Open flags as GlusterFS's C library sends them to `brickwire serve`: directories opened like
//! files (as Samba does), and new files that are only opened to be read.

use brickwire_tests::gfapi::expect;
use brickwire_tests::serve::{Served, wanted};

#[test]
fn a_directory_that_was_opened_like_a_file_has_a_descriptor_for_all_that_needs_no_data() {
    if !wanted() {
        return;
    }
    let served = Served::one();
    for flags in ["0", "0200000"] {
        let script = "
            mkdir /dir 0755 -> 0
            open 1 /dir FLAGS -> 0
            fstat 1 -> 0 mode 40755
            fgetxattr 1 user.x -> -1 ENODATA
            fsetxattr 1 user.x hello -> 0
            fgetxattr 1 user.x -> 5 hello
            fremovexattr 1 user.x -> 0
            fchmod 1 0700 -> 0
            fchown 1 5 6 -> 0
            futimens 1 1000000 -> 0
            fstat 1 -> 0 mode 40700
            fsync 1 -> 0
            fdatasync 1 -> 0
            pread 1 0 10 0 -> -1 EISDIR
            close 1 -> 0
            open 2 /dir 2 -> -1 EISDIR
            open 2 /dir 1 -> -1 EISDIR
            rmdir /dir -> 0
        ";
        expect(&served, "v", &script.replace("FLAGS", flags));
    }
}

#[test]
fn a_new_file_is_open_for_both_when_no_flag_says_anything() {
    if !wanted() {
        return;
    }
    let served = Served::one();
    expect(
        &served,
        "v",
        "
            creat 1 /new 0 0444 -> 0
            pwrite 1 0 100 7 -> 100
            ftruncate 1 50 -> 0
            pread 1 0 100 7 -> 50
            fstat 1 -> 0 mode 100444 size 50
            close 1 -> 0
            creat 2 /other 0200 0600 -> 0
            pwrite 2 0 10 1 -> 10
            fsync 2 -> -1 EBADF
            close 2 -> 0
            creat 3 /new 0 0444 -> 0
            pwrite 3 0 10 1 -> 10
            fsync 3 -> -1 EBADF
            close 3 -> 0
        ",
    );
}
