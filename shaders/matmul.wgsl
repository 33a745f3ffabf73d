// y = act(x . W^T + bias) + residual in tiles of TILE x TILE.
//
// 256 invocations as 16 x 16, each with 4 x 4 sums in registers. Blocks of 16 columns of x and W go through workgroup
// memory as vec4s of four neighbouring rows, so that a step of the inner loop is two loads and four vector fmas. There
// is one path: rows and columns past the end are clamped, depth past the end is zeroed, and only stores are guarded.
@group(0) @binding(2) var<storage, read> x: array<f32>;        // [M, K]
@group(0) @binding(6) var<storage, read_write> y: array<f32>;  // [M, N]

const DEPTH = 16u;
const QUADS = TILE / 4u;
var<workgroup> xs: array<vec4f, DEPTH * QUADS>;  // [DEPTH][QUADS]: four rows of x at one depth
var<workgroup> ws: array<vec4f, DEPTH * QUADS>;  // likewise of W

fn x_element(batch: u32, m: u32, k: u32) -> f32 {
    let row = min(m, row_count() - 1u);
    return x[c.x_offset + batch * c.x_batch + row * c.x_stride + min(k, c.k - 1u)];
}

fn w_element(batch: u32, n: u32, k: u32) -> f32 {
    let col = min(n, c.n - 1u);
    let depth = min(k, c.k - 1u);
    let at = c.w_offset + batch * c.w_batch;
    if (W_KN) {
        return w_at(at + depth * c.w_stride + col);
    }
    return w_at(at + col * c.w_stride + depth);
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    // Row tiles vary fastest: neighbours in time share a panel of W.
    let g = linear_group(group, groups);
    let row_tiles = (row_count() + TILE - 1u) / TILE;
    let col_tiles = (c.n + TILE - 1u) / TILE;
    let m0 = (g % row_tiles) * TILE;
    let n0 = (g / row_tiles) % col_tiles * TILE;
    let batch = g / row_tiles / col_tiles;
    if (batch >= c.batches) { return; }

    var sums = array<vec4f, 4>();
    let tx = local % 16u;
    let ty = local / 16u;
    for (var k0 = 0u; k0 < c.k; k0 += DEPTH) {
        let k = k0 + tx;
        let m = m0 + ty * 4u;
        let n = n0 + ty * 4u;
        let x4 = vec4f(x_element(batch, m, k), x_element(batch, m + 1u, k), x_element(batch, m + 2u, k), x_element(batch, m + 3u, k));
        let w4 = vec4f(w_element(batch, n, k), w_element(batch, n + 1u, k), w_element(batch, n + 2u, k), w_element(batch, n + 3u, k));
        xs[tx * QUADS + ty] = select(vec4f(0.0), x4, k < c.k);
        ws[tx * QUADS + ty] = select(vec4f(0.0), w4, k < c.k);
        workgroupBarrier();
        for (var d0 = 0u; d0 < min(DEPTH, c.k - k0); d0 += 4u) {
            for (var d = 0u; d < 4u; d++) { // unroll
                let a = xs[(d0 + d) * QUADS + ty];
                let b = ws[(d0 + d) * QUADS + tx];
                sums[0] = fma(vec4f(a.x), b, sums[0]);
                sums[1] = fma(vec4f(a.y), b, sums[1]);
                sums[2] = fma(vec4f(a.z), b, sums[2]);
                sums[3] = fma(vec4f(a.w), b, sums[3]);
            }
        }
        workgroupBarrier();
    }

    // Loops over rows and columns, which pick their sum: unrolled they would be most of what a driver has to compile.
    let m1 = m0 + ty * 4u;
    let n1 = n0 + tx * 4u;
    for (var m = m1; m < min(m1 + 4u, row_count()); m++) {
        let four = select(select(sums[0], sums[1], m == m1 + 1u), select(sums[2], sums[3], m == m1 + 3u), m >= m1 + 2u);
        for (var n = n1; n < min(n1 + 4u, c.n); n++) {
            let sum = select(select(four.x, four.y, n == n1 + 1u), select(four.z, four.w, n == n1 + 3u), n >= n1 + 2u);
            let value = activate(sum + bias_at(c.b_offset + n)) + residual_at(c.r_offset + m * c.r_stride + n);
            y[c.y_offset + batch * c.y_batch + m * c.y_stride + n] = value;
        }
    }
}
