use super::{Case, ROOM, SIZES, column, matrix};
use crate::kernel::{Argmax, View};

pub(super) fn cases() -> Vec<Case> {
    let mut cases: Vec<_> = SIZES.iter().map(|&n| Case::rows(format!("{n} columns"), plain(3, n))).collect();
    cases.push(Case::rows("70000 columns at odd places", plain(2, 70_000)).odd());
    // See `cases::attention`: two looks at each would be too many turns of 8 lanes.
    cases.push(Case::rows("300000 columns", plain(1, 300_000)).special("x", 0, 299_000, 1e30));
    cases.push(Case::many(plain(ROOM, 3)));
    let top = |name: &str, cols: &[usize], value: f32| {
        let case = Case::rows(name, plain(3, 111)).odd();
        cols.iter().fold(case, |case, &col| case.special("x", 1, col, value))
    };
    cases.push(top("the first of equals", &[110, 65, 64], 9.0));
    cases.push(top("the first NaN", &[100, 3], f32::NAN));
    // The least bits that make one, with either sign; infinity is none.
    for (name, nan) in [("least", 0x7f80_0001), ("negative", 0xffc0_0000)] {
        cases.push(top(&format!("the {name} NaN"), &[70], f32::from_bits(nan)));
        let infinite = top(&format!("infinity before the {name} NaN"), &[3], f32::INFINITY);
        cases.push(infinite.special("x", 1, 70, f32::from_bits(nan)));
    }
    // Equals, whatever their sign; a row of negative numbers has nothing greater.
    for (name, first) in [("zero before -0", 0.0f32), ("-0 before zero", -0.0)] {
        cases.push(top(name, &[20], first).special("x", 1, 90, -first).around("x", -9.0, 0.1));
    }
    cases.push(top("the least NaN before another", &[20], f32::from_bits(0x7f80_0001)).special("x", 1, 90, f32::NAN));
    cases.push(top("the last column", &[110], 1e30));
    cases.push(Case::rows("all equal", plain(3, 1025)).around("x", -4.0, 0.0));
    cases.push(Case::rows("all at the lowest", plain(3, 97)).around("x", f32::MIN, 0.0).special(
        "x",
        1,
        96,
        f32::MIN.next_up(),
    ));
    cases.push(Case::rows("no rows", plain(0, 4)));
    cases
}

fn plain(rows: usize, cols: usize) -> Argmax<View> {
    Argmax { x: matrix(rows, cols), ids: column(rows) }
}
