// The k best of each row in descending order, and log(sum of exp(scale * x)); a workgroup for each row.
//
// Column j is invocation j % WG's, whose columns lie in PARTS parts one after the other. A first pass finds the best of
// every part. Then, k times, the best of those is the next of the row, and only the part that it came from is searched
// again, by all invocations together, for its best after the one that was taken. So the row is read once, or twice with
// the sum. Of equals the lower column is better; a NaN is better than any number. A turn of a loop over a row
// takes AHEAD columns: see argmax.wgsl. The parts' best lie in workgroup memory, each read by its own invocation only:
// registers know no index, and a driver would compile a choice among all of them at each place.
@group(0) @binding(2) var<storage, read> x: array<f32>;             // [R, C]
@group(0) @binding(3) var<storage, read_write> values: array<f32>;  // [R, k]
@group(0) @binding(4) var<storage, read_write> ids: array<u32>;     // [R, k]

var<workgroup> best: array<vec2u, PARTS * WG>;

// The best after `taken` of the column and what was found before.
fn next(found: vec2u, taken: vec2u, x0: u32, j: u32) -> vec2u {
    let other = vec2u(rank_of(x[x0 + j]), j);
    let follows = other.x < taken.x || (other.x == taken.x && j > taken.y);
    return select(found, other, follows && other.x > found.x);
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, in: Invocation) {
    let row = linear_group(group, groups);
    if (row >= row_count()) { return; }
    let x0 = c.x_offset + row * c.x_stride;
    let depth = ((c.cols + WG - 1u) / WG + PARTS - 1u) / PARTS;
    let parts = min(PARTS, (c.cols + depth * WG - 1u) / (depth * WG));
    for (var p = 0u; p < parts; p++) {
        var found = NOTHING;
        let end = min(c.cols, (p + 1u) * depth * WG);
        for (var j0 = p * depth * WG + in.local; j0 < end; j0 += AHEAD * WG) {
            for (var e = 0u; e < AHEAD; e++) { // unroll
                let j = j0 + e * WG;
                let rank = rank_of(x[x0 + min(j, end - 1u)]);
                found = select(found, vec2u(rank, j), rank > found.x && j < end);
            }
        }
        best[p * WG + in.local] = found;
    }
    // The column that this invocation will write: reading an element takes so long that all are read at the end.
    var mine = 0u;
    for (var i = 0u; i < c.k; i++) {
        var found = best[in.local];
        for (var p = 1u; p < parts; p++) { found = better(found, best[p * WG + in.local]); }
        let taken = reduce_best(found, in);
        let id = min(taken.y, c.cols - 1u);
        mine = select(mine, id, i % WG == in.local);
        if ((i % WG == WG - 1u || i == c.k - 1u) && in.local <= i % WG) {
            let place = i - i % WG + in.local;
            values[c.v_offset + row * c.v_stride + place] = x[x0 + mine];
            ids[c.i_offset + row * c.i_stride + place] = mine;
        }
        if (LSE && i == 0u) {
            let peak = c.scale * x[x0 + id];
            var sum = 0.0;
            for (var j0 = in.local; j0 < c.cols; j0 += AHEAD * WG) {
                for (var e = 0u; e < AHEAD; e++) { // unroll
                    let j = j0 + e * WG;
                    let share = power_of_two((c.scale * x[x0 + min(j, c.cols - 1u)] - peak) * LOG2_E);
                    sum += select(0.0, share, j < c.cols);
                }
            }
            sum = reduce_sum(sum, in);
            if (in.local == 0u) { lse_put(c.l_offset + row * c.l_stride, peak + log(sum)); }
        }
        let owner = id % WG;
        let part = id / WG / depth;
        let end = min(c.cols, (part + 1u) * depth * WG);
        found = NOTHING;
        for (var j = (part * depth + in.local) * WG + owner; j < end; j += WG * WG) {
            found = next(found, taken, x0, j);
        }
        found = reduce_best(found, in);
        if (in.local == owner) { best[part * WG + owner] = found; }
    }
}
