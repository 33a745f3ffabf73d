// Self-attention over whole sequences: keys lie in the sequence's own rows. Positions are also asked for beyond its end.
fn key_count(span: Span) -> u32 { return span.len; }
fn key_row(span: Span, j: u32) -> u32 { return span.start + j; }
fn last_key(span: Span, i: u32) -> u32 { return i; }
fn query_position(span: Span, i: u32) -> u32 { return step[step[H_POSITIONS] + span.start + min(i, span.len - 1u)]; }
fn key_position(span: Span, j: u32) -> u32 { return query_position(span, j); }
