// The k best of each row in descending order, and log(sum of exp(scale * x)); a workgroup for each row.
//
// Column j is invocation j % WG's, whose columns lie in PARTS parts one after the other. A first pass finds the best of
// every part. Then, k times, the best of those is the next of the row, and only the part that it came from is searched
// again, by all invocations together, for its best after the one that was taken. So the row is read once, or twice with
// the sum. Of equals the lower column is better; a NaN is better than any number. A turn of a loop over a row
// takes four columns: see argmax.wgsl. The parts' best lie in workgroup memory, each read by its own invocation only:
// registers know no index, and a driver would compile a choice among all of them at each place.
@group(0) @binding(2) var<storage, read> x: array<f32>;             // [R, C]
@group(0) @binding(3) var<storage, read_write> values: array<f32>;  // [R, k]
@group(0) @binding(4) var<storage, read_write> ids: array<u32>;     // [R, k]

// What a part holds once it is exhausted: no better than any element, in a column after all others (exact in f32).
const LOWEST = -3.4028234663852886e38;
const NOWHERE = 16777216.0;

// Infinities would not compare with LOWEST.
fn at(x0: u32, j: u32) -> f32 {
    return max_nan(x[x0 + j], LOWEST);
}

fn better(a: f32, b: f32) -> bool {
    return select(a > b, !is_nan(b), is_nan(a));
}

// Whether an element comes after the one that was taken.
fn follows(value: f32, j: u32, taken: f32, column: u32) -> bool {
    if (is_nan(taken)) { return !is_nan(value) || j > column; }
    return value < taken || (value == taken && j > column);
}

var<workgroup> best: array<f32, PARTS * WG>;
var<workgroup> place: array<f32, PARTS * WG>;

// The column of the invocations' best: the lowest of those that have it.
fn reduce_column(value: f32, column: f32, top: f32, in: Invocation) -> f32 {
    return -reduce_max(select(-NOWHERE, -column, value == top || is_nan(value)), in);
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, in: Invocation) {
    let row = linear_group(group, groups);
    if (row >= row_count()) { return; }
    let x0 = c.x_offset + row * c.x_stride;
    let depth = ((c.cols + WG - 1u) / WG + PARTS - 1u) / PARTS;
    let parts = min(PARTS, (c.cols + depth * WG - 1u) / (depth * WG));
    for (var p = 0u; p < parts; p++) {
        var top = LOWEST;
        var column = NOWHERE;
        let end = min(c.cols, (p + 1u) * depth * WG);
        for (var j0 = p * depth * WG + in.local; j0 < end; j0 += 4u * WG) {
            for (var e = 0u; e < 4u; e++) { // unroll
                let j = j0 + e * WG;
                let value = at(x0, min(j, end - 1u));
                if (j < end && (better(value, top) || column == NOWHERE)) {
                    top = value;
                    column = f32(j);
                }
            }
        }
        best[p * WG + in.local] = top;
        place[p * WG + in.local] = column;
    }
    for (var i = 0u; i < c.k; i++) {
        var top = best[in.local];
        var column = place[in.local];
        for (var p = 1u; p < parts; p++) {
            let other = best[p * WG + in.local];
            if (better(other, top) || column == NOWHERE) {
                top = other;
                column = place[p * WG + in.local];
            }
        }
        let taken = reduce_max(top, in);
        let id = min(u32(reduce_column(top, column, taken, in)), c.cols - 1u);
        if (in.local == 0u) {
            values[c.v_offset + row * c.v_stride + i] = x[x0 + id];
            ids[c.i_offset + row * c.i_stride + i] = id;
        }
        if (LSE && i == 0u) {
            let peak = c.scale * x[x0 + id];
            var sum = 0.0;
            for (var j0 = in.local; j0 < c.cols; j0 += 4u * WG) {
                for (var e = 0u; e < 4u; e++) { // unroll
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
        top = LOWEST;
        column = NOWHERE;
        let end = min(c.cols, (part + 1u) * depth * WG);
        for (var j = (part * depth + in.local) * WG + owner; j < end; j += WG * WG) {
            let value = at(x0, j);
            if (follows(value, j, taken, id) && (better(value, top) || column == NOWHERE)) {
                top = value;
                column = f32(j);
            }
        }
        let next = reduce_max(top, in);
        column = reduce_column(top, column, next, in);
        if (in.local == owner) {
            best[part * WG + owner] = next;
            place[part * WG + owner] = column;
        }
    }
}
