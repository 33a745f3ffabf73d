// The column of each row's greatest element, a workgroup for each row, which reads it once: every invocation finds the
// first best of its own columns, then all of them the first best of those. A NaN counts as the greatest.
//
// An invocation has AHEAD columns on their way at a time. That is 4 at least, since Mesa's software driver ends all loops
// of an invocation after 65,535 turns, and vocabularies are wide.
@group(0) @binding(2) var<storage, read> x: array<f32>;          // [R, C]
@group(0) @binding(3) var<storage, read_write> ids: array<u32>;  // [R]

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, in: Invocation) {
    let row = linear_group(group, groups);
    if (row >= row_count()) { return; }
    let x0 = c.x_offset + row * c.x_stride;
    var best = NOTHING;
    for (var j = in.local; j < c.cols; j += AHEAD * WG) {
        for (var e = 0u; e < AHEAD; e++) { // unroll
            let column = min(j + e * WG, c.cols - 1u);
            let rank = rank_of(x[x0 + column]);
            best = select(best, vec2u(rank, column), rank > best.x);
        }
    }
    best = reduce_best(best, in);
    if (in.local == 0u) { ids[c.y_offset + row * c.y_stride] = best.y; }
}
