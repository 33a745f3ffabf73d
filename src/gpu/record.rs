//! Level 1: an op over the caller's buffers, recorded into the caller's encoder.

use super::{Bound, Context, mirror};
use crate::graph::step::{Domain, Needs, Step};
use crate::kernel::{Access, Arg, Keys, Op, Spec, View};
use crate::weights::DType;
use crate::{Error, Result};

/// A matrix in one of the caller's buffers, at any element offset; or a packed [`Weight`].
#[derive(Clone, Copy, Debug)]
pub struct Slice<'a> {
    data: Data<'a>,
    view: View,
}

#[derive(Clone, Copy, Debug)]
enum Data<'a> {
    Buffer(&'a wgpu::Buffer),
    Weight(&'a Weight),
}

/// A weight matrix in the layout that this device's matmul wants; embed takes it, too.
#[derive(Clone, Debug)]
pub struct Weight {
    pub(crate) texture: wgpu::TextureView,
    pub(crate) view: View,
}

impl Weight {
    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        let texture = self.texture.texture();
        16 * u64::from(texture.width()) * u64::from(texture.height())
    }

    /// As an argument of a matmul, or the table of an embed.
    pub fn slice(&self) -> Slice<'_> {
        Slice { data: Data::Weight(self), view: self.view }
    }
}

impl<'a> Slice<'a> {
    /// A dense f32 matrix at the start of a buffer.
    pub fn new(buffer: &'a wgpu::Buffer, rows: usize, cols: usize) -> Self {
        Self { data: Data::Buffer(buffer), view: View::dense(rows, cols, DType::F32) }
    }

    /// The same with elements of another type.
    pub fn dtype(mut self, dtype: DType) -> Self {
        self.view.dtype = dtype;
        self
    }

    /// Beginning so many elements into the buffer.
    pub fn offset(mut self, elements: usize) -> Self {
        self.view.offset = elements;
        self
    }

    /// With so many elements from one row to the next.
    pub fn stride(mut self, elements: usize) -> Self {
        self.view.stride = elements;
        self
    }

    /// Its shape and place.
    pub fn view(&self) -> View {
        self.view
    }

    /// Mirrors are copied from buffers made with `COPY_SRC`.
    fn can_be_copied(&self) -> bool {
        matches!(self.data, Data::Buffer(buffer) if buffer.usage().contains(wgpu::BufferUsages::COPY_SRC))
    }

    /// What to bind, and the view from there: bindings align to 256 bytes, the rest stays an offset.
    /// `beyond` is what a batch takes past the view.
    fn bind(&self, op: &'static str, what: &'static str, beyond: usize, limit: u64) -> Result<(Bound<'a>, View)> {
        let buffer = match self.data {
            Data::Weight(weight) => return Ok((Bound::Texture(&weight.texture), self.view)),
            Data::Buffer(buffer) => buffer,
        };
        let size = self.view.dtype.size();
        let end = self.view.end().saturating_add(beyond).saturating_mul(size);
        let end = (end as u64).checked_next_multiple_of(4).unwrap_or(u64::MAX);
        if end > buffer.size() {
            let expected = format!("a buffer of {end} bytes or more");
            return Err(Error::Shape { op, what, expected, got: format!("{} bytes", buffer.size()) });
        }
        let offset = (self.view.offset * size) as u64 / 256 * 256;
        let bytes = (end - offset).max(4);
        if bytes > limit {
            return Err(Error::Limit {
                what: format!("{op}: {what}"),
                limit: "max_storage_buffer_binding_size",
                need: bytes,
                have: limit,
                remedy: "create the device with the limits of `wgformer::wanted`, or split the tensor by rows".into(),
            });
        }
        let view = View { offset: self.view.offset - offset as usize / size, ..self.view };
        Ok((Bound::Buffer { buffer, offset, size: bytes }, view))
    }
}

impl Context {
    /// Records an op whose rows are independent (matmul, softmax, norm, gate, argmax) or that works on one sequence.
    ///
    /// Nothing is submitted and nothing blocks. The kernel is the best this device can run.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::Alias`], [`Error::Limit`], [`Error::OutOfMemory`], [`Error::DeviceLost`], or what the
    /// driver says of a kernel.
    pub fn record<'a>(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        op: &(impl Into<Op<Slice<'a>>> + Clone),
    ) -> Result<()> {
        let op = op.clone().into();
        let rows = op.args().iter().map(|a| a.handle.view.rows).next().unwrap_or(0);
        let step = match op {
            Op::Attention(_) | Op::Pool(_) | Op::Embed(_) | Op::Qkv(_) => {
                let mut step = Step::packed(&[rows]);
                step.slots = (0..rows as u32).collect();
                step
            }
            _ => Step::rows(rows),
        };
        self.record_step(encoder, &op, &step)
    }

    /// Records an op over the sequences, positions and slots of a step.
    pub fn record_step<'a>(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        op: &(impl Into<Op<Slice<'a>>> + Clone),
        step: &Step,
    ) -> Result<()> {
        let op = op.clone().into();
        let views = op.map(&mut |slice| slice.view);
        views.check()?;
        let args = op.args();
        let copied = |spec: &Spec| args.iter().filter(|a| spec.mirrors(a.name)).all(|a| a.handle.can_be_copied());
        let allowed = |spec: &Spec| copied(spec) && !spec.wants_standing();
        self.record_spec(encoder, &op, step, &views.choose_where(self.caps(), allowed)?)
    }

    /// Records an op with a given kernel of [`Op::candidates`].
    pub fn record_spec(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        op: &Op<Slice<'_>>,
        step: &Step,
        spec: &Spec,
    ) -> Result<()> {
        let views = op.map(&mut |slice| slice.view);
        views.check()?;
        check_step(&views, step)?;
        check_aliases(op)?;
        let limit = self.caps().limits.max_storage_buffer_binding_size;
        let mut bound = Vec::new();
        let mut local = Vec::new();
        for arg in op.args() {
            let (resource, view) = arg.handle.bind(op.name(), arg.name, views.beyond(arg.name), limit)?;
            bound.push(Arg { name: arg.name, access: arg.access, binding: arg.binding, handle: resource });
            local.push(view);
        }
        mirror::join(spec, &mut bound, &mut local);
        let mut local = local.into_iter();
        let views = views.map(&mut |view| local.next().unwrap_or(*view));
        let dispatch = views.dispatch(spec, Domain::Tokens);
        let heights = spec.heights();
        let groups = dispatch.work.groups(&step.counts(&heights));
        let Some(grid) = grid(groups)? else { return Ok(()) };

        let pipeline = self.pipeline(spec, &bound)?;
        let mut bytes = dispatch.constants;
        let constants = bytes.len().next_multiple_of(16);
        bytes.resize(256.max(constants), 0);
        bytes.extend_from_slice(bytemuck::cast_slice(&step.words(&heights)));
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::STORAGE;
        let buffer = self.buffer_of(op.name(), &bytes, usage)?;
        let part = |offset, size| wgpu::BufferBinding { buffer: &buffer, offset, size };
        let size = wgpu::BufferSize::new(constants as u64);
        let mirrors = self.mirror(encoder, spec, &bound)?;
        for arg in &mut bound {
            if let Some((_, view)) = mirrors.iter().find(|(binding, _)| *binding == arg.binding) {
                arg.handle = Bound::Texture(view);
            }
        }
        let group = self.bind(&pipeline, part(0, size), part(256, None), &bound);
        let mut pass =
            encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label: Some(op.name()), timestamp_writes: None });
        pass.set_pipeline(&pipeline.pipeline);
        pass.set_bind_group(0, &group, &[]);
        pass.dispatch_workgroups(grid[0], grid[1], 1);
        Ok(())
    }
}

/// Workgroups as a grid: beyond 65,535 they wrap into y. `None` where there are none.
pub(crate) fn grid(groups: u64) -> Result<Option<[u32; 2]>> {
    const LIMIT: u64 = 65_535;
    if groups == 0 {
        return Ok(None);
    }
    if groups > LIMIT * LIMIT {
        return Err(Error::Capacity { what: "workgroups", need: groups as usize, have: (LIMIT * LIMIT) as usize });
    }
    let y = groups.div_ceil(LIMIT);
    Ok(Some([groups.div_ceil(y) as u32, y as u32]))
}

/// The step is sound, and its rows are within the views'. An op's first argument has its rows.
fn check_step(op: &Op<View>, step: &Step) -> Result<()> {
    step.check(Needs::of(op))?;
    let (tokens, memory) = (step.tokens() as usize, step.memory() as usize);
    let within = |what: &'static str, need: usize, have: usize| {
        if need <= have { Ok(()) } else { Err(Error::Capacity { what, need, have }) }
    };
    within("rows", tokens, op.args().first().map_or(0, |arg| arg.handle.rows))?;
    match op {
        Op::Pool(op) => within("sequences", step.spans.len(), op.y.rows),
        Op::Attention(op) => match op.keys {
            Keys::Own => within("keys", tokens, op.k.rows),
            Keys::Memory => within("keys", memory, op.k.rows),
            Keys::Table => Ok(()),
        },
        _ => Ok(()),
    }
}

fn check_aliases(op: &Op<Slice<'_>>) -> Result<()> {
    let args = op.args();
    for out in args.iter().filter(|a| a.access == Access::Write) {
        for other in &args {
            let (Data::Buffer(a), Data::Buffer(b)) = (out.handle.data, other.handle.data) else { continue };
            if a == b && out.binding != other.binding {
                return Err(Error::Alias { op: op.name(), input: other.name, output: out.name });
            }
        }
    }
    Ok(())
}
