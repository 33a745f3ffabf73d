// Attention of one query row and head for each workgroup: an invocation scores a key, then the values are summed with
// an invocation for every dimension. Keys are taken in blocks of WG from the sequence's first; the maximum is renewed,
// and sum and output rescaled, once a block. With WEIGHTS the scores themselves become the output.
@group(0) @binding(2) var<storage, read> q: array<f32>;  // [tokens, heads head_dim]
@group(0) @binding(3) var<storage, read> k: array<f32>;  // [keys, kv_heads head_dim]
@group(0) @binding(4) var<storage, read> v: array<f32>;  // [keys, kv_heads head_dim]

const DIMS = (HEAD + WG - 1u) / WG;

fn score(span: Span, h: u32, i: u32, j: u32) -> f32 {
    let q0 = c.q_offset + (span.start + i) * c.q_stride + h * c.head_dim;
    let k0 = c.k_offset + key_row(span, j) * c.k_stride + h / c.group * c.head_dim;
    var product = 0.0;
    var q_square = 0.0;
    var k_square = 0.0;
    for (var d = 0u; d < c.head_dim; d++) {
        product = fma(q[q0 + d], k[k0 + d], product);
        if (COSINE) {
            q_square = fma(q[q0 + d], q[q0 + d], q_square);
            k_square = fma(k[k0 + d], k[k0 + d], k_square);
        }
    }
    return similarity(product, q_square, k_square) + bias_of(span, h, i, j);
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, in: Invocation) {
    let tile = tile_of(group, groups);
    let h = tile.head;
    if (h >= c.heads) { return; }
    let span = tile.span;
    let i = tile.first;
    let end = visible(span, i);
    let row = span.start + i;
    let weights0 = c.y_offset + row * c.y_stride + h * c.keys;

    var output: array<f32, DIMS>;
    var top = NEG_LARGE;
    var sum = 0.0;  // of this invocation's keys
    for (var first = 0u; first < end; first += WG) {
        let j = first + in.local;
        let seen = allowed(span, i, j) && j < end;
        var s = NEG_LARGE;
        if (seen) { s = score(span, h, i, j); }
        let peak = max_nan(top, reduce_max(s, in));
        let shrink = exp(top - peak);
        var p = 0.0;
        if (seen) { p = exp(s - peak); }
        sum = sum * shrink + p;
        top = peak;
        if (WEIGHTS) {
            // A key belongs to the same invocation here and below.
            if (j < c.keys) { out[weights0 + j] = select(NEG_LARGE, s, seen); }
        } else {
            share(p, in);
            for (var e = 0u; e < DIMS; e++) { output[e] *= shrink; }
            for (var b = 0u; b < min(WG, end - first); b++) {
                let weight = shared_at(p, b);
                if (weight == 0.0) { continue; }
                let at = tile.v0 + key_row(span, first + b) * c.v_stride;
                for (var e = 0u; e < DIMS; e++) {
                    output[e] = fma(weight, v[at + min(in.local + e * WG, c.head_dim - 1u)], output[e]);
                }
            }
            share_end();
        }
    }

    let total = reduce_sum(sum, in);
    if (WEIGHTS) {
        for (var j = in.local; j < c.keys; j += WG) {
            var p = 0.0;
            if (j < end && total != 0.0) {
                let s = out[weights0 + j];
                if (s != NEG_LARGE) { p = exp(s - top) / total; }
            }
            out[weights0 + j] = p;
        }
        return;
    }
    let inverse = select(1.0 / total, 0.0, total == 0.0);
    for (var e = 0u; e < DIMS; e++) {
        let d = in.local + e * WG;
        if (d < c.head_dim) { out[c.y_offset + row * c.y_stride + h * c.head_dim + d] = output[e] * inverse; }
    }
}
