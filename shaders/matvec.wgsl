// y = act(x . W^T + bias) + residual for few rows: a workgroup computes COLS outputs of each of ROWS rows, its invocations
// stride over quads of the depth and then add up. W is read once for ROWS rows, so this pays only while rows are few. A row's
// bits depend neither on COLS nor on ROWS.
//
// The header declares x [M, K], W, bias [N] and residual [M, N].
@group(0) @binding(6) var<storage, read_write> y: array<f32>;  // [M, N]

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, in: Invocation) {
    let g = linear_group(group, groups);
    let rows = row_count();
    let row_tiles = (rows + ROWS - 1u) / ROWS;
    let col_tiles = (c.n + COLS - 1u) / COLS;
    let m0 = g % row_tiles * ROWS;
    let n0 = (g / row_tiles) % col_tiles * COLS;
    let batch = g / row_tiles / col_tiles;
    if (batch >= c.batches) { return; }

    let x0 = c.x_offset + batch * c.x_batch;
    let w0 = c.w_offset + batch * c.w_batch;
    var sums: array<array<vec4f, COLS>, ROWS>;
    for (var k = in.local * 4u; k < c.k; k += 4u * WG) {
        var a = array<vec4f, ROWS>();
        for (var row = 0u; row < ROWS; row++) { // unroll
            a[row] = x_quad(x0 + min(m0 + row, rows - 1u) * c.x_stride, k, c.k);
        }
        for (var j = 0u; j < COLS; j++) { // unroll
            let b = w_four(w0, min(n0 + j, c.n - 1u), k);
            for (var row = 0u; row < ROWS; row++) { // unroll
                sums[row][j] = fma(a[row], b, sums[row][j]);
            }
        }
    }
    // An invocation finishes one output.
    let own = in.local / COLS;
    var sum = 0.0;
    for (var row = 0u; row < ROWS; row++) { // unroll
        var four = vec4f(0.0);
        for (var j = 0u; j < COLS; j++) { // unroll
            let s = sums[row][j];
            four[j] = (s.x + s.y) + (s.z + s.w);
        }
        let total = reduce_sum4(four, in);
        let j = in.local % COLS;
        let one = select(select(total.x, total.y, j == 1u), select(total.z, total.w, j == 3u), j >= 2u);
        sum = select(sum, one, own == row);
    }
    let m = m0 + own;
    let n = n0 + in.local % COLS;
    if (own < ROWS && m < rows && n < c.n) {
        let value = activate(sum + bias_at(c.b_offset + n)) + residual_at(c.r_offset + m * c.r_stride + n);
        y[c.y_offset + batch * c.y_batch + m * c.y_stride + n] = value;
    }
}
