// So many columns of a row of softmax count, from the first.
fn counted(row: u32) -> u32 {
    let count = length_of(row);
    if (CAUSAL) { return min(count, c.cols - c.causal + row % c.causal + 1u); }
    return count;
}
