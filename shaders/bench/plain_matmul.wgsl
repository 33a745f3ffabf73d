// The simplest matmul: y = x . W^T, an invocation for each output. HALF says that W holds pairs of f16.
@group(0) @binding(2) var<storage, read> x: array<f32>;        // [M, K]
@group(0) @binding(3) var<storage, read> w: array<u32>;        // [N, K]
@group(0) @binding(6) var<storage, read_write> y: array<f32>;  // [M, N]

fn w_at(i: u32) -> f32 {
    if (HALF == 1u) { return unpack2x16float(w[i / 2u])[i % 2u]; }
    return bitcast<f32>(w[i]);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let i = id.x;
    if (i >= THREADS) { return; }
    let row = i / N * K;
    let column = i % N * K;
    var sum = 0.0;
    for (var k = 0u; k < K; k++) { sum += x[row + k] * w_at(column + k); }
    y[i] = sum;
}
