//! Every op, with every kernel that the device can run, checked and trusted, over its cases.

use super::cases::{self, Case};
use super::compare::{Expected, POISON, UNTOUCHED};
use super::report::{Adapter, Failure, OpReport, Progress, Report, Wrong};
use super::runs::{Runs, words};
use crate::gpu::readback::Download;
use crate::gpu::{Context, Slice, Weight, compile_all};
use crate::kernel::{ALL, Access, Arg, Candidate, Embed, Layout, Matmul, Op, Spec, View};
use crate::{Error, Result};

/// Elements around an output that no kernel may touch; as many bytes as a binding aligns to.
const GUARD: usize = 64;

/// Verifies the ops whose name contains `filter` (all without one), over [`cases`].
///
/// Outputs are poisoned beforehand and stand between guard words, inputs are compared with what they were. Wrong
/// results are not errors: the report tells of them.
///
/// # Errors
/// [`Error::DeviceLost`], [`Error::OutOfMemory`], and [`Error::Input`] where no op has such a name.
pub async fn verify_ops(
    gpu: &Context,
    filter: Option<&str>,
    progress: &mut (dyn FnMut(Progress<'_>) + Send),
) -> Result<Report> {
    verify_cases(gpu, chosen(filter)?, progress).await
}

/// Verifies all ops, then three whole models: an encoder, a decoder with its cache, an encoder-decoder.
///
/// A filter restricts it to what has it in its name.
///
/// # Errors
/// As [`verify_ops`].
pub async fn verify(
    gpu: &Context,
    filter: Option<&str>,
    progress: &mut (dyn FnMut(Progress<'_>) + Send),
) -> Result<Report> {
    verify_share(gpu, filter, Share::ALL, progress).await
}

/// One of several equal shares of a verification.
///
/// A software adapter generates its code in a single thread for each device: on as many devices as there are cores,
/// each with a share, it is sooner done. [`Report::merge`] puts the reports together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Which: 0 to `of - 1`.
    pub index: usize,
    /// Of how many, 1 or more.
    pub of: usize,
}

impl Share {
    /// Everything.
    pub const ALL: Self = Self { index: 0, of: 1 };

    /// Whether item number `at` is in this share.
    pub(super) fn has(self, at: usize) -> bool {
        at % self.of.max(1) == self.index
    }
}

/// A share of what [`verify`] does.
///
/// # Errors
/// As [`verify_ops`].
pub async fn verify_share(
    gpu: &Context,
    filter: Option<&str>,
    share: Share,
    progress: &mut (dyn FnMut(Progress<'_>) + Send),
) -> Result<Report> {
    let began = Clock::now();
    let mut ops = match chosen(filter) {
        Err(error) if super::models::names(filter).is_empty() => return Err(error),
        ops => ops.unwrap_or_default(),
    };
    // Cases that run the same kernels are in one share: so each kernel is compiled on one device.
    let mut groups: Vec<Vec<Spec>> = Vec::new();
    for (_, cases) in &mut ops {
        cases.retain(|case| {
            let kernels: Vec<Spec> = case.op.candidates(gpu.caps()).into_iter().map(|c| c.spec).collect();
            let group = groups.iter().position(|other| *other == kernels).unwrap_or_else(|| {
                groups.push(kernels);
                groups.len() - 1
            });
            share.has(group)
        });
    }
    let mut report = verify_cases(gpu, ops, progress).await?;
    let keeps_nan = report.adapter.as_ref().is_some_and(|a| a.keeps_nan);
    report.models = super::models::verify_models(gpu, filter, share, keeps_nan, progress).await?;
    report.seconds = began.seconds();
    Ok(report)
}

/// Verifies the given cases of the given ops.
///
/// # Errors
/// As [`verify_ops`].
pub async fn verify_cases(
    gpu: &Context,
    ops: Vec<(&'static str, Vec<Case>)>,
    progress: &mut (dyn FnMut(Progress<'_>) + Send),
) -> Result<Report> {
    let began = Clock::now();
    let total = ops.iter().map(|(_, cases)| cases.len()).sum();
    let keeps_nan = super::probe::keeps_nan(gpu).await?;
    let contexts = gpu.both()?;
    let mut report = Report { version: env!("CARGO_PKG_VERSION").into(), ..Report::default() };
    let mut done = 0;
    for (op, cases) in ops {
        let mut part = OpReport { op: op.into(), cases: cases.len(), ..OpReport::default() };
        for case in &cases {
            verify_case(&contexts, case, keeps_nan, &mut part).await?;
            done += 1;
            progress(Progress { op, done, total });
        }
        report.ops.push(part);
    }
    report.adapter = Some(adapter(gpu, keeps_nan));
    report.seconds = began.seconds();
    Ok(report)
}

/// Judges the reference in f32 by the reference in f64 and the derived rounding: no GPU is tested.
///
/// # Errors
/// [`Error::Input`] where no op has a name that contains `filter`.
pub fn verify_cpu(filter: Option<&str>, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Report> {
    let began = Clock::now();
    let ops = chosen(filter)?;
    let total = ops.iter().map(|(_, cases)| cases.len()).sum();
    let mut report = Report { version: env!("CARGO_PKG_VERSION").into(), ..Report::default() };
    let mut done = 0;
    for (op, cases) in ops {
        let mut part = OpReport { op: op.into(), cases: cases.len(), ..OpReport::default() };
        for case in &cases {
            let runs = Runs::new(case);
            part.kernel("reference in f32").runs += 1;
            for (at, arg) in runs.outputs() {
                let outcome = runs.lenient(at).judge(&runs.yardstick_bits(at), true);
                part.judge("reference in f32", &case.name, outcome);
                if let Some((fault, element)) = outcome.failure {
                    let wrong = Wrong::Output { argument: arg.name.into(), fault, element };
                    part.fail(failure(case, "reference in f32".into(), true, wrong));
                }
            }
            done += 1;
            progress(Progress { op, done, total });
        }
        report.ops.push(part);
    }
    report.seconds = began.seconds();
    Ok(report)
}

fn chosen(filter: Option<&str>) -> Result<Vec<(&'static str, Vec<Case>)>> {
    let ops: Vec<_> =
        ALL.iter().filter(|op| filter.is_none_or(|f| op.contains(f))).map(|&op| (op, cases::of(op))).collect();
    match ops.is_empty() {
        true => Err(Error::input(
            "filter",
            format!("no op has {:?} in its name; there are {}", filter.unwrap_or(""), ALL.join(", ")),
        )),
        false => Ok(ops),
    }
}

fn failure(case: &Case, kernel: String, checked: bool, wrong: Wrong) -> Failure {
    Failure { op: case.op.name().into(), kernel, checked, case: case.name.clone(), wrong }
}

fn adapter(gpu: &Context, keeps_nan: bool) -> Adapter {
    let info = gpu.device().adapter_info();
    Adapter {
        name: info.name,
        backend: info.backend.to_string(),
        driver: info.driver,
        driver_info: info.driver_info,
        kind: format!("{:?}", info.device_type),
        keeps_nan,
    }
}

/// What one run of a kernel left behind, on its way to the host.
struct Ran {
    spec: Spec,
    checked: bool,
    outputs: Vec<(usize, Download)>,
}

async fn verify_case(contexts: &[Context], case: &Case, keeps_nan: bool, part: &mut OpReport) -> Result<()> {
    let Some(gpu) = contexts.first() else { return Ok(()) };
    let runs = Runs::new(case);
    let chosen = kernels(gpu, case, part);
    run(contexts, case, &runs, &chosen, keeps_nan, part).await
}

/// A kernel that a case is run with: the op as it takes it, and on checked modules only or on both.
#[derive(Clone)]
pub(super) struct Chosen {
    pub op: Op<View>,
    pub spec: Spec,
    pub brief: bool,
}

/// The kernels that a case is run with on this device; the others are told with the reason.
pub(super) fn kernels(gpu: &Context, case: &Case, part: &mut OpReport) -> Vec<Chosen> {
    let mut chosen: Vec<Chosen> = Vec::new();
    for (op, Candidate { spec, available }) in candidates(gpu, &case.op) {
        if let Err(why) = available {
            part.kernel(&spec.label()).unavailable.get_or_insert(why);
            continue;
        }
        // Large cases prove the indices of a body; what else there is to a kernel the others prove.
        let brief = case.large && gpu.caps().cpu;
        if !brief || chosen.iter().all(|other| other.spec.body() != spec.body()) {
            chosen.push(Chosen { op, spec, brief });
        }
    }
    chosen
}

/// Runs a case with these kernels, and judges them.
pub(super) async fn run(
    contexts: &[Context],
    case: &Case,
    runs: &Runs,
    chosen: &[Chosen],
    keeps_nan: bool,
    part: &mut OpReport,
) -> Result<()> {
    let Some(gpu) = contexts.first() else { return Ok(()) };
    let on = |brief| &contexts[..if brief { 1 } else { contexts.len() }];
    let buffers = runs.bytes.iter().map(|bytes| upload(gpu, bytes)).collect::<Result<Vec<_>>>()?;
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    // What does not compile is told by the run below, kernel by kernel.
    let pipelines = chosen.iter().flat_map(|c| on(c.brief).iter().map(|context| (context, c.spec, c.op.args())));
    let _ = compile_all(pipelines, &mut |_| {});
    let mut ran: Vec<Ran> = Vec::new();
    for Chosen { op, spec, brief } in chosen {
        let label = spec.label();
        for context in on(*brief) {
            part.kernel(&label).runs += 1;
            match record(context, &mut encoder, case, op, runs, &buffers, spec) {
                Ok(outputs) => ran.push(Ran { spec: *spec, checked: context.is_checked(), outputs }),
                Err(lost @ (Error::DeviceLost(_) | Error::OutOfMemory(_))) => return Err(lost),
                Err(error) => {
                    let wrong = Wrong::Error { message: error.to_string() };
                    part.fail(failure(case, label.clone(), context.is_checked(), wrong));
                }
            }
        }
    }
    let reads = runs.args.iter().enumerate().filter(|(_, a)| a.access == Access::Read);
    let inputs = reads.map(|(at, _)| (at, gpu.read_later(&mut encoder, &buffers[at], 0, buffers[at].size()))).collect();
    gpu.queue().submit([encoder.finish()]);
    judge(gpu, case, runs, ran, inputs, keeps_nan, part).await
}

/// Every kernel, with the op as it takes it: a weight also packed.
fn candidates(gpu: &Context, op: &Op<View>) -> Vec<(Op<View>, Candidate)> {
    let of = |op: Op<View>| op.candidates(gpu.caps()).into_iter().map(move |c| (op.clone(), c));
    let packed = packed(op).into_iter().flat_map(of).filter(|(_, c)| packs(&c.spec).is_some());
    of(op.clone()).chain(packed).collect()
}

/// The op with its weight packed, if it can be.
fn packed(op: &Op<View>) -> Option<Op<View>> {
    let layout = Layout::Packed;
    match op {
        Op::Matmul(op) if op.batch.count == 1 => {
            let w = View::dense(op.y.cols, op.x.cols, op.w.dtype);
            Some(Matmul { layout, w, ..op.clone() }.into())
        }
        Op::Embed(op) if op.word.rows == op.vocab => {
            let word = View::dense(op.vocab, op.word.cols, op.word.dtype);
            Some(Embed { layout, word, ..op.clone() }.into())
        }
        _ => None,
    }
}

/// The argument that a kernel takes packed.
fn packs(spec: &Spec) -> Option<&'static str> {
    ["w", "word"].into_iter().find(|name| spec.texture(name).is_some() && !spec.mirrors(name))
}

fn upload(gpu: &Context, bytes: &[u8]) -> Result<wgpu::Buffer> {
    gpu.buffer_of("verify", bytes, wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC)
}

/// An op's weight in the layout of a texture.
fn pack(gpu: &Context, op: &Op<View>, bytes: &[u8]) -> Result<Option<Weight>> {
    let (Op::Matmul(Matmul { w, layout, .. }) | Op::Embed(Embed { word: w, layout, .. })) = op else { return Ok(None) };
    let size = w.dtype.size();
    let row = |r: usize| &bytes[(w.offset + r * w.stride) * size..][..w.cols * size];
    let dense: Vec<u8> = (0..w.rows).flat_map(row).copied().collect();
    let (n, k) = if *layout == Layout::Kn { (w.cols, w.rows) } else { (w.rows, w.cols) };
    gpu.pack_weight(n, k, w.dtype, *layout, &dense).map(Some)
}

/// Records one kernel with outputs of its own, poisoned and guarded.
fn record(
    gpu: &Context,
    encoder: &mut wgpu::CommandEncoder,
    case: &Case,
    op: &Op<View>,
    runs: &Runs,
    inputs: &[wgpu::Buffer],
    spec: &Spec,
) -> Result<Vec<(usize, Download)>> {
    let poisoned = |(at, _): (usize, &Arg<View>)| {
        let words = runs.bytes[at].len() / 4 + 2 * GUARD;
        Ok((at, upload(gpu, bytemuck::cast_slice(&vec![POISON; words]))?))
    };
    let outputs: Vec<(usize, wgpu::Buffer)> = runs.outputs().map(poisoned).collect::<Result<_>>()?;
    let texture = runs.args.iter().position(|a| packs(spec) == Some(a.name));
    let weight = texture.map_or(Ok(None), |at| pack(gpu, &case.op, &runs.bytes[at]))?;
    let mut next = 0..;
    let op: Op<Slice<'_>> = op.map(&mut |view| {
        let at = next.next().unwrap_or(0);
        if let (true, Some(weight)) = (texture == Some(at), &weight) {
            return weight.slice();
        }
        let written = outputs.iter().find(|(output, _)| *output == at);
        let (buffer, guard) = written.map_or((&inputs[at], 0), |(_, buffer)| (buffer, GUARD));
        let slice = Slice::new(buffer, view.rows, view.cols).dtype(view.dtype);
        slice.offset(view.offset + guard).stride(view.stride)
    });
    gpu.record_spec(encoder, &op, &case.step, spec)?;
    Ok(outputs.iter().map(|(at, buffer)| (*at, gpu.read_later(encoder, buffer, 0, buffer.size()))).collect())
}

async fn judge(
    gpu: &Context,
    case: &Case,
    runs: &Runs,
    ran: Vec<Ran>,
    inputs: Vec<(usize, Download)>,
    keeps_nan: bool,
    part: &mut OpReport,
) -> Result<()> {
    let expected: Vec<_> = runs.args.iter().enumerate().map(|(at, _)| runs.expected(at)).collect();
    for Ran { spec, checked, outputs } in ran {
        let mut wrong = None;
        for (at, download) in outputs {
            let got = words(&download.bytes(gpu).await?, runs.args[at].handle.dtype);
            let (front, rest) = got.split_at(GUARD.min(got.len()));
            let (inner, back) = rest.split_at(runs.bytes[at].len() / 4);
            let outcome = expected[at].judge(inner, keeps_nan);
            part.judge(&spec.label(), &case.name, outcome);
            let guards = Expected::exact(vec![f64::from_bits(UNTOUCHED); GUARD]);
            let faults = [outcome.failure, guards.judge(front, true).failure, guards.judge(back, true).failure];
            let argument = runs.args[at].name.to_string();
            let first = faults.into_iter().flatten().next();
            wrong = wrong.or(first.map(|(fault, element)| Wrong::Output { argument, fault, element }));
        }
        if let Some(wrong) = wrong {
            part.fail(failure(case, spec.label(), checked, wrong));
        }
    }
    for (at, download) in inputs {
        if !download.bytes(gpu).await?.starts_with(&runs.bytes[at]) {
            let wrong = Wrong::Input { argument: runs.args[at].name.into() };
            part.fail(failure(case, "any".into(), true, wrong));
        }
    }
    Ok(())
}

/// Browsers have no `Instant`.
struct Clock(#[cfg(not(target_arch = "wasm32"))] std::time::Instant);

impl Clock {
    fn now() -> Self {
        Self(
            #[cfg(not(target_arch = "wasm32"))]
            std::time::Instant::now(),
        )
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn seconds(&self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }

    #[cfg(target_arch = "wasm32")]
    fn seconds(&self) -> f64 {
        0.0
    }
}
