// The simplest gate, silu: an invocation for each element.
@group(0) @binding(2) var<storage, read> x: array<f32>;        // [R, 2 C]
@group(0) @binding(3) var<storage, read_write> y: array<f32>;  // [R, C]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let i = id.x;
    if (i >= THREADS) { return; }
    let at = i / C * 2u * C + i % C;
    y[i] = x[at] / (1.0 + exp(-x[at])) * x[at + C];
}
