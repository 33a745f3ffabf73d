//! Bringing buffers back to the host.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};

use super::Context;
use crate::{Error, Result};

/// A copy on its way to the host: recorded by [`Context::read_later`], awaited after the submission.
#[derive(Debug)]
pub struct Download(Result<wgpu::Buffer>);

impl Context {
    /// Records a copy of `size` bytes from `offset`; submit the encoder, then await [`Download::bytes`], which also tells
    /// of what went wrong here.
    pub fn read_later(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        source: &wgpu::Buffer,
        offset: u64,
        size: u64,
    ) -> Download {
        let download = self.download(size);
        download.copy(encoder, source, offset, 0, size);
        download
    }

    /// Room for several copies of `size` bytes together.
    pub(crate) fn download(&self, size: u64) -> Download {
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        Download(self.buffer("download", size.max(4).next_multiple_of(4), usage))
    }
}

/// A flag that a callback raises and a future waits for.
type Signal<T> = Arc<Mutex<(Option<T>, Option<Waker>)>>;

/// Waits for a callback without blocking. Nobody else polls a native device, so this does.
async fn signalled<T>(gpu: &Context, signal: Signal<T>) -> Result<T> {
    poll_fn(|cx| {
        let lost = gpu.device().poll(wgpu::PollType::Poll).err();
        let mut state = signal.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = state.0.take() {
            return Poll::Ready(Ok(value));
        }
        if let Some(error) = lost {
            return Poll::Ready(Err(Error::DeviceLost(error.to_string())));
        }
        state.1 = Some(cx.waker().clone());
        // In a browser the callback wakes us; natively only the next poll would run it.
        #[cfg(not(target_arch = "wasm32"))]
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}

fn raise<T>(signal: &Signal<T>, value: T) {
    let mut state = signal.lock().unwrap_or_else(PoisonError::into_inner);
    state.0 = Some(value);
    if let Some(waker) = state.1.take() {
        waker.wake();
    }
}

impl Context {
    /// Submits what is staged and waits until the GPU has it.
    pub(crate) async fn flush(&self) -> Result<()> {
        let signal = Signal::default();
        let raised = signal.clone();
        self.queue().submit([]);
        self.queue().on_submitted_work_done(move || raise(&raised, ()));
        signalled(self, signal).await
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl Context {
    /// Submits, and blocks until the device has done it: a future that polls would take a core from a software adapter.
    ///
    /// # Errors
    /// [`Error::DeviceLost`].
    pub(crate) fn submit_and_wait(&self, encoder: wgpu::CommandEncoder) -> Result<std::time::Duration> {
        let commands = encoder.finish();
        let start = std::time::Instant::now();
        self.queue().submit([commands]);
        self.wait()?;
        Ok(start.elapsed())
    }

    /// Blocks until the device has done what was submitted.
    ///
    /// # Errors
    /// [`Error::DeviceLost`].
    pub(crate) fn wait(&self) -> Result<()> {
        let waited = self.device().poll(wgpu::PollType::wait_indefinitely());
        waited.map(drop).map_err(|e| Error::DeviceLost(e.to_string()))
    }
}

impl Download {
    /// Records a copy of `size` bytes from `offset` of a buffer to byte `to`.
    pub(crate) fn copy(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        source: &wgpu::Buffer,
        offset: u64,
        to: u64,
        size: u64,
    ) {
        if let (Ok(buffer), true) = (&self.0, size > 0) {
            encoder.copy_buffer_to_buffer(source, offset, buffer, to, size.next_multiple_of(4));
        }
    }

    /// The bytes, once the GPU has made them.
    ///
    /// # Errors
    /// [`Error::DeviceLost`], [`Error::OutOfMemory`].
    pub async fn bytes(self, gpu: &Context) -> Result<Vec<u8>> {
        let buffer = self.0?;
        let signal = Signal::default();
        let raised = signal.clone();
        buffer.map_async(wgpu::MapMode::Read, .., move |result| raise(&raised, result));
        signalled(gpu, signal).await?.map_err(|e| Error::DeviceLost(e.to_string()))?;
        let bytes = buffer.get_mapped_range(..).map_err(|e| Error::DeviceLost(e.to_string()))?.to_vec();
        buffer.unmap();
        Ok(bytes)
    }

    /// The bytes as f32.
    pub async fn floats(self, gpu: &Context) -> Result<Vec<f32>> {
        Ok(bytemuck::pod_collect_to_vec(&self.bytes(gpu).await?))
    }
}
