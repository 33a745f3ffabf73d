// The column of each row's greatest element, a workgroup for each row: the maximum, then the first column that has it.
// A NaN counts as the greatest. A turn of a loop takes four columns: Mesa's software driver ends all loops of an invocation
// after 65,535 turns, and vocabularies are wide.
@group(0) @binding(2) var<storage, read> x: array<f32>;          // [R, C]
@group(0) @binding(3) var<storage, read_write> ids: array<u32>;  // [R]

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, in: Invocation) {
    let row = linear_group(group, groups);
    if (row >= row_count()) { return; }
    let x0 = c.x_offset + row * c.x_stride;
    // Not NEG_LARGE: a row may hold nothing but less.
    var top = x[x0 + min(in.local, c.cols - 1u)];
    for (var j = in.local; j < c.cols; j += 4u * WG) {
        for (var e = 0u; e < 4u; e++) { // unroll
            top = max_nan(top, x[x0 + min(j + e * WG, c.cols - 1u)]);
        }
    }
    top = reduce_max(top, in);
    // Columns count below 2^24, so they are exact in f32; the first is the greatest of their negatives.
    var first = NEG_LARGE;
    for (var j = in.local; j < c.cols; j += 4u * WG) {
        for (var e = 0u; e < 4u; e++) { // unroll
            let at = min(j + e * WG, c.cols - 1u);
            let value = x[x0 + at];
            if (value == top || is_nan(value)) { first = max(first, -f32(at)); }
        }
    }
    first = reduce_max(first, in);
    if (in.local == 0u) { ids[c.y_offset + row * c.y_stride] = u32(-first); }
}
