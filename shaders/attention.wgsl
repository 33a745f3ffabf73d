// Fused attention (Dao et al. 2022, FlashAttention) for tiles of WG query rows of one sequence and head.
//
// An invocation owns a query row: its query, its running maximum, its sum and its output stay in registers. Blocks of
// keys and values go through workgroup memory. Four keys are taken at a time: their products do not wait for one another,
// and the maximum is renewed, and sum and output rescaled, once for all of them. They are counted from the sequence's own
// first key, so nothing else in the batch can change a bit of the answer.
//
// On GPUs loops up to `quads`, `keys` and `loads` are unrolled: fast, but much to compile. The header declares
// q [tokens, heads head_dim], k, v [keys, kv_heads head_dim] and out, with `_quad` and `_put`.
const FOUR = vec4u(0u, 1u, 2u, 3u);

var<workgroup> ks: array<vec4f, BLOCK * QUADS>;
var<workgroup> vs: array<vec4f, BLOCK * QUADS>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let tile = tile_of(group, groups);
    let h = tile.head;
    if (h >= c.heads) { return; }
    let span = tile.span;
    let i = min(tile.first + local, span.len - 1u);
    let row = span.start + i;

    var query: array<vec4f, QUADS>;
    var output: array<vec4f, QUADS>;
    var q_square = 0.0;
    let q0 = c.q_offset + row * c.q_stride + h * c.head_dim;
    let quads = turns_of((c.head_dim + 3u) / 4u, span.len);
    for (var quad = 0u; quad < quads; quad++) { // unroll
        let four = q_quad(q0, quad * 4u, c.head_dim);
        for (var s = 0u; s < QUADS; s++) { // unroll
            query[s] = select(query[s], four, s == quad);
        }
    }
    if (COSINE) {
        for (var s = 0u; s < QUADS; s++) { // unroll
            q_square += dot(query[s], query[s]);
        }
    }

    var top = NEG_LARGE;
    var sum = 0.0;
    let end = visible(span, min(tile.first + WG, span.len) - 1u);
    for (var first = 0u; first < end; first += BLOCK) {
        let count = min(BLOCK, end - first);
        let loads = ((count + 3u) / 4u * 4u * QUADS + WG - 1u) / WG;
        workgroupBarrier();
        for (var n = 0u; n < loads; n++) { // unroll
            let e = n * WG + local;
            let j = first + e / QUADS;
            let at = key_row(span, min(j, end - 1u));
            let d = e % QUADS * 4u;
            ks[e] = k_quad(tile.k0 + at * c.k_stride, d, c.head_dim);
            // What lies beyond the end is multiplied, by zero.
            vs[e] = select(vec4f(0.0), v_quad(tile.v0 + at * c.v_stride, d, c.head_dim), j < end);
        }
        workgroupBarrier();
        for (var b = 0u; b < count; b += 4u) {
            let keys = min(4u, count - b);
            var seen = vec4<bool>();
            var some = b;
            for (var n = 0u; n < 4u; n++) { // unroll
                seen[n] = (b + n < count) & allowed(span, i, first + b + n);
                some = select(some, b + n, seen[n]);
            }
            if (!any(seen)) { continue; }
            var score = vec4f(NEG_LARGE);
            for (var n = 0u; n < keys; n++) { // unroll
                var products = vec4f();
                var k_square = 0.0;
                for (var s = 0u; s < QUADS; s++) { // unroll
                    let key = ks[(b + n) * QUADS + s];
                    products = fma(query[s], key, products);
                    if (COSINE) { k_square += dot(key, key); }
                }
                let product = (products.x + products.y) + (products.z + products.w);
                let one = similarity(product, q_square, k_square) + bias_of(span, h, i, first + b + n);
                score = select(score, vec4f(one), seen & (FOUR == vec4u(n)));
            }
            let peak = max(max(top, max(score.x, score.y)), max(score.z, score.w));
            let shrink = exp(top - peak);
            top = peak;
            let weight = select(vec4f(0.0), exp(score - vec4f(peak)), seen);
            sum = fma(sum, shrink, (weight.x + weight.y) + (weight.z + weight.w));
            for (var s = 0u; s < QUADS; s++) { // unroll
                output[s] *= shrink;
            }
            // A hidden value may be NaN: one that is seen is multiplied by zero in its stead.
            let value = select(vec4u(some), vec4u(b) + FOUR, seen | vec4<bool>(!CAUSAL && !WINDOW));
            for (var n = 0u; n < keys; n++) { // unroll
                for (var s = 0u; s < QUADS; s++) { // unroll
                    output[s] = fma(vec4f(weight[n]), vs[value[n] * QUADS + s], output[s]);
                }
            }
        }
    }

    if (tile.first + local >= span.len) { return; }
    let inverse = select(1.0 / sum, 0.0, sum == 0.0);
    for (var quad = 0u; quad < quads; quad++) {
        var four = vec4f();
        for (var s = 0u; s < QUADS; s++) { // unroll
            four = select(four, output[s], s == quad);
        }
        out_put(c.y_offset + row * c.y_stride + h * c.head_dim, quad * 4u, c.head_dim, four * inverse);
    }
}
