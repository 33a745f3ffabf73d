//! The library makes no device, no queue and no submission of its own while it records: a render pass and a forward
//! pass share one encoder, and both are right. The device has wgpu's defaults only.

mod common;
#[path = "../examples/shared_device.rs"]
mod example;

use wgformer::model::{Blueprint, Model};

#[test]
fn a_picture_and_a_vector_come_from_one_submission() {
    let adapter = common::adapter();
    let (device, queue) =
        common::block_on(adapter.request_device(&wgpu::DeviceDescriptor::default())).expect("a device");
    let dir = "tests/golden/bert-tiny";
    let frame = common::block_on(example::frame(&device, &queue, dir)).expect("a frame");

    let at = |x: usize, y: usize| &frame.pixels[(y * 64 + x) * 4..][..4];
    assert_eq!(at(2, 61), [255, 128, 0, 255], "inside the triangle");
    assert_eq!(at(61, 2), [0, 0, 255, 255], "outside of it");

    let cpu = Model::on_cpu(Blueprint::open(dir).expect("a blueprint"));
    let want = common::block_on(cpu.embed_ids(&[vec![2, 57, 13, 99, 41, 8, 3]])).expect("a vector").remove(0);
    assert_eq!(want.len(), frame.vector.len());
    for (i, (want, got)) in want.iter().zip(&frame.vector).enumerate() {
        assert!((want - got).abs() < 5e-5, "dimension {i}: {got}, expected {want}");
    }
}
