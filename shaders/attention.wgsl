// Fused attention (Dao et al. 2022, FlashAttention) for tiles of WG query rows of one sequence and head.
//
// An invocation owns a query row: its query, its running maximum, its sum and its output stay in registers. Blocks of
// keys and values go through workgroup memory. When a score exceeds the maximum, sum and output are rescaled. Blocks
// start at the sequence's own first key, so nothing else in the batch can change a bit of the answer.
@group(0) @binding(2) var<storage, read> q: array<f32>;  // [tokens, heads head_dim]
@group(0) @binding(3) var<storage, read> k: array<f32>;  // [keys, kv_heads head_dim]
@group(0) @binding(4) var<storage, read> v: array<f32>;  // [keys, kv_heads head_dim]

var<workgroup> ks: array<vec4f, BLOCK * QUADS>;
var<workgroup> vs: array<vec4f, BLOCK * QUADS>;

// Four elements of a head, zeros past head_dim.
fn quad_mask(d: u32) -> vec4<bool> {
    return vec4u(d, d + 1u, d + 2u, d + 3u) < vec4u(c.head_dim);
}

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
    let i = tile.first + local;
    let row = span.start + min(i, span.len - 1u);
    let last = c.head_dim - 1u;

    var query: array<vec4f, QUADS>;
    var output: array<vec4f, QUADS>;
    var q_square = 0.0;
    let q0 = c.q_offset + row * c.q_stride + h * c.head_dim;
    // This loop and the last one pick their quad from all: unrolled they would be most of what a driver has to compile.
    for (var quad = 0u; quad < (c.head_dim + 3u) / 4u; quad++) {
        let d = quad * 4u;
        let raw = vec4f(q[q0 + min(d, last)], q[q0 + min(d + 1u, last)], q[q0 + min(d + 2u, last)], q[q0 + min(d + 3u, last)]);
        let four = select(vec4f(0.0), raw, quad_mask(d));
        q_square += dot(four, four);
        for (var s = 0u; s < QUADS; s++) { // unroll
            query[s] = select(query[s], four, s == quad);
        }
    }

    var top = NEG_LARGE;
    var sum = 0.0;
    let end = visible(span, min(tile.first + WG, span.len) - 1u);
    for (var first = 0u; first < end; first += BLOCK) {
        let count = min(BLOCK, end - first);
        workgroupBarrier();
        for (var e = local; e < count * QUADS; e += WG) {
            let at = key_row(span, first + e / QUADS);
            let d = e % QUADS * 4u;
            let ka = tile.k0 + at * c.k_stride;
            let va = tile.v0 + at * c.v_stride;
            let k4 = vec4f(k[ka + min(d, last)], k[ka + min(d + 1u, last)], k[ka + min(d + 2u, last)], k[ka + min(d + 3u, last)]);
            let v4 = vec4f(v[va + min(d, last)], v[va + min(d + 1u, last)], v[va + min(d + 2u, last)], v[va + min(d + 3u, last)]);
            ks[e] = select(vec4f(0.0), k4, quad_mask(d));
            vs[e] = v4;
        }
        workgroupBarrier();
        for (var b = 0u; b < count; b++) {
            let j = first + b;
            if (!allowed(span, min(i, span.len - 1u), j)) { continue; }
            var product = 0.0;
            var k_square = 0.0;
            for (var s = 0u; s < QUADS; s++) { // unroll
                let key = ks[b * QUADS + s];
                product += dot(query[s], key);
                if (COSINE) { k_square += dot(key, key); }
            }
            let score = similarity(product, q_square, k_square) + bias_of(span, h, min(i, span.len - 1u), j);
            if (score > top) {
                let shrink = exp(top - score);
                sum *= shrink;
                for (var s = 0u; s < QUADS; s++) { // unroll
                    output[s] *= shrink;
                }
                top = score;
            }
            let p = exp(score - top);
            sum += p;
            for (var s = 0u; s < QUADS; s++) { // unroll
                output[s] = fma(vec4f(p), vs[b * QUADS + s], output[s]);
            }
        }
    }

    if (i >= span.len) { return; }
    let y0 = c.y_offset + row * c.y_stride + h * c.head_dim;
    let inverse = select(1.0 / sum, 0.0, sum == 0.0);
    for (var quad = 0u; quad < (c.head_dim + 3u) / 4u; quad++) {
        var four: vec4f;
        for (var s = 0u; s < QUADS; s++) { // unroll
            four = select(four, output[s], s == quad);
        }
        for (var e = 0u; e < 4u; e++) { // unroll
            if (quad * 4u + e < c.head_dim) { out[y0 + quad * 4u + e] = four[e] * inverse; }
        }
    }
}
