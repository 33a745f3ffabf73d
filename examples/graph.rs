//! Level 2: a graph of ops, compiled to a plan, replayed by a session; and the same graph on the CPU.
//!
//! A feed-forward block with its norm and residual, over 5 rows.

use wgformer::graph::{Kind, Rows, State};
use wgformer::kernel::{Matmul, Norm};
use wgformer::model::arch::Activation;
use wgformer::weights::{DType, HostTensor};
use wgformer::{Capacity, Context, Graph, Plan, Role, Session, Step, Weights};

const WIDTH: usize = 24;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut g = Graph::new();
    let x = g.persistent("x", Rows::TOKENS, WIDTH);
    let h = g.transient("h", Rows::TOKENS, WIDTH);
    let u = g.transient("u", Rows::TOKENS, 4 * WIDTH);
    let y = g.persistent("y", Rows::TOKENS, WIDTH);
    let (up, down) = (g.weight("up", 4 * WIDTH, WIDTH, DType::F32), g.weight("down", WIDTH, 4 * WIDTH, DType::F32));
    let scale = g.tensor(Kind::Weight, "norm", Rows::Fixed(1), WIDTH, DType::F32);
    g.push("norm", Norm { weight: Some(scale), rms: true, ..Norm::new(x, h, 1e-6) });
    g.push("up", Matmul { act: Activation::Silu, ..Matmul::new(h, up, u) });
    g.push("down", Matmul { residual: Some(x), ..Matmul::new(u, down, y) });

    let source = |name: &str, shape: [usize; 2]| {
        let seed = name.len();
        let values: Vec<f32> =
            (0..shape[0] * shape[1]).map(|i| ((i * 7 + seed * 13) % 31) as f32 / 31.0 - 0.4).collect();
        HostTensor::from_f32(shape, &values)
    };
    let rows: Vec<f32> = (0..5 * WIDTH).map(|i| (i % 11) as f32 - 5.0).collect();
    let step = Step::packed(&[5]);

    let instance = wgpu::Instance::default();
    let adapter = pollster::block_on(instance.request_adapter(&wgpu::RequestAdapterOptions::default()))?;
    let (required_features, required_limits) = wgformer::wanted(&adapter);
    let descriptor = wgpu::DeviceDescriptor { required_features, required_limits, ..Default::default() };
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor))?;
    let gpu = Context::new(&device, &queue)?;
    let plan = Plan::compile(gpu.caps(), &g, Role::Full, Capacity::packed(8, 1))?;
    println!("{}\n", plan.report());
    let weights = pollster::block_on(Weights::load(&gpu, &[&plan], &source))?;
    let mut session = pollster::block_on(Session::new(&gpu, &weights, [plan]))?;
    queue.write_buffer(session.buffer("x").ok_or("no x")?, 0, bytemuck::cast_slice(&rows));
    let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    session.record(&mut encoder, Role::Full, &step)?;
    let later = gpu.read_later(&mut encoder, session.buffer("y").ok_or("no y")?, 0, 4 * rows.len() as u64);
    queue.submit([encoder.finish()]);
    let got = pollster::block_on(later.floats(&gpu))?;

    let mut state = State::<f32>::new();
    state.set("x", wgformer::reference::Tensor::Floats(rows));
    state.run(&g, &step, &source)?;
    let want = state.get("y").ok_or("no y")?.floats();
    let worst = got.iter().zip(want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    println!("GPU {:.5?} ..\nCPU {:.5?} ..\nfurthest apart {worst:e}", &got[..4], &want[..4]);
    Ok(())
}
