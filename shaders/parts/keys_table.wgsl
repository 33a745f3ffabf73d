// The KV cache: key j of a sequence lies in the slot that the table gives. The step's queries are the sequence's last
// `len` positions. The slot is clamped, since it came from a buffer.
fn key_count(span: Span) -> u32 { return span.keys; }
fn key_row(span: Span, j: u32) -> u32 {
    return min(step[step[H_TABLE] + span.table + j], c.key_rows - 1u);
}
fn last_key(span: Span, i: u32) -> u32 { return span.keys - span.len + i; }
fn query_position(span: Span, i: u32) -> u32 { return span.keys - span.len + i; }
fn key_position(span: Span, j: u32) -> u32 { return j; }
