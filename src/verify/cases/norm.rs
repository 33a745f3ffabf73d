use super::{Case, SIZES, matrix, pairwise};
use crate::graph::step::Step;
use crate::kernel::{Norm, View};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for &n in &SIZES {
        cases.push(Case::rows(format!("{n} columns"), plain(3, n)));
    }
    cases.extend(options());
    let (rows, cols) = (5, 68);
    let (residual, sum) = (Some(matrix(rows, cols)), Some(matrix(rows, cols)));
    let (weight, bias) = (Some(matrix(1, cols)), Some(matrix(1, cols)));
    let all = Norm { residual, sum, weight, bias, ..plain(rows, cols) };
    cases.push(Case::rows("rows of quads, with all that there is", all));
    // So many that a grid wraps where a workgroup takes four, and where it takes one, with groups too many either way: they
    // would write rows that are no more.
    let rows = 4 * 65_536 + 2;
    cases.push(Case::new("many rows", plain(rows + 8, 2), Step::rows(rows)).large());
    cases.push(Case::new("fewer rows than there is room for", plain(9, 67), Step::rows(5)).odd());
    for size in [1e4, 1e-20] {
        cases.push(Case::rows(format!("x around {size:e}"), plain(3, 97)).around("x", 0.0, size));
        cases.push(
            Case::rows(format!("rms, x around {size:e}"), Norm { rms: true, ..plain(3, 97) }).around("x", 0.0, size),
        );
    }
    cases.push(Case::rows("a large mean", plain(3, 111)).around("x", 1e3, 1.0));
    cases.push(Case::rows("a NaN", plain(3, 111)).special("x", 1, 110, f32::NAN));
    cases.push(Case::rows("no rows", plain(0, 4)));
    cases
}

fn plain(rows: usize, cols: usize) -> Norm<View> {
    Norm::new(matrix(rows, cols), matrix(rows, cols), 1e-5)
}

fn options() -> impl Iterator<Item = Case> {
    // Rows of each width that has a workgroup of its own.
    let widths = [67, 301, 701, 1100].into_iter().cycle();
    pairwise(&[2, 2, 2, 2, 2, 2]).into_iter().zip(widths).map(|(row, cols)| {
        let rows = 5;
        let has = |i: usize, rows| (row[i] == 1).then(|| matrix(rows, cols));
        let op = Norm {
            rms: row[0] == 1,
            residual: has(1, rows),
            weight: has(2, 1),
            bias: has(3, 1),
            sum: has(4, rows),
            eps: [1e-12, 0.5][row[5]],
            ..plain(rows, cols)
        };
        let name = format!(
            "rms {} residual {} weight {} bias {} sum {} eps {:e}, {cols} columns",
            row[0], row[1], row[2], row[3], row[4], op.eps
        );
        Case::rows(name, op).odd()
    })
}
