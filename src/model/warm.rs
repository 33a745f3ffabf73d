//! Compiling ahead of time, so that the first call takes no longer than the next.

use super::arch::{Arch, Head};
use super::forward::Outputs;
use super::{Model, Padded};
use crate::generate::Settings;
use crate::graph::{Capacity, Plan};
use crate::kernel::Role;
use crate::kernel::matmul::{LANE_ROWS, SHORT};
use crate::{Error, Result};

impl Model {
    /// Compiles what later calls use: of an encoder [`Model::embed_ids`] and [`Model::encode`], of a decoder
    /// [`Model::forward`] and generation as the folder says and greedily, for batches of every size. Attention weights are
    /// not prepared.
    ///
    /// `progress` gets how many parts are done, and of how many: kernels, compiled on as many threads as the machine has,
    /// then calls on a token or some, since there are drivers that generate code only when a kernel first runs. A model on
    /// the CPU has nothing to compile.
    ///
    /// # Errors
    /// [`Error::DeviceLost`], [`Error::OutOfMemory`]; what the driver says of a kernel.
    pub async fn warm_up(&self, progress: &mut dyn FnMut(usize, usize)) -> Result<()> {
        let Some(gpu) = self.gpu() else { return Ok(()) };
        let settings = self.settings();
        let (mut batches, mut plans) = (Vec::new(), Vec::new());
        let software = gpu.caps().lanes().is_ok();
        for batch in sizes(software) {
            match self.plans(batch, &settings) {
                // No later call can be as large.
                Err(Error::Limit { .. }) if batch > 1 => continue,
                more => plans.extend(more?),
            }
            batches.push(batch);
        }
        let kernels = gpu.unprepared(&plans);
        // A GPU's driver has compiled what it needs by then.
        batches.truncate(if software { batches.len() } else { 1 });
        let calls = batches.len();
        gpu.prepare_with(&plans, &mut |done| progress(done, kernels + calls))?;
        for (done, &batch) in batches.iter().enumerate() {
            self.call(batch, &settings).await?;
            progress(kernels + done + 1, kernels + calls);
        }
        Ok(())
    }

    /// How later calls generate: as the folder says, and greedily. None without a decoder, or where nothing says how a
    /// decoder begins.
    fn settings(&self) -> Vec<Settings> {
        let arch = self.blueprint().arch();
        let own = Settings { max_new_tokens: Some(2), ..self.blueprint().generation().clone() };
        let greedy = Settings { num_beams: 1, do_sample: false, ..own.clone() };
        let begins = arch.encoder.is_none() || own.decoder_start().is_ok();
        let generates = arch.decoder.is_some() && arch.head != Head::None && begins;
        let all = if generates { vec![own, greedy] } else { Vec::new() };
        // What cannot be done is for the call that asks for it to say.
        all.into_iter().filter(|settings| settings.check(arch.vocab).is_ok()).collect()
    }

    /// The plans of later calls with so many sequences.
    fn plans(&self, batch: usize, settings: &[Settings]) -> Result<Vec<Plan>> {
        let arch = self.blueprint().arch();
        let capacity = Capacity { memory: batch, keys: batch, ..Capacity::packed(batch, batch) };
        let mut plans = Vec::new();
        if arch.encoder.is_some() {
            let outputs = [self.blueprint().embedding(), Outputs::of_heads()];
            plans.extend(
                outputs
                    .map(|outputs| self.plan(Role::Full, outputs, capacity))
                    .into_iter()
                    .collect::<Result<Vec<_>>>()?,
            );
        }
        for settings in settings {
            plans.extend(self.generation_plans(&lists(arch, batch), settings)?);
        }
        Ok(plans)
    }

    /// Later calls, as short as they can be.
    async fn call(&self, batch: usize, settings: &[Settings]) -> Result<()> {
        let (arch, lists) = (self.blueprint().arch(), lists(self.blueprint().arch(), batch));
        let padded =
            Padded { batch, len: 1, ids: lists.iter().map(|ids| i64::from(ids[0])).collect(), ..Padded::default() };
        if arch.encoder.is_some() {
            self.embed_ids(&lists).await?;
            self.encode(&padded, false).await?;
        }
        if arch.decoder.is_some() {
            self.forward(arch.encoder.is_some().then_some(&padded), &padded, false).await?;
        }
        for settings in settings {
            match self.generate_ids(&lists, settings).await {
                // That is for the caller's own texts to find.
                Ok(_) | Err(Error::NotFinite { .. }) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

/// So many sequences that all kernels come up: some depend on how many rows there are, at most (small weights have a low
/// tile for longer). With two, beams have the rows of each.
fn sizes(software: bool) -> Vec<usize> {
    match software {
        true => LANE_ROWS.map(|rows| rows as usize).into_iter().chain([2, SHORT + 1]).collect(),
        false => (0..=12).map(|doublings| 1 << doublings).collect(),
    }
}

/// Sequences of one token, which any model knows.
fn lists(arch: &Arch, batch: usize) -> Vec<Vec<u32>> {
    // A token that is padding may have no position.
    let id = (0..arch.vocab as u32).find(|id| Some(*id) != arch.pad_token).unwrap_or(0);
    vec![vec![id]; batch]
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use crate::gpu::Caps;
    use crate::graph::{Capacity, Plan};
    use crate::kernel::Role;
    use crate::model::Blueprint;
    use crate::model::forward::{Outputs, Sizes};

    /// A word's first translation is nearly all the driver's compiler: attention over the own sequence is all that the
    /// encoder of the model in the command line needs beside the decoder's kernels.
    #[test]
    fn a_small_encoder_shares_its_decoders_kernels() {
        let caps = Caps { cpu: true, subgroup: Some((8, 8)), ..Caps::baseline() };
        let blueprint = Blueprint::open("assets/g2p-en-us").expect("a blueprint");
        let kernels = |role, tokens| {
            let graph = blueprint.graph(role, Outputs::default(), Sizes { slots: 64 });
            let capacity = Capacity { tokens, sequences: 2, memory: 20, keys: 64 };
            let plan = Plan::compile(&caps, &graph, role, capacity).expect("a plan");
            plan.kernels().collect::<HashSet<_>>()
        };
        let (encoder, decoder) = (kernels(Role::Full, 20), kernels(Role::Decode, 2));
        let own: Vec<_> = encoder.difference(&decoder).map(|spec| spec.body()).collect();
        assert_eq!(own, ["attention_row_lanes"], "{own:?}");
    }
}
