// 16 independent chains of vec4 fma; the results are kept alive by one store.
@group(0) @binding(0) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = id.x;
    let a = vec4f(1.0 + f32(i & 3u) * 1.0e-7);
    let b = vec4f(1.0e-3, 2.0e-3, 3.0e-3, 4.0e-3);
    var chain: array<vec4f, 16>;
    for (var j = 0u; j < 16u; j++) { // unroll
        chain[j] = vec4f(f32(i + j));
    }
    for (var n = 0u; n < ROUNDS; n++) {
        for (var j = 0u; j < 16u; j++) { // unroll
            chain[j] = fma(chain[j], a, b);
        }
    }
    var sum = vec4f(0.0);
    for (var j = 0u; j < 16u; j++) { // unroll
        sum += chain[j];
    }
    out[i] = sum.x + sum.y + sum.z + sum.w;
}
