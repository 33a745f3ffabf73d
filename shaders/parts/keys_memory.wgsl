// Cross-attention: keys lie in the rows of the sequence's memory.
fn key_count(span: Span) -> u32 { return span.memory_len; }
fn key_row(span: Span, j: u32) -> u32 { return span.memory_start + j; }
fn last_key(span: Span, i: u32) -> u32 { return i; }
fn query_position(span: Span, i: u32) -> u32 { return i; }
fn key_position(span: Span, j: u32) -> u32 { return j; }
