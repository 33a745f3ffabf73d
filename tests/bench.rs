//! What is measured is right, what is wrong is not measured, and a profile names the plan's ops.

mod common;

use wgformer::bench::{bench, contests, items};
use wgformer::model::Blueprint;
use wgformer::model::forward::{Outputs, Sizes};
use wgformer::{Capacity, Context, Error, Plan, Role, Session, Step, Weights};

/// The large ones take long, and differ from these in size only.
fn small(name: &str) -> bool {
    !["encoder", "prefill", "decode/", "beam4", "1024x1024x1024", "128x1536x384", "4096", "2048", "8x128"]
        .iter()
        .any(|part| name.contains(part))
}

#[test]
fn small_items_and_their_plain_bodies_are_right() {
    let gpu = common::context();
    let mut ops = std::collections::BTreeSet::new();
    for item in items().into_iter().filter(|item| small(item.name())) {
        let mut ready = common::block_on(item.prepare(&gpu)).unwrap_or_else(|e| panic!("{e}"));
        assert!(ready.time(3).expect("the device runs") > std::time::Duration::ZERO);
        ops.insert(item.name().split('/').find(|part| *part != "plain").unwrap_or_default().to_owned());
    }
    assert!(ops.len() >= 6, "{ops:?}");
}

#[test]
fn rows_tell_times_and_ratios() {
    let gpu = common::context();
    let mut seen = Vec::new();
    let rows = common::block_on(bench(&gpu, Some("softmax/16x128"), false, &mut |row| seen.push(row.clone())));
    let rows = rows.expect("the device runs");
    assert_eq!(rows, seen);
    let [.., plain, op] = &rows[..] else { panic!("{rows:?}") };
    assert_eq!((plain.name.as_str(), op.name.as_str()), ("plain/softmax/16x128", "softmax/16x128"));
    assert!(op.min > Some(0.0) && op.min <= op.ms && op.gbps > Some(0.0) && op.share > Some(0.0), "{op:?}");
    assert_eq!(op.plain, Some(plain.min.expect("timed") / op.min.expect("timed")));
    assert!(plain.plain.is_none() && !op.adapter.is_empty());
}

#[test]
fn what_is_wrong_is_not_timed() {
    let (device, queue) = common::device();
    let patch = |_: &_, source: String| source.replace(" / sum;", " / sum * 1.001;");
    let gpu = Context::patched(&device, &queue, Box::new(patch)).expect("a context");
    let mut last = String::new();
    let result = common::block_on(bench(&gpu, Some("softmax/16x128"), false, &mut |row| last = row.name.clone()));
    assert!(matches!(&result, Err(Error::Wrong { what, .. }) if what == "softmax/16x128"), "{result:?}");
    assert_eq!(last, "plain/softmax/16x128");
}

#[test]
fn kernels_of_an_op_are_timed_beside_one_another() {
    let gpu = common::context();
    let mut seen = Vec::new();
    let all = common::block_on(contests(&gpu, Some("minilm-l6/embed"), &mut |contest| seen.push(contest.clone())));
    let all = all.expect("the device runs");
    assert_eq!(all, seen);
    let norm = all.iter().find(|contest| contest.name == "minilm-l6/embed.norm").expect("a norm");
    let kernels: Vec<&str> = norm.kernels.iter().map(|(kernel, _)| kernel.as_str()).collect();
    assert!(kernels.len() >= 2 && kernels.contains(&"norm (baseline)"), "{kernels:?}");
    let fastest = norm.kernels.iter().map(|(_, ms)| *ms).fold(f64::INFINITY, f64::min);
    assert!(fastest > 0.0);
    assert_eq!(norm.behind(), norm.kernels[0].1 / fastest);
    let nothing = common::block_on(contests(&gpu, Some("matmil"), &mut |contest| panic!("{contest:?}")));
    assert!(matches!(&nothing, Err(Error::Input { why, .. }) if why.contains("matmil")), "{nothing:?}");
}

#[test]
fn a_filter_that_matches_nothing_is_refused() {
    let result = common::block_on(bench(&common::context(), Some("matmil"), false, &mut |row| panic!("{row:?}")));
    assert!(matches!(&result, Err(Error::Input { why, .. }) if why.contains("matmil")), "{result:?}");
}

#[test]
fn a_profile_names_the_plans_ops() {
    let gpu = &common::context();
    let blueprint = Blueprint::open("tests/golden/bert-tiny").expect("a blueprint");
    let graph = blueprint.graph(Role::Full, Outputs { hidden: true, ..Outputs::default() }, Sizes::default());
    let step = Step::packed(&[30, 7]).with_ids((0..37).collect());
    common::block_on(async {
        let plan = Plan::compile(gpu.caps(), &graph, Role::Full, Capacity::of(&step)).expect("a plan");
        let weights = Weights::load(gpu, &[&plan], &common::random_weight).await.expect("weights");
        let mut session = Session::new(gpu, &weights, [plan]).await.expect("a session");
        let times = session.profile(Role::Full, &step, 3).await.expect("a profile");
        let names: Vec<&str> = times.iter().map(|time| time.name.as_str()).collect();
        assert_eq!(names, graph.ops().iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>());
        assert!(times.iter().all(|time| 0.0 <= time.least && time.least <= time.ms), "{times:?}");
        assert!(times.iter().map(|time| time.ms).sum::<f64>() > 0.0, "{times:?}");
        assert!(session.profile(Role::Decode, &step, 1).await.is_err());
    });
}
