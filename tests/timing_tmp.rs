mod common;
use std::time::Instant;
#[test]
fn timing() {
    let (d, q) = common::device(); let gpu = if std::env::var("CHECKED").is_ok() { wgformer::Context::checked(&d, &q).unwrap() } else { wgformer::Context::new(&d, &q).unwrap() };
    let f = std::env::var("WGFORMER_FILTER").unwrap();
    for case in wgformer::verify::cases::of(&f) {
        for c in case.op.candidates(gpu.caps()) {
            if c.available.is_err() { continue; }
            let t = Instant::now();
            let n = case.name.clone();
            // compile only, through record_spec on dummy buffers
            let op = case.op.clone();
            let bufs: Vec<wgpu::Buffer> = op.args().iter().map(|a| gpu.device().create_buffer(&wgpu::BufferDescriptor{label:None,size:((a.handle.end()+1_000_00)*4) as u64,usage:wgpu::BufferUsages::STORAGE|wgpu::BufferUsages::COPY_SRC,mapped_at_creation:false})).collect();
            let mut i = 0..;
            let op = op.map(&mut |v| wgformer::Slice::new(&bufs[i.next().unwrap()], v.rows, v.cols).dtype(v.dtype).offset(v.offset).stride(v.stride));
            let mut e = gpu.device().create_command_encoder(&Default::default());
            let p0 = gpu.pipelines();
            gpu.record_spec(&mut e, &op, &case.step, &c.spec).unwrap();
            let compiled = gpu.pipelines() > p0;
            let a = t.elapsed();
            let t = Instant::now();
            let d = gpu.read_later(&mut e, &bufs[0], 0, 4);
            gpu.queue().submit([e.finish()]);
            common::block_on(d.bytes(&gpu)).unwrap();
            let b = t.elapsed();
            if a.as_millis() + b.as_millis() > 150 { eprintln!("{:?} {:?} {} {} {}", a, b, compiled, c.spec.label(), n); }
        }
    }
}
