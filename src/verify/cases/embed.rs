use super::{Case, MANY, ROOM, SIZES, column, matrix, pairwise};
use crate::graph::step::Step;
use crate::kernel::{Embed, Layout, View};
use crate::weights::DType::{self, BF16, F16, F32};

/// Every id of a vocabulary of 11, and some that are not in it.
const IDS: [u32; 8] = [0, 10, 5, u32::MAX, 11, 3, 0x8000_0000, 4];

pub(super) fn cases() -> Vec<Case> {
    let mut cases: Vec<_> = SIZES.iter().map(|&n| case(format!("{n} columns"), plain(9, n))).collect();
    cases.push(case("256 columns, whole workgroups".into(), plain(9, 256)));
    // What comes after a row is not written.
    cases.push(case("131 columns, with gaps".into(), plain(9, 131)).odd());
    for row in pairwise(&[3, 4, 4]) {
        let types = [Some(F32), Some(F16), Some(BF16), None];
        let table = |rows: usize, dtype: Option<DType>| dtype.map(|dtype| View::dense(rows, 67, dtype));
        let (position, kind) = (table(6, types[row[1]]), table(2, types[row[2]]));
        let word = View::dense(11, 67, [F32, F16, BF16][row[0]]);
        let op = Embed { word, position, kind, scale: 8.0, ..plain(9, 67) };
        let name = format!("{} position {:?} kind {:?}", word.dtype, position.map(|v| v.dtype), kind.map(|v| v.dtype));
        cases.push(case(name, op).odd());
    }
    // A shard holds some ids, and touches no other's row.
    for (base, held) in [(0, 4), (4, 1), (5, 6)] {
        let op = Embed { word: matrix(held, 65), base, ..plain(9, 65) };
        cases.push(case(format!("shard {base}..{}", base + held), op).odd());
    }
    for size in [1e4, 1e-20] {
        cases.push(case(format!("word around {size:e}"), plain(9, 65)).around("word", 0.0, size));
    }
    cases.push(case("a NaN".into(), plain(9, 65)).special("word", 5, 64, f32::NAN));
    cases.extend(vocabularies());
    let op = plain(ROOM, 3);
    cases.push(Case::new("many rows", op, Step::packed(&[MANY])).words("ids", &IDS).large());
    cases
}

/// Tables of more rows than a packed one has side by side, and of so many that it has another stack of them.
fn vocabularies() -> impl Iterator<Item = Case> {
    const SOME: [u32; 17] = [0, 1, 5, 31, 32, 33, 63, 64, 65, 127, 128, 255, 256, 300, 511, 512, 599];
    const MOST: [u32; 9] = [0, 63, 64, 65_535, 65_599, 65_600, 65_601, 131_072, 131_099];
    let some = [F32, F16, BF16].map(|dtype| (600, 67, dtype, &SOME[..]));
    let most = [(131_100, 1, F32, &MOST[..]), (131_100, 32, F16, &MOST[..])];
    some.into_iter().chain(most).map(|(vocab, cols, dtype, ids)| {
        let op = Embed { word: View::dense(vocab, cols, dtype), vocab, ..plain(ids.len(), cols) };
        Case::new(format!("{vocab} rows of {cols}, {dtype}"), op, Step::packed(&[ids.len()])).words("ids", ids)
    })
}

fn plain(rows: usize, cols: usize) -> Embed<View> {
    let (ids, word, y) = (column(rows), matrix(11, cols), matrix(rows, cols));
    Embed { ids, word, position: None, kind: None, y, scale: 1.0, vocab: 11, base: 0, layout: Layout::Nk }
}

/// Nine tokens of two sequences, some positions and types beyond their tables.
fn case(name: String, op: Embed<View>) -> Case {
    let mut step = Step::packed(&[3]);
    step.push(&[0, 2, 5, 6, u32::MAX, 1]);
    step.types = vec![0, 1, 0, 1, 2, u32::MAX, 0, 0, 1];
    Case::new(name, op, step).words("ids", &IDS)
}
