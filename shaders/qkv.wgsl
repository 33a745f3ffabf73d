// Splits a fused projection into query, key and value heads, a workgroup for each head of a token: RMS norm where the
// model has one, rotation where it has one, and for keys and values the store into the cache.
@group(0) @binding(2) var<storage, read> x: array<f32>;            // [tokens, (heads + 2 kv_heads) head_dim]
@group(0) @binding(6) var<storage, read_write> q: array<f32>;      // [tokens, heads head_dim]
@group(0) @binding(7) var<storage, read_write> cache: array<f32>;  // [slots, 2 kv_heads head_dim]

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, in: Invocation) {
    let g = linear_group(group, groups);
    let heads = c.heads + 2u * c.kv_heads;
    let row = g / heads;
    let head = g % heads;
    if (row >= row_count()) { return; }
    let is_query = head < c.heads;
    let is_key = !is_query && head < c.heads + c.kv_heads;
    let x0 = c.x_offset + row * c.x_stride + head * c.head_dim;

    var inverse = 1.0;
    if (Q_NORM || K_NORM) {
        var square = 0.0;
        for (var d = in.local; d < c.head_dim; d += WG) { square = fma(x[x0 + d], x[x0 + d], square); }
        inverse = 1.0 / sqrt(reduce_sum(square, in) / f32(c.head_dim) + c.eps);
    }
    let position = min(step[step[H_POSITIONS] + row], c.positions - 1u);
    let slot = min(step[step[H_SLOTS] + row], c.slots - 1u);
    // Where a query goes, or else a key or value.
    let at = select(
        c.kv_offset + slot * c.kv_stride + (head - c.heads) * c.head_dim,
        c.q_offset + row * c.q_stride + head * c.head_dim,
        is_query,
    );
    let pairs = select(0u, c.rotary / 2u, ROPE && (is_query || is_key));
    for (var pair = in.local; pair < pairs; pair += WG) {
        let first = select(pair, 2u * pair, INTERLEAVED);
        let second = select(pair + pairs, 2u * pair + 1u, INTERLEAVED);
        let a = normed(x0, first, inverse, is_query, is_key);
        let b = normed(x0, second, inverse, is_query, is_key);
        let turn = c.rope_offset + position * c.rope_stride + pair;
        let cosine = rope_at(turn);
        let sine = rope_at(turn + pairs);
        put(at + first, a * cosine - b * sine, is_query);
        put(at + second, b * cosine + a * sine, is_query);
    }
    for (var d = 2u * pairs + in.local; d < c.head_dim; d += WG) {
        put(at + d, normed(x0, d, inverse, is_query, is_key), is_query);
    }
}

// Element d after the norm.
fn normed(x0: u32, d: u32, inverse: f32, is_query: bool, is_key: bool) -> f32 {
    let value = x[x0 + d];
    if (Q_NORM && is_query) { return value * inverse * q_norm_at(c.qn_offset + d); }
    if (K_NORM && is_key) { return value * inverse * k_norm_at(c.kn_offset + d); }
    return value;
}

fn put(at: u32, value: f32, is_query: bool) {
    if (is_query) {
        q[at] = value;
    } else {
        cache[at] = value;
    }
}
