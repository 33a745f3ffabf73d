// Attention of one query row and head for each workgroup. Keys are taken in blocks of WG from the sequence's first: four
// invocations score a key, a quad of dimensions at a time; then an invocation owns a key, and the maximum is renewed, and
// sum and output rescaled, once a block; then each group of QUADS invocations sums every GROUPS-th value. With WEIGHTS the
// scores themselves become the output.
//
// The header declares q [tokens, heads head_dim], k, v [keys, kv_heads head_dim] with their `_quad`, and out.
const GROUPS = WG / QUADS;

var<workgroup> query: array<vec4f, QUADS>;
var<workgroup> rows: array<u32, WG>;             // where the block's keys lie
var<workgroup> products: array<f32, 4u * WG>;    // of a key and the query, in four shares
var<workgroup> k_squares: array<f32, 4u * WG>;
var<workgroup> outputs: array<vec4f, WG>;

// Four invocations' shares of a key, added up.
fn product_of(key: u32) -> f32 {
    let at = 4u * key;
    return (products[at] + products[at + 1u]) + (products[at + 2u] + products[at + 3u]);
}

fn k_square_of(key: u32) -> f32 {
    let at = 4u * key;
    return (k_squares[at] + k_squares[at + 1u]) + (k_squares[at + 2u] + k_squares[at + 3u]);
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

    if (in.local < QUADS) {
        query[in.local] = q_quad(c.q_offset + row * c.q_stride + h * c.head_dim, in.local * 4u, c.head_dim);
    }
    workgroupBarrier();
    var q_square = 0.0;
    if (COSINE) {
        for (var quad = 0u; quad < QUADS; quad++) { q_square += dot(query[quad], query[quad]); }
    }
    let turns = (c.head_dim + 15u) / 16u;
    let lane = in.local % 4u;
    var output: vec4f;
    var top = NEG_LARGE;
    var sum = 0.0;  // of this invocation's keys
    for (var first = 0u; first < end; first += WG) {
        let j = first + in.local;
        let count = min(WG, end - first);
        rows[in.local] = key_row(span, min(j, end - 1u));
        workgroupBarrier();
        for (var key = in.local / 4u; key < count; key += WG / 4u) {
            if (!allowed(span, i, first + key)) { continue; }
            let k0 = tile.k0 + rows[key] * c.k_stride;
            var product = vec4f();
            var k_square = 0.0;
            for (var n = 0u; n < turns; n++) { // unroll
                let quad = n * 4u + lane;
                let four = k_quad(k0, quad * 4u, c.head_dim);
                product = fma(query[quad], four, product);
                if (COSINE) { k_square += dot(four, four); }
            }
            products[4u * key + lane] = (product.x + product.y) + (product.z + product.w);
            if (COSINE) { k_squares[4u * key + lane] = k_square; }
        }
        workgroupBarrier();
        let seen = allowed(span, i, j) && j < end;
        var s = NEG_LARGE;
        if (seen) {
            var k_square = 0.0;
            if (COSINE) { k_square = k_square_of(in.local); }
            s = similarity(product_of(in.local), q_square, k_square) + bias_of(span, h, i, j);
        }
        let highest = reduce_max(s, in);
        let peak = max_nan(top, highest);
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
            output *= shrink;
            // A block that is hidden as a whole has nothing to add.
            let stop = select(count, 0u, highest == NEG_LARGE);
            for (var b = in.local / QUADS; b < stop; b += AHEAD * GROUPS) {
                for (var n = 0u; n < AHEAD; n++) { // unroll
                    let at = min(b + n * GROUPS, WG - 1u);
                    let weight = select(0.0, shared_at(p, at), b + n * GROUPS < stop);
                    let value = v_quad(tile.v0 + rows[at] * c.v_stride, in.local % QUADS * 4u, c.head_dim);
                    output = fma(vec4f(weight), select(value, vec4f(0.0), weight == 0.0), output);
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
    outputs[in.local] = output;
    workgroupBarrier();
    if (in.local >= QUADS) { return; }
    output = vec4f(0.0);
    for (var g = 0u; g < GROUPS; g++) { output += outputs[g * QUADS + in.local]; }
    output *= select(1.0 / total, 0.0, total == 0.0);
    for (var e = 0u; e < 4u; e++) { // unroll
        let d = in.local * 4u + e;
        if (d < c.head_dim) { out[c.y_offset + row * c.y_stride + h * c.head_dim + d] = output[e]; }
    }
}
