// Rows of this op, in this step.
fn row_count() -> u32 {
    return step[c.rows_at];
}
