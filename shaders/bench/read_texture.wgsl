// Reads a storage texture and adds it up, a texel a time, eight neighbouring rows at once; a workgroup takes every so many
// such bands.
@group(0) @binding(0) var<storage, read_write> out: array<f32>;
@group(0) @binding(1) var x: texture_storage_2d<rgba32float, read>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let size = textureDimensions(x);
    var sum: array<vec4f, 8>;
    for (var row = group.x * 8u; row < size.y; row += groups.x * 8u) {
        for (var n = local; n < size.x; n += 4u * WG) {
            for (var i = 0u; i < 4u; i++) { // unroll
                for (var j = 0u; j < 8u; j++) { // unroll
                    sum[j] += textureLoad(x, vec2u(n + i * WG, row + j));
                }
            }
        }
    }
    let all = ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
    out[group.x * WG + local] = all.x + all.y + all.z + all.w;
}
