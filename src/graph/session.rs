//! A session: what changes from step to step, and the plans that work on it.

use std::collections::HashMap;
use std::sync::Arc;

use super::mirrors::{self, Copy, Extent, Mirror, Texture};
use super::plan::{Node, Place, bytes_of};
use super::{Plan, Step, Weights};
use crate::gpu::{Bound, Context, Pipeline, compile_all, grid, mirror};
use crate::kernel::{Arg, Role};
use crate::{Error, Result};

/// Buffers and bind groups for some plans over one set of persistent tensors.
pub struct Session {
    pub(super) gpu: Context,
    buffers: HashMap<String, wgpu::Buffer>,
    pool: Vec<wgpu::Buffer>,
    mirrors: Vec<wgpu::Texture>,
    standing: HashMap<String, Standing>,
    step: wgpu::Buffer,
    belt: wgpu::util::StagingBelt,
    plans: Vec<Ready>,
    _weights: Weights,
}

struct Ready {
    plan: Plan,
    dispatches: Vec<Bind>,
}

struct Bind {
    pipeline: Arc<Pipeline>,
    group: wgpu::BindGroup,
    /// Before the dispatch, into what it reads.
    copies: Vec<Copy>,
    /// After it, of what it has written.
    after: Vec<Copy>,
}

/// A mirror that stands beside a persistent tensor.
struct Standing {
    texture: wgpu::Texture,
    /// It holds what the tensor does: the plans' own dispatches write it, or the caller said so.
    current: bool,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let roles: Vec<_> = self.plans.iter().map(|r| r.plan.role()).collect();
        f.debug_struct("Session").field("roles", &roles).finish()
    }
}

impl Context {
    /// Compiles the pipelines of these plans that are not made yet, on as many threads as the machine has.
    ///
    /// Sessions do so themselves; natively, a thread of the caller's may do it before, while the weights load.
    ///
    /// # Errors
    /// [`Error::DeviceLost`]; what the driver says of a kernel.
    pub fn prepare<'a>(&self, plans: impl IntoIterator<Item = &'a Plan>) -> Result<()> {
        self.prepare_with(plans, &mut |_| {})
    }

    /// As [`Self::prepare`], telling how many of the [`Self::unprepared`] are there.
    pub(crate) fn prepare_with<'a>(
        &self,
        plans: impl IntoIterator<Item = &'a Plan>,
        told: &mut dyn FnMut(usize),
    ) -> Result<()> {
        self.alive()?;
        let nodes = plans.into_iter().flat_map(|plan| &plan.nodes).filter(|node| !self.has(&node.spec));
        compile_all(nodes.map(|node| (self, node.spec, node.op.args())), told)
    }

    /// How many kernels of these plans are not compiled yet.
    pub(crate) fn unprepared<'a>(&self, plans: impl IntoIterator<Item = &'a Plan>) -> usize {
        let specs = plans.into_iter().flat_map(Plan::kernels);
        specs.filter(|spec| !self.has(spec)).collect::<std::collections::HashSet<_>>().len()
    }
}

impl Session {
    /// Allocates the buffers, compiles the pipelines that are new, and makes all bind groups.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`], [`Error::DeviceLost`]; what the driver says of a kernel.
    pub async fn new(gpu: &Context, weights: &Weights, plans: impl IntoIterator<Item = Plan>) -> Result<Self> {
        let plans: Vec<Plan> = plans.into_iter().collect();
        if plans.iter().any(|plan| plan.caps != *gpu.caps()) {
            let why = "a plan was compiled for another device's capabilities; compile it with those of this context";
            return Err(Error::Unsupported { what: "the session".into(), why: why.into() });
        }
        gpu.prepare(&plans)?;
        #[cfg(not(target_arch = "wasm32"))]
        gpu.run_ahead(plans.iter().flat_map(|plan| &plan.nodes).map(|node| (node.spec, node.op.args())))?;
        let (buffers, pool, step) = allocate(gpu, &plans)?;
        let sizes = mirrors::Sizes::of(plans.iter().flat_map(|p| p.nodes.iter().map(|node| (node, &p.graph))));
        let standing = sizes
            .standing
            .into_iter()
            .map(|(name, bytes)| Ok((name, Standing { texture: gpu.mirror_texture(bytes)?, current: false })));
        let mut session = Self {
            belt: wgpu::util::StagingBelt::new(gpu.device().clone(), step.size().max(4096)),
            gpu: gpu.clone(),
            buffers,
            pool,
            mirrors: sizes.passing.iter().map(|&bytes| gpu.mirror_texture(bytes)).collect::<Result<_>>()?,
            standing: standing.collect::<Result<_>>()?,
            step,
            plans: Vec::new(),
            _weights: weights.clone(),
        };
        for plan in plans {
            let dispatches = session.bind(&plan, weights)?;
            for copy in dispatches.iter().flat_map(|bind| &bind.after) {
                if let Texture::Standing(name) = &copy.mirror.texture {
                    if let Some(standing) = session.standing.get_mut(name) {
                        standing.current = true;
                    }
                }
            }
            session.plans.push(Ready { plan, dispatches });
        }
        Ok(session)
    }

    /// A persistent tensor's buffer, by its name: ids, outputs, taps, the KV cache. Who writes a KV cache, or a memory's keys
    /// and values, tells so by [`Self::settle`].
    pub fn buffer(&self, name: &str) -> Option<&wgpu::Buffer> {
        self.buffers.get(name)
    }

    /// Says that the caller has written a persistent tensor, or has recorded that here, and leaves it alone from then on.
    ///
    /// Where ops read such a tensor through a copy (the KV cache on a software adapter), the copy is made here. Without it,
    /// they may see what the tensor was before.
    pub fn settle(&mut self, encoder: &mut wgpu::CommandEncoder, name: &str) {
        if let (Some(buffer), Some(standing)) = (self.buffers.get(name), self.standing.get_mut(name)) {
            let bytes = buffer.size().min(mirror::bytes_of(&standing.texture)) / 16 * 16;
            mirror::copy_part(encoder, buffer, 0, 0..bytes, &standing.texture);
            standing.current = true;
        }
    }

    /// The plan for a role.
    pub fn plan(&self, role: Role) -> Option<&Plan> {
        self.plans.iter().map(|r| &r.plan).find(|p| p.role() == role)
    }

    /// Records a whole replay.
    ///
    /// # Errors
    /// [`Error::Capacity`] or [`Error::Input`] for a step that the session cannot hold; [`Error::DeviceLost`].
    pub fn record(&mut self, encoder: &mut wgpu::CommandEncoder, role: Role, step: &Step) -> Result<()> {
        self.begin(encoder, role, step)?.record(encoder, usize::MAX)
    }

    /// Uploads a step and gives a cursor that records its replay in parts, into this or later encoders.
    pub fn begin(&mut self, encoder: &mut wgpu::CommandEncoder, role: Role, step: &Step) -> Result<Cursor<'_>> {
        let Some(index) = self.plans.iter().position(|r| r.plan.role() == role) else {
            return Err(Error::Unsupported {
                what: format!("{role:?}"),
                why: "this session has no plan for it".into(),
            });
        };
        let plan = &self.plans[index].plan;
        step.check(plan.needs)?;
        check_capacity(plan, step)?;
        self.gpu.alive()?;
        let words = step.words(&plan.heights);
        let counts = step.counts(&plan.heights);
        let groups = plan.nodes.iter().map(|n| n.work.groups(&counts)).collect();
        let extent = Extent::new(counts, step);
        if let (Some(ids), Some(buffer)) = (&step.ids, self.buffers.get("ids")) {
            upload(&mut self.belt, encoder, buffer, ids)?;
        }
        upload(&mut self.belt, encoder, &self.step, &words)?;
        self.belt.finish_and_recall_on_submit(encoder);
        Ok(Cursor { session: self, plan: index, groups, extent, next: 0 })
    }

    fn bind(&self, plan: &Plan, weights: &Weights) -> Result<Vec<Bind>> {
        const SLOT: usize = 256;
        let mut constants = vec![0; SLOT * plan.nodes.len().max(1)];
        for (i, node) in plan.nodes.iter().enumerate() {
            constants[i * SLOT..][..node.constants.len()].copy_from_slice(&node.constants);
        }
        let uniform = self.gpu.buffer_of("constants", &constants, wgpu::BufferUsages::UNIFORM)?;
        let mut binds = Vec::with_capacity(plan.nodes.len());
        for (i, node) in plan.nodes.iter().enumerate() {
            let args = node.args().map(|arg| {
                let (view, place) = arg.handle;
                let handle = match place {
                    Place::Weight(key) => weights.bound(key)?,
                    Place::Persistent(name) => whole(self.buffers.get(name), view)?,
                    Place::Pool(slot) => whole(self.pool.get(*slot), view)?,
                };
                Ok(Arg { name: arg.name, access: arg.access, binding: arg.binding, handle })
            });
            let args = args.collect::<Result<Vec<_>>>()?;
            let pipeline = self.gpu.pipeline(&node.spec, &args)?;
            let size = wgpu::BufferSize::new(node.constants.len().next_multiple_of(16) as u64);
            let constants = wgpu::BufferBinding { buffer: &uniform, offset: (i * SLOT) as u64, size };
            let step = wgpu::BufferBinding { buffer: &self.step, offset: 0, size: None };
            let copies = self.copies(mirrors::of(node, &plan.graph));
            let after = self.copies(mirrors::written(node, &plan.graph, |name| self.standing.contains_key(name)));
            let views: Vec<_> = copies.iter().map(|c| c.texture.create_view(&Default::default())).collect();
            let args = args.into_iter().map(|arg| {
                match copies.iter().zip(&views).find(|(copy, _)| copy.mirror.bindings.contains(&arg.binding)) {
                    Some((_, view)) => Arg { handle: Bound::Texture(view), ..arg },
                    None => arg,
                }
            });
            let group = self.gpu.bind(&pipeline, constants, step, &args.collect::<Vec<_>>());
            binds.push(Bind { pipeline, group, copies, after });
        }
        Ok(binds)
    }

    fn copies(&self, mirrors: Vec<Mirror>) -> Vec<Copy> {
        let copy = |mut mirror: Mirror| {
            let buffer = match &mirror.place {
                Place::Persistent(name) => self.buffers.get(name),
                Place::Pool(slot) => self.pool.get(*slot),
                Place::Weight(_) => None,
            };
            let texture = match &mirror.texture {
                Texture::Passing(number) => self.mirrors.get(*number)?,
                Texture::Standing(name) => &self.standing.get(name)?.texture,
            };
            // What is written may be more than what is read.
            mirror.bytes = mirror.bytes.min(mirror::bytes_of(texture));
            Some(Copy { buffer: buffer?.clone(), texture: texture.clone(), mirror })
        };
        mirrors.into_iter().filter_map(copy).collect()
    }

    fn is_current(&self, mirror: &Mirror) -> bool {
        matches!(&mirror.texture, Texture::Standing(name) if self.standing.get(name).is_some_and(|s| s.current))
    }
}

/// A replay in progress. It borrows the session, since another step would overwrite its integers.
#[derive(Debug)]
pub struct Cursor<'a> {
    session: &'a mut Session,
    plan: usize,
    groups: Vec<u64>,
    extent: Extent,
    next: usize,
}

impl Cursor<'_> {
    /// Records up to `count` further dispatches in compute passes of their own: one, but for copies between dispatches
    /// on a software adapter.
    pub fn record(&mut self, encoder: &mut wgpu::CommandEncoder, count: usize) -> Result<()> {
        self.record_in(encoder, &mut None, count)
    }

    /// The same step so many times, in as few passes as one takes; what the host uploaded is still there.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn repeat(&mut self, encoder: &mut wgpu::CommandEncoder, times: usize) -> Result<()> {
        let mut pass = None;
        (0..times).try_for_each(|_| {
            self.next = 0;
            self.record_in(encoder, &mut pass, usize::MAX)
        })
    }

    fn record_in(
        &mut self,
        encoder: &mut wgpu::CommandEncoder,
        pass: &mut Option<wgpu::ComputePass<'static>>,
        count: usize,
    ) -> Result<()> {
        let end = self.next.saturating_add(count).min(self.groups.len());
        let descriptor = wgpu::ComputePassDescriptor { label: Some("wgformer"), timestamp_writes: None };
        for (bind, &groups) in
            self.session.plans[self.plan].dispatches[self.next..end].iter().zip(&self.groups[self.next..])
        {
            let Some([x, y]) = grid(groups)? else { continue };
            // A pass ends before the encoder is used again.
            for copy in bind.copies.iter().filter(|copy| !self.session.is_current(&copy.mirror)) {
                *pass = None;
                copy.before(encoder, &self.extent);
            }
            let open = pass.get_or_insert_with(|| encoder.begin_compute_pass(&descriptor).forget_lifetime());
            open.set_pipeline(&bind.pipeline.pipeline);
            open.set_bind_group(0, &bind.group, &[]);
            open.dispatch_workgroups(x, y, 1);
            for copy in &bind.after {
                *pass = None;
                copy.after(encoder, &self.extent);
            }
        }
        self.next = end;
        Ok(())
    }

    /// The next dispatch, with the buffer of each argument that is no weight.
    pub(crate) fn peek(&self) -> Option<(&Node, Vec<Option<wgpu::Buffer>>)> {
        let node = self.session.plans[self.plan].plan.nodes.get(self.next)?;
        let buffer = |place: &Place| match place {
            Place::Weight(_) => None,
            Place::Persistent(name) => self.session.buffers.get(name).cloned(),
            Place::Pool(slot) => self.session.pool.get(*slot).cloned(),
        };
        Some((node, node.places.iter().map(buffer).collect()))
    }

    /// Dispatches that are still to be recorded.
    pub fn remaining(&self) -> usize {
        self.groups.len() - self.next
    }
}

fn upload(
    belt: &mut wgpu::util::StagingBelt,
    encoder: &mut wgpu::CommandEncoder,
    buffer: &wgpu::Buffer,
    words: &[u32],
) -> Result<()> {
    let Some(size) = wgpu::BufferSize::new(4 * words.len() as u64) else { return Ok(()) };
    // As the belt's own `write_buffer`, which panics where the device is lost.
    let staged = belt.allocate(size, wgpu::BufferSize::MIN);
    let mut mapped = staged.get_mapped_range_mut().map_err(|e| Error::DeviceLost(e.to_string()))?;
    mapped.copy_from_slice(bytemuck::cast_slice(words));
    encoder.copy_buffer_to_buffer(staged.buffer(), staged.offset(), buffer, 0, size.get());
    Ok(())
}

fn whole<'a>(buffer: Option<&'a wgpu::Buffer>, view: &crate::kernel::View) -> Result<Bound<'a>> {
    match buffer {
        Some(buffer) => Ok(Bound::Buffer { buffer, offset: 0, size: bytes_of(view) }),
        None => Err(Error::Unsupported { what: "a tensor without a buffer".into(), why: "the plan names none".into() }),
    }
}

fn check_capacity(plan: &Plan, step: &Step) -> Result<()> {
    let have = plan.capacity();
    let within =
        |what, need: usize, have| if need <= have { Ok(()) } else { Err(Error::Capacity { what, need, have }) };
    within("tokens", step.tokens() as usize, have.tokens)?;
    within("sequences", step.spans.len(), have.sequences)?;
    within("memory tokens", step.memory() as usize, have.memory)?;
    within("keys", step.table.len(), have.keys)
}

type Buffers = (HashMap<String, wgpu::Buffer>, Vec<wgpu::Buffer>, wgpu::Buffer);

fn allocate(gpu: &Context, plans: &[Plan]) -> Result<Buffers> {
    use wgpu::BufferUsages as Usage;
    let usage = Usage::STORAGE | Usage::COPY_SRC | Usage::COPY_DST;
    let buffer = |label: &str, size: u64| gpu.buffer(label, size, usage);
    let mut sizes: HashMap<&str, u64> = HashMap::new();
    let mut pool: Vec<u64> = Vec::new();
    for plan in plans {
        for arg in plan.nodes.iter().flat_map(|n| n.args()) {
            if let (view, Place::Persistent(name)) = arg.handle {
                let size = sizes.entry(name).or_default();
                *size = bytes_of(view).max(*size);
            }
        }
        pool.resize(pool.len().max(plan.pool.len()), 0);
        pool.iter_mut().zip(&plan.pool).for_each(|(have, &need)| *have = need.max(*have));
    }
    let words = plans.iter().map(|p| p.capacity.step_words(&p.heights)).max().unwrap_or(1);
    let named = sizes.into_iter().map(|(name, size)| Ok((name.to_owned(), buffer(name, size)?)));
    Ok((
        named.collect::<Result<_>>()?,
        pool.into_iter().map(|size| buffer("transient", size)).collect::<Result<_>>()?,
        buffer("step", 4 * words as u64)?,
    ))
}
