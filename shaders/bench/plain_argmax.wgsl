// The simplest argmax: an invocation for each row.
@group(0) @binding(2) var<storage, read> x: array<f32>;          // [R, C]
@group(0) @binding(3) var<storage, read_write> ids: array<u32>;  // [R]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    if (id.x >= THREADS) { return; }
    var best = 0u;
    for (var j = 1u; j < C; j++) { best = select(best, j, x[id.x * C + j] > x[id.x * C + best]); }
    ids[id.x] = best;
}
