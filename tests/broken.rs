//! A proof that fails nothing proves nothing: every op's kernels are broken, one line at a time, and must be found out.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use wgformer::Context;
use wgformer::kernel::ALL;
use wgformer::verify::cases::{self, Case};
use wgformer::verify::{Failure, Wrong, verify, verify_cases};

/// One mistake in one kernel.
struct Break {
    op: &'static str,
    body: &'static str,
    from: &'static str,
    to: &'static str,
    /// A part of the names of the cases that notice.
    case: &'static str,
}

const fn broken(
    op: &'static str,
    body: &'static str,
    from: &'static str,
    to: &'static str,
    case: &'static str,
) -> Break {
    Break { op, body, from, to, case }
}

#[rustfmt::skip]
const BREAKS: &[Break] = &[
    broken("matmul", "matmul", "k0 < depth; k0 += DEPTH", "k0 + DEPTH < depth; k0 += DEPTH", "59x65x111"),
    broken("matmul", "matmul", "m0 + own_quad * 4u", "m0 + own_quad * 4u + 1u", "59x65x111"),
    broken("matmul", "matmul", "k0 + DEPTH + own_deep * 4u", "k0 + DEPTH + own_deep * 4u + 1u", "59x65x111"),
    broken("matmul", "matmul", ".zwxy", ".xyzw", "59x65x111"),
    broken("matmul", "matmul", " + bias_quad(c.b_offset, n, c.n)", "", "bias 1"),
    broken("matmul", "matmul", " + batch * c.w_batch", "", "three products"),
    broken("matmul", "matvec", "k < c.k; k += 4u * WG", "k + 4u < c.k; k += 4u * WG", "2x111x65"),
    broken("matmul", "matvec", "select(total.z, total.w, j == 3u), j >= 2u)", "total.x, j >= 2u)", "5x2049x33"),
    broken("matmul", "matvec", "rows - 1u) * c.x_stride", "0u) * c.x_stride", "decoding"),
    broken("matmul", "matvec", "m < rows &&", "m <= rows &&", "decoding fewer rows"),
    broken("matmul", "matvec", " + residual_at(", " - residual_at(", "residual 1"),
    broken("matmul", "matmul", "w0 + n + min", "w0 + min", "Kn"),
    broken("matmul", "matmul", "n * c.w_stride, k", "n * c.w_stride, k + 1u", "59x65x111"),

    broken("softmax", "softmax", "row % c.causal + 1u", "row % c.causal", "causal Some(3)"),
    broken("softmax", "softmax", "c.scale * ", "", "scale 0.125"),
    broken("softmax", "softmax", " / sum;", ";", "59 columns"),
    broken("softmax", "softmax", "WG < count)", "WG + 1u < count)", "causal Some(3)"),
    broken("softmax", "softmax", "if (!WHOLE) { held = scores", "if (WHOLE) { held = scores", "1025 columns"),
    broken("softmax", "softmax_lanes", "row % c.causal + 1u", "row % c.causal", "causal Some(3)"),
    broken("softmax", "softmax_lanes", "c.x_stride, j, c.cols)", "c.x_stride, j + 1u, c.cols)", "59 columns"),
    broken("softmax", "softmax_lanes", "< vec4u(count)", "<= vec4u(count)", "causal Some(3)"),
    broken("softmax", "softmax_lanes", "vec4f(NEG_LARGE)", "vec4f(0.0)", "far from 0"),
    broken("softmax", "softmax_lanes", " / sum;", ";", "59 columns"),

    broken("norm", "norm", " + c.eps)", ")", "eps 5e-1"),
    broken("norm", "norm", "held[0u] - mean,", "held[0u],", "a large mean"),
    broken("norm", "norm", "if (!RMS)", "if (RMS)", "59 columns"),
    broken("norm", "norm", ", bias_at(c.b_offset + at))", ", 0.0)", "bias 1"),
    broken("norm", "norm", "(at < c.cols)", "(at + 1u < c.cols)", "59 columns"),
    broken("norm", "norm", "if (!WHOLE) { held", "if (WHOLE) { held", "1025 columns"),
    broken("norm", "norm_lanes", " + c.eps)", ")", "eps 5e-1"),
    broken("norm", "norm_lanes", "quad(row, j) - mean,", "quad(row, j),", "a large mean"),
    broken("norm", "norm_lanes", "j + 3u) < vec4u(c.cols)", "j + 3u) <= vec4u(c.cols)", "59 columns"),
    broken("norm", "norm_lanes", "if (!RMS)", "if (RMS)", "59 columns"),
    broken("norm", "norm_lanes", " + shift)", ")", "bias 1"),

    broken("attention", "attention", "j <= last_key(span, i)", "j < last_key(span, i)", "causal true"),
    broken("attention", "attention", "<= c.window", "< c.window", "window Some(2)"),
    broken("attention", "attention", "return c.scale * product", "return product", "heads of 3"),
    broken("attention", "attention", " + bias_of(span, h, i, first + b + n)", "", "bias 1 tapped false"),
    broken("attention", "attention", "min(BLOCK, end - first)", "min(BLOCK, end - first) - 1u", "59 tokens"),
    broken("attention", "attention", "fma(sum, shrink, (", "fma(sum, 1.0, (", "59 tokens"),
    broken("attention", "attention", "vec4<bool>(!CAUSAL && !WINDOW)", "vec4<bool>(true)", "a NaN in v out of the window"),
    broken("attention", "attention", "{ continue; }", "{ break; }", "quads, causal true window Some(2)"),
    broken("attention", "attention_row", "allowed(span, i, j) && j < end", "!allowed(span, i, j) && j < end", "59 tokens"),
    broken("attention", "attention_row", "&& j < end;", "&& j + 1u < end;", "59 tokens"),
    broken("attention", "attention_row", "sum * shrink", "sum", "1025 keys"),
    broken("attention", "attention_row", "output *= shrink;", "", "1025 keys"),
    broken("attention", "attention_row", "highest == NEG_LARGE", "highest != NEG_LARGE", "59 tokens"),
    broken("attention", "attention_row", "head / c.group", "head", "tapped true heads 4/2"),
    broken("attention", "attention_row_lanes", "(j < end) & allowed(", "(j < end) & !allowed(", "59 tokens"),
    broken("attention", "attention_row_lanes", "< end; first += WG", "+ 1u < end; first += WG", "97 tokens"),
    broken("attention", "attention_row_lanes", "fma(sum, shrink, p)", "sum + p", "111 tokens"),
    broken("attention", "attention_row_lanes", "output[0u] *= shrink;", "", "111 tokens"),
    broken("attention", "attention_row_lanes", "head / c.group", "head", "tapped true heads 4/2"),
    broken("attention", "attention_row_lanes", "at - min(at, c.window) <= high", "at < high", "window Some(2)"),
    broken("attention", "attention_lanes", "low - min(low, c.window) <= at", "low < at", "quads, causal true window Some(2)"),
    broken("attention", "attention_lanes", "(c.scale * LOG2_E)", "c.scale", "quads, causal true window None"),
    broken("attention", "attention_lanes", "(j < stop) &", "(j <= stop) &", "59 tokens"),
    broken("attention", "attention_lanes", "|| allowed(span, i, j)", "|| !allowed(span, i, j)", "causal true"),
    broken("attention", "attention_lanes", "head / c.group", "head", "tapped false heads 4/2"),

    broken("embed", "embed", "c.vocab - 1u", "c.vocab - 2u", "59 columns"),
    broken("embed", "embed", "id >= c.base + c.held", "id > c.base + c.held", "shard 0..4"),
    broken("embed", "embed", "id < c.base ||", "id <= c.base ||", "shard 4..5"),
    broken("embed", "embed", "c.scale * ", "", "position"),
    broken("embed", "embed", " + kind_at(k0 + j)", "", "kind Some"),
    broken("embed", "embed", " + row / 4u % WG", "", "59 columns"),
    broken("embed", "embed", ", j % PER_TEXEL)", ", 0u)", "59 columns"),

    broken("gate", "gate", "activate(a[0u])", "a[0u]", "59 columns"),
    broken("gate", "gate", "x[x0 + c.cols + min(", "x[x0 + c.cols - 1u + min(", "59 columns"),
    broken("gate", "gate", "min(c.cols, first", "min(c.cols - 1u, first", "59 columns"),
    broken("gate", "gate", "<= 0x7f800000u);", "> 0x7f800000u);", "Relu, x around 3"),

    broken("qkv", "qkv", "a * cosine - b * sine", "a * cosine + b * sine", "heads of 59"),
    broken("qkv", "qkv", "c.positions - 1u", "c.positions - 2u", "heads of 59"),
    broken("qkv", "qkv", "let is_query = head < c.heads", "let is_query = head <= c.heads", "heads of 59"),
    broken("qkv", "qkv", "Q_NORM && head.is_query", "Q_NORM && !head.is_query", "heads of 59"),
    broken("qkv", "qkv", "min(step[step[H_SLOTS] + row]", "min(1u + step[step[H_SLOTS] + row]", "heads of 59"),

    broken("pool", "pool", "token < span.len", "token + 1u < span.len", "Mean normalize false"),
    broken("pool", "pool", "value / f32(max(span.len, 1u))", "value", "Mean normalize false"),
    broken("pool", "pool", "if (NORMALIZE)", "if (!NORMALIZE)", "Mean normalize false"),
    broken("pool", "pool", "lane * COLUMNS +", "(lane - 1u) * COLUMNS +", "Max normalize false"),
    broken("pool", "pool", "span.len - 1u", "max(span.len, 2u) - 2u", "Last normalize false"),

    broken("argmax", "argmax", "rank > best.x", "rank < best.x", "59 columns"),
    broken("argmax", "argmax", "rank > best.x", "rank >= best.x", "all equal"),
    broken("argmax", "argmax", "0xffffffffu, size > 0x7f800000u", "0u, size > 0x7f800000u", "the first NaN"),
    broken("argmax", "argmax", "b.y < a.y", "b.y > a.y", "the first of equals"),
    broken("argmax", "argmax", "WG, c.cols - 1u)", "WG, c.cols - 2u)", "the last column"),

    broken("topk", "topk", "== taken.x && j > taken.y", "== taken.x && j >= taken.y", "5 of"),
    broken("topk", "topk", "found = reduce_best(found, in);", "", "128 of 3000"),
    broken("topk", "topk", "j < end; j += WG * WG", "j + WG < end; j += WG * WG", "128 of 3000"),
    broken("topk", "topk", "== taken.x && j > taken.y", "== taken.x && j < 0u", "NaNs in their order"),
    broken("topk", "topk", "peak + log(sum)", "log(sum)", "97 columns"),
    broken("topk", "topk", "(c.scale * x[x0 + min(j,", "(x[x0 + min(j,", "scale 4"),
];

/// The cases of ops have no packed weights; those of a model's plan have.
const PACKED: &[Break] = &[
    broken("matmul", "matmul_lanes", "* 4u, c.k);", "* 4u, c.k - 1u);", "encoder-decoder"),
    broken("matmul", "matmul_lanes", "m < min(m0 + ROWS, rows);", "m + 1u < min(m0 + ROWS, rows);", "encoder-decoder"),
    broken("matmul", "matmul_lanes", "value + residual_quad(", "value - residual_quad(", "encoder-decoder"),
];

fn small(op: &str, name: &str) -> Vec<Case> {
    cases::of(op).into_iter().filter(|case| !case.large && case.name.contains(name)).collect()
}

/// The first failure that these cases show.
fn failure(gpu: &Context, op: &'static str, cases: Vec<Case>) -> Option<Failure> {
    cases.into_iter().find_map(|case| {
        let report = common::block_on(verify_cases(gpu, vec![(op, vec![case])], &mut |_| {})).expect("the device runs");
        let part = &report.ops[0];
        assert_eq!(part.failures > 0, part.first.is_some(), "{report}");
        assert_eq!(part.failures == 0, report.passed(), "{report}");
        part.first.clone()
    })
}

/// A context in which the mistake has been made, and how many kernels it has changed so far.
fn patched(device: &wgpu::Device, queue: &wgpu::Queue, broken: &'static Break) -> (Context, Arc<AtomicUsize>) {
    let changed = Arc::new(AtomicUsize::new(0));
    let count = changed.clone();
    let patch = Box::new(move |spec: &wgformer::kernel::Spec, source: String| {
        if spec.op() != broken.op || spec.body() != broken.body || !source.contains(broken.from) {
            return source;
        }
        count.fetch_add(1, Ordering::Relaxed);
        source.replace(broken.from, broken.to)
    });
    (Context::patched(device, queue, patch).expect("a device with the wanted limits"), changed)
}

fn found(device: &wgpu::Device, queue: &wgpu::Queue, broken: &'static Break) -> Result<(), String> {
    let (gpu, changed) = patched(device, queue, broken);
    if broken.body.ends_with("_lanes") && gpu.caps().lanes().is_err() {
        return Ok(()); // Not compiled here; adapters with lanes are software ones, where CI runs this.
    }
    let cases = small(broken.op, broken.case);
    if cases.is_empty() {
        return Err(format!("no case has {:?} in its name", broken.case));
    }
    let failure = failure(&gpu, broken.op, cases);
    if changed.load(Ordering::Relaxed) == 0 {
        return Err("no kernel was changed".into());
    }
    match failure {
        None => Err("nobody noticed".into()),
        Some(Failure { wrong: Wrong::Error { message }, .. }) => Err(format!("it does not compile: {message}")),
        Some(Failure { kernel, .. }) if !kernel.starts_with(&format!("{} (", broken.body)) => {
            Err(format!("{kernel} failed, which was not broken"))
        }
        Some(_) => Ok(()),
    }
}

#[test]
fn every_mistake_is_found() {
    let (device, queue) = common::device();
    let mut missed = Vec::new();
    for broken in BREAKS {
        let began = std::time::Instant::now();
        if let Err(why) = found(&device, &queue, broken) {
            missed.push(format!("{}: {:?} -> {:?}: {why}", broken.body, broken.from, broken.to));
        }
        eprintln!("{:>8.2} s  {}: {:?}", began.elapsed().as_secs_f64(), broken.body, broken.from);
    }
    assert!(missed.is_empty(), "{} of {} mistakes:\n{}", missed.len(), BREAKS.len(), missed.join("\n"));
}

#[test]
fn mistakes_with_packed_weights_are_found() {
    let (device, queue) = common::device();
    for broken in PACKED {
        let (gpu, changed) = patched(&device, &queue, broken);
        if gpu.caps().lanes().is_err() {
            return;
        }
        let began = std::time::Instant::now();
        let report = common::block_on(verify(&gpu, Some(broken.case), &mut |_| {})).expect("the device runs");
        assert!(changed.load(Ordering::Relaxed) > 0, "{:?}: no kernel was changed", broken.from);
        let failure = report.models.iter().find_map(|part| part.first.as_ref());
        let Some(failure) = failure else { panic!("{:?} -> {:?}: nobody noticed", broken.from, broken.to) };
        assert!(!matches!(failure.wrong, Wrong::Error { .. }), "{failure:?}");
        eprintln!("{:>8.2} s  {}: {:?}", began.elapsed().as_secs_f64(), broken.body, broken.from);
    }
}

#[test]
fn every_op_is_broken_in_three_ways_at_least() {
    for op in ALL {
        let ways = BREAKS.iter().filter(|b| b.op == *op && !b.body.ends_with("_lanes")).count();
        assert!(ways >= 3, "{op}: {ways}");
    }
}

#[test]
fn what_is_whole_passes() {
    let (device, queue) = common::device();
    // The same way, but the patch changes nothing.
    let gpu = Context::patched(&device, &queue, Box::new(|_, source| source)).expect("a context");
    for (op, name) in
        [("softmax", "columns"), ("gate", "59 columns"), ("matmul", "59x65x111"), ("attention", "59 tokens")]
    {
        let cases = small(op, name);
        assert!(!cases.is_empty(), "{op} {name}");
        if let Some(failure) = failure(&gpu, op, cases) {
            panic!("{op}: {failure:?}");
        }
    }
}
