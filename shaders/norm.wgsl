// Layer norm or RMS norm of x + residual, a workgroup for each row: the mean, then the variance around it, then y. An
// invocation has HELD columns on their way at a time; if WHOLE they are all of its own, and the row is read once.
@group(0) @binding(2) var<storage, read> x: array<f32>;        // [R, C]
@group(0) @binding(6) var<storage, read_write> y: array<f32>;  // [R, C]

// Elements of a row, from column j on by steps of WG; past its end the last one again.
fn elements(row: u32, j: u32) -> array<f32, HELD> {
    var held: array<f32, HELD>;
    for (var e = 0u; e < HELD; e++) { // unroll
        let at = min(j + e * WG, c.cols - 1u);
        held[e] = x[c.x_offset + row * c.x_stride + at] + residual_at(c.r_offset + row * c.r_stride + at);
    }
    return held;
}

// Weight and bias of those columns.
fn affine(j: u32) -> array<vec2f, HELD> {
    var both: array<vec2f, HELD>;
    for (var e = 0u; e < HELD; e++) { // unroll
        let at = min(j + e * WG, c.cols - 1u);
        both[e] = vec2f(weight_at(c.w_offset + at), bias_at(c.b_offset + at));
    }
    return both;
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, in: Invocation) {
    let row = linear_group(group, groups);
    if (row >= row_count()) { return; }
    // Where the loops over j end: if WHOLE, each has one turn.
    let end = select(c.cols, WG, WHOLE);
    var held = elements(row, in.local);
    var both = affine(in.local);
    var mean = 0.0;
    if (!RMS) {
        for (var j = in.local; j < end; j += HELD * WG) {
            if (!WHOLE) { held = elements(row, j); }
            for (var e = 0u; e < HELD; e++) { // unroll
                mean += select(0.0, held[e], j + e * WG < c.cols);
            }
        }
        mean = reduce_sum(mean, in) / f32(c.cols);
    }
    var square = 0.0;
    for (var j = in.local; j < end; j += HELD * WG) {
        if (!WHOLE) { held = elements(row, j); }
        for (var e = 0u; e < HELD; e++) { // unroll
            let distance = select(0.0, held[e] - mean, j + e * WG < c.cols);
            square = fma(distance, distance, square);
        }
    }
    let inverse = 1.0 / sqrt(reduce_sum(square, in) / f32(c.cols) + c.eps);
    for (var j = in.local; j < end; j += HELD * WG) {
        if (!WHOLE) {
            held = elements(row, j);
            both = affine(j);
        }
        for (var e = 0u; e < HELD; e++) { // unroll
            let at = j + e * WG;
            if (at < c.cols) {
                put_sum(c.s_offset + row * c.s_stride + at, held[e]);
                y[c.y_offset + row * c.y_stride + at] = (held[e] - mean) * inverse * both[e].x + both[e].y;
            }
        }
    }
}
