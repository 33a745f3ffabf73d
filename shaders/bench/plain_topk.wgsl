// The simplest top-k: an invocation for each row, which looks through it once for each rank and once for the sum.
@group(0) @binding(2) var<storage, read> x: array<f32>;           // [R, C]
@group(0) @binding(3) var<storage, read_write> values: array<f32>; // [R, K]
@group(0) @binding(4) var<storage, read_write> ids: array<u32>;    // [R, K]
@group(0) @binding(5) var<storage, read_write> lse: array<f32>;    // [R]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    if (id.x >= THREADS) { return; }
    let row = id.x * C;
    var last = C;
    for (var rank = 0u; rank < K; rank++) {
        var best = C;
        for (var j = 0u; j < C; j++) {
            let below = last == C || x[row + j] < x[row + last] || (x[row + j] == x[row + last] && j > last);
            if (below && (best == C || x[row + j] > x[row + best])) { best = j; }
        }
        values[id.x * K + rank] = x[row + best];
        ids[id.x * K + rank] = best;
        last = best;
    }
    var sum = 0.0;
    for (var j = 0u; j < C; j++) { sum += exp(x[row + j] - values[id.x * K]); }
    lse[id.x] = values[id.x * K] + log(sum);
}
