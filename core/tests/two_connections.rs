//! Two connections to one brick: reads alternate, everything else uses the first.

mod client_harness;

use brickwire_core::fop::FopNumber;
use brickwire_core::volume::OpError;
use brickwire_core::{ConnId, Limits};
use client_harness::Rig;

/// A volume with two connections that are both up, and a file that is open on both.
fn rig() -> (Rig, brickwire_core::FileId, ConnId, ConnId) {
    let limits = Limits {
        ops: 32,
        frames: 64,
        calls: 100,
        files: 4,
        inodes: 4,
        fds: 12,
        conns: 6,
        head_bytes: 1024,
        ..Limits::FIRMWARE
    };
    let mut rig = Rig::with(|config| config.connections_per_brick = 2, limits);
    rig.bring_up();
    for _ in 0..6 {
        rig.accept_dials();
        rig.answer_handshake();
    }
    assert_eq!(rig.volume.bricks().next().unwrap().connections, 2);
    let file = rig.open();
    let first = {
        let read = rig.write(file, 0, b"x");
        let call = rig.expect(FopNumber::Write);
        rig.answer_done(&call, 1);
        assert_eq!(rig.result(read), Some(Ok(1)));
        call.conn
    };
    // The second connection opens the file when it is read.
    let mut second = None;
    for _ in 0..4 {
        let read = rig.read(file, 0, 4);
        while let Some(call) = rig.calls.pop_front() {
            match call.fop() {
                Some(FopNumber::Open) => {
                    second = Some(call.conn);
                    rig.answer_open(&call);
                }
                _ => rig.answer_read(&call, b"data"),
            }
        }
        assert_eq!(rig.result(read), Some(Ok(4)));
    }
    (rig, file, first, second.expect("opened on the second connection"))
}

#[test]
fn reads_take_turns_and_writes_keep_to_the_first() {
    let (mut rig, file, first, second) = rig();
    assert_ne!(first, second);
    let mut seen = Vec::new();
    for _ in 0..4 {
        rig.read(file, 0, 4);
        let call = rig.expect(FopNumber::Read);
        seen.push(call.conn);
        rig.answer_read(&call, b"data");
    }
    assert!(seen.contains(&first) && seen.contains(&second), "{seen:?}");
    for n in 0..4 {
        rig.write(file, n * 10, b"data");
        let call = rig.expect(FopNumber::Write);
        assert_eq!(call.conn, first);
        rig.answer_done(&call, 4);
    }
}

#[test]
fn a_second_connection_that_dies_takes_no_read_with_it_and_comes_back() {
    let (mut rig, file, first, second) = rig();
    let reads = [rig.read(file, 0, 4), rig.read(file, 8, 4)];
    let on_second = rig.calls.iter().filter(|call| call.conn == second).count();
    assert_eq!(on_second, 1);
    rig.breaks(second);
    assert!(rig.volume.is_usable(), "the first one serves");
    while let Some(call) = rig.calls.pop_front() {
        assert_eq!(call.conn, first);
        rig.answer_read(&call, b"data");
    }
    for read in reads {
        assert_eq!(rig.result(read), Some(Ok(4)));
    }
    for _ in 0..8 {
        if rig.dialled.is_empty() && rig.calls.is_empty() {
            if rig.volume.bricks().next().unwrap().connections == 2 {
                break;
            }
            rig.next_deadline();
        }
        rig.accept_dials();
        rig.answer_handshake();
    }
    assert_eq!(rig.volume.bricks().next().unwrap().connections, 2);
    // Its fd numbers are invalid: the file is opened on it again before a read uses it.
    for _ in 0..4 {
        let read = rig.read(file, 0, 4);
        while let Some(call) = rig.calls.pop_front() {
            match call.fop() {
                Some(FopNumber::Open) => rig.answer_open(&call),
                _ => rig.answer_read(&call, b"data"),
            }
        }
        assert_eq!(rig.result(read), Some(Ok(4)));
    }
}

#[test]
fn a_read_that_is_taken_back_in_the_second_connections_line_cuts_nobody_off() {
    let (mut rig, file, ..) = rig();
    // Nothing is sent, so the windows of encoded records fill, and reads wait behind both.
    rig.send_max = 0;
    let reads: Vec<_> = (0..30).map(|n| rig.read(file, n * 4, 4)).collect();
    for read in [reads[18], reads[19]] {
        rig.volume.cancel(read, rig.now);
    }
    rig.send_max = usize::MAX;
    rig.transmit_all();
    while let Some(call) = rig.calls.pop_front() {
        rig.answer_read(&call, b"data");
    }
    for (index, read) in reads.into_iter().enumerate() {
        let expected = if index == 18 || index == 19 { Err(OpError::Stopped) } else { Ok(4) };
        assert_eq!(rig.result(read), Some(expected), "{index}");
    }
}

#[test]
fn a_second_connection_to_a_process_that_is_gone_holds_no_read_until_the_ping_timeout() {
    let (mut rig, file, first, second) = rig();
    // The brick's host loses power: both connections are silent, and the first one is found dead
    // first.
    rig.breaks(first);
    rig.process = "brick-process-2".into();
    for _ in 0..30 {
        if rig.volume.bricks().next().unwrap().connections == 2 && rig.volume.is_usable() {
            break;
        }
        if rig.dialled.is_empty() && rig.calls.is_empty() {
            rig.next_deadline();
        }
        rig.accept_dials();
        rig.answer_handshake();
        if let Some(at) = rig.calls.iter().position(|call| call.fop() == Some(FopNumber::Open)) {
            let open = rig.calls.remove(at).unwrap();
            rig.answer_open(&open);
        }
    }
    assert!(rig.closed.contains(&second), "it leads to the old process");
    assert!(rig.now.as_nanos() < 5_000_000_000);
    for _ in 0..4 {
        let read = rig.read(file, 0, 4);
        while let Some(call) = rig.calls.pop_front() {
            assert!(call.conn != first && call.conn != second);
            match call.fop() {
                Some(FopNumber::Open) => rig.answer_open(&call),
                _ => rig.answer_read(&call, b"data"),
            }
        }
        assert_eq!(rig.result(read), Some(Ok(4)));
    }
}
