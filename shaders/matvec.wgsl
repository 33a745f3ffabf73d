// y = act(x . W^T + bias) + residual for few rows: a workgroup computes COLS outputs of one row, its invocations stride
// over the depth and then add up. W is read once for each row of x, so this pays only while rows are few.
@group(0) @binding(2) var<storage, read> x: array<f32>;        // [M, K]
@group(0) @binding(6) var<storage, read_write> y: array<f32>;  // [M, N]

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, in: Invocation) {
    let g = linear_group(group, groups);
    let rows = row_count();
    let col_tiles = (c.n + COLS - 1u) / COLS;
    let m = g % rows;
    let n0 = (g / rows) % col_tiles * COLS;
    let batch = g / rows / col_tiles;
    if (batch >= c.batches) { return; }

    let x0 = c.x_offset + batch * c.x_batch + m * c.x_stride;
    let w0 = c.w_offset + batch * c.w_batch;
    var sums = vec4f(0.0);
    for (var k = in.local; k < c.k; k += WG) {
        let a = x[x0 + k];
        for (var j = 0u; j < COLS; j++) { // unroll
            let n = min(n0 + j, c.n - 1u);
            sums[j] = fma(a, w_at(w0 + select(n * c.w_stride + k, k * c.w_stride + n, W_KN)), sums[j]);
        }
    }
    let total = reduce_sum4(sums, in);
    let n = n0 + in.local;
    if (in.local < COLS && n < c.n) {
        let sum = select(select(total.x, total.y, in.local == 1u), select(total.z, total.w, in.local == 3u), in.local >= 2u);
        let value = activate(sum + bias_at(c.b_offset + n)) + residual_at(c.r_offset + m * c.r_stride + n);
        y[c.y_offset + batch * c.y_batch + m * c.y_stride + n] = value;
    }
}
