//! What a plan tells of itself before anything is allocated.

use std::collections::HashMap;

use super::Plan;
use super::plan::{Place, bytes_of};

impl Plan {
    /// What it will dispatch and hold.
    pub fn report(&self) -> Report {
        let mut weights: HashMap<_, u64> = HashMap::new();
        let mut persistent = HashMap::new();
        for node in &self.nodes {
            for arg in node.args() {
                let (view, place) = arg.handle;
                match place {
                    Place::Weight(key) => {
                        weights.insert(key.clone(), key.bytes(&self.caps));
                    }
                    Place::Persistent(name) => {
                        persistent.insert(name.clone(), bytes_of(view));
                    }
                    Place::Pool(_) => {}
                }
            }
        }
        Report {
            dispatches: self.nodes.iter().map(|n| (n.name.clone(), n.spec.label())).collect(),
            weights: weights.values().sum(),
            persistent: persistent.values().sum(),
            transient: self.pool.iter().sum::<u64>() + self.mirrors(),
            step: 4 * self.capacity.step_words(&self.heights) as u64,
        }
    }
}

/// What a plan dispatches and holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Name and kernel of each dispatch, in order.
    pub dispatches: Vec<(String, String)>,
    /// Bytes of weights, shared by all sessions.
    pub weights: u64,
    /// Bytes of a session's persistent tensors: ids, KV cache, outputs.
    pub persistent: u64,
    /// Bytes of a session's transient pool and mirrors.
    pub transient: u64,
    /// Bytes of the step buffer.
    pub step: u64,
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mib = |bytes: u64| bytes as f64 / (1 << 20) as f64;
        let width = self.dispatches.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, kernel) in &self.dispatches {
            writeln!(f, "{name:width$}  {kernel}")?;
        }
        writeln!(f, "{} dispatches a step", self.dispatches.len())?;
        writeln!(f, "weights    {:9.2} MiB, shared", mib(self.weights))?;
        writeln!(f, "persistent {:9.2} MiB a session", mib(self.persistent))?;
        writeln!(f, "transient  {:9.2} MiB a session", mib(self.transient))?;
        write!(f, "step       {:9.2} MiB a session", mib(self.step))
    }
}
