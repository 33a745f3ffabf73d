// 16 independent chains of scalar fma, 16 rounds to a turn of the loop.
@group(0) @binding(0) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let i = id.x;
    let a = 1.0 + f32(i & 3u) * 1.0e-7;
    var chain: array<f32, CHAINS>;
    for (var j = 0u; j < CHAINS; j++) { // unroll
        chain[j] = f32(i + j);
    }
    for (var n = 0u; n < ROUNDS; n++) {
        for (var round = 0u; round < 16u; round++) { // unroll
            for (var j = 0u; j < CHAINS; j++) { // unroll
                chain[j] = fma(chain[j], a, 1.0e-3);
            }
        }
    }
    var sum = 0.0;
    for (var j = 0u; j < CHAINS; j++) { // unroll
        sum += chain[j];
    }
    out[i] = sum;
}
