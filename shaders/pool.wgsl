// One vector for each sequence. A workgroup takes COLUMNS columns at a time: all, one after the other, if WHOLE, else
// only its own. LANES invocations share the tokens of a column, each with AHEAD of them on their way at a time, and put
// theirs together in a fixed order.
@group(0) @binding(2) var<storage, read> x: array<f32>;        // [tokens, C]
@group(0) @binding(3) var<storage, read_write> y: array<f32>;  // [sequences, C]

// Modes; any other takes the greatest.
const MEAN = 0u;
const CLS = 1u;
const LAST = 3u;

// Of what two lanes, or a lane and a token, have.
fn joined(a: f32, b: f32) -> f32 {
    return select(max_nan(a, b), a + b, MODE == MEAN);
}

// What a lane makes of its tokens. The last one again changes no maximum, and is no part of a sum.
fn pooled(span: Span, j: u32, lane: u32) -> f32 {
    if (span.len == 0u) { return 0.0; }
    let last = span.len - 1u;
    let x0 = c.x_offset + span.start * c.x_stride + j;
    if (MODE == CLS) { return x[x0]; }
    if (MODE == LAST) { return x[x0 + last * c.x_stride]; }
    var value = select(x[x0 + min(lane, last) * c.x_stride], 0.0, MODE == MEAN);
    for (var i = lane; i < span.len; i += AHEAD * LANES) {
        for (var e = 0u; e < AHEAD; e++) { // unroll
            let token = i + e * LANES;
            let next = x[x0 + min(token, last) * c.x_stride];
            value = joined(value, select(0.0, next, MODE != MEAN || token < span.len));
        }
    }
    return value;
}

fn over_lanes(value: f32, in: Invocation) -> f32 {
    if (LANES == 1u) { return value; }
    share(value, in);
    var all = shared_at(value, in.local % COLUMNS);
    for (var lane = 1u; lane < LANES; lane++) { all = joined(all, shared_at(value, lane * COLUMNS + in.local % COLUMNS)); }
    share_end();
    return all;
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, in: Invocation) {
    let g = linear_group(group, groups);
    let tiles = select((c.cols + COLUMNS - 1u) / COLUMNS, 1u, WHOLE);
    let sequence = g / tiles;
    if (sequence >= step[H_SEQUENCES]) { return; }
    let span = span_of(sequence);
    let y0 = c.y_offset + sequence * c.y_stride;
    let first = g % tiles * COLUMNS;
    let end = select(min(c.cols, first + COLUMNS), c.cols, WHOLE);
    let lane = in.local / COLUMNS;
    var square = 0.0;
    for (var tile = first; tile < end; tile += COLUMNS) {
        let j = tile + in.local % COLUMNS;
        var value = over_lanes(pooled(span, min(j, c.cols - 1u), lane), in);
        value = select(value, value / f32(max(span.len, 1u)), MODE == MEAN);
        if (lane == 0u && j < end) {
            square = fma(value, value, square);
            y[y0 + j] = value;
        }
    }
    if (NORMALIZE) {
        let length = max_nan(sqrt(reduce_sum(square, in)), 1.0e-12);
        for (var j = in.local; lane == 0u && j < end; j += COLUMNS) { y[y0 + j] = y[y0 + j] / length; }
    }
}
