// Copies a buffer, 16 bytes a time; a workgroup takes a block.
@group(0) @binding(0) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
    let each = arrayLength(&x) / groups.x;
    let first = group.x * each + local;
    for (var n = 0u; n < each; n += 4u * WG) {
        for (var j = 0u; j < 4u; j++) { // unroll
            out[first + n + j * WG] = x[first + n + j * WG];
        }
    }
}
