//! Classes of failures by which images on GlusterFS were lost, stalled or refused before, as far as
//! they concern a client of a volume of one brick. These have their tests elsewhere:
//!
//! * a flush that succeeds without the data of an earlier failed one: `in_flight.rs`
//!   (`a_failed_flush…`, `a_flush_never_succeeds…`), `connection_loss.rs` (after its deadline,
//!   through another handle, after a restart that broke off), `graph_exchange.rs`,
//!   `flush_coverage.rs`;
//! * a change that is executed again over a younger one: `repeated_changes.rs`;
//! * an option silently accepted and not honoured: `volfile_options.rs`, `volgen_refusals.rs`;
//! * "not connected" without a reason: `in_flight.rs` (`who_waits_for_a_brick…`); several volfile
//!   servers: `session.rs`; a brick of another volume: `volume_id.rs`;
//! * a copy that ignores a failed block, slow tear-down, memory that grows: the adapters' own
//!   tests.

mod client_harness;

use brickwire_core::Limits;
use brickwire_core::fop::FopNumber;
use brickwire_core::fop::wire::{Body, Reply};
use brickwire_core::rpc::Procedure;
use brickwire_core::rpc::handshake::{GetspecReply, Opaque};
use brickwire_core::volume::{Down, Op, OpError};
use brickwire_core::xdr::{Dict, Encode, Errno};
use client_harness::Rig;

/// Issues 3429 and 3720: a client used a field of a SEEK reply's xdata that the brick had not sent.
#[test]
fn a_seek_reply_without_xdata_is_an_offset_and_nothing_else() {
    let mut rig = Rig::up();
    let file = rig.open();
    let seek = rig.submit(Op::Seek { file, offset: 0, hole: false }, Vec::new());
    let call = rig.expect(FopNumber::Seek);
    let body = Body::Seek { offset: 65_536 };
    rig.answer(&call, &Reply { op_ret: 0, op_errno: 0, xdata: Dict::Null, body });
    assert_eq!((rig.result(seek), rig.offsets.get(&seek)), (Some(Ok(0)), Some(&65_536)));
    // A SEEK that failed has an offset of zero in its reply, which is no result.
    let seek = rig.submit(Op::Seek { file, offset: 1 << 30, hole: false }, Vec::new());
    let call = rig.expect(FopNumber::Seek);
    rig.fails(&call, 6);
    assert_eq!(
        (rig.result(seek), rig.offsets.get(&seek)),
        (Some(Err(OpError::Errno(Errno::ENXIO))), None)
    );
}

/// gluster/glusterfs 649: `glfs_init` of a volume that does not exist crashed now and then.
#[test]
fn a_volume_that_does_not_exist_is_an_error_ten_thousand_times_in_a_row() {
    for _ in 0..10_000 {
        let mut rig = Rig::with(|_| {}, Limits::FIRMWARE);
        let start = rig.submit(Op::Start, Vec::new());
        rig.accept_dials();
        let call = rig.calls.pop_front().unwrap();
        assert_eq!(call.procedure, Procedure::GETSPEC);
        rig.answer_with(&call, |w| {
            let reply =
                GetspecReply { op_ret: -1, op_errno: 2, spec: b"", xdata: Opaque::Bytes(&[]) };
            reply.encode(w).unwrap();
        });
        assert_eq!(rig.result(start), Some(Err(OpError::NotConnected(Down::NoSuchVolume))));
    }
}

/// Issues 946, 1443 and 3317: the odd end of an image was an I/O error.
#[test]
fn the_odd_end_of_an_image_reads_as_what_is_there_and_zeroes() {
    let mut rig = Rig::up();
    let file = rig.open();
    let read = rig.submit(Op::Read { file, offset: 1024, len: 512, fill: true }, vec![0xee; 512]);
    let call = rig.expect(FopNumber::Read);
    rig.answer_read(&call, &[7; 77]);
    assert_eq!(rig.result(read), Some(Ok(512)));
    assert_eq!(rig.buffers[&read], [vec![7; 77], vec![0; 435]].concat());
    let behind = rig.submit(Op::Read { file, offset: 2048, len: 512, fill: true }, vec![0xee; 512]);
    let call = rig.expect(FopNumber::Read);
    rig.answer_read(&call, &[]);
    assert_eq!((rig.result(behind), &rig.buffers[&behind][..]), (Some(Ok(512)), &[0; 512][..]));
}
