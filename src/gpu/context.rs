//! The context: a caller's device, what it can do, and the pipelines made for it so far.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};

use super::Caps;
use crate::kernel::{Access, Arg, Spec, Tier};
use crate::{Error, Result};

/// A device and queue of the caller's, with the pipelines made for them. Cheap to clone; clones share the pipelines.
#[derive(Clone)]
pub struct Context(Arc<Inner>);

struct Inner {
    device: wgpu::Device,
    queue: wgpu::Queue,
    caps: Caps,
    checked: bool,
    patch: Option<Patch>,
    cache: Option<wgpu::PipelineCache>,
    #[cfg(not(target_arch = "wasm32"))]
    helpers: std::sync::OnceLock<super::ahead::Open>,
    pipelines: Mutex<HashMap<Spec, Arc<Pipeline>>>,
}

/// Rewrites a linked source before it is compiled: how tests break a kernel and see the proof notice.
pub type Patch = Box<dyn Fn(&Spec, String) -> String + Send + Sync>;

/// A compiled kernel.
pub(crate) struct Pipeline {
    pub pipeline: wgpu::ComputePipeline,
    pub layout: wgpu::BindGroupLayout,
    /// Whether the driver has been asked for its code.
    #[cfg(not(target_arch = "wasm32"))]
    pub ran: std::sync::atomic::AtomicBool,
}

/// What an argument is bound to.
#[derive(Clone, Copy)]
pub(crate) enum Bound<'a> {
    Buffer { buffer: &'a wgpu::Buffer, offset: u64, size: u64 },
    Texture(&'a wgpu::TextureView),
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("caps", &self.0.caps).field("checked", &self.0.checked).finish()
    }
}

impl Context {
    /// Reads the device's features and limits; assumes nothing, makes nothing.
    ///
    /// # Errors
    /// [`Error::Limit`] where the device cannot bind what the kernels bind: 8 storage buffers, 256 invocations, 16 KiB of
    /// workgroup memory (wgpu's defaults; not its downlevel ones).
    pub fn new(device: &wgpu::Device, queue: &wgpu::Queue) -> Result<Self> {
        Self::build(device, queue, false, None, None)
    }

    /// As [`Self::new`], with every kernel compiled with wgpu's bounds checks. Slower; for tests and for doubts.
    pub fn checked(device: &wgpu::Device, queue: &wgpu::Queue) -> Result<Self> {
        Self::build(device, queue, true, None, None)
    }

    /// As [`Self::checked`], with sources rewritten first: for tests of the tests.
    pub fn patched(device: &wgpu::Device, queue: &wgpu::Queue, patch: Patch) -> Result<Self> {
        Self::build(device, queue, true, Some(patch), None)
    }

    pub(super) fn build(
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        checked: bool,
        patch: Option<Patch>,
        cache: Option<wgpu::PipelineCache>,
    ) -> Result<Self> {
        let caps = Caps::of(device);
        let l = &caps.limits;
        let floor = |name, need: u32, have: u32| caps.limit("wgformer", name, need.into(), have.into());
        floor("max_storage_buffers_per_shader_stage", 8, l.max_storage_buffers_per_shader_stage)?;
        floor("max_compute_invocations_per_workgroup", 256, l.max_compute_invocations_per_workgroup)?;
        floor("max_compute_workgroup_size_x", 256, l.max_compute_workgroup_size_x)?;
        floor("max_compute_workgroup_storage_size", 16384, l.max_compute_workgroup_storage_size)?;
        floor("max_compute_workgroups_per_dimension", 65535, l.max_compute_workgroups_per_dimension)?;
        Ok(Self::of(device, queue, caps, checked, patch, cache))
    }

    fn of(
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        caps: Caps,
        checked: bool,
        patch: Option<Patch>,
        cache: Option<wgpu::PipelineCache>,
    ) -> Self {
        Self(Arc::new(Inner {
            device: device.clone(),
            queue: queue.clone(),
            caps,
            checked,
            patch,
            cache,
            #[cfg(not(target_arch = "wasm32"))]
            helpers: Default::default(),
            pipelines: Mutex::default(),
        }))
    }

    /// This context, and one that compiles the other way: what is verified. A patched one has no other.
    pub(crate) fn both(&self) -> Result<Vec<Self>> {
        if self.0.patch.is_some() {
            return Ok(vec![self.clone()]);
        }
        let other = Self::build(&self.0.device, &self.0.queue, !self.0.checked, None, None)?;
        Ok(vec![self.clone(), other])
    }

    /// The same device as if it could do no more than this.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn limited(&self, caps: Caps) -> Self {
        Self::of(&self.0.device, &self.0.queue, caps, self.0.checked, None, None)
    }

    /// A context of a further device of the same adapter, which compiles as this one does.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn beside(&self, device: &wgpu::Device, queue: &wgpu::Queue) -> Result<Self> {
        Self::build(device, queue, self.0.checked, None, None)
    }

    /// How to open such devices.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn helpers(&self) -> &std::sync::OnceLock<super::ahead::Open> {
        &self.0.helpers
    }

    /// Whether kernels are compiled with wgpu's bounds checks.
    pub(crate) fn is_checked(&self) -> bool {
        self.0.checked
    }

    /// The caller's device.
    pub fn device(&self) -> &wgpu::Device {
        &self.0.device
    }

    /// The caller's queue.
    pub fn queue(&self) -> &wgpu::Queue {
        &self.0.queue
    }

    /// What the device can do.
    pub fn caps(&self) -> &Caps {
        &self.0.caps
    }

    /// How many pipelines have been compiled so far.
    pub fn pipelines(&self) -> usize {
        self.0.pipelines.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Where the driver keeps what it compiles, if it does.
    pub(super) fn pipeline_cache(&self) -> Option<&wgpu::PipelineCache> {
        self.0.cache.as_ref()
    }

    /// Whether a kernel has been compiled.
    pub(crate) fn has(&self, spec: &Spec) -> bool {
        self.0.pipelines.lock().unwrap_or_else(PoisonError::into_inner).contains_key(spec)
    }

    /// The kernel for a key: compiled now, or made before. Compiling holds no lock, so threads can do it side by side.
    pub(crate) fn pipeline<T>(&self, spec: &Spec, args: &[Arg<T>]) -> Result<Arc<Pipeline>> {
        let lock = || self.0.pipelines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = lock().get(spec) {
            return Ok(made.clone());
        }
        let made = Arc::new(self.compile(spec, args)?);
        Ok(lock().entry(*spec).or_insert(made).clone())
    }

    pub(super) fn compile<T>(&self, spec: &Spec, args: &[Arg<T>]) -> Result<Pipeline> {
        let device = &self.0.device;
        let label = spec.label();
        let mut source = spec.source();
        // Browsers insist on the directive, naga does not know it yet.
        if cfg!(target_arch = "wasm32") && spec.tier() != Tier::Baseline {
            source.insert_str(0, "enable subgroups;\n");
        }
        if let Some(patch) = &self.0.patch {
            source = patch(spec, source);
        }
        let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let descriptor =
            wgpu::ShaderModuleDescriptor { label: Some(&label), source: wgpu::ShaderSource::Wgsl(source.into()) };
        let module = match self.0.checked {
            true => device.create_shader_module(descriptor),
            // SAFETY: every body clamps what it reads from buffers before it indexes with it, and its loops are bounded
            // by constants that the host has checked (see ARCHITECTURE.md); tests run both kinds with poisoned ids.
            false => unsafe { device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked()) },
        };
        let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some(&label),
            entries: &layout_entries(spec, args),
        });
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(&label),
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(&label),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                zero_initialize_workgroup_memory: false,
                ..Default::default()
            },
            cache: self.0.cache.as_ref(),
        });
        match now_or_never(scope.pop()).flatten() {
            // A device that is lost refuses everything.
            Some(error) => self.alive().and(Err(gpu_error(&label, error))),
            None => Ok(Pipeline {
                pipeline,
                layout,
                #[cfg(not(target_arch = "wasm32"))]
                ran: Default::default(),
            }),
        }
    }

    /// The bind group of one dispatch: constants, step, arguments.
    pub(crate) fn bind(
        &self,
        pipeline: &Pipeline,
        constants: wgpu::BufferBinding<'_>,
        step: wgpu::BufferBinding<'_>,
        args: &[Arg<Bound<'_>>],
    ) -> wgpu::BindGroup {
        let entry = |binding, resource| wgpu::BindGroupEntry { binding, resource };
        let mut entries =
            vec![entry(0, wgpu::BindingResource::Buffer(constants)), entry(1, wgpu::BindingResource::Buffer(step))];
        entries.extend(args.iter().map(|arg| {
            let resource = match arg.handle {
                Bound::Buffer { buffer, offset, size } => {
                    let size = wgpu::BufferSize::new(size);
                    wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer, offset, size })
                }
                Bound::Texture(view) => wgpu::BindingResource::TextureView(view),
            };
            entry(arg.binding, resource)
        }));
        let descriptor = wgpu::BindGroupDescriptor { label: None, layout: &pipeline.layout, entries: &entries };
        self.0.device.create_bind_group(&descriptor)
    }
}

/// Compiles the pipelines that are new, on as many threads as the machine has: a driver takes 0.2 s and more for each.
/// `told` gets how many of the kernels, each counted once, are there.
pub(crate) fn compile_all<'a, T: Send>(
    wanted: impl IntoIterator<Item = (&'a Context, Spec, Vec<Arg<T>>)>,
    told: &mut dyn FnMut(usize),
) -> Result<()> {
    let key = |gpu: &Context, spec| (Arc::as_ptr(&gpu.0) as usize, spec);
    let todo: HashMap<_, _> = wanted.into_iter().map(|(gpu, spec, args)| (key(gpu, spec), (gpu, spec, args))).collect();
    let mut todo: Vec<_> = todo.into_values().collect();
    // The longest first, so that no thread is left alone with it at the end.
    todo.sort_by_cached_key(|(_, spec, _)| std::cmp::Reverse(spec.source().len()));
    let compile = |(gpu, spec, args): (&Context, Spec, Vec<Arg<T>>)| gpu.pipeline(&spec, &args).map(drop);
    #[cfg(target_arch = "wasm32")]
    return todo.into_iter().enumerate().try_for_each(|(done, one)| compile(one).map(|()| told(done + 1)));
    #[cfg(not(target_arch = "wasm32"))]
    let queue = &Mutex::new(todo.into_iter());
    #[cfg(not(target_arch = "wasm32"))]
    std::thread::scope(|scope| {
        let (send, receive) = std::sync::mpsc::channel();
        let work = move |send: std::sync::mpsc::Sender<()>| {
            let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            // Whoever is told waits until the last worker is done.
            std::iter::from_fn(next).try_for_each(|one| compile(one).map(|()| _ = send.send(())))
        };
        let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
        let workers: Vec<_> = (0..threads).map(|_| send.clone()).map(|send| scope.spawn(move || work(send))).collect();
        drop(send);
        receive.iter().enumerate().for_each(|(done, ())| told(done + 1));
        workers.into_iter().try_for_each(|worker| {
            let failed = |_| Error::Gpu { what: "compiling".into(), why: "the driver's compiler panicked".into() };
            worker.join().map_err(failed)?
        })
    })
}

fn layout_entries<T>(spec: &Spec, args: &[Arg<T>]) -> Vec<wgpu::BindGroupLayoutEntry> {
    let entry =
        |binding, ty| wgpu::BindGroupLayoutEntry { binding, visibility: wgpu::ShaderStages::COMPUTE, ty, count: None };
    let buffer = |ty| wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None };
    let storage = |read_only| buffer(wgpu::BufferBindingType::Storage { read_only });
    let mut entries = vec![entry(0, buffer(wgpu::BufferBindingType::Uniform)), entry(1, storage(true))];
    entries.extend(args.iter().map(|arg| {
        let ty = match spec.texture(arg.name) {
            Some(format) => wgpu::BindingType::StorageTexture {
                access: wgpu::StorageTextureAccess::ReadOnly,
                format,
                view_dimension: wgpu::TextureViewDimension::D2,
            },
            None => storage(arg.access == Access::Read),
        };
        entry(arg.binding, ty)
    }));
    entries
}

/// A future's value if it is there at once, as wgpu's error scopes are natively; in a browser it is not.
pub(crate) fn now_or_never<F: Future>(future: F) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut std::task::Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

pub(crate) fn gpu_error(what: &str, error: wgpu::Error) -> Error {
    match error {
        wgpu::Error::OutOfMemory { source } => Error::OutOfMemory(format!("{what}: {source}")),
        other => Error::Gpu { what: what.into(), why: other.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_wgpu_are_told_apart() {
        let source = || Box::<dyn std::error::Error + Send + Sync>::from("so it is");
        let memory = gpu_error("the cache", wgpu::Error::OutOfMemory { source: source() });
        assert!(matches!(&memory, Error::OutOfMemory(why) if why == "the cache: so it is"), "{memory}");
        assert!(memory.to_string().contains("smaller batches"), "{memory}");
        let other = gpu_error("a kernel", wgpu::Error::Internal { source: source(), description: "it broke".into() });
        assert!(matches!(&other, Error::Gpu { what, .. } if what == "a kernel"), "{other}");
    }
}
