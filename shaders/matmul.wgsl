// y = act(x . W^T + bias) + residual in tiles of TILE_M rows by TILE_N columns.
//
// An invocation has EACH_M rows by four columns of sums in registers. Blocks of DEPTH columns of x and W go through workgroup memory,
// turned so that a vec4 is four neighbouring rows at one depth: a step of the inner loop is a load for four rows and one
// for four columns, and a product of each with each. The next blocks are fetched while these are multiplied. A sum is one
// chain over the depth whatever the tile is, so a row's bits do not depend on how many rows there are. There is one path:
// rows and columns past the end are clamped, depth past the end is zeroed, and only stores are guarded.
//
// The header declares x [M, K], W, bias [N], residual [M, N] and y [M, N] with their `_quad` and `_put`.
const HIGH = TILE_M / 4u;  // quads of a tile's rows
const WIDE = TILE_N / 4u;
const DEEP = DEPTH / 4u;

var<workgroup> xs: array<vec4f, DEPTH * HIGH>;  // [DEPTH][HIGH], see `slot`
var<workgroup> ws: array<vec4f, DEPTH * WIDE>;

// Where the four rows `quad` of a tile lie from depth `4 deep` on, of `quads` at each depth. Invocations write neighbours in
// depth at once: into different banks of workgroup memory, which are 8 quads wide.
fn slot(deep: u32, quad: u32, quads: u32) -> u32 {
    return deep * 4u * quads + (quad ^ (deep % 8u % quads));
}

// 4, but not so that a driver can tell, whose compiler would unroll what is costly to compile. The host unrolls it on GPUs.
fn four() -> u32 {
    return min(c.k + 3u, 4u);
}

// With another row.
fn with_row(block: mat4x4f, r: u32, quad: vec4f) -> mat4x4f {
    return mat4x4f(
        select(block[0], quad, r == 0u),
        select(block[1], quad, r == 1u),
        select(block[2], quad, r == 2u),
        select(block[3], quad, r == 3u),
    );
}

// Four rows of x at four depths: a column for each depth.
fn x_block(x0: u32, m: u32, k: u32) -> mat4x4f {
    var block = mat4x4f();
    for (var r = 0u; r < four(); r++) { // unroll
        block = with_row(block, r, x_quad(x0 + min(m + r, row_count() - 1u) * c.x_stride, k, c.k));
    }
    return transpose(block);
}

// Likewise of W.
fn w_block(w0: u32, n: u32, k: u32) -> mat4x4f {
    var block = mat4x4f();
    for (var r = 0u; r < four(); r++) { // unroll
        block = with_row(block, r, w_four(w0, min(n + r, c.n - 1u), k));
    }
    return transpose(block);
}

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    // Row tiles vary fastest: neighbours in time share a panel of W.
    let g = linear_group(group, groups);
    let row_tiles = (row_count() + TILE_M - 1u) / TILE_M;
    let col_tiles = (c.n + TILE_N - 1u) / TILE_N;
    let m0 = (g % row_tiles) * TILE_M;
    let n0 = (g / row_tiles) % col_tiles * TILE_N;
    let batch = g / row_tiles / col_tiles;
    if (batch >= c.batches) { return; }
    let x0 = c.x_offset + batch * c.x_batch;
    let w0 = c.w_offset + batch * c.w_batch;

    // What this invocation brings: neighbours read neighbours in depth.
    let own_deep = local % DEEP;
    let own_quad = local / DEEP;
    // What it multiplies: 32 neighbours are 8 wide and 4 high, so that they need few different quads.
    let tx = local % 8u + local / 32u % (WIDE / 8u) * 8u;
    let ty = local / 8u % 4u + local / (WIDE * 4u) * 4u;
    var sums = array<vec4f, EACH_M>();
    var x_next = x_block(x0, m0 + own_quad * 4u, own_deep * 4u);
    var w_next: array<mat4x4f, W_BLOCKS>;
    for (var i = 0u; i < W_BLOCKS; i++) { // unroll
        w_next[i] = w_block(w0, n0 + (own_quad + i * HIGH) * 4u, own_deep * 4u);
    }
    let depth = turns_of(c.k, row_count());
    for (var k0 = 0u; k0 < depth; k0 += DEPTH) {
        for (var d = 0u; d < 4u; d++) { // unroll
            xs[slot(own_deep, own_quad, HIGH) + d * HIGH] = x_next[d];
            for (var i = 0u; i < W_BLOCKS; i++) { // unroll
                ws[slot(own_deep, own_quad + i * HIGH, WIDE) + d * WIDE] = w_next[i][d];
            }
        }
        workgroupBarrier();
        // After the last there are zeros: to ask under a condition would cost more, since drivers wait for memory where it ends.
        let k = k0 + DEPTH + own_deep * 4u;
        x_next = x_block(x0, m0 + own_quad * 4u, k);
        for (var i = 0u; i < W_BLOCKS; i++) { // unroll
            w_next[i] = w_block(w0, n0 + (own_quad + i * HIGH) * 4u, k);
        }
        for (var deep = 0u; deep < DEEP; deep++) { // unroll
            for (var d = 0u; d < 4u; d++) { // unroll
                var a = array<vec4f, QUADS_M>();
                for (var q = 0u; q < QUADS_M; q++) { // unroll
                    a[q] = xs[slot(deep, q * (HIGH / QUADS_M) + ty * EACH_M / (4u * QUADS_M), HIGH) + d * HIGH];
                    if (EACH_M == 2u && ty % 2u == 1u) { a[q] = a[q].zwxy; }
                }
                let b = ws[slot(deep, tx, WIDE) + d * WIDE];
                for (var row = 0u; row < EACH_M; row++) { // unroll
                    sums[row] = fma(vec4f(a[row / 4u][row % 4u]), b, sums[row]);
                }
            }
        }
        workgroupBarrier();
    }

    // One loop over rows, which picks their sums: unrolled it would be most of what a driver has to compile.
    for (var i = 0u; i < EACH_M; i++) {
        let m = m0 + i / 4u * (TILE_M / QUADS_M) + ty * (EACH_M / QUADS_M) + i % 4u;
        if (m >= row_count()) { break; }
        var sum = vec4f();
        for (var row = 0u; row < EACH_M; row++) { // unroll
            sum = select(sum, sums[row], i == row);
        }
        let n = n0 + tx * 4u;
        let all = sum + bias_quad(c.b_offset, n, c.n);
        let value = vec4f(activate(all.x), activate(all.y), activate(all.z), activate(all.w));
        y_put(c.y_offset + batch * c.y_batch + m * c.y_stride, n, c.n, value + residual_quad(c.r_offset + m * c.r_stride, n, c.n));
    }
}
