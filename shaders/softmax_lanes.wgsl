// y = softmax(scale * x) where a workgroup is one subgroup of WG lanes, one for each row: its maximum, the sum of
// exp(scale * x - maximum), the quotients. It reads the row three times, since few lanes cannot hold it.
// A turn of a loop takes four columns: see argmax.wgsl.
@group(0) @binding(2) var<storage, read> x: array<f32>;        // [R, C]
@group(0) @binding(4) var<storage, read_write> y: array<f32>;  // [R, C]

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, in: Invocation) {
    let row = linear_group(group, groups);
    if (row >= row_count()) { return; }
    let count = counted(row);
    let x0 = c.x_offset + row * c.x_stride;
    var top = NEG_LARGE;
    for (var j = in.local; j < count; j += 4u * WG) {
        for (var e = 0u; e < 4u; e++) { // unroll
            top = max_nan(top, c.scale * x[x0 + min(j + e * WG, count - 1u)]);
        }
    }
    top = reduce_max(top, in);
    var sum = 0.0;
    for (var j = in.local; j < count; j += 4u * WG) {
        for (var e = 0u; e < 4u; e++) { // unroll
            let at = j + e * WG;
            sum += select(0.0, exp(c.scale * x[x0 + min(at, count - 1u)] - top), at < count);
        }
    }
    sum = reduce_sum(sum, in);
    let y0 = c.y_offset + row * c.y_stride;
    for (var j = in.local; j < c.cols; j += 4u * WG) {
        for (var e = 0u; e < 4u; e++) { // unroll
            let at = j + e * WG;
            var p = 0.0;
            if (at < count) { p = exp(c.scale * x[x0 + at] - top) / sum; }
            if (at < c.cols) { y[y0 + at] = p; }
        }
    }
}
