//! The simplest bodies: what anyone would write first, an invocation for each output or each row over plain buffers.
//! How much faster than these a kernel is says what its own cleverness is worth on an adapter.

use super::kernel::Kernel;
use crate::kernel::{Access, Op, View};
use crate::verify::cases::Case;
use crate::weights::DType;
use crate::{Context, Result};

/// Invocations of a workgroup, as the shaders say.
const WORKGROUP: u32 = 64;

/// A plain kernel with the buffers of its arguments.
pub(super) struct Plain {
    kernel: Kernel,
    groups: u32,
    /// Each output by its name.
    pub outputs: Vec<(&'static str, wgpu::Buffer)>,
}

impl Plain {
    pub fn new(gpu: &Context, case: &Case) -> Result<Self> {
        let (file, threads, mut numbers) = shader(case);
        numbers.push(("THREADS", threads as u32));
        let args = case.op.args();
        let mut buffers = Vec::new();
        for arg in &args {
            let contents = match arg.access {
                Access::Read => case.bytes(arg.name),
                Access::Write => vec![0; 4 * arg.handle.end()],
            };
            buffers.push(gpu.buffer_of(
                arg.name,
                &contents,
                wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC,
            )?);
        }
        let entries: Vec<_> = args
            .iter()
            .zip(&buffers)
            .map(|(arg, buffer)| wgpu::BindGroupEntry { binding: arg.binding, resource: buffer.as_entire_binding() })
            .collect();
        let kernel = Kernel::new(gpu, file, &numbers, &entries)?;
        let written = args.iter().zip(&buffers).filter(|(arg, _)| arg.access == Access::Write);
        let outputs = written.map(|(arg, buffer)| (arg.name, buffer.clone())).collect();
        Ok(Self { kernel, groups: (threads as u32).div_ceil(WORKGROUP), outputs })
    }

    pub fn record(&self, encoder: &mut wgpu::CommandEncoder, replays: usize) {
        self.kernel.record(encoder, self.groups, replays);
    }
}

type Shader = (&'static str, usize, Vec<(&'static str, u32)>);

/// Its file, how many invocations have something to do, and its constants.
fn shader(case: &Case) -> Shader {
    let number = |name, value: usize| (name, value as u32);
    let all = |view: &View| view.rows * view.cols;
    let len = case.step.spans.first().map_or(0, |span| span.len as usize);
    match &case.op {
        Op::Matmul(op) => {
            let half = usize::from(op.w.dtype == DType::F16);
            let numbers = vec![number("N", op.y.cols), number("K", op.x.cols), number("HALF", half)];
            ("bench/plain_matmul", all(&op.y), numbers)
        }
        Op::Attention(op) => {
            let keys = op.k.rows / case.step.spans.len().max(1);
            let sizes = [number("HEADS", op.heads), number("DIM", op.head_dim)];
            let numbers = [&sizes[..], &[number("QUERIES", len), number("KEYS", keys)]].concat();
            ("bench/plain_attention", op.q.rows * op.heads, numbers)
        }
        Op::Softmax(op) => ("bench/plain_softmax", op.x.rows, vec![number("C", op.x.cols)]),
        Op::Norm(op) => ("bench/plain_norm", op.x.rows, vec![number("C", op.x.cols)]),
        Op::Embed(op) => ("bench/plain_embed", all(&op.y), vec![number("C", op.y.cols), number("LEN", len)]),
        Op::Gate(op) => ("bench/plain_gate", all(&op.y), vec![number("C", op.y.cols)]),
        Op::Qkv(op) => {
            let numbers = vec![number("HEADS", op.heads), number("KV", op.kv_heads), number("DIM", op.head_dim)];
            ("bench/plain_qkv", all(&op.x), numbers)
        }
        Op::Pool(op) => ("bench/plain_pool", all(&op.y), vec![number("C", op.y.cols), number("LEN", len)]),
        Op::Argmax(op) => ("bench/plain_argmax", op.x.rows, vec![number("C", op.x.cols)]),
        Op::Topk(op) => ("bench/plain_topk", op.x.rows, vec![number("C", op.x.cols), number("K", op.values.cols)]),
    }
}
