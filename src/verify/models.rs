//! Three small whole models, built by the same `Arch` and forward that load real checkpoints, run as production runs
//! them: the plan, op by op.
//!
//! Around each dispatch everything that it binds is read back. An input must be, bit by bit, what its producer wrote
//! (that catches wiring and liveness); an output is judged by the reference on the inputs that the kernel really had;
//! and the end is compared with the graph interpreted on the CPU. So the first wrong op is named.

use std::collections::HashMap;

use super::compare::{Element, Expected, Fault, Got, POISON, UNTOUCHED};
use super::ops::Share;
use super::report::{Failure, OpReport, Progress, Wrong};
use super::slack::Slack;
use super::zoo::{self, Specimen};
use crate::gpu::Context;
use crate::graph::step::Domain;
use crate::graph::{Cursor, Graph, Plan, Rows, Session, State, Step, Weights};
use crate::kernel::{Access, Arg, Op, View};
use crate::reference::{self, Float, Place, Tensor};
use crate::weights::DType;
use crate::{Error, Result};

/// The models whose name contains `filter`.
pub(super) fn names(filter: Option<&str>) -> Vec<&'static str> {
    zoo::all().iter().map(|s| s.name).filter(|name| filter.is_none_or(|f| name.contains(f))).collect()
}

/// Verifies each model in turn.
///
/// # Errors
/// [`Error::DeviceLost`], [`Error::OutOfMemory`]; wrong results are told by the reports.
pub(super) async fn verify_models(
    gpu: &Context,
    filter: Option<&str>,
    share: Share,
    keeps_nan: bool,
    progress: &mut (dyn FnMut(Progress<'_>) + Send),
) -> Result<Vec<OpReport>> {
    let names: Vec<_> = names(filter).into_iter().enumerate().filter(|(n, _)| share.has(*n)).collect();
    let mut reports = Vec::new();
    for specimen in zoo::all().iter().filter(|s| names.iter().any(|(_, name)| *name == s.name)) {
        progress(Progress { op: specimen.name, done: reports.len(), total: names.len() });
        reports.push(verify_model(gpu, specimen, specimen.plans(gpu.caps())?, keeps_nan).await?);
    }
    Ok(reports)
}

/// Runs a model's steps through these plans.
pub(super) async fn verify_model(
    gpu: &Context,
    specimen: &Specimen,
    plans: Vec<Plan>,
    keeps_nan: bool,
) -> Result<OpReport> {
    let mut part = OpReport { op: specimen.name.into(), cases: specimen.steps.len(), ..OpReport::default() };
    match run_model(gpu, specimen, plans, keeps_nan, &mut part).await {
        Err(lost @ (Error::DeviceLost(_) | Error::OutOfMemory(_))) => return Err(lost),
        Err(error) => part.fail(Failure {
            op: specimen.name.into(),
            kernel: "session".into(),
            checked: gpu.is_checked(),
            case: "all".into(),
            wrong: Wrong::Error { message: error.to_string() },
        }),
        Ok(()) => {}
    }
    Ok(part)
}

async fn run_model(
    gpu: &Context,
    specimen: &Specimen,
    plans: Vec<Plan>,
    keeps_nan: bool,
    part: &mut OpReport,
) -> Result<()> {
    let weights = Weights::load(gpu, &plans.iter().collect::<Vec<_>>(), &zoo::weight).await?;
    let mut session = Session::new(gpu, &weights, plans).await?;
    let mut judge = Judge { gpu, keeps_nan, produced: HashMap::new(), part };
    let mut truth = State::<f64>::new();
    let mut yardstick = State::<f32>::new();
    let mut slack = State::<Slack>::new();
    for (number, (role, step)) in specimen.steps.iter().enumerate() {
        let graph = specimen.graph(*role);
        judge.replay(&mut session, *role, step, number).await?;
        truth.run(&graph, step, &zoo::weight)?;
        yardstick.run(&graph, step, &zoo::weight)?;
        slack.run(&graph, step, &zoo::weight)?;
        for &output in specimen.outputs(*role) {
            let Some(buffer) = session.buffer(output) else { continue };
            let rows = graph.tensors().iter().find(|t| t.name == output).map_or(0, |t| rows_of(t.rows, step) * t.cols);
            let got = judge.read(buffer, 4 * rows as u64).await?;
            let take = |values: Option<&[f64]>| values.map_or_else(Vec::new, |v| v[..rows].to_vec());
            let expected = Expected::new(
                take(truth.get(output).map(Tensor::floats)),
                &yardstick.get(output).map_or_else(Vec::new, |t| t.floats()[..rows].to_vec()),
                &slack.get(output).map_or_else(Vec::new, |t| t.floats()[..rows].to_vec()),
            );
            let outcome = expected.judge(&got.iter().map(|&bits| Got::float(bits)).collect::<Vec<_>>(), keeps_nan);
            let place = format!("step {number}, {output} against the interpreted graph");
            judge.part.judge("whole model", &place, outcome);
            if let Some((fault, element)) = outcome.failure {
                judge.fail("whole model".into(), place, Wrong::Output { argument: output.into(), fault, element });
            }
        }
    }
    Ok(())
}

fn rows_of(rows: Rows, step: &Step) -> usize {
    match rows {
        Rows::Of(domain) => step.counts(&[]).rows(domain) as usize,
        Rows::Fixed(rows) => rows,
    }
}

struct Judge<'a> {
    gpu: &'a Context,
    keeps_nan: bool,
    /// What each tensor's producer left in it; transients count for one replay.
    produced: HashMap<String, Vec<u32>>,
    part: &'a mut OpReport,
}

impl Judge<'_> {
    async fn replay(&mut self, session: &mut Session, role: crate::Role, step: &Step, number: usize) -> Result<()> {
        let gpu = self.gpu;
        let graph = session.plan(role).map(|plan| plan.graph.clone()).unwrap_or_default();
        if let Some(ids) = &step.ids {
            self.produced.insert("ids".into(), ids.clone());
        }
        self.produced.retain(|name, _| !name.starts_with('#'));
        let mut encoder = gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let mut cursor = session.begin(&mut encoder, role, step)?;
        gpu.queue().submit([encoder.finish()]);
        while let Some(node) = Node::next(&cursor, &graph) {
            let before = self.read_all(&node).await?;
            let mut encoder = gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            cursor.record(&mut encoder, 1)?;
            gpu.queue().submit([encoder.finish()]);
            let after = self.read_all(&node).await?;
            self.judge(&node, step, number, &before, &after)?;
        }
        Ok(())
    }

    fn judge(
        &mut self,
        node: &Node,
        step: &Step,
        number: usize,
        before: &[Vec<u32>],
        after: &[Vec<u32>],
    ) -> Result<()> {
        let place = format!("step {number}, {}", node.name);
        self.part.kernel(&node.kernel).runs += 1;
        for (at, arg) in node.args.iter().enumerate().filter(|(_, a)| a.access == Access::Read && !a.weight) {
            let known = self.produced.get(&arg.key);
            let rows = rows_of(arg.rows, step).saturating_sub(arg.view.offset / arg.view.stride);
            if let Some(element) = rewired(&arg.view, rows, known.map_or(&[], Vec::as_slice), &before[at]) {
                let argument = format!("{} (not what its producer wrote)", arg.name);
                self.fail(node.kernel.clone(), place.clone(), Wrong::Output { argument, fault: Fault::Value, element });
            }
        }
        let truth = run(node, step, before, |_| f64::from_bits(UNTOUCHED))?;
        let yardstick = run(node, step, before, |_| 0.0f32)?;
        let slack = run(node, step, before, |_| Slack::zero())?;
        for (at, arg) in node.args.iter().enumerate().filter(|(_, a)| a.access == Access::Write) {
            let outcome = match &truth[at] {
                Tensor::Words(words) => {
                    Expected::exact(words.iter().map(|&w| super::runs::untouched_word(w)).collect())
                        .judge(&mask(&after[at], words, |w| *w == POISON, Got::word), true)
                }
                Tensor::Floats(values) => Expected::new(values.clone(), yardstick[at].floats(), slack[at].floats())
                    .judge(&mask(&after[at], values, |v| v.to_bits() == UNTOUCHED, Got::float), self.keeps_nan),
            };
            self.part.judge(&node.kernel, &place, outcome);
            let stray = stray(&truth[at], &before[at], &after[at]);
            if let Some((fault, element)) = outcome.failure.or(stray) {
                let argument = arg.name.to_string();
                self.fail(node.kernel.clone(), place.clone(), Wrong::Output { argument, fault, element });
            }
            self.produced.insert(arg.key.clone(), after[at].clone());
        }
        Ok(())
    }

    fn fail(&mut self, kernel: String, case: String, wrong: Wrong) {
        let (op, checked) = (self.part.op.clone(), self.gpu.is_checked());
        self.part.fail(Failure { op, kernel, checked, case, wrong });
    }

    /// The bits of every argument that is no weight.
    async fn read_all(&self, node: &Node) -> Result<Vec<Vec<u32>>> {
        let mut encoder = self.gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let read = |arg: &NodeArg| arg.buffer.as_ref().map(|b| (b.clone(), arg.bytes));
        let wanted: Vec<_> = node.args.iter().map(read).collect();
        let later: Vec<_> = wanted
            .iter()
            .map(|w| w.as_ref().map(|(buffer, bytes)| self.gpu.read_later(&mut encoder, buffer, 0, *bytes)))
            .collect();
        self.gpu.queue().submit([encoder.finish()]);
        let mut all = Vec::new();
        for download in later {
            all.push(match download {
                Some(download) => bytemuck::pod_collect_to_vec(&download.bytes(self.gpu).await?),
                None => Vec::new(),
            });
        }
        Ok(all)
    }

    async fn read(&self, buffer: &wgpu::Buffer, bytes: u64) -> Result<Vec<u32>> {
        let mut encoder = self.gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let download = self.gpu.read_later(&mut encoder, buffer, 0, bytes);
        self.gpu.queue().submit([encoder.finish()]);
        Ok(bytemuck::pod_collect_to_vec(&download.bytes(self.gpu).await?))
    }
}

/// The next dispatch of a replay, detached from its session.
struct Node {
    name: String,
    kernel: String,
    op: Op<View>,
    domain: Domain,
    args: Vec<NodeArg>,
}

struct NodeArg {
    name: &'static str,
    access: Access,
    view: View,
    rows: Rows,
    /// The tensor: a persistent one by name, a transient one by its number.
    key: String,
    weight: bool,
    /// The weight's name, first row and shape.
    source: (String, usize, [usize; 2]),
    buffer: Option<wgpu::Buffer>,
    bytes: u64,
}

impl Node {
    fn next(cursor: &Cursor<'_>, graph: &Graph) -> Option<Self> {
        let (node, buffers) = cursor.peek()?;
        let mut args = Vec::new();
        for ((arg, &tensor), buffer) in node.args().zip(&node.tensors).zip(buffers) {
            let Arg { name, access, handle: (view, place), .. } = arg;
            let info = &graph.tensors()[tensor];
            let key = match info.kind {
                crate::graph::Kind::Transient => format!("#{tensor}"),
                _ => info.name.clone(),
            };
            let shape = [if let Rows::Fixed(rows) = info.rows { rows } else { 0 }, info.cols];
            args.push(NodeArg {
                name,
                access,
                view: *view,
                rows: info.rows,
                key,
                weight: info.kind == crate::graph::Kind::Weight,
                source: (info.name.clone(), place.first_row(), shape),
                buffer,
                bytes: crate::graph::plan::bytes_of(view),
            });
        }
        let written = args.iter().find(|a| a.access == Access::Write).map(|a| a.rows);
        let domain = if let Some(Rows::Of(domain)) = written { domain } else { Domain::Tokens };
        Some(Self { name: node.name.clone(), kernel: node.spec.label(), op: node.op.clone(), domain, args })
    }
}

/// The reference on what the kernel had: `unwritten` fills outputs beforehand.
fn run<F: Float>(
    node: &Node,
    step: &Step,
    before: &[Vec<u32>],
    unwritten: impl Fn(usize) -> F,
) -> Result<Vec<Tensor<F>>> {
    let mut tensors = Vec::new();
    for (arg, bits) in node.args.iter().zip(before) {
        tensors.push(match (arg.access, arg.view.dtype) {
            _ if arg.weight => {
                let (name, first, shape) = &arg.source;
                let tensor = zoo::weight(name, *shape)?;
                let skip = first * shape[1] * tensor.dtype.size();
                Tensor::from_bytes(&tensor.bytes()[skip..], tensor.dtype)
            }
            (Access::Read, dtype) => Tensor::from_bytes(bytemuck::cast_slice(bits), dtype),
            (Access::Write, DType::U32) => Tensor::Words(vec![POISON; bits.len()]),
            (Access::Write, _) => Tensor::Floats((0..bits.len()).map(&unwritten).collect()),
        });
    }
    let mut next = 0..;
    let op = node.op.map(&mut |view| Place { tensor: next.next().unwrap_or(0), view: *view });
    reference::run(&op, step, node.domain, &mut tensors);
    Ok(tensors)
}

/// The first element of the view's rows that is not what was produced.
fn rewired(view: &View, rows: usize, produced: &[u32], found: &[u32]) -> Option<Element> {
    let elements = (0..rows).flat_map(|r| (0..view.cols).map(move |c| view.offset + r * view.stride + c));
    let wrong = |&i: &usize| produced.get(i).is_none() || produced.get(i) != found.get(i);
    elements.into_iter().find(wrong).map(|index| {
        let value = |bits: Option<&u32>| bits.map_or(f64::NAN, |&b| f64::from(f32::from_bits(b)));
        let (got, expected) = (value(found.get(index)), value(produced.get(index)));
        Element { index, got, expected, error: (got - expected).abs(), allowed: 0.0 }
    })
}

/// What was read back, with the elements that the op must leave alone as the comparator expects them.
fn mask<T>(after: &[u32], truth: &[T], untouched: impl Fn(&T) -> bool, got: fn(u32) -> Got) -> Vec<Got> {
    after.iter().zip(truth).map(|(&bits, t)| got(if untouched(t) { POISON } else { bits })).collect()
}

/// The first element that the op must leave alone and did not.
fn stray(truth: &Tensor<f64>, before: &[u32], after: &[u32]) -> Option<(Fault, Element)> {
    let untouched = |i: usize| match truth {
        Tensor::Floats(values) => values[i].to_bits() == UNTOUCHED,
        Tensor::Words(words) => words[i] == POISON,
    };
    let index = (0..before.len()).find(|&i| untouched(i) && before[i] != after[i])?;
    let (got, expected) = (f32::from_bits(after[index]).into(), f32::from_bits(before[index]).into());
    Some((Fault::Stray, Element { index, got, expected, error: f64::NAN, allowed: 0.0 }))
}
