//! The root of a block volume is listed by the anonymous fd, which distribute uses before RMDIR.

use brickwire_block::{ImageSpec, Images, ImagesOptions};
use brickwire_core::fop::wire::{Body, Readdir, Readdirp, Reply, Request};
use brickwire_core::rpc::Cred;
use brickwire_core::server::{BrickIx, Call, Counts, Payload, Target};
use brickwire_core::xdr::{Dict, Gfid, Reader};
use brickwire_server::Backend as _;

#[test]
fn its_images_are_listed_without_its_having_been_opened() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("disk");
    std::fs::write(&path, [0; 4096]).expect("an image");
    let specs = [ImageSpec { name: "disk".into(), path }];
    let options = ImagesOptions { volume_id: Images::volume_id("v"), owner: (None, None) };
    let images = Images::open(&specs, &options).expect("images");
    let ask = |request: Request<'_>| {
        let call = Call {
            brick: BrickIx(0),
            cred: Cred::v3(1, 1000, 1000),
            request,
            target: Target::Gfid,
            second: Target::Gfid,
            opened: false,
            opens: None,
            payload: Payload::Bytes(&[]),
            counts: Counts::default(),
        };
        let mut bytes = Vec::new();
        images.execute(&call, &[], &mut bytes);
        let reply = Reply::decode(request.number(), &mut Reader::new(&bytes)).expect("a reply");
        let names: Vec<Vec<u8>> = match reply.body {
            Body::Dirents(entries) => entries.iter().map(|entry| entry.name.to_vec()).collect(),
            Body::Direntps(entries) => entries.iter().map(|entry| entry.name.to_vec()).collect(),
            _ => Vec::new(),
        };
        (if reply.op_ret < 0 { reply.op_errno } else { 0 }, names)
    };
    let readdirp = |gfid, offset| {
        let list = Readdirp { gfid, fd: -2, offset, size: 4096, xdata: Dict::Null };
        Request::Readdirp(list)
    };
    let all = vec![b".".to_vec(), b"..".to_vec(), b"disk".to_vec()];
    assert_eq!(ask(readdirp(Gfid::ROOT, 0)), (0, all.clone()));
    assert_eq!(ask(readdirp(Gfid::ROOT, 2)), (0, vec![b"disk".to_vec()]));
    let list = Readdir { gfid: Gfid::ROOT, fd: -2, offset: 0, size: 4096, xdata: Dict::Null };
    assert_eq!(ask(Request::Readdir(list)), (0, all));
    assert_eq!(ask(readdirp(Gfid([9; 16]), 0)), (116, Vec::new()));
}
