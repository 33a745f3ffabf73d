use super::{Case, ROOM, SIZES, column, matrix, pairwise};
use crate::kernel::{Softmax, View};

pub(super) fn cases() -> Vec<Case> {
    let mut cases: Vec<_> = SIZES.iter().map(|&n| Case::rows(format!("{n} columns"), plain(3, n))).collect();
    // Rows of each width that has a workgroup of its own.
    cases.extend([301, 701].map(|n| Case::rows(format!("{n} columns"), plain(3, n))));
    cases.extend(options());
    // See `cases::attention`: three looks at each would be too many turns of 8 lanes.
    cases.push(Case::rows("300000 columns", plain(3, 300_000)).large());
    cases.push(Case::many(plain(ROOM, 3)));
    for size in [1e4, 1e-20] {
        cases.push(Case::rows(format!("x around {size:e}"), plain(3, 97)).around("x", 0.0, size));
    }
    cases.push(Case::rows("far from 0", plain(3, 111)).around("x", -5e3, 2.0));
    // Its exponential is finite only beside the right maximum.
    for cols in [111, 1025] {
        cases.push(Case::rows(format!("the last of {cols} columns"), plain(3, cols)).special("x", 1, cols - 1, 200.0));
    }
    cases.push(Case::rows("a NaN", plain(3, 111)).special("x", 1, 110, f32::NAN));
    // No column, some, all, more than there are; a NaN that is masked.
    let masked = Softmax { lengths: Some(column(5)), ..plain(5, 65) };
    let masked = Case::rows("lengths", masked).words("lengths", &[0, 1, 64, 65, u32::MAX]);
    cases.push(masked.clone().special("x", 1, 1, f32::NAN));
    cases.push(Case { name: "all masked".into(), ..masked }.words("lengths", &[0]));
    cases.push(Case::rows("no rows", plain(0, 4)));
    cases
}

fn plain(rows: usize, cols: usize) -> Softmax<View> {
    Softmax::new(matrix(rows, cols), matrix(rows, cols))
}

fn options() -> impl Iterator<Item = Case> {
    pairwise(&[2, 4, 2]).into_iter().map(|row| {
        let causal = [None, Some(1), Some(3), Some(59)][row[1]];
        let scale = [0.125, -2.0][row[2]];
        let op = Softmax { lengths: (row[0] == 1).then(|| column(7)), scale, causal, ..plain(7, 59) };
        let name = format!("lengths {} causal {causal:?} scale {scale}", row[0]);
        Case::rows(name, op).words("lengths", &[59, 58, 1, 2, 30, 0, 64]).odd()
    })
}
