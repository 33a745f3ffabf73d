// y = scale * word[id] + position[p] + kind[t], ELEMENTS columns of a row for each workgroup. A shard of the word table
// writes the rows of the ids it holds and leaves the others alone.
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
    if (row >= row_count()) { return; }
    let id = min(ids[c.i_offset + row * c.i_stride], c.vocab - 1u);
    if (id < c.base || id >= c.base + c.held) { return; }
    let at = word_row(id - c.base);
    let p0 = c.p_offset + min(step[step[H_POSITIONS] + row], c.positions - 1u) * c.p_stride;
    let k0 = c.k_offset + min(step[step[H_TYPES] + row], c.kinds - 1u) * c.k_stride;
    let first = g % tiles * ELEMENTS;
    let end = min(c.cols, first + ELEMENTS);
    for (var j = first + local; j < end; j += WG) {
        y[c.y_offset + row * c.y_stride + j] = c.scale * word_of(at, j) + position_at(p0 + j) + kind_at(k0 + j);
    }
}
