// y = softmax(scale * x) where a workgroup is one subgroup of WG lanes, which goes through some rows: a row's maximum, the
// sum of e^(scale * x - maximum), the quotients. A lane strides over its quads three times, since few lanes cannot hold it.
//
// The header declares x and y [R, C] with `x_quad` and `y_put`.

// Which columns of the quad from j on count.
fn counts(j: u32, count: u32) -> vec4<bool> {
    return vec4u(j, j + 1u, j + 2u, j + 3u) < vec4u(count);
}

fn scaled(row: u32, j: u32) -> vec4f {
    return c.scale * x_quad(c.x_offset + row * c.x_stride, j, c.cols);
}

// The quad's powers, 0 for columns that do not count.
fn powers(row: u32, j: u32, count: u32, top: f32) -> vec4f {
    let at = (scaled(row, j) - top) * LOG2_E;
    let all = vec4f(power_of_two(at.x), power_of_two(at.y), power_of_two(at.z), power_of_two(at.w));
    return select(vec4f(0.0), all, counts(j, count));
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, in: Invocation) {
    let first = linear_group(group, groups) * c.rows_each;
    for (var row = first; row < min(first + c.rows_each, row_count()); row++) {
        let count = counted(row);
        // Whether a maximum drops a NaN or not: its power is one.
        var tops = vec4f(NEG_LARGE);
        for (var j = in.local * 4u; j < count; j += 4u * WG) {
            tops = max(tops, select(vec4f(NEG_LARGE), scaled(row, j), counts(j, count)));
        }
        let top = subgroupMax(max(max(tops.x, tops.y), max(tops.z, tops.w)));
        var sums = vec4f();
        for (var j = in.local * 4u; j < count; j += 4u * WG) { sums += powers(row, j, count, top); }
        let sum = reduce_sum((sums.x + sums.y) + (sums.z + sums.w), in);
        for (var j = in.local * 4u; j < c.cols; j += 4u * WG) {
            let shares = powers(row, j, count, top) / sum;
            y_put(c.y_offset + row * c.y_stride, j, c.cols, select(vec4f(0.0), shares, counts(j, count)));
        }
    }
}
