// Splits a fused projection into query, key and value heads: RMS norm where the model has one, rotation where it has one,
// and for keys and values the store into the cache. A workgroup for each head of a token; if FLAT, which no norm is, an
// invocation for each pair that is rotated and each element that is not, WG of a token's to a workgroup.
@group(0) @binding(2) var<storage, read> x: array<f32>;            // [tokens, (heads + 2 kv_heads) head_dim]
@group(0) @binding(6) var<storage, read_write> q: array<f32>;      // [tokens, heads head_dim]
@group(0) @binding(7) var<storage, read_write> cache: array<f32>;  // [slots, 2 kv_heads head_dim]

// One head of a token: where it is read, where it goes, its position's cosines.
struct Head { x0: u32, at: u32, turn: u32, is_query: bool, is_key: bool }

fn head_of(row: u32, head: u32) -> Head {
    let is_query = head < c.heads;
    let position = min(step[step[H_POSITIONS] + row], c.positions - 1u);
    let slot = min(step[step[H_SLOTS] + row], c.slots - 1u);
    // Where a query goes, or else a key or value.
    let at = select(
        c.kv_offset + slot * c.kv_stride + (head - c.heads) * c.head_dim,
        c.q_offset + row * c.q_stride + head * c.head_dim,
        is_query,
    );
    let x0 = c.x_offset + row * c.x_stride + head * c.head_dim;
    return Head(x0, at, c.rope_offset + position * c.rope_stride, is_query, !is_query && head < c.heads + c.kv_heads);
}

// Element d after the norm.
fn normed(head: Head, d: u32, inverse: f32) -> f32 {
    let value = x[head.x0 + d];
    if (Q_NORM && head.is_query) { return value * inverse * q_norm_at(c.qn_offset + d); }
    if (K_NORM && head.is_key) { return value * inverse * k_norm_at(c.kn_offset + d); }
    return value;
}

fn put(head: Head, d: u32, value: f32) {
    if (head.is_query) {
        q[head.at + d] = value;
    } else {
        cache[head.at + d] = value;
    }
}

// The pair of so many, rotated if it is no value's.
fn put_pair(head: Head, pair: u32, pairs: u32, inverse: f32) {
    let first = select(pair, 2u * pair, INTERLEAVED);
    let second = select(pair + pairs, 2u * pair + 1u, INTERLEAVED);
    let a = normed(head, first, inverse);
    let b = normed(head, second, inverse);
    let cosine = rope_at(head.turn + pair);
    let sine = rope_at(head.turn + pair + pairs);
    let turns = head.is_query || head.is_key;
    put(head, first, select(a, a * cosine - b * sine, turns));
    put(head, second, select(b, b * cosine + a * sine, turns));
}

fn flat(g: u32, local: u32) {
    let pairs = select(0u, c.rotary / 2u, ROPE);
    let units = c.head_dim - pairs;
    let all = units * (c.heads + 2u * c.kv_heads);
    let tiles = (all + WG - 1u) / WG;
    let row = g / tiles;
    let at = g % tiles * WG + local;
    if (row < row_count() && at < all) {
        let head = head_of(row, at / units);
        let unit = at % units;
        if (unit < pairs) {
            put_pair(head, unit, pairs, 1.0);
        } else {
            put(head, unit + pairs, x[head.x0 + unit + pairs]);
        }
    }
}

fn by_heads(g: u32, in: Invocation) {
    let heads = c.heads + 2u * c.kv_heads;
    let row = g / heads;
    if (row >= row_count()) { return; }
    let head = head_of(row, g % heads);
    var inverse = 1.0;
    if (Q_NORM || K_NORM) {
        var square = 0.0;
        for (var d = in.local; d < c.head_dim; d += WG) { square = fma(x[head.x0 + d], x[head.x0 + d], square); }
        inverse = 1.0 / sqrt(reduce_sum(square, in) / f32(c.head_dim) + c.eps);
    }
    let pairs = select(0u, c.rotary / 2u, ROPE && (head.is_query || head.is_key));
    for (var pair = in.local; pair < pairs; pair += WG) { put_pair(head, pair, pairs, inverse); }
    for (var d = 2u * pairs + in.local; d < c.head_dim; d += WG) { put(head, d, normed(head, d, inverse)); }
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, in: Invocation) {
    if (FLAT) {
        flat(linear_group(group, groups), in.local);
    } else {
        by_heads(linear_group(group, groups), in);
    }
}
