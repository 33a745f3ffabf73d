//! Every op, with every kernel that the adapter at hand can run, against the reference.

mod common;

use wgformer::verify::verify_ops;

#[test]
fn every_kernel_is_right() {
    let gpu = common::context();
    let mut last = String::new();
    let mut progress = |p: wgformer::verify::Progress<'_>| {
        if p.op != last {
            last = p.op.into();
            eprintln!("{} ..", p.op);
        }
    };
    let filter = std::env::var("WGFORMER_FILTER").ok();
    let report = common::block_on(verify_ops(&gpu, filter.as_deref(), &mut progress)).expect("the device runs");
    eprintln!("{report}");
    assert!(report.passed());
}

#[test]
fn the_reference_in_f32_stays_within_the_derived_rounding() {
    let report = wgformer::verify::verify_cpu(None, &mut |_| {}).expect("there are ops");
    eprintln!("{report}");
    assert!(report.passed());
}
