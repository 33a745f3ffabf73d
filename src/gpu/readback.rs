//! Bringing buffers back to the host.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};

use super::Context;
use crate::{Error, Result};

#[derive(Default)]
struct Mapped {
    result: Option<std::result::Result<(), wgpu::BufferAsyncError>>,
    waker: Option<Waker>,
}

/// A copy on its way to the host: recorded by [`Context::read_later`], awaited after the submission.
#[derive(Debug)]
pub struct Download {
    buffer: wgpu::Buffer,
}

impl Context {
    /// Records a copy of `size` bytes from `offset`; submit the encoder, then await [`Download::bytes`].
    pub fn read_later(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        source: &wgpu::Buffer,
        offset: u64,
        size: u64,
    ) -> Download {
        let buffer = self.device().create_buffer(&wgpu::BufferDescriptor {
            label: Some("download"),
            size: size.max(4).next_multiple_of(4),
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        if size > 0 {
            encoder.copy_buffer_to_buffer(source, offset, &buffer, 0, size.next_multiple_of(4));
        }
        Download { buffer }
    }
}

impl Download {
    /// The bytes, once the GPU has made them. Nobody else polls a native device, so this does, without blocking.
    ///
    /// # Errors
    /// [`Error::DeviceLost`].
    pub async fn bytes(self, gpu: &Context) -> Result<Vec<u8>> {
        let state = Arc::new(Mutex::new(Mapped::default()));
        let shared = state.clone();
        self.buffer.map_async(wgpu::MapMode::Read, .., move |result| {
            let mut mapped = shared.lock().unwrap_or_else(PoisonError::into_inner);
            mapped.result = Some(result);
            mapped.waker.take().map(Waker::wake);
        });
        let mapped = poll_fn(|cx| {
            let lost = gpu.device().poll(wgpu::PollType::Poll).err();
            let mut mapped = state.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(result) = mapped.result.take() {
                return Poll::Ready(result.map_err(|e| Error::DeviceLost(e.to_string())));
            }
            if let Some(error) = lost {
                return Poll::Ready(Err(Error::DeviceLost(error.to_string())));
            }
            mapped.waker = Some(cx.waker().clone());
            // In a browser the callback wakes us; natively only the next poll would.
            #[cfg(not(target_arch = "wasm32"))]
            {
                std::thread::yield_now();
                cx.waker().wake_by_ref();
            }
            Poll::Pending
        });
        mapped.await?;
        let bytes = self.buffer.get_mapped_range(..).map_err(|e| Error::DeviceLost(e.to_string()))?.to_vec();
        self.buffer.unmap();
        Ok(bytes)
    }

    /// The bytes as f32.
    pub async fn floats(self, gpu: &Context) -> Result<Vec<f32>> {
        Ok(bytemuck::pod_collect_to_vec(&self.bytes(gpu).await?))
    }
}
