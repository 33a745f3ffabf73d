// The first key that a window lets some of the queries i0 to i_last see, and the one after the last such key, found by the
// WG lanes of a subgroup: a look at a key's position costs far less than its score.
fn in_window(span: Span, i0: u32, i_last: u32, end: u32, lane: u32) -> vec2u {
    var low = 0xffffffffu;
    var high = 0u;
    for (var i = i0 + lane; i <= i_last; i += WG) {
        low = min(low, query_position(span, i));
        high = max(high, query_position(span, i));
    }
    low = subgroupMin(low);
    high = subgroupMax(high);
    var first = end;
    var stop = 0u;
    for (var j = lane; j < end; j += WG) {
        let at = key_position(span, j);
        if (low - min(low, c.window) <= at && at - min(at, c.window) <= high) {
            first = min(first, j);
            stop = j + 1u;
        }
    }
    return vec2u(subgroupMin(first), subgroupMax(stop));
}
