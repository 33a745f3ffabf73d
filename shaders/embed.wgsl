// y = scale * word[id] + position[p] + kind[t], ELEMENTS columns of a row for each workgroup; an invocation has AHEAD of
// them on their way at a time. A shard of the word table writes the rows of the ids it holds and leaves the others alone.
@group(0) @binding(2) var<storage, read> ids: array<u32>;      // [tokens]
@group(0) @binding(6) var<storage, read_write> y: array<f32>;  // [tokens, C]

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let g = linear_group(group, groups);
    let tiles = (c.cols + ELEMENTS - 1u) / ELEMENTS;
    let row = g / tiles;
    // What does not depend on each other is read at once, before a branch would make it wait.
    let positions = step[H_POSITIONS];
    let types = step[H_TYPES];
    if (row >= row_count()) { return; }
    let id = min(ids[c.i_offset + row * c.i_stride], c.vocab - 1u);
    let p0 = c.p_offset + min(step[positions + row], c.positions - 1u) * c.p_stride;
    let k0 = c.k_offset + min(step[types + row], c.kinds - 1u) * c.k_stride;
    if (id < c.base || id >= c.base + c.held) { return; }
    let at = word_row(id - c.base);
    let first = g % tiles * ELEMENTS;
    let end = min(c.cols, first + ELEMENTS);
    let y0 = c.y_offset + row * c.y_stride;
    for (var j0 = first + local; j0 < end; j0 += AHEAD * WG) {
        var value = array<f32, AHEAD>();
        for (var e = 0u; e < AHEAD; e++) { // unroll
            let j = min(j0 + e * WG, end - 1u);
            value[e] = c.scale * word_of(at, j) + position_at(p0 + j) + kind_at(k0 + j);
        }
        for (var e = 0u; e < AHEAD; e++) { // unroll
            if (j0 + e * WG < end) { y[y0 + j0 + e * WG] = value[e]; }
        }
    }
}
