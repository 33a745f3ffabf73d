// What a workgroup of attention works on: the query rows from `first` on of one sequence, and one head of it.
struct Tile {
    head: u32,
    span: Span,
    first: u32,
    k0: u32,  // where that head's first key and value begin
    v0: u32,
}

// Tiles of one head lie one after the other; there are more workgroups than heads have tiles where a grid has wrapped.
fn tile_of(group: vec3u, groups: vec3u) -> Tile {
    let g = linear_group(group, groups);
    let tiles = step[c.tiles_at + 1u];
    let head = g / tiles;
    let at = step[c.tiles_at] + 2u * (g % tiles);
    let column = head / c.group * c.head_dim;
    return Tile(head, span_of(step[at]), step[at + 1u], c.k_offset + column, c.v_offset + column);
}
