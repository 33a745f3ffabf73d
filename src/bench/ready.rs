//! An item on a device: buffers filled, kernels compiled, the result judged once.

use std::time::{Duration, Instant};

use super::check::{self, Judged};
use super::items::{Item, What};
use super::job::{Job, Stage};
use super::plain::Plain;
use crate::graph::{Capacity, Plan, Session, Weights};
use crate::kernel::Access;
use crate::verify::cases::Case;
use crate::weights::HostTensor;
use crate::{Context, Error, Result};

/// An item that gave the right result and can be timed.
pub struct Ready {
    gpu: Context,
    run: Run,
}

enum Run {
    Session(Box<(Session, Job)>),
    Plain(Plain),
}

impl std::fmt::Debug for Ready {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ready").field("gpu", &self.gpu).finish_non_exhaustive()
    }
}

impl Item {
    /// Makes the item ready on a device: random weights and inputs, packed and planned as in production, run once and
    /// judged by the reference. Of large results, some rows are judged.
    ///
    /// # Errors
    /// [`Error::Wrong`] for a wrong result; whatever plans and sessions say.
    pub async fn prepare(&self, gpu: &Context) -> Result<Ready> {
        let run = match &self.what {
            What::Op(case) => Run::Session(Box::new(session(gpu, self.job(), Some(case)).await?)),
            What::Plain(case) => Run::Plain(Plain::new(gpu, case)?),
            What::Model(..) => Run::Session(Box::new(session(gpu, self.job(), None).await?)),
        };
        let mut ready = Ready { gpu: gpu.clone(), run };
        ready.time(1)?;
        match &self.what {
            What::Op(case) | What::Plain(case) => check::op(self, case, &ready.outputs(case).await?)?,
            What::Model(shape, pass) => {
                let judged = Judged::of(*shape, *pass);
                let expected = judged.expected()?;
                let count = expected.truth().count();
                let bytes = match judged.own {
                    Some(before) => ready.read(judged.output, 4 * before as u64, 4 * count).await?,
                    None => {
                        let run = Run::Session(Box::new(session(gpu, Judged::of(*shape, *pass).job, None).await?));
                        let mut short = Ready { gpu: gpu.clone(), run };
                        short.time(1)?;
                        short.read(judged.output, 0, 4 * count).await?
                    }
                };
                judged.judge(self, &expected, &bytes)?;
            }
        }
        Ok(ready)
    }
}

/// A session for a job, ready for its last stage; with a case, its tensors hold the case's data.
async fn session(gpu: &Context, job: Job, case: Option<&Case>) -> Result<(Session, Job)> {
    let source = |name: &str, shape: [usize; 2]| match case {
        Some(case) => {
            let dtype = case.op.args().iter().find(|arg| arg.name == name).map(|arg| arg.handle.dtype);
            HostTensor::new(dtype.unwrap_or_default(), shape.into(), case.bytes(name))
        }
        None => match job.shape {
            Some(of) => of.weight(name, shape),
            None => Err(Error::Unsupported { what: name.into(), why: "neither a case nor a model has it".into() }),
        },
    };
    let plan = |stage: &Stage| Plan::compile(gpu.caps(), &stage.graph, stage.role, Capacity::of(&stage.step));
    let plans = job.stages.iter().map(plan).collect::<Result<Vec<_>>>()?;
    let weights = Weights::load(gpu, &plans.iter().collect::<Vec<_>>(), &source).await?;
    let mut session = Session::new(gpu, &weights, plans).await?;
    for (arg, case) in case.iter().flat_map(|case| case.op.args().into_iter().map(move |arg| (arg, case))) {
        if let (Access::Read, Some(buffer)) = (arg.access, session.buffer(arg.name)) {
            gpu.queue().write_buffer(buffer, 0, &case.bytes(arg.name));
        }
    }
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    // Keys and values lie where a session keeps them.
    ["k", "v"].iter().for_each(|name| session.settle(&mut encoder, name));
    for Stage { role, step, .. } in &job.stages[..job.stages.len() - 1] {
        session.record(&mut encoder, *role, step)?;
    }
    gpu.submit_and_wait(encoder)?;
    Ok((session, job))
}

impl Ready {
    /// Runs it so many times in one submission, and blocks until that is done: from submitting to the end, recording not
    /// counted. The first time is slower: pages are touched, caches filled.
    ///
    /// # Errors
    /// [`Error::DeviceLost`].
    pub fn time(&mut self, replays: usize) -> Result<Duration> {
        let mut encoder = self.gpu.device().create_command_encoder(&Default::default());
        match &mut self.run {
            Run::Plain(plain) => plain.record(&mut encoder, replays),
            Run::Session(session) => {
                let (session, job) = session.as_mut();
                session.begin(&mut encoder, job.last().role, &job.last().step)?.repeat(&mut encoder, replays)?;
            }
        }
        self.gpu.submit_and_wait(encoder)
    }

    /// What the host does for one token, as generation does it: records and submits a step of its own, and brings the
    /// choice back once the device is done. Plain bodies do nothing.
    pub(super) async fn host(&mut self) -> Result<Duration> {
        let gpu = self.gpu.clone();
        let Some((session, job)) = self.session() else { return Ok(Duration::ZERO) };
        let began = Instant::now();
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        session.record(&mut encoder, job.last().role, &job.last().step)?;
        let chosen = session.buffer("top.values").map(|buffer| gpu.read_later(&mut encoder, buffer, 0, buffer.size()));
        gpu.queue().submit([encoder.finish()]);
        let recorded = began.elapsed();
        gpu.wait()?;
        let done = Instant::now();
        if let Some(chosen) = chosen {
            chosen.bytes(&gpu).await?;
        }
        Ok(recorded + done.elapsed())
    }

    /// The adapter computes on the CPU.
    pub(super) fn is_software(&self) -> bool {
        self.gpu.caps().cpu
    }

    /// Its session and what that replays; plain bodies have none.
    pub(super) fn session(&mut self) -> Option<(&mut Session, &Job)> {
        match &mut self.run {
            Run::Session(session) => Some((&mut session.0, &session.1)),
            Run::Plain(_) => None,
        }
    }

    /// Body and tier of an op's kernel.
    pub(super) fn kernel(&mut self) -> String {
        let node = self.session().and_then(|(session, job)| session.plan(job.last().role)?.nodes.first());
        node.map_or_else(|| "plain".into(), |node| node.spec.label())
    }

    async fn outputs(&self, case: &Case) -> Result<Vec<(&'static str, Vec<u8>)>> {
        let mut all = Vec::new();
        for arg in case.op.args().into_iter().filter(|arg| arg.access == Access::Write) {
            all.push((arg.name, self.read(arg.name, 0, 4 * arg.handle.end()).await?));
        }
        Ok(all)
    }

    async fn read(&self, name: &str, from: u64, bytes: usize) -> Result<Vec<u8>> {
        let buffer = match &self.run {
            Run::Session(session) => session.0.buffer(name),
            Run::Plain(plain) => plain.outputs.iter().find(|(output, _)| *output == name).map(|(_, buffer)| buffer),
        };
        let missing = || Error::Unsupported { what: name.into(), why: "there is no such buffer".into() };
        let mut encoder = self.gpu.device().create_command_encoder(&Default::default());
        let later = self.gpu.read_later(&mut encoder, buffer.ok_or_else(missing)?, from, bytes as u64);
        self.gpu.submit_and_wait(encoder)?;
        later.bytes(&self.gpu).await
    }
}
