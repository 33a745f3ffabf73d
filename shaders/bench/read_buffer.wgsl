// Reads a buffer and adds it up, 16 bytes a time.
@group(0) @binding(0) var<storage, read_write> out: array<f32>;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let each = arrayLength(&x) / groups.x;
    let first = id.x / WG * each + id.x % WG;
    var sum: array<vec4f, 4>;
    for (var n = 0u; n < each; n += 4u * WG) {
        for (var j = 0u; j < 4u; j++) { // unroll
            sum[j] += x[first + n + j * WG];
        }
    }
    let all = (sum[0] + sum[1]) + (sum[2] + sum[3]);
    out[id.x] = all.x + all.y + all.z + all.w;
}
