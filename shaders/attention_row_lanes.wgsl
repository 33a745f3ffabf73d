// Attention of one query row and head where a workgroup is one subgroup of WG lanes: a lane scores a key, then the values
// are summed with a quad of dimensions for each lane. Keys are taken in blocks of WG from the sequence's first; the
// maximum is renewed, and sum and output rescaled, once a block. With WEIGHTS the scores themselves become the output.
//
// The header declares q [tokens, heads head_dim], k, v [keys, kv_heads head_dim] with their `_quad`, and out.

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let tile = tile_of(group, groups);
    let h = tile.head;
    if (h >= c.heads) { return; }
    let span = tile.span;
    let i = tile.first;
    var end = visible(span, i);
    var start = 0u;
    if (WINDOW) {
        let near = in_window(span, i, i, end, lane);
        start = near.x / WG * WG;
        end = near.y;
    }
    let row = span.start + i;
    let weights0 = c.y_offset + row * c.y_stride + h * c.keys;

    var query: array<vec4f, QUADS>;
    var q_square = 0.0;
    // A loop over quads, which puts each in its place: unrolled it would be much of what a driver has to compile.
    let quads = turns_of((c.head_dim + 3u) / 4u, span.len);
    for (var quad = 0u; quad < quads; quad++) {
        let four = q_quad(c.q_offset + row * c.q_stride + h * c.head_dim, quad * 4u, c.head_dim);
        if (COSINE) { q_square += dot(four, four); }
        for (var s = 0u; s < QUADS; s++) { // unroll
            query[s] = select(query[s], four, s == quad);
        }
    }
    var output: array<vec4f, LOADS>;
    var top = NEG_LARGE;
    var sum = 0.0;  // of this lane's keys
    for (var first = start; first < end; first += WG) {
        let j = first + lane;
        let seen = (j < end) & allowed(span, i, min(j, end - 1u));
        let at = key_row(span, min(j, end - 1u));
        var products = vec4f();
        var k_square = 0.0;
        for (var s = 0u; s < QUADS; s++) { // unroll
            let key = k_quad(tile.k0 + at * c.k_stride, s * 4u, c.head_dim);
            products = fma(query[s], key, products);
            if (COSINE) { k_square += dot(key, key); }
        }
        let product = (products.x + products.y) + (products.z + products.w);
        var s = similarity(product, q_square, k_square);
        if (BIAS) { s += bias_of(span, h, i, min(j, end - 1u)); }
        s = select(NEG_LARGE, s, seen);
        // Whether `subgroupMax` drops a NaN or not: the weight p of that key is one.
        let peak = max(top, subgroupMax(s));
        let shrink = power_of_two((top - peak) * LOG2_E);
        let p = select(0.0, power_of_two((s - peak) * LOG2_E), seen);
        sum = fma(sum, shrink, p);
        top = peak;
        if (WEIGHTS) {
            if (j < c.keys) { out[weights0 + j] = s; }
        } else {
            for (var e = 0u; e < LOADS; e++) { // unroll
                output[e] *= shrink;
            }
            // Mirrored, all of a block's keys in one turn, for which the host unrolls it. Else a few: what reads buffers is much
            // to compile, and a driver ends all loops after 65,535 turns.
            let turns = (min(WG, end - first) + TURN - 1u) / TURN;
            for (var turn = 0u; turn < turns; turn++) { // unroll
                for (var b = 0u; b < TURN; b++) { // unroll
                    let weight = subgroupShuffle(p, turn * TURN + b);
                    let value0 = tile.v0 + subgroupShuffle(at, turn * TURN + b) * c.v_stride;
                    for (var e = 0u; e < LOADS; e++) { // unroll
                        let value = v_quad(value0, (e * WG + lane) * 4u, c.head_dim);
                        output[e] = fma(select(value, vec4f(0.0), weight == 0.0), vec4f(weight), output[e]);
                    }
                }
            }
        }
    }

    let total = subgroupAdd(sum);
    if (WEIGHTS) {
        for (var j = lane; j < c.keys; j += WG) {
            var p = 0.0;
            if (j >= start && j < end && total != 0.0) {
                // A key belongs to the same lane here and above.
                let s = out[weights0 + j];
                if (s != NEG_LARGE) { p = power_of_two((s - top) * LOG2_E) / total; }
            }
            out[weights0 + j] = p;
        }
        return;
    }
    let inverse = select(1.0 / total, 0.0, total == 0.0);
    for (var e = 0u; e < LOADS; e++) { // unroll
        for (var d = 0u; d < 4u; d++) { // unroll
            let at = (e * WG + lane) * 4u + d;
            if (at < c.head_dim) { out[c.y_offset + row * c.y_stride + h * c.head_dim + at] = output[e][d] * inverse; }
        }
    }
}
