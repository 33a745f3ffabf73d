fn main() {
    let instance = wgpu::Instance::default();
    let adapter = pollster::block_on(instance.request_adapter(&Default::default())).unwrap();
    let (required_features, required_limits) = wgformer::wanted(&adapter);
    let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor {
        required_features,
        required_limits,
        ..Default::default()
    }))
    .unwrap();
    let gpu = wgformer::Context::new(&device, &queue).unwrap();
    let f = std::env::args().nth(1);
    println!("{}", pollster::block_on(wgformer::verify::verify(&gpu, f.as_deref(), &mut |_| {})).unwrap());
}
