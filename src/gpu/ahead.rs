//! Machine code ahead of the first run, on several devices side by side.
//!
//! Mesa's software driver generates a kernel's code when it is first dispatched, on the one thread of the device's queue
//! (0.03 to 0.6 s each), and keeps it in a cache on disk which all devices share. So kernels are dispatched beforehand, for
//! no workgroups: by some on this device, by others on helpers, whose code this device then finds in that cache.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::context::{Bound, Context, Pipeline, gpu_error, now_or_never};
use crate::kernel::{Arg, Spec, View};
use crate::{Error, Result};

/// Opens a further device of the context's adapter.
pub(super) type Open = Box<dyn Fn() -> Option<(wgpu::Device, wgpu::Queue)> + Send + Sync>;

/// Code that is not there yet takes more than so many times as long as its pipeline: 14 to 19 times with Mesa's software driver,
/// while its cache takes less than once, and a driver that generates it with the pipeline 0.1 times.
const LATE: u32 = 3;

/// Devices at work: each holds some 30 MB while its compiler runs.
const MOST: usize = 4;

/// A kernel, and what its arguments are called.
type Kernel<'a> = (Spec, Vec<Arg<&'a View>>);

impl Context {
    /// Tells how to open further devices of the same adapter, on which code is generated side by side with this one: up to
    /// three, if the machine has the threads. They are opened when a [`Session`](crate::Session) comes with kernels of which
    /// the driver has no code yet, and dropped when it is there.
    ///
    /// Only Mesa's software driver is known to need it: it generates code when a kernel first runs, one after the other. With
    /// two cores the first answer comes in some 0.6 of the time. Making a session then waits for the driver. It does nothing
    /// on other drivers, and nothing when set again; browsers have no such driver, nor this method.
    ///
    /// ```no_run
    /// # fn f(adapter: wgpu::Adapter, gpu: wgformer::Context, descriptor: wgpu::DeviceDescriptor<'static>) {
    /// if adapter.get_info().device_type == wgpu::DeviceType::Cpu {
    ///     gpu.set_helpers(move || pollster::block_on(adapter.request_device(&descriptor)).ok());
    /// }
    /// # }
    /// ```
    pub fn set_helpers(&self, open: impl Fn() -> Option<(wgpu::Device, wgpu::Queue)> + Send + Sync + 'static) {
        let _ = self.helpers().set(Box::new(open));
    }

    /// Has the driver generate the code of these kernels, where helpers may be opened for it.
    pub(crate) fn run_ahead<'a>(&self, kernels: impl IntoIterator<Item = Kernel<'a>>) -> Result<()> {
        let threads = std::thread::available_parallelism().map_or(1, |n| n.get()).min(MOST);
        let Some(open) = self.helpers().get().filter(|_| threads > 1) else { return Ok(()) };
        let mut new = HashMap::new();
        for (spec, args) in kernels {
            if !self.pipeline(&spec, &args)?.ran.swap(true, Ordering::Relaxed) {
                new.insert(spec, args);
            }
        }
        let mut new: Vec<_> = new.into_iter().collect();
        // The longest first, so that no thread is left alone with it at the end.
        new.sort_by_cached_key(|(spec, _)| std::cmp::Reverse(spec.source().len()));
        let Some(shortest) = new.pop().filter(|_| !new.is_empty()) else { return Ok(()) };
        if !self.runs_late(&shortest)? {
            return Ok(());
        }
        let queue = Mutex::new(new.into_iter());
        let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
        let help = || {
            let (device, queue) = open()?;
            let helper = self.beside(&device, &queue).ok()?;
            std::iter::from_fn(next).try_for_each(|(spec, args)| {
                helper.run_for_none(&helper.compile(&spec, &args).ok()?, &spec, &args).ok()
            })
        };
        std::thread::scope(|scope| {
            let helpers: Vec<_> = (1..threads).map(|_| scope.spawn(help)).collect();
            let own = std::iter::from_fn(next)
                .try_for_each(|(spec, args)| self.run_for_none(&*self.pipeline(&spec, &args)?, &spec, &args));
            // What a helper could not do, the first run does.
            helpers.into_iter().for_each(|helper| drop(helper.join()));
            own
        })
    }

    /// Whether the driver generates code only when a kernel runs, and has none of this one yet.
    fn runs_late(&self, (spec, args): &Kernel<'_>) -> Result<bool> {
        let start = Instant::now();
        let made = self.compile(spec, args)?;
        let compiled = start.elapsed();
        self.run_for_none(&made, spec, args)?;
        Ok(start.elapsed() - compiled > LATE * compiled)
    }

    /// Dispatches a kernel for no workgroups, and waits for it.
    fn run_for_none(&self, made: &Pipeline, spec: &Spec, args: &[Arg<&View>]) -> Result<()> {
        const SIZE: u64 = 256;
        let scope = self.device().push_error_scope(wgpu::ErrorFilter::Validation);
        let constants = self.buffer("none", SIZE, wgpu::BufferUsages::UNIFORM)?;
        let buffer = || self.buffer("none", SIZE, wgpu::BufferUsages::STORAGE);
        let (step, buffers) = (buffer()?, args.iter().map(|_| buffer()).collect::<Result<Vec<_>>>()?);
        let texture =
            |arg: &Arg<&View>| spec.texture(arg.name).map(|format| self.texture("none", 1, 1, format)).transpose();
        let textures = args.iter().map(texture).collect::<Result<Vec<_>>>()?;
        let views: Vec<_> = textures.iter().map(|t| t.as_ref().map(|t| t.create_view(&Default::default()))).collect();
        let bound = args.iter().zip(&buffers).zip(&views).map(|((arg, buffer), view)| {
            let handle = view.as_ref().map_or(Bound::Buffer { buffer, offset: 0, size: SIZE }, Bound::Texture);
            Arg { name: arg.name, access: arg.access, binding: arg.binding, handle }
        });
        let whole = |buffer| wgpu::BufferBinding { buffer, offset: 0, size: None };
        let group = self.bind(made, whole(&constants), whole(&step), &bound.collect::<Vec<_>>());
        let mut encoder = self.device().create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(&made.pipeline);
        pass.set_bind_group(0, &group, &[]);
        pass.dispatch_workgroups(0, 1, 1);
        drop(pass);
        self.queue().submit([encoder.finish()]);
        self.device().poll(wgpu::PollType::wait_indefinitely()).map_err(|e| Error::DeviceLost(e.to_string()))?;
        match now_or_never(scope.pop()).flatten() {
            Some(error) => self.alive().and(Err(gpu_error(&spec.label(), error))),
            None => Ok(()),
        }
    }
}
