// The step's integers: a header of counts and offsets (H_*), then the lists they point to. Written by the host, which
// checks them: spans lie within the rows, slots within the cache.
@group(0) @binding(1) var<storage, read> step: array<u32>;

// Grids beyond 65,535 workgroups wrap into y.
fn linear_group(group: vec3u, groups: vec3u) -> u32 {
    return group.x + group.y * groups.x;
}

struct Span { start: u32, len: u32, keys: u32, table: u32, memory_start: u32, memory_len: u32 }

fn span_of(sequence: u32) -> Span {
    let at = step[H_SPANS] + sequence * SPAN_WORDS;
    return Span(step[at], step[at + 1u], step[at + 2u], step[at + 3u], step[at + 4u], step[at + 5u]);
}
