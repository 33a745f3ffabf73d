// The simplest softmax: an invocation for each row.
@group(0) @binding(2) var<storage, read> x: array<f32>;        // [R, C]
@group(0) @binding(4) var<storage, read_write> y: array<f32>;  // [R, C]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    if (id.x >= THREADS) { return; }
    let first = id.x * C;
    var top = x[first];
    for (var i = first; i < first + C; i++) { top = max(top, x[i]); }
    var sum = 0.0;
    for (var i = first; i < first + C; i++) { sum += exp(x[i] - top); }
    for (var i = first; i < first + C; i++) { y[i] = exp(x[i] - top) / sum; }
}
