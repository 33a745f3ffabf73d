//! Where the time of a replay goes, op by op.

use super::{Session, Step};
use crate::Result;
use crate::kernel::Role;

/// What one dispatch of a plan took, the copies into its mirrors included.
#[derive(Clone, Debug, PartialEq)]
pub struct OpTime {
    /// The op's name in the graph; a shard's names its rows.
    pub name: String,
    /// Body and tier.
    pub kernel: String,
    /// Milliseconds, the median of all replays.
    pub ms: f64,
    /// The least of them.
    pub least: f64,
}

impl Session {
    /// Replays a step `repeats` times, once more beforehand to warm up, and tells what each dispatch of the plan took.
    ///
    /// Times come from timestamp queries between the dispatches where the device is a GPU's and was made with
    /// `TIMESTAMP_QUERY_INSIDE_ENCODERS` (as [`crate::wanted`] asks). Natively, any other gets a submission for each
    /// dispatch, waited for, an empty one's time taken off: that blocks, and short ops drown in it. The session is left
    /// as by so many replays. Submits for the caller.
    ///
    /// # Errors
    /// As [`Self::begin`]; [`crate::Error::DeviceLost`]; [`crate::Error::Unsupported`] in a browser without such queries.
    pub async fn profile(&mut self, role: Role, step: &Step, repeats: usize) -> Result<Vec<OpTime>> {
        let mut runs: Vec<Vec<f64>> = Vec::new();
        for _ in 0..=repeats.max(1) {
            runs.push(self.profile_once(role, step).await?);
        }
        let Some(plan) = self.plan(role) else { return Ok(Vec::new()) };
        let times = plan.nodes.iter().enumerate().map(|(i, node)| {
            let mut times: Vec<f64> = runs[1..].iter().map(|run| 1e3 * run[i]).collect();
            times.sort_by(f64::total_cmp);
            let (name, kernel) = (node.name.clone(), node.spec.label());
            OpTime { name, kernel, ms: times[times.len() / 2], least: times[0] }
        });
        Ok(times.collect())
    }

    /// Seconds of each dispatch of one replay.
    async fn profile_once(&mut self, role: Role, step: &Step) -> Result<Vec<f64>> {
        let (caps, stamps) = (self.gpu.caps(), self.plan(role).map_or(0, |plan| plan.len()) + 1);
        let queries = caps.features.contains(wgpu::Features::TIMESTAMP_QUERY_INSIDE_ENCODERS);
        // lavapipe puts a timestamp off until something else is flushed, past dispatches that follow it.
        if queries && !caps.cpu && stamps <= wgpu::QUERY_SET_MAX_QUERIES as usize {
            return self.stamped(role, step).await;
        }
        #[cfg(not(target_arch = "wasm32"))]
        return self.waited(role, step);
        #[cfg(target_arch = "wasm32")]
        Err(crate::Error::Unsupported {
            what: "profiling".into(),
            why: "the device has no TIMESTAMP_QUERY_INSIDE_ENCODERS, and a browser has no other clock for it".into(),
        })
    }

    /// By a timestamp before the first dispatch and one after each.
    async fn stamped(&mut self, role: Role, step: &Step) -> Result<Vec<f64>> {
        let gpu = self.gpu.clone();
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        let mut cursor = self.begin(&mut encoder, role, step)?;
        let (label, ty, count) = (Some("profile"), wgpu::QueryType::Timestamp, cursor.remaining() as u32 + 1);
        let set = gpu.device().create_query_set(&wgpu::QuerySetDescriptor { label, ty, count });
        encoder.write_timestamp(&set, 0);
        for at in 1..count {
            cursor.record(&mut encoder, 1)?;
            encoder.write_timestamp(&set, at);
        }
        let size = 8 * u64::from(count);
        let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
        let resolved = gpu.buffer("profile", size, usage)?;
        encoder.resolve_query_set(&set, 0..count, &resolved, 0);
        let later = gpu.read_later(&mut encoder, &resolved, 0, size);
        gpu.queue().submit([encoder.finish()]);
        let stamps: Vec<u64> = bytemuck::pod_collect_to_vec(&later.bytes(&gpu).await?);
        let tick = f64::from(gpu.queue().get_timestamp_period()) * 1e-9;
        Ok(stamps.windows(2).map(|pair| pair[1].saturating_sub(pair[0]) as f64 * tick).collect())
    }

    /// By a submission for each dispatch.
    #[cfg(not(target_arch = "wasm32"))]
    fn waited(&mut self, role: Role, step: &Step) -> Result<Vec<f64>> {
        let gpu = self.gpu.clone();
        let encoder = || gpu.device().create_command_encoder(&Default::default());
        let mut first = encoder();
        let mut cursor = self.begin(&mut first, role, step)?;
        gpu.submit_and_wait(first)?;
        let mut times = Vec::new();
        while cursor.remaining() > 0 {
            let mut next = encoder();
            cursor.record(&mut next, 1)?;
            let idle = gpu.submit_and_wait(encoder())?;
            times.push(gpu.submit_and_wait(next)?.saturating_sub(idle).as_secs_f64());
        }
        Ok(times)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Capacity, Graph, Plan, Rows, Weights};
    use crate::kernel::Softmax;
    use crate::{Context, wanted};

    /// Both clocks, on any adapter that has the queries.
    #[test]
    fn timestamps_and_submissions_tell_a_time_for_each_dispatch() {
        pollster::block_on(async {
            let adapter = wgpu::Instance::default().request_adapter(&Default::default()).await.expect("an adapter");
            let (required_features, required_limits) = wanted(&adapter);
            let descriptor = wgpu::DeviceDescriptor { required_features, required_limits, ..Default::default() };
            let (device, queue) = adapter.request_device(&descriptor).await.expect("a device");
            let gpu = Context::new(&device, &queue).expect("a context");
            let mut graph = Graph::new();
            let tensor = |graph: &mut Graph, name| graph.persistent(name, Rows::TOKENS, 300);
            let (a, b, c) = (tensor(&mut graph, "a"), tensor(&mut graph, "b"), tensor(&mut graph, "c"));
            graph.push("first", Softmax::new(a, b));
            graph.push("second", Softmax::new(b, c));
            let step = Step::rows(500);
            let plan = Plan::compile(gpu.caps(), &graph, Role::Full, Capacity::of(&step)).expect("a plan");
            let weights = Weights::load(&gpu, &[&plan], &|name, _| panic!("{name}")).await.expect("no weights");
            let mut session = Session::new(&gpu, &weights, [plan]).await.expect("a session");
            let waited = session.waited(Role::Full, &step).expect("times");
            assert!(waited.len() == 2 && waited.iter().sum::<f64>() > 0.0, "{waited:?}");
            if gpu.caps().features.contains(wgpu::Features::TIMESTAMP_QUERY_INSIDE_ENCODERS) {
                let stamped = session.stamped(Role::Full, &step).await.expect("times");
                assert!(stamped.len() == 2 && stamped.iter().sum::<f64>() > 0.0, "{stamped:?}");
            }
        });
    }
}
