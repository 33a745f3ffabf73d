//! One case, one kernel at a time, over and over: the reference runs once, a kernel as often as there are mistakes in it.

use std::sync::OnceLock;

use super::cases::Case;
use super::ops::{self, Chosen};
use super::report::{Failure, OpReport};
use super::runs::Runs;
use crate::gpu::Context;
use crate::kernel::Spec;
use crate::{Error, Result};

/// A case with what is expected of it, and the kernels that a device runs it with.
pub struct Trial {
    case: Case,
    /// From the first run on.
    runs: OnceLock<Runs>,
    kernels: Vec<Chosen>,
}

impl std::fmt::Debug for Trial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trial").field("case", &self.case.name).field("specs", &self.specs().len()).finish()
    }
}

impl Trial {
    /// With the kernels of this device that [`super::verify`] runs the case with.
    pub fn new(gpu: &Context, case: Case) -> Self {
        let kernels = ops::kernels(gpu, &case, &mut OpReport::default());
        Self { runs: OnceLock::new(), kernels, case }
    }

    /// The case.
    pub fn case(&self) -> &Case {
        &self.case
    }

    /// The kernels.
    pub fn specs(&self) -> Vec<Spec> {
        self.kernels.iter().map(|kernel| kernel.spec).collect()
    }

    /// Elements of all arguments.
    pub fn elements(&self) -> usize {
        self.case.op.args().iter().map(|arg| arg.handle.rows * arg.handle.cols).sum()
    }

    /// Runs the case on this context with one of [`Self::specs`]: what is wrong with it, if anything is.
    ///
    /// # Errors
    /// [`Error::Input`] where the case has no such kernel; [`Error::DeviceLost`], [`Error::OutOfMemory`].
    pub async fn failure(&self, gpu: &Context, spec: &Spec, keeps_nan: bool) -> Result<Option<Failure>> {
        let Some(kernel) = self.kernels.iter().find(|kernel| kernel.spec == *spec) else {
            return Err(Error::input("spec", format!("{} is no kernel of {:?}", spec.name(), self.case.name)));
        };
        let mut part = OpReport::default();
        let contexts = std::slice::from_ref(gpu);
        let runs = self.runs.get_or_init(|| Runs::new(&self.case));
        ops::run(contexts, &self.case, runs, std::slice::from_ref(kernel), keeps_nan, &mut part).await?;
        Ok(part.first)
    }
}
