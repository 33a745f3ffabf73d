// Layer norm or RMS norm of x + residual where a workgroup is one subgroup of WG lanes: ROWS rows side by side, so that
// weight and bias are read once for all of them. A lane strides over a row's quads; the mean, then the variance around
// it, then y.
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
    // Loops over rows, which put and pick theirs: unrolled they would be most of what a driver has to compile.
    let height = min(ROWS, rows - first);
    var means: array<f32, ROWS>;
    var inverses: array<f32, ROWS>;
    for (var i = 0u; i < height; i++) {
        var mean = 0.0;
        if (!RMS) {
            var sum = vec4f(0.0);
            for (var j = lane * 4u; j < c.cols; j += WG * 4u) { sum += quad(first + i, j); }
            mean = subgroupAdd((sum.x + sum.y) + (sum.z + sum.w)) / f32(c.cols);
        }
        var square = vec4f(0.0);
        for (var j = lane * 4u; j < c.cols; j += WG * 4u) {
            let distance = distances(first + i, j, mean);
            square = fma(distance, distance, square);
        }
        let total = subgroupAdd((square.x + square.y) + (square.z + square.w));
        for (var row = 0u; row < ROWS; row++) { // unroll
            means[row] = select(means[row], mean, row == i);
            inverses[row] = select(inverses[row], 1.0 / sqrt(total / f32(c.cols) + c.eps), row == i);
        }
    }
    for (var j = lane * 4u; j < c.cols; j += WG * 4u) {
        let scale = weight_quad(c.w_offset, j, c.cols);
        let shift = bias_quad(c.b_offset, j, c.cols);
        for (var i = 0u; i < height; i++) {
            var mean = f32();
            var inverse = f32();
            for (var row = 0u; row < ROWS; row++) { // unroll
                mean = select(mean, means[row], row == i);
                inverse = select(inverse, inverses[row], row == i);
            }
            let value = quad(first + i, j);
            sum_put(c.s_offset + (first + i) * c.s_stride, j, c.cols, value);
            y_put(c.y_offset + (first + i) * c.y_stride, j, c.cols, (value - mean) * inverse * scale + shift);
        }
    }
}
