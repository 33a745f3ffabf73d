// Fused attention where a workgroup is one subgroup of WG lanes, for PANELS * WG query rows of one sequence and head.
//
// A lane owns a row of each panel: its query, sum and output stay in registers. KEYS keys at a time are loaded once, a
// quad to a lane, and broadcast quad by quad; each broadcast feeds all panels. Weights are 2^(score - top), where
// top follows the greatest score only when that is 16 or more above it: so the inner loop neither takes a maximum of
// exponentials nor rescales, and it ends early, to come again, in the rare block that makes top rise.
//
// Where there is a causal mask, keys that every row of the tile may see come first (path 0), then those that only some
// may (path 1); with a window there is no such first part, and what no row may see is passed over. A key that a row may
// not see weighs 0 and its value is not touched, so that a NaN there stays there. Blocks start at whole KEYS from the
// sequence's own first key: nothing else in the batch can change a bit of the answer.
//
// The header declares q [tokens, heads head_dim], k, v [keys, kv_heads head_dim] and out, with `_quad` and `_put`.

// Below any score, but so far above NEG_LARGE that a key which is hidden by that score weighs 0 from the start.
const LOWEST = -1.0e38;
const TALL = PANELS * WG;
// Whether rows of the tile may differ in what they see of a path.
fn masked(path: u32) -> bool {
    return WINDOW || path == 1u;
}

// Whether row i may see key j.
fn sees(path: u32, span: Span, i: u32, j: u32, stop: u32) -> bool {
    return (j < stop) & (!masked(path) || allowed(span, i, j));
}

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
    let i0 = tile.first;
    let i_last = min(i0 + TALL, span.len) - 1u;
    var end = visible(span, i_last);
    var first = 0u;
    if (WINDOW) {
        let near = in_window(span, i0, i_last, end, lane);
        first = near.x / KEYS * KEYS;
        end = near.y;
    }

    var query: array<array<vec4f, QUADS>, PANELS>;
    var output: array<array<vec4f, QUADS>, PANELS>;
    var sum: array<f32, PANELS>;
    var top: array<f32, PANELS>;
    var peak: array<f32, PANELS>;
    // This loop over quads and the last one put and pick theirs: unrolled they would be much of what a driver has to compile.
    let quads = turns_of((c.head_dim + 3u) / 4u, span.len);
    for (var quad = 0u; quad < quads; quad++) {
        for (var p = 0u; p < PANELS; p++) { // unroll
            let row = span.start + min(i0 + p * WG + lane, i_last);
            let four = q_quad(c.q_offset + row * c.q_stride + h * c.head_dim, quad * 4u, c.head_dim) * (c.scale * LOG2_E);
            for (var s = 0u; s < QUADS; s++) { // unroll
                query[p][s] = select(query[p][s], four, s == quad);
            }
        }
    }
    for (var p = 0u; p < PANELS; p++) { // unroll
        top[p] = LOWEST;
        peak[p] = LOWEST;
    }

    for (var path = 0u; path < PATHS; path++) { // unroll
        var stop = end;
        if (PATHS == 2u && path == 0u) { stop = visible(span, i0) / KEYS * KEYS; }
        loop {
            for (var p = 0u; p < PANELS; p++) { // unroll
                let shrink = power_of_two(top[p] - peak[p]);
                top[p] = peak[p];
                sum[p] *= shrink;
                for (var s = 0u; s < QUADS; s++) { // unroll
                    output[p][s] *= shrink;
                }
            }
            var rises = false;
            loop {
                if (first >= stop) { break; }
                var at = array<u32, LOADS>();
                var held = array<vec4f, LOADS>();
                for (var n = 0u; n < LOADS; n++) { // unroll
                    at[n] = key_row(span, min(first + (n * WG + lane) / QUADS, end - 1u));
                    held[n] = k_quad(tile.k0 + at[n] * c.k_stride, (n * WG + lane) % QUADS * 4u, c.head_dim);
                }
                var score = array<array<f32, PANELS>, KEYS>();
                var rise = false;
                for (var s = 0u; s < QUADS; s++) { // unroll
                    for (var b = 0u; b < KEYS; b++) { // unroll
                        let key = subgroupBroadcast(held[(b * QUADS + s) / WG], (b * QUADS + s) % WG);
                        for (var p = 0u; p < PANELS; p++) { // unroll
                            score[b][p] += dot(key, query[p][s]);
                        }
                    }
                }
                for (var b = 0u; b < KEYS; b++) { // unroll
                    for (var p = 0u; p < PANELS; p++) { // unroll
                        let i = min(i0 + p * WG + lane, i_last);
                        if (BIAS) { score[b][p] += bias_of(span, h, i, min(first + b, end - 1u)) * LOG2_E; }
                        score[b][p] = select(NEG_LARGE, score[b][p], sees(path, span, i, first + b, stop));
                        peak[p] = max(peak[p], score[b][p]);
                        rise = rise | (peak[p] > top[p] + 16.0);
                    }
                }
                if (subgroupAny(rise)) {
                    rises = true;
                    break;
                }
                for (var p = 0u; p < PANELS; p++) { // unroll
                    peak[p] = top[p];
                }
                for (var n = 0u; n < LOADS; n++) { // unroll
                    held[n] = v_quad(tile.v0 + at[n] * c.v_stride, (n * WG + lane) % QUADS * 4u, c.head_dim);
                    held[n] = select(held[n], vec4f(0.0), first + (n * WG + lane) / QUADS >= stop);
                }
                var weight = array<array<f32, PANELS>, KEYS>();
                var hidden = array<array<bool, PANELS>, KEYS>();
                for (var p = 0u; p < PANELS; p++) { // unroll
                    for (var b = 0u; b < KEYS; b++) { // unroll
                        hidden[b][p] = score[b][p] == NEG_LARGE;
                        weight[b][p] = power_of_two(score[b][p] - top[p]);
                        sum[p] += weight[b][p];
                    }
                }
                for (var s = 0u; s < QUADS; s++) { // unroll
                    var value = array<vec4f, KEYS>();
                    for (var b = 0u; b < KEYS; b++) { // unroll
                        value[b] = subgroupBroadcast(held[(b * QUADS + s) / WG], (b * QUADS + s) % WG);
                    }
                    for (var p = 0u; p < PANELS; p++) { // unroll
                        for (var b = 0u; b < KEYS; b++) { // unroll
                            let shown = select(value[b], vec4f(0.0), masked(path) & hidden[b][p]);
                            output[p][s] = fma(shown, vec4f(weight[b][p]), output[p][s]);
                        }
                    }
                }
                first += KEYS;
            }
            if (!rises) { break; }
        }
    }

    for (var quad = 0u; quad < quads; quad++) {
        for (var p = 0u; p < PANELS; p++) { // unroll
            var four = vec4f();
            for (var s = 0u; s < QUADS; s++) { // unroll
                four = select(four, output[p][s], s == quad);
            }
            if (i0 + p * WG + lane < span.len) {
                let y0 = c.y_offset + (span.start + i0 + p * WG + lane) * c.y_stride + h * c.head_dim;
                out_put(y0, quad * 4u, c.head_dim, four * select(1.0 / sum[p], 0.0, sum[p] == 0.0));
            }
        }
    }
}
