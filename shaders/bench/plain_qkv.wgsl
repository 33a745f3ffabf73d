// The simplest split with rotation, an invocation for each element: one sequence, positions and slots counted from 0.
@group(0) @binding(2) var<storage, read> x: array<f32>;            // [tokens, (HEADS + 2 KV) DIM]
@group(0) @binding(5) var<storage, read> rope: array<f32>;         // [positions, DIM]: cosines, then sines
@group(0) @binding(6) var<storage, read_write> q: array<f32>;      // [tokens, HEADS DIM]
@group(0) @binding(7) var<storage, read_write> cache: array<f32>;  // [slots, 2 KV DIM]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let i = id.x;
    if (i >= THREADS) { return; }
    let token = i / ((HEADS + 2u * KV) * DIM);
    let column = i % ((HEADS + 2u * KV) * DIM);
    let d = column % DIM;
    var value = x[i];
    if (column < (HEADS + KV) * DIM) {
        let sine = rope[token * DIM + DIM / 2u + d % (DIM / 2u)];
        let cosine = rope[token * DIM + d % (DIM / 2u)];
        if (d < DIM / 2u) {
            value = value * cosine - x[i + DIM / 2u] * sine;
        } else {
            value = value * cosine + x[i - DIM / 2u] * sine;
        }
    }
    if (column < HEADS * DIM) {
        q[token * HEADS * DIM + column] = value;
    } else {
        cache[token * 2u * KV * DIM + column - HEADS * DIM] = value;
    }
}
