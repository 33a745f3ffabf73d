use super::{Case, ROOM, SIZES, matrix};
use crate::kernel::{Topk, View};
use crate::weights::DType;

pub(super) fn cases() -> Vec<Case> {
    let mut cases: Vec<_> = SIZES.iter().map(|&n| Case::rows(format!("{n} columns"), plain(3, n, n.min(5)))).collect();
    // All of a row, so that every part is exhausted; the most; one.
    for (cols, k) in [(65, 65), (111, 111), (1025, 128), (3000, 128), (3000, 1)] {
        cases.push(Case::rows(format!("{k} of {cols}"), plain(2, cols, k)).odd());
    }
    cases.push(Case::rows("without the sum", Topk { lse: None, ..plain(3, 97, 8) }).odd());
    // Three equals of one invocation, which looks at every 64th column of a long part where there are eight.
    let wide = Case::rows("70000 columns at odd places", plain(2, 70_000, 9)).odd();
    cases.push([128, 0, 64].into_iter().fold(wide, |case, col| case.special("x", 1, col, 9e3)));
    // See `cases::attention`: two looks at each would be too many turns of 8 lanes.
    cases.push(Case::rows("128 of 300000", plain(1, 300_000, 128)).large());
    cases.push(Case::many(plain(ROOM, 3, 2)));
    for scale in [0.5, 4.0] {
        cases.push(Case::rows(format!("scale {scale}"), Topk { scale, ..plain(3, 111, 4) }));
    }
    for size in [1e4, 1e-20] {
        cases.push(Case::rows(format!("x around {size:e}"), plain(3, 97, 4)).around("x", 0.0, size));
    }
    cases.push(Case::rows("far from 0", plain(3, 111, 4)).around("x", -5e3, 2.0));
    cases.extend(specials());
    cases.push(Case::rows("no rows", plain(0, 4, 2)));
    cases
}

fn specials() -> Vec<Case> {
    let with = |name: &str, cols: &[usize], value: f32| {
        let case = Case::rows(name, plain(3, 1025, 6)).odd();
        cols.iter().fold(case, |case, &col| case.special("x", 1, col, value))
    };
    let lowest = Case::rows("all at the lowest", plain(3, 97, 97)).around("x", f32::MIN, 0.0);
    vec![
        // Of one invocation, of one part, of neighbours.
        with("equals in their order", &[256, 16, 64, 65, 0, 1024], 9.0),
        with("NaNs in their order", &[259, 3, 11], f32::NAN),
        with("nothing but NaNs", &(0..1025).collect::<Vec<_>>(), f32::NAN),
        with("the last column", &[1024], 1e30),
        // The slack of a sum knows no infinities.
        (7..111).fold(Case::rows("minus infinity last", Topk { lse: None, ..plain(3, 111, 9) }), |case, col| {
            case.special("x", 1, col, f32::NEG_INFINITY)
        }),
        Case::rows("all equal", plain(3, 97, 97)).around("x", -4.0, 0.0),
        lowest.special("x", 1, 96, f32::MIN.next_up()),
    ]
}

fn plain(rows: usize, cols: usize, k: usize) -> Topk<View> {
    let (x, values, ids) = (matrix(rows, cols), matrix(rows, k), View::dense(rows, k, DType::U32));
    Topk { x, values, ids, lse: Some(matrix(rows, 1)), scale: 1.0 }
}
