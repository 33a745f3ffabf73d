//! The same graph on the CPU, op by op through the reference.

use std::collections::HashMap;

use super::{Capacity, Graph, Kind, Rows, Source, Step, Tensor, TensorInfo};
use crate::graph::step::{Domain, Needs};
use crate::kernel::Access;
use crate::reference::{self, Float, Place};
use crate::weights::DType;
use crate::{Error, Result};

/// What outlives a step: weights and persistent tensors, by name.
#[derive(Clone, Debug, Default)]
pub struct State<F> {
    weights: HashMap<String, reference::Tensor<F>>,
    persistent: HashMap<String, reference::Tensor<F>>,
}

impl<F: Float> State<F> {
    /// Nothing loaded yet.
    pub fn new() -> Self {
        Self { weights: HashMap::new(), persistent: HashMap::new() }
    }

    /// A persistent tensor, once a step has made it.
    pub fn get(&self, name: &str) -> Option<&reference::Tensor<F>> {
        self.persistent.get(name)
    }

    /// Sets a persistent tensor.
    pub fn set(&mut self, name: impl Into<String>, tensor: reference::Tensor<F>) {
        self.persistent.insert(name.into(), tensor);
    }

    /// Exchanges the persistent tensors for another user's of the same weights.
    pub(crate) fn swap(&mut self, persistent: &mut HashMap<String, reference::Tensor<F>>) {
        std::mem::swap(&mut self.persistent, persistent);
    }

    /// Runs a step of a graph. Weights that are new are read from `source`.
    ///
    /// # Errors
    /// [`Error::Shape`] and [`Error::Input`], as a plan and a session give them; what `source` says.
    pub fn run(&mut self, graph: &Graph, step: &Step, source: Source<'_>) -> Result<()> {
        let capacity = Capacity::of(step);
        graph.ops().iter().try_for_each(|(_, op)| graph.check(op, &capacity))?;
        let needs = graph.ops().iter().map(|(_, op)| Needs::of(&op.map(&mut |t| graph.view(t, &capacity))));
        step.check(needs.fold(Needs::default(), Needs::and))?;
        if let Some(ids) = &step.ids {
            self.set("ids", reference::Tensor::Words(ids.clone()));
        }
        let mut tensors = Vec::with_capacity(graph.tensors().len());
        for info in graph.tensors() {
            tensors.push(self.take(info, &capacity, source)?);
        }
        let result = run_ops(graph, &capacity, step, &mut tensors);
        for (info, tensor) in graph.tensors().iter().zip(tensors) {
            match info.kind {
                Kind::Weight => self.weights.insert(info.name.clone(), tensor),
                Kind::Persistent if !tensor.is_empty() => self.persistent.insert(info.name.clone(), tensor),
                _ => None,
            };
        }
        result
    }

    /// A tensor for the time of a step, large enough.
    fn take(&mut self, info: &TensorInfo, capacity: &Capacity, source: Source<'_>) -> Result<reference::Tensor<F>> {
        let rows = capacity.rows(info.rows);
        let len = rows * info.cols;
        let known = match info.kind {
            Kind::Weight => self.weights.remove(&info.name),
            Kind::Persistent => self.persistent.remove(&info.name),
            Kind::Transient => None,
        };
        if info.kind == Kind::Weight {
            let tensor = match known {
                Some(tensor) => tensor,
                None => {
                    let tensor = source(&info.name, [rows, info.cols])?;
                    reference::Tensor::from_bytes(tensor.bytes(), tensor.dtype)
                }
            };
            if tensor.len() != len {
                let why = format!("expected [{rows}, {}], got {} elements", info.cols, tensor.len());
                return Err(Error::Tensor { name: info.name.clone(), why });
            }
            return Ok(tensor);
        }
        let empty = match info.dtype {
            DType::U32 => reference::Tensor::Words(Vec::new()),
            _ => reference::Tensor::Floats(Vec::new()),
        };
        let mut tensor = known.unwrap_or(empty);
        match &mut tensor {
            reference::Tensor::Floats(values) => values.resize(values.len().max(len), F::of(0.0)),
            reference::Tensor::Words(values) => values.resize(values.len().max(len), 0),
        }
        Ok(tensor)
    }
}

fn run_ops<F: Float>(
    graph: &Graph,
    capacity: &Capacity,
    step: &Step,
    tensors: &mut [reference::Tensor<F>],
) -> Result<()> {
    let place = |t: &Tensor| Place { tensor: t.id(), view: graph.view(t, capacity) };
    for (_, op) in graph.ops() {
        op.map(&mut |t| graph.view(t, capacity)).check()?;
        let written = op.args().into_iter().find(|a| a.access == Access::Write);
        let domain = match written.map(|a| graph.tensors()[a.handle.id()].rows) {
            Some(Rows::Of(domain)) => domain,
            _ => Domain::Tokens,
        };
        reference::run(&op.map(&mut |t| place(t)), step, domain, tensors);
    }
    Ok(())
}
