//! An item on a device: buffers filled, kernels compiled, the result judged once.

use std::time::Duration;

use super::items::{Item, Job, What};
use super::plain::Plain;
use super::{check, minilm};
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
            What::Encoder { .. } => Run::Session(Box::new(session(gpu, self.job(), None).await?)),
        };
        let mut ready = Ready { gpu: gpu.clone(), run };
        ready.time(1)?;
        match &self.what {
            What::Op(case) | What::Plain(case) => check::op(self, case, &ready.outputs(case).await?)?,
            What::Encoder { batch, len } => {
                let bytes = 4 * batch * len * minilm::WIDTH;
                check::encoder(self, *batch, *len, &ready.read("hidden", bytes).await?)?;
            }
        }
        Ok(ready)
    }
}

/// A session for a job; with a case, its tensors hold the case's data.
async fn session(gpu: &Context, job: Job, case: Option<&Case>) -> Result<(Session, Job)> {
    let source = |name: &str, shape: [usize; 2]| match case {
        Some(case) => {
            let dtype = case.op.args().iter().find(|arg| arg.name == name).map(|arg| arg.handle.dtype);
            HostTensor::new(dtype.unwrap_or_default(), shape.into(), case.bytes(name))
        }
        None => minilm::weight(name, shape),
    };
    let plan = Plan::compile(gpu.caps(), &job.graph, job.role, Capacity::of(&job.step))?;
    let weights = Weights::load(gpu, &[&plan], &source).await?;
    let session = Session::new(gpu, &weights, [plan]).await?;
    for (arg, case) in case.iter().flat_map(|case| case.op.args().into_iter().map(move |arg| (arg, case))) {
        if let (Access::Read, Some(buffer)) = (arg.access, session.buffer(arg.name)) {
            gpu.queue().write_buffer(buffer, 0, &case.bytes(arg.name));
        }
    }
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
                let mut cursor = session.begin(&mut encoder, job.role, &job.step)?;
                for _ in 0..replays {
                    cursor.rewind();
                    cursor.record(&mut encoder, usize::MAX)?;
                }
            }
        }
        self.gpu.submit_and_wait(encoder)
    }

    /// Its session and what that replays; plain bodies have none.
    pub(super) fn session(&mut self) -> Option<(&mut Session, &Job)> {
        match &mut self.run {
            Run::Session(session) => Some((&mut session.0, &session.1)),
            Run::Plain(_) => None,
        }
    }

    async fn outputs(&self, case: &Case) -> Result<Vec<(&'static str, Vec<u8>)>> {
        let mut all = Vec::new();
        for arg in case.op.args().into_iter().filter(|arg| arg.access == Access::Write) {
            all.push((arg.name, self.read(arg.name, 4 * arg.handle.end()).await?));
        }
        Ok(all)
    }

    async fn read(&self, name: &str, bytes: usize) -> Result<Vec<u8>> {
        let buffer = match &self.run {
            Run::Session(session) => session.0.buffer(name),
            Run::Plain(plain) => plain.outputs.iter().find(|(output, _)| *output == name).map(|(_, buffer)| buffer),
        };
        let missing = || Error::Unsupported { what: name.into(), why: "there is no such buffer".into() };
        let mut encoder = self.gpu.device().create_command_encoder(&Default::default());
        let later = self.gpu.read_later(&mut encoder, buffer.ok_or_else(missing)?, 0, bytes as u64);
        self.gpu.submit_and_wait(encoder)?;
        later.bytes(&self.gpu).await
    }
}
