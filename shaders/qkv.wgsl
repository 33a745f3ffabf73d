// Splits a fused projection into query, key and value heads, a workgroup for each head of a token: RMS norm where the
// model has one, rotation where it has one, and for keys and values the store into the cache.
@group(0) @binding(2) var<storage, read> x: array<f32>;            // [tokens, (heads + 2 kv_heads) head_dim]
@group(0) @binding(6) var<storage, read_write> q: array<f32>;      // [tokens, heads head_dim]
@group(0) @binding(7) var<storage, read_write> cache: array<f32>;  // [slots, 2 kv_heads head_dim]

@compute @workgroup_size(WG)
fn main(in: Invocation) {
    let g = linear_group(in.group, in.groups);
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
    for (var d = in.local; d < c.head_dim; d += WG) {
        let value = rotated(x0, d, inverse, is_query, is_key, position);
        if (is_query) {
            q[c.q_offset + row * c.q_stride + head * c.head_dim + d] = value;
        } else {
            cache[c.kv_offset + slot * c.kv_stride + (head - c.heads) * c.head_dim + d] = value;
        }
    }
}

// Element d after the norm.
fn normed(x0: u32, d: u32, inverse: f32, is_query: bool, is_key: bool) -> f32 {
    let value = x[x0 + d];
    if (Q_NORM && is_query) { return value * inverse * q_norm_at(c.qn_offset + d); }
    if (K_NORM && is_key) { return value * inverse * k_norm_at(c.kn_offset + d); }
    return value;
}

// Element d after norm and rotation.
fn rotated(x0: u32, d: u32, inverse: f32, is_query: bool, is_key: bool, position: u32) -> f32 {
    let value = normed(x0, d, inverse, is_query, is_key);
    if (!ROPE || !(is_query || is_key) || d >= c.rotary) { return value; }
    let pairs = c.rotary / 2u;
    let pair = select(d % pairs, d / 2u, INTERLEAVED);
    let first = select(d < pairs, d % 2u == 0u, INTERLEAVED);
    let other = select(select(d - pairs, d + pairs, d < pairs), d ^ 1u, INTERLEAVED);
    let at = c.rope_offset + position * c.rope_stride + pair;
    let turn = rope_at(at + pairs) * normed(x0, other, inverse, is_query, is_key);
    return value * rope_at(at) + select(turn, -turn, first);
}
