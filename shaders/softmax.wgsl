// y = softmax(scale * x), a workgroup for each row: its maximum, the sum of exp(scale * x - maximum), the quotients. An
// invocation has HELD columns on their way at a time; if WHOLE they are all of its own, and the row is read once.
@group(0) @binding(2) var<storage, read> x: array<f32>;        // [R, C]
@group(0) @binding(4) var<storage, read_write> y: array<f32>;  // [R, C]

// scale * x from column j on by steps of WG; past the last one that counts, that one again.
fn scores(row: u32, j: u32, count: u32) -> array<f32, HELD> {
    var held: array<f32, HELD>;
    for (var e = 0u; e < HELD; e++) { // unroll
        held[e] = c.scale * x[c.x_offset + row * c.x_stride + min(j + e * WG, max(count, 1u) - 1u)];
    }
    return held;
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, in: Invocation) {
    let row = linear_group(group, groups);
    if (row >= row_count()) { return; }
    let count = counted(row);
    // Where the loops over j end: if WHOLE, each has one turn.
    let end = select(count, WG, WHOLE);
    var held: array<f32, HELD>;
    var top = NEG_LARGE;
    for (var j = in.local; j < end; j += HELD * WG) {
        held = scores(row, j, count);
        for (var e = 0u; e < HELD; e++) { // unroll
            top = max_nan(top, held[e]);
        }
    }
    top = reduce_max(top, in);
    var sum = 0.0;
    for (var j = in.local; j < end; j += HELD * WG) {
        if (!WHOLE) { held = scores(row, j, count); }
        for (var e = 0u; e < HELD; e++) { // unroll
            held[e] = select(0.0, exp(held[e] - top), j + e * WG < count);
            sum += held[e];
        }
    }
    sum = reduce_sum(sum, in);
    for (var j = in.local; j < select(c.cols, WG, WHOLE); j += HELD * WG) {
        if (!WHOLE) { held = scores(row, j, count); }
        for (var e = 0u; e < HELD; e++) { // unroll
            let at = j + e * WG;
            var p = 0.0;
            if (at < count) { p = select(exp(held[e] - top), held[e], WHOLE) / sum; }
            if (at < c.cols) { y[c.y_offset + row * c.y_stride + at] = p; }
        }
    }
}
