// The simplest embedding: an invocation for each element. Sequences have LEN tokens each, all of type 0.
@group(0) @binding(2) var<storage, read> ids: array<u32>;       // [tokens]
@group(0) @binding(3) var<storage, read> word: array<f32>;      // [vocabulary, C]
@group(0) @binding(4) var<storage, read> position: array<f32>;  // [LEN, C]
@group(0) @binding(5) var<storage, read> kind: array<f32>;      // [types, C]
@group(0) @binding(6) var<storage, read_write> y: array<f32>;   // [tokens, C]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let i = id.x;
    if (i >= THREADS) { return; }
    y[i] = word[ids[i / C] * C + i % C] + position[i / C % LEN * C + i % C] + kind[i % C];
}
