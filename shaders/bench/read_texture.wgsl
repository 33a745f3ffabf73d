// Reads a storage texture and adds it up, a texel a time; a workgroup takes eight neighbouring rows, which are as many streams of memory.
@group(0) @binding(0) var<storage, read_write> out: array<f32>;
@group(0) @binding(1) var x: texture_storage_2d<rgba32float, read>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
    let wide = textureDimensions(x).x;
    var sum: array<vec4f, 8>;
    for (var n = local; n < wide; n += 4u * WG) {
        for (var i = 0u; i < 4u; i++) { // unroll
            for (var j = 0u; j < 8u; j++) { // unroll
                sum[j] += textureLoad(x, vec2u(n + i * WG, group.x * 8u + j));
            }
        }
    }
    let all = ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
    out[group.x * WG + local] = all.x + all.y + all.z + all.w;
}
