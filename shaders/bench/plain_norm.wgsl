// The simplest layer norm: an invocation for each row.
@group(0) @binding(2) var<storage, read> x: array<f32>;        // [R, C]
@group(0) @binding(4) var<storage, read> weight: array<f32>;   // [C]
@group(0) @binding(5) var<storage, read> bias: array<f32>;     // [C]
@group(0) @binding(6) var<storage, read_write> y: array<f32>;  // [R, C]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    if (id.x >= THREADS) { return; }
    let first = id.x * C;
    var mean = 0.0;
    for (var j = 0u; j < C; j++) { mean += x[first + j]; }
    mean /= f32(C);
    var square = 0.0;
    for (var j = 0u; j < C; j++) { square += (x[first + j] - mean) * (x[first + j] - mean); }
    let deviation = sqrt(square / f32(C) + 1.0e-5);
    for (var j = 0u; j < C; j++) { y[first + j] = (x[first + j] - mean) / deviation * weight[j] + bias[j]; }
}
