// Fused attention where a workgroup is one subgroup of WG lanes, for PANELS * WG query rows of one sequence and head.
//
// A lane owns a row of each panel: its query, sum and output stay in registers. KEYS keys at a time are loaded once, a
// quad to a lane, and broadcast number by number; each broadcast feeds all panels. Weights are 2^(score - top), where
// top follows the greatest score only when that is 16 or more above it: so the inner loop neither takes a maximum of
// exponentials nor rescales, and it ends early, to come again, in the rare block that makes top rise.
//
// Keys that every row of the tile may see come first (path 0), then those that only some may (path 1, where there is a
// mask). A key that a row may not see weighs 0 and its value is not touched, so that a NaN there stays there. Blocks
// start at the sequence's own first key: nothing else in the batch can change a bit of the answer.
//
// The header declares q [tokens, heads head_dim], k, v [keys, kv_heads head_dim] and out, with `_quad` and `_put`.
const TALL = PANELS * WG;
const LOG2_E = 1.4426950408889634;

// Whether row i may see key j.
fn sees(path: u32, span: Span, i: u32, j: u32, stop: u32) -> bool {
    return (j < stop) & (path == 0u || allowed(span, i, j));
}

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let g = linear_group(group, groups);
    let tiles = step[c.tiles_at + 1u];
    let h = g / tiles;
    if (h >= c.heads) { return; }
    let tile = step[c.tiles_at] + 2u * (g % tiles);
    let span = span_of(step[tile]);
    let i0 = step[tile + 1u];
    let i_last = min(i0 + TALL, span.len) - 1u;
    let end = visible(span, i_last);
    let k0 = c.k_offset + h / c.group * c.head_dim;
    let v0 = c.v_offset + h / c.group * c.head_dim;

    var query: array<array<vec4f, QUADS>, PANELS>;
    var output: array<array<vec4f, QUADS>, PANELS>;
    var sum: array<f32, PANELS>;
    var top: array<f32, PANELS>;
    var peak: array<f32, PANELS>;
    for (var p = 0u; p < PANELS; p++) { // unroll
        let row = span.start + min(i0 + p * WG + lane, i_last);
        for (var s = 0u; s < QUADS; s++) { // unroll
            let d = s * 4u;
            query[p][s] = q_quad(c.q_offset + row * c.q_stride + h * c.head_dim, d, c.head_dim) * (c.scale * LOG2_E);
        }
        top[p] = NEG_LARGE;
        peak[p] = NEG_LARGE;
    }

    var first = 0u;
    for (var path = 0u; path < PATHS; path++) { // unroll
        var stop = end;
        if (PATHS == 2u && path == 0u) { stop = seen_by_all(span, i0) / KEYS * KEYS; }
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
                var at: array<u32, LOADS>;
                var held: array<vec4f, LOADS>;
                for (var n = 0u; n < LOADS; n++) { // unroll
                    at[n] = key_row(span, min(first + (n * WG + lane) / QUADS, end - 1u));
                    held[n] = k_quad(k0 + at[n] * c.k_stride, (n * WG + lane) % QUADS * 4u, c.head_dim);
                }
                var score: array<array<f32, PANELS>, KEYS>;
                var rise = false;
                for (var b = 0u; b < KEYS; b++) { // unroll
                    for (var s = 0u; s < QUADS; s++) { // unroll
                        for (var e = 0u; e < 4u; e++) { // unroll
                            let key = subgroupBroadcast(held[(b * QUADS + s) / WG][e], (b * QUADS + s) % WG);
                            for (var p = 0u; p < PANELS; p++) { // unroll
                                score[b][p] = fma(key, query[p][s][e], score[b][p]);
                            }
                        }
                    }
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
                    let quad = (n * WG + lane) % QUADS;
                    held[n] = v_quad(v0 + at[n] * c.v_stride, quad * 4u, c.head_dim);
                    held[n] = select(held[n], vec4f(0.0), first + (n * WG + lane) / QUADS >= stop);
                }
                for (var b = 0u; b < KEYS; b++) { // unroll
                    var weight: array<f32, PANELS>;
                    var seen: array<bool, PANELS>;
                    for (var p = 0u; p < PANELS; p++) { // unroll
                        seen[p] = sees(path, span, min(i0 + p * WG + lane, i_last), first + b, stop);
                        weight[p] = select(0.0, power_of_two(score[b][p] - top[p]), seen[p]);
                        sum[p] += weight[p];
                    }
                    for (var s = 0u; s < QUADS; s++) { // unroll
                        for (var e = 0u; e < 4u; e++) { // unroll
                            let value = subgroupBroadcast(held[(b * QUADS + s) / WG][e], (b * QUADS + s) % WG);
                            for (var p = 0u; p < PANELS; p++) { // unroll
                                output[p][s][e] = fma(select(value, 0.0, (path == 1u) & !seen[p]), weight[p], output[p][s][e]);
                            }
                        }
                    }
                }
                first += KEYS;
            }
            if (!rises) { break; }
        }
    }

    for (var p = 0u; p < PANELS; p++) { // unroll
        if (i0 + p * WG + lane < span.len) {
            let y0 = c.y_offset + (span.start + i0 + p * WG + lane) * c.y_stride + h * c.head_dim;
            let inverse = select(1.0 / sum[p], 0.0, sum[p] == 0.0);
            for (var s = 0u; s < QUADS; s++) { // unroll
                out_put(y0, s * 4u, c.head_dim, output[p][s] * inverse);
            }
        }
    }
}
