// One vector for each sequence, a workgroup each: its invocations stride over the columns, and add up only for the norm.
@group(0) @binding(2) var<storage, read> x: array<f32>;        // [tokens, C]
@group(0) @binding(3) var<storage, read_write> y: array<f32>;  // [sequences, C]

// Modes; any other takes the greatest.
const MEAN = 0u;
const CLS = 1u;
const LAST = 3u;

fn pooled(span: Span, j: u32) -> f32 {
    if (span.len == 0u) { return 0.0; }
    let x0 = c.x_offset + j;
    if (MODE == CLS) { return x[x0 + span.start * c.x_stride]; }
    if (MODE == LAST) { return x[x0 + (span.start + span.len - 1u) * c.x_stride]; }
    var value = x[x0 + span.start * c.x_stride];
    for (var i = 1u; i < span.len; i++) {
        let next = x[x0 + (span.start + i) * c.x_stride];
        value = select(max_nan(value, next), value + next, MODE == MEAN);
    }
    return select(value, value / f32(span.len), MODE == MEAN);
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, in: Invocation) {
    let sequence = linear_group(group, groups);
    if (sequence >= step[H_SEQUENCES]) { return; }
    let span = span_of(sequence);
    let y0 = c.y_offset + sequence * c.y_stride;
    var square = 0.0;
    for (var j = in.local; j < c.cols; j += WG) {
        let value = pooled(span, j);
        square = fma(value, value, square);
        y[y0 + j] = value;
    }
    if (NORMALIZE) {
        let length = max_nan(sqrt(reduce_sum(square, in)), 1.0e-12);
        for (var j = in.local; j < c.cols; j += WG) { y[y0 + j] = y[y0 + j] / length; }
    }
}
