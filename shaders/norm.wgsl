// Layer norm or RMS norm of x + residual, a workgroup for each row: the mean, then the variance around it, then y.
@group(0) @binding(2) var<storage, read> x: array<f32>;        // [R, C]
@group(0) @binding(6) var<storage, read_write> y: array<f32>;  // [R, C]

fn element(row: u32, j: u32) -> f32 {
    return x[c.x_offset + row * c.x_stride + j] + residual_at(c.r_offset + row * c.r_stride + j);
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, in: Invocation) {
    let row = linear_group(group, groups);
    if (row >= row_count()) { return; }
    var mean = 0.0;
    if (!RMS) {
        for (var j = in.local; j < c.cols; j += WG) { mean += element(row, j); }
        mean = reduce_sum(mean, in) / f32(c.cols);
    }
    var square = 0.0;
    for (var j = in.local; j < c.cols; j += WG) {
        let distance = element(row, j) - mean;
        square = fma(distance, distance, square);
    }
    let inverse = 1.0 / sqrt(reduce_sum(square, in) / f32(c.cols) + c.eps);
    for (var j = in.local; j < c.cols; j += WG) {
        let value = element(row, j);
        put_sum(c.s_offset + row * c.s_stride + j, value);
        y[c.y_offset + row * c.y_stride + j] = (value - mean) * inverse * weight_at(c.w_offset + j) + bias_at(c.b_offset + j);
    }
}
