//! A graph, compiled for a device and a role: kernels, places, bytes; host data only.

use super::step::Needs;
use super::{Domain, Graph, Kind, Rows, Step, Tensor, TensorInfo, mirrors, pool};
use crate::gpu::{Caps, packed_bytes, packed_fits};
use crate::kernel::{Access, Arg, Attention, Embed, Layout, Matmul, Op, Role, Spec, View, Work};
use crate::weights::DType;
use crate::{Error, Result};

/// The most that a step of a session may hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capacity {
    /// Tokens of one step, over all sequences.
    pub tokens: usize,
    /// Sequences.
    pub sequences: usize,
    /// Tokens of the memory (the encoder's output), over all sequences.
    pub memory: usize,
    /// Entries of the slot table: keys over all sequences.
    pub keys: usize,
}

impl Capacity {
    /// For whole sequences without a cache.
    pub fn packed(tokens: usize, sequences: usize) -> Self {
        Self { tokens, sequences, ..Self::default() }
    }

    /// Just enough for one step.
    pub fn of(step: &Step) -> Self {
        Self {
            tokens: step.tokens() as usize,
            sequences: step.spans.len(),
            memory: step.memory() as usize,
            keys: step.table.len(),
        }
    }

    pub(super) fn rows(&self, rows: Rows) -> usize {
        match rows {
            Rows::Of(Domain::Tokens) => self.tokens,
            Rows::Of(Domain::Sequences) => self.sequences,
            Rows::Of(Domain::Memory) => self.memory,
            Rows::Fixed(n) => n,
        }
    }

    pub(super) fn step_words(&self, heights: &[u32]) -> usize {
        Step::max_words(self.tokens, self.sequences, self.keys, heights)
    }
}

/// Where a tensor of a plan lives.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    /// A weight: its name, how it is stored, and which of its rows.
    Weight(WeightKey),
    /// A session's persistent buffer.
    Persistent(String),
    /// A buffer of the session's transient pool.
    Pool(usize),
}

impl Place {
    /// A weight shard's first row.
    pub fn first_row(&self) -> usize {
        match self {
            Self::Weight(key) => key.first_row,
            _ => 0,
        }
    }
}

/// One stored form of (a shard of) a weight.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct WeightKey {
    pub name: String,
    pub packed: bool,
    pub first_row: usize,
    pub rows: usize,
    pub cols: usize,
    /// Rows of the whole tensor.
    pub whole: usize,
    pub dtype: DType,
}

impl WeightKey {
    /// Bytes that it takes on a device.
    pub fn bytes(&self, caps: &Caps) -> u64 {
        match self.packed {
            true => packed_bytes(caps, self.rows, self.cols, self.dtype),
            false => ((self.rows * self.cols * self.dtype.size()) as u64).next_multiple_of(4),
        }
    }
}

/// One dispatch.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub name: String,
    pub op: Op<View>,
    pub places: Vec<Place>,
    pub tensors: Vec<usize>,
    pub spec: Spec,
    pub constants: Vec<u8>,
    pub work: Work,
}

impl Node {
    /// Arguments with their places, in binding order.
    pub fn args(&self) -> impl Iterator<Item = Arg<(&View, &Place)>> {
        self.op.args().into_iter().zip(&self.places).map(|(a, place)| Arg {
            name: a.name,
            access: a.access,
            binding: a.binding,
            handle: (a.handle, place),
        })
    }
}

/// A compiled graph: what will be dispatched, and what it needs, before anything is allocated.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(crate) role: Role,
    pub(crate) capacity: Capacity,
    pub(crate) graph: Graph,
    pub(crate) nodes: Vec<Node>,
    pub(crate) pool: Vec<u64>,
    pub(crate) heights: Vec<u32>,
    pub(super) caps: Caps,
    pub(super) needs: Needs,
}

impl Plan {
    /// Chooses a kernel for each op, shards what exceeds a binding, and gives transients their place.
    ///
    /// # Errors
    /// [`Error::Shape`] for an op that does not fit, [`Error::Limit`] for a tensor that the device cannot bind.
    pub fn compile(caps: &Caps, graph: &Graph, role: Role, capacity: Capacity) -> Result<Self> {
        let mut compiler = Compiler { caps, graph, role, capacity, nodes: Vec::new() };
        for (name, op) in &graph.ops {
            compiler.lower(name, op)?;
        }
        let mut nodes = compiler.nodes;
        let pool = pool::assign(graph, &capacity, &mut nodes);
        let needs = nodes.iter().map(|n| Needs::of(&n.op)).fold(Needs::default(), Needs::and);
        let mut heights: Vec<u32> = nodes.iter().flat_map(|n| n.spec.heights()).collect();
        heights.sort_unstable();
        heights.dedup();
        let plan = Self { role, capacity, graph: graph.clone(), nodes, pool, heights, caps: caps.clone(), needs };
        plan.check_limits(caps)?;
        Ok(plan)
    }

    /// Bytes of all mirror textures.
    pub(super) fn mirrors(&self) -> u64 {
        mirrors::Sizes::of(self.nodes.iter().map(|node| (node, &self.graph))).total()
    }

    /// The kernel of each dispatch.
    pub(crate) fn kernels(&self) -> impl Iterator<Item = Spec> {
        self.nodes.iter().map(|node| node.spec)
    }

    /// The role it computes.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The most that a step may hold.
    pub fn capacity(&self) -> Capacity {
        self.capacity
    }

    /// Dispatches of one replay.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Nothing to do.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    fn check_limits(&self, caps: &Caps) -> Result<()> {
        for node in &self.nodes {
            for arg in node.args().filter(|a| !matches!(a.handle.1, Place::Weight(WeightKey { packed: true, .. }))) {
                fits(caps, &node.name, arg.name, arg.handle.0)?;
            }
        }
        let words = self.capacity.step_words(&self.heights);
        fits(caps, "the step", "integers", &View::dense(words, 1, DType::U32))
    }
}

/// A tensor can be bound whole.
fn fits(caps: &Caps, node: &str, argument: &str, view: &View) -> Result<()> {
    let (need, have) = (bytes_of(view), caps.limits.max_storage_buffer_binding_size.min(caps.limits.max_buffer_size));
    if need <= have {
        return Ok(());
    }
    let what = format!("{node}: {argument} [{}, {}]", view.rows, view.cols);
    let remedy =
        "use smaller batches or shorter sequences, or create the device with the limits of `wgformer::wanted`".into();
    Err(Error::Limit { what, limit: "max_storage_buffer_binding_size", need, have, remedy })
}

/// Bytes from the start of a view's buffer to its end.
pub(crate) fn bytes_of(view: &View) -> u64 {
    let stride = view.stride.max(view.cols);
    let rows = (view.offset / stride.max(1)).saturating_add(view.rows);
    let bytes = rows.saturating_mul(stride).saturating_mul(view.dtype.size()) as u64;
    bytes.checked_next_multiple_of(4).unwrap_or(u64::MAX).max(4)
}

struct Compiler<'a> {
    caps: &'a Caps,
    graph: &'a Graph,
    role: Role,
    capacity: Capacity,
    nodes: Vec<Node>,
}

impl Compiler<'_> {
    fn info(&self, tensor: &Tensor) -> &TensorInfo {
        &self.graph.tensors[tensor.id]
    }

    fn view(&self, tensor: &Tensor) -> View {
        self.graph.view(tensor, &self.capacity)
    }

    /// One op becomes one dispatch, or one for each shard of its weight.
    fn lower(&mut self, name: &str, op: &Op<Tensor>) -> Result<()> {
        self.graph.check(op, &self.capacity)?;
        // An op may ask for the kernels of another role than the plan's.
        let role = |own| if own == Role::default() { self.role } else { own };
        let views = match op.map(&mut |t| self.view(t)) {
            Op::Matmul(op) => Op::Matmul(Matmul { role: role(op.role), ..op }),
            Op::Attention(op) => Op::Attention(Attention { role: role(op.role), ..op }),
            other => other,
        };
        // Before shapes: a capacity beyond the device is the limit's matter.
        for (arg, view) in
            op.args().iter().zip(views.args()).filter(|(arg, _)| self.info(arg.handle).kind != Kind::Weight)
        {
            fits(self.caps, name, arg.name, view.handle)?;
        }
        views.check()?;
        let weight = match op {
            Op::Matmul(op) if op.layout == Layout::Nk => Some(op.w),
            Op::Embed(op) => Some(op.word),
            _ => None,
        };
        let Some(weight) = weight.filter(|w| self.info(w).kind == Kind::Weight) else {
            return self.node(name.into(), op, views, None);
        };
        let whole = self.view(&weight);
        // A table of embeddings, too: the head of many models is the same one.
        let packs = !matches!(op, Op::Matmul(op) if op.batch.count > 1)
            && packed_fits(self.caps, whole.rows, whole.cols, whole.dtype).is_ok();
        let rows = if packs { whole.rows } else { self.shard_rows(&whole) };
        for first_row in (0..whole.rows).step_by(rows.max(1)) {
            let held = rows.min(whole.rows - first_row);
            let key = WeightKey {
                name: self.info(&weight).name.clone(),
                packed: packs,
                first_row,
                rows: held,
                cols: whole.cols,
                whole: whole.rows,
                dtype: whole.dtype,
            };
            let name =
                if held == whole.rows { name.into() } else { format!("{name}[{first_row}..{}]", first_row + held) };
            self.node(name, op, shard(&views, first_row, held, packs), Some(key))?;
        }
        Ok(())
    }

    /// Rows of a table that fit a binding; a multiple of 64 where it is more than one shard.
    fn shard_rows(&self, table: &View) -> usize {
        let limit = self.caps.limits.max_storage_buffer_binding_size.min(self.caps.limits.max_buffer_size) as usize;
        let fit = limit / (table.cols * table.dtype.size()).max(1);
        if fit >= table.rows { table.rows } else { (fit / 64 * 64).max(1) }
    }

    fn node(&mut self, name: String, op: &Op<Tensor>, views: Op<View>, weight: Option<WeightKey>) -> Result<()> {
        let args = op.args();
        let weights = args.iter().filter(|a| self.info(a.handle).kind == Kind::Weight);
        let weights: Vec<_> = weights.map(|a| a.name).collect();
        let stands =
            |arg: &&Arg<&Tensor>| mirrors::stands(op, arg.name) && self.info(arg.handle).kind == Kind::Persistent;
        // Weights lie still: what is to be mirrored changes with each step.
        let spec = views.choose_where(self.caps, |spec| {
            let mut mirrored = args.iter().filter(|arg| spec.mirrors(arg.name));
            !weights.iter().any(|name| spec.mirrors(name))
                && (!spec.wants_standing() || mirrored.all(|arg| stands(&arg)))
        })?;
        let domain = match args.iter().find(|a| a.access == Access::Write).map(|a| self.info(a.handle).rows) {
            Some(Rows::Of(domain)) => domain,
            _ => Domain::Tokens,
        };
        let places = args.iter().map(|arg| self.place(arg.handle, &weight)).collect();
        let tensors = args.iter().map(|arg| arg.handle.id).collect();
        let dispatch = views.dispatch(&spec, domain);
        self.nodes.push(Node {
            name,
            op: views,
            places,
            tensors,
            spec,
            constants: dispatch.constants,
            work: dispatch.work,
        });
        Ok(())
    }

    fn place(&self, tensor: &Tensor, sharded: &Option<WeightKey>) -> Place {
        let info = self.info(tensor);
        match info.kind {
            Kind::Weight => match sharded {
                Some(key) if key.name == info.name => Place::Weight(key.clone()),
                _ => {
                    let rows = self.capacity.rows(info.rows);
                    Place::Weight(WeightKey {
                        name: info.name.clone(),
                        packed: false,
                        first_row: 0,
                        rows,
                        cols: info.cols,
                        whole: rows,
                        dtype: info.dtype,
                    })
                }
            },
            Kind::Persistent => Place::Persistent(info.name.clone()),
            Kind::Transient => Place::Pool(usize::MAX),
        }
    }
}

/// The op on some rows of its weight: fewer outputs of a matmul, a part of an embedding table.
fn shard(op: &Op<View>, first: usize, rows: usize, packed: bool) -> Op<View> {
    let columns = |v: View| View { offset: v.offset + first, cols: rows, ..v };
    let layout = |layout| if packed { Layout::Packed } else { layout };
    match op.clone() {
        Op::Matmul(op) => Op::Matmul(Matmul {
            w: View { rows, ..op.w },
            bias: op.bias.map(columns),
            residual: op.residual.map(columns),
            y: columns(op.y),
            layout: layout(op.layout),
            ..op
        }),
        Op::Embed(op) => {
            Op::Embed(Embed { word: View { rows, ..op.word }, base: first, layout: layout(op.layout), ..op })
        }
        other => other,
    }
}
