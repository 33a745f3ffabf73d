//! `Model::warm_up` leaves nothing to be compiled.

mod common;

use common::block_on;
use wgformer::Context;
use wgformer::generate::Settings;
use wgformer::model::{Blueprint, Model, Padded};

fn warm(name: &str) -> Model {
    warm_on(common::context(), name)
}

fn warm_on(gpu: Context, name: &str) -> Model {
    let blueprint = Blueprint::open(format!("tests/golden/{name}")).expect("a blueprint");
    let model = block_on(Model::build(&gpu, blueprint)).expect("a model");
    let before = gpu.pipelines();
    let mut told = Vec::new();
    block_on(model.warm_up(&mut |done, total| told.push((done, total)))).expect("warm");
    let (_, total) = told[0];
    assert!(gpu.pipelines() > before && total > 1, "{told:?}");
    assert_eq!(told, (1..=total).map(|done| (done, total)).collect::<Vec<_>>(), "{name}: each part once");
    // What is warm stays so.
    told.clear();
    block_on(model.warm_up(&mut |done, total| told.push((done, total)))).expect("warm");
    assert!(told[0].1 < total, "{told:?}");
    model
}

fn padded(batch: usize, len: usize) -> Padded {
    Padded { batch, len, ids: vec![7; batch * len], ..Padded::default() }
}

/// Runs something that must find its kernels.
fn finds<T>(model: &Model, what: &str, run: impl Future<Output = wgformer::Result<T>>) {
    let gpu = model.gpu().expect("a GPU");
    let before = gpu.pipelines();
    block_on(run).expect(what);
    assert_eq!(gpu.pipelines(), before, "{what} compiled something");
}

#[test]
fn encoders() {
    for name in ["bert-tiny", "roberta-words"] {
        let model = warm(name);
        for (batch, len) in [(1, 1), (1, 3), (3, 2), (2, 9), (5, 14), (17, 1), (1, 15)] {
            let what = format!("{name}, {batch} sequences of {len}");
            finds(&model, &what, model.embed_ids(&vec![vec![7; len]; batch]));
            finds(&model, &what, model.encode(&padded(batch, len), false));
        }
    }
}

/// A device without lanes has kernels for few rows and for many, as GPUs have.
#[test]
fn without_subgroups() {
    let adapter = common::adapter();
    let (device, queue) = block_on(adapter.request_device(&Default::default())).expect("a device");
    let model = warm_on(Context::new(&device, &queue).expect("a default device"), "bert-tiny");
    for (batch, len) in [(1, 1), (5, 14), (17, 1), (40, 14), (150, 14)] {
        finds(&model, &format!("{batch} sequences of {len}"), model.embed_ids(&vec![vec![7; len]; batch]));
    }
}

#[test]
fn decoders() {
    for name in ["gpt2", "marian"] {
        let model = warm(name);
        let both = model.blueprint().arch().encoder.is_some();
        let own = Settings { max_new_tokens: Some(3), ..model.blueprint().generation().clone() };
        let greedy = Settings { num_beams: 1, do_sample: false, ..own.clone() };
        for (batch, len) in [(1, 1), (1, 5), (2, 3), (6, 2), (9, 9)] {
            let what = format!("{name}, {batch} sequences of {len}");
            let (lists, padded) = (vec![vec![7; len]; batch], padded(batch, len));
            finds(&model, &what, model.forward(both.then_some(&padded), &padded, false));
            for settings in [&own, &greedy] {
                finds(&model, &format!("{what}, {} beams", settings.num_beams), model.generate_ids(&lists, settings));
            }
        }
    }
}

/// The reference has nothing to compile.
#[test]
fn on_the_cpu() {
    let model = Model::on_cpu(Blueprint::open("tests/golden/bert-tiny").expect("a blueprint"));
    block_on(model.warm_up(&mut |_, _| panic!("nothing to tell"))).expect("nothing to do");
}
