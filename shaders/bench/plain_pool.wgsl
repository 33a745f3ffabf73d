// The simplest mean over the tokens of each sequence, LEN each: an invocation for each output.
@group(0) @binding(2) var<storage, read> x: array<f32>;        // [tokens, C]
@group(0) @binding(3) var<storage, read_write> y: array<f32>;  // [sequences, C]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let i = id.x;
    if (i >= THREADS) { return; }
    var sum = 0.0;
    for (var t = 0u; t < LEN; t++) { sum += x[(i / C * LEN + t) * C + i % C]; }
    y[i] = sum / f32(LEN);
}
