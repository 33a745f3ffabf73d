// y = act(first half of x) * second half, ELEMENTS columns of a row for each workgroup; an invocation has AHEAD of them on
// their way at a time.
@group(0) @binding(2) var<storage, read> x: array<f32>;        // [R, 2C]
@group(0) @binding(3) var<storage, read_write> y: array<f32>;  // [R, C]

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let g = linear_group(group, groups);
    let tiles = (c.cols + ELEMENTS - 1u) / ELEMENTS;
    let row = g / tiles;
    if (row >= row_count()) { return; }
    let first = g % tiles * ELEMENTS;
    let end = min(c.cols, first + ELEMENTS);
    let x0 = c.x_offset + row * c.x_stride;
    let y0 = c.y_offset + row * c.y_stride;
    for (var j = first + local; j < end; j += AHEAD * WG) {
        // All loads stand before the first store, since a compiler cannot tell that none of them reads what that writes.
        var a = array<f32, AHEAD>();
        var b = array<f32, AHEAD>();
        for (var e = 0u; e < AHEAD; e++) { // unroll
            a[e] = x[x0 + min(j + e * WG, end - 1u)];
            b[e] = x[x0 + c.cols + min(j + e * WG, end - 1u)];
        }
        for (var e = 0u; e < AHEAD; e++) { // unroll
            if (j + e * WG < end) { y[y0 + j + e * WG] = activate(a[e]) * b[e]; }
        }
    }
}
