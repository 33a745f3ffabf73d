// Whether query i of a sequence may see its key j, if there is one. With a window, distance is counted in original positions.
fn allowed(span: Span, i: u32, j: u32) -> bool {
    var yes = true;
    if (CAUSAL) {
        yes = j <= last_key(span, i);
    }
    if (WINDOW) {
        let distance = i32(query_position(span, i)) - i32(key_position(span, j));
        yes = yes && u32(abs(distance)) <= c.window;
    }
    return yes;
}

// Keys beyond this one are hidden from query i: loops end here.
fn visible(span: Span, i: u32) -> u32 {
    if (CAUSAL) {
        return min(key_count(span), last_key(span, i) + 1u);
    }
    return key_count(span);
}

// The bias of head h between query i and key j.
fn bias_of(span: Span, h: u32, i: u32, j: u32) -> f32 {
    if (!BIAS) { return 0.0; }
    let reach = i32(c.reach);
    let distance = i32(key_position(span, j)) - i32(query_position(span, i));
    return bias_at(c.b_offset + h * c.b_stride + u32(clamp(distance, -reach, reach) + reach));
}
