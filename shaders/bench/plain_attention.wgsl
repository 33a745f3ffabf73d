// The simplest fused attention: an invocation for each query and head, which goes over the keys once and renews maximum,
// sum and output with each. Every sequence has QUERIES queries and KEYS keys. Loops over a head are unrolled, since
// lavapipe ends an invocation's loops after 65,535 turns, all of them counted together.
@group(0) @binding(2) var<storage, read> q: array<f32>;        // [tokens, HEADS DIM]
@group(0) @binding(3) var<storage, read> k: array<f32>;        // [keys, HEADS DIM]
@group(0) @binding(4) var<storage, read> v: array<f32>;        // [keys, HEADS DIM]
@group(0) @binding(6) var<storage, read_write> y: array<f32>;  // [tokens, HEADS DIM]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let i = id.x;
    if (i >= THREADS) { return; }
    let first = i / HEADS / QUERIES * KEYS;
    let head = i % HEADS;
    let q0 = i * DIM;
    var output: array<f32, DIM>;
    var top = -3.0e38;
    var sum = 0.0;
    for (var key = first; key < first + KEYS; key++) {
        let at = (key * HEADS + head) * DIM;
        var score = 0.0;
        for (var d = 0u; d < DIM; d++) { // unroll
            score += q[q0 + d] * k[at + d];
        }
        score = score / sqrt(f32(DIM));
        let peak = max(top, score);
        let shrink = exp(top - peak);
        let weight = exp(score - peak);
        sum = sum * shrink + weight;
        for (var d = 0u; d < DIM; d++) { // unroll
            output[d] = output[d] * shrink + weight * v[at + d];
        }
        top = peak;
    }
    for (var d = 0u; d < DIM; d++) { // unroll
        y[q0 + d] = output[d] / sum;
    }
}
