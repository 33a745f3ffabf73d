// Layer norm or RMS norm of x + residual where a workgroup is one subgroup of WG lanes: ROWS rows side by side, so that
// weight and bias are read once for all of them. A lane strides over a row's quads; the mean, then the variance around
// it, then y. Rows past the end are clamped, and only stores are guarded.
//
// The header declares x, residual, y, sum [R, C] and weight, bias [1, C] with their `_quad` and `_put`.
fn quad(row: u32, j: u32) -> vec4f {
    return x_quad(c.x_offset + row * c.x_stride, j, c.cols) + residual_quad(c.r_offset + row * c.r_stride, j, c.cols);
}

// The quad's distances from the mean, 0 past the row's end.
fn distances(row: u32, j: u32, mean: f32) -> vec4f {
    return select(vec4f(0.0), quad(row, j) - mean, vec4u(j, j + 1u, j + 2u, j + 3u) < vec4u(c.cols));
}

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let first = linear_group(group, groups) * ROWS;
    let rows = row_count();
    if (first >= rows) { return; }
    var mean: array<f32, ROWS>;
    var inverse: array<f32, ROWS>;
    for (var i = 0u; i < ROWS; i++) { // unroll
        let row = min(first + i, rows - 1u);
        if (!RMS) {
            var sum = vec4f(0.0);
            for (var j = lane * 4u; j < c.cols; j += WG * 4u) { sum += quad(row, j); }
            mean[i] = subgroupAdd((sum.x + sum.y) + (sum.z + sum.w)) / f32(c.cols);
        }
        var square = vec4f(0.0);
        for (var j = lane * 4u; j < c.cols; j += WG * 4u) {
            let distance = distances(row, j, mean[i]);
            square = fma(distance, distance, square);
        }
        let total = subgroupAdd((square.x + square.y) + (square.z + square.w));
        inverse[i] = 1.0 / sqrt(total / f32(c.cols) + c.eps);
    }
    for (var j = lane * 4u; j < c.cols; j += WG * 4u) {
        let scale = weight_quad(c.w_offset, j, c.cols);
        let shift = bias_quad(c.b_offset, j, c.cols);
        for (var i = 0u; i < ROWS; i++) { // unroll
            let row = first + i;
            if (row < rows) {
                let value = quad(row, j);
                sum_put(c.s_offset + row * c.s_stride, j, c.cols, value);
                y_put(c.y_offset + row * c.y_stride, j, c.cols, (value - mean[i]) * inverse[i] * scale + shift);
            }
        }
    }
}
