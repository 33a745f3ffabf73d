// y = act(x . W^T + bias) + residual where a workgroup is one subgroup of WG lanes and W is packed into a texture.
//
// A software adapter runs a subgroup as one vector: a texel load is free of branches, a broadcast is one instruction,
// and sums live in registers. A workgroup computes ROWS rows of 8 WG columns. A lane owns 8 columns: 4 neighbours of
// each of two stripes. x is read once for all lanes, each of which holds a quad (4 neighbouring k) of one of HELD rows,
// and is broadcast quad by quad. A sum is one chain over k, whatever ROWS is, and rows past the end are clamped:
// so a row's bits depend on nothing but that row.
//
// The header declares x [M, K], bias [N], residual [M, N] and y [M, N] with their `_quad` and `_put`.
@group(0) @binding(3) var w: Weights;  // packed as src/gpu/pack.rs says

const QUADS = WG / HELD;  // of a row, in the lanes at once

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    // Row tiles vary fastest: neighbours in time share a panel of W.
    let g = linear_group(group, groups);
    let rows = row_count();
    let row_tiles = (rows + ROWS - 1u) / ROWS;
    let m0 = g % row_tiles * ROWS;
    let tile = g / row_tiles;
    if (tile * 8u * WG >= c.n) { return; }
    let n0 = tile * 8u * WG + lane * 4u;

    // Stripes that find no room below the others lie to the right of them.
    let tiles_high = textureDimensions(w).y / 8u;
    let depth = (c.k + 4u * WG - 1u) / (4u * WG) * WG;
    let left = tile / tiles_high * depth * WG / QUADS_PER_TEXEL + lane;
    let above = tile % tiles_high * 8u;

    var sums = array<array<f32, 8>, ROWS>();
    let quads = turns_of((c.k + 3u) / 4u, rows);
    for (var quad = 0u; quad < quads; quad += QUADS) {
        var held = array<vec4f, PANELS>();
        for (var panel = 0u; panel < PANELS; panel++) { // unroll
            let m = min(m0 + panel * HELD + lane / QUADS, rows - 1u);
            held[panel] = x_quad(c.x_offset + m * c.x_stride, (quad + lane % QUADS) * 4u, c.k);
        }
        for (var pair = 0u; pair < PAIRS; pair++) { // unroll
            // Two quads of k of this lane's columns.
            var column = array<array<vec4f, 2>, 8>();
            for (var col = 0u; col < 8u; col++) { // unroll
                column[col] = w_quads(left + (quad + pair * 2u) * WG / QUADS_PER_TEXEL, above + col);
            }
            for (var row = 0u; row < ROWS; row++) { // unroll
                for (var half = 0u; half < 2u; half++) { // unroll
                    let a = subgroupBroadcast(held[row / HELD], row % HELD * QUADS + pair * 2u + half);
                    for (var col = 0u; col < 8u; col++) { // unroll
                        sums[row][col] += dot(a, column[col][half]);
                    }
                }
            }
        }
    }

    // One loop over rows, which picks its sums: unrolled it would be most of what a driver has to compile.
    for (var m = m0; m < min(m0 + ROWS, rows); m++) {
        var sum = array<f32, 8>();
        for (var row = 0u; row < ROWS; row++) { // unroll
            for (var col = 0u; col < 8u; col++) { // unroll
                sum[col] = select(sum[col], sums[row][col], m == m0 + row);
            }
        }
        for (var stripe = 0u; stripe < 2u; stripe++) { // unroll
            let n = n0 + stripe * 4u * WG;
            let four = vec4f(sum[stripe * 4u], sum[stripe * 4u + 1u], sum[stripe * 4u + 2u], sum[stripe * 4u + 3u]);
            let all = four + bias_quad(c.b_offset, n, c.n);
            let value = vec4f(activate(all.x), activate(all.y), activate(all.z), activate(all.w));
            y_put(c.y_offset + m * c.y_stride, n, c.n, value + residual_quad(c.r_offset + m * c.r_stride, n, c.n));
        }
    }
}
