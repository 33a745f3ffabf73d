// y = softmax(scale * x), a workgroup for each row: its maximum, the sum of exp(scale * x - maximum), the quotients.
@group(0) @binding(2) var<storage, read> x: array<f32>;        // [R, C]
@group(0) @binding(4) var<storage, read_write> y: array<f32>;  // [R, C]

@compute @workgroup_size(WG)
fn main(in: Invocation) {
    let row = linear_group(in.group, in.groups);
    if (row >= row_count()) { return; }
    var count = length_of(row);
    if (CAUSAL) {
        count = min(count, c.cols - c.causal + row % c.causal + 1u);
    }
    let x0 = c.x_offset + row * c.x_stride;
    var top = NEG_LARGE;
    for (var j = in.local; j < count; j += WG) { top = max_nan(top, c.scale * x[x0 + j]); }
    top = reduce_max(top, in);
    var sum = 0.0;
    for (var j = in.local; j < count; j += WG) { sum += exp(c.scale * x[x0 + j] - top); }
    sum = reduce_sum(sum, in);
    let y0 = c.y_offset + row * c.y_stride;
    for (var j = in.local; j < c.cols; j += WG) {
        var p = 0.0;
        if (j < count) { p = exp(c.scale * x[x0 + j] - top) / sum; }
        y[y0 + j] = p;
    }
}
