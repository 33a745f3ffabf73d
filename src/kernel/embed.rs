//! Ids to rows.

use super::spec::Columns;
use super::{Candidate, Checker, Choice, Dispatch, Layout, Tier, View, Work};
use crate::Result;
use crate::gpu::link::Link;
use crate::gpu::pack::packed_format;
use crate::gpu::{Caps, packed_fits};
use crate::graph::step::Domain;
use crate::weights::DType;

op! {
    /// `y = scale * word[id] + position[p] + kind[t]`, with p and t from the step.
    ///
    /// A table that exceeds a binding comes in shards of rows, an op for each: a shard writes only the rows of the ids it
    /// holds. Ids are read on the GPU, where they may come from anywhere, so they are clamped to the vocabulary.
    Embed {
        reads {
            /// `[tokens, 1]` u32.
            ids
            /// `[held, C]`: rows `base ..` of the word table; f32, f16 or bf16. May be packed, if it is whole.
            word
        }
        optional {
            /// `[P, C]`, as word.
            position
            /// `[T, C]`, as word: token types (segments).
            kind
        }
        writes {
            /// `[tokens, C]` f32.
            y
        }
        also {}
        with {
            /// Multiplies the word's row.
            scale: f32,
            /// Rows of the whole word table.
            vocab: usize,
            /// The id of this shard's first row.
            base: usize,
            /// [`Layout::Nk`] or [`Layout::Packed`]: how `word` is stored. A software adapter's matmul wants the table of a
            /// tied head packed, and then it need not be there twice.
            layout: Layout,
        }
    }
}

/// The key of an embed kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Spec {
    word: DType,
    position: Option<DType>,
    kind: Option<DType>,
    columns: Columns,
    packed: bool,
}

constants! {
    Constants {
        rows_at: u32, cols: u32, i_offset: u32, i_stride: u32, w_offset: u32, w_stride: u32, p_offset: u32, p_stride: u32,
        k_offset: u32, k_stride: u32, y_offset: u32, y_stride: u32, vocab: u32, base: u32, held: u32, positions: u32,
        kinds: u32, scale: f32,
    }
}

impl Spec {
    pub(super) fn tier(&self) -> Tier {
        self.columns.tier()
    }

    pub(super) fn texture(&self) -> Option<wgpu::TextureFormat> {
        self.packed.then(|| packed_format(self.word))
    }

    pub(super) fn link(&self) -> Link {
        let link = self.columns.link(Link::new("embed", Constants::WGSL));
        let read = "fn word_row(row: u32) -> u32 { return c.w_offset + row * c.w_stride; }\nfn word_of(row: u32, j: u32) -> f32 { return word_at(row + j); }";
        let link = match self.packed {
            true => link.packed_rows(3, self.word),
            false => link.weight("word", 3, self.word).line(read),
        };
        link.optional_weight("position", 4, self.position).optional_weight("kind", 5, self.kind)
    }
}

impl Embed<View> {
    pub(super) fn check(&self) -> Result<()> {
        let ck = Checker("embed");
        ck.views(&self.args())?;
        ck.shape("ids", &self.ids, self.y.rows, 1)?;
        ck.dtype("ids", &self.ids, &[DType::U32])?;
        ck.floats("y", &self.y, self.y.rows, self.y.cols)?;
        for (what, table) in
            [("word", Some(&self.word)), ("position", self.position.as_ref()), ("kind", self.kind.as_ref())]
        {
            let Some(table) = table else { continue };
            ck.shape(what, table, table.rows, self.y.cols)?;
            ck.dtype(what, table, &[DType::F32, DType::F16, DType::BF16])?;
            ck.ok(what, table.rows >= 1, || "at least one row".into(), || "none".into())?;
        }
        let whole = self.base == 0 && self.word.rows == self.vocab;
        let stored = match self.layout {
            Layout::Nk => true,
            Layout::Packed => whole,
            Layout::Kn => false,
        };
        ck.ok("word", stored, || "rows, or a whole table packed".into(), || format!("{:?}", self.layout))?;
        let end = self.base + self.word.rows;
        ck.ok("word", end <= self.vocab, || format!("rows within a vocabulary of {}", self.vocab), || end.to_string())
    }

    pub(super) fn candidates(&self, caps: &Caps) -> Vec<Candidate> {
        let dtype = |view: &Option<View>| view.map(|v| v.dtype);
        let (position, kind) = (dtype(&self.position), dtype(&self.kind));
        let spec = |columns, packed| Spec { word: self.word.dtype, position, kind, columns, packed };
        let plain = |choice: Choice| match self.layout {
            Layout::Packed => Err("the table is packed into a texture".into()),
            _ => choice,
        };
        let packed = match self.layout {
            Layout::Packed => packed_fits(caps, self.word.rows, self.word.cols, self.word.dtype),
            _ => caps.lanes().and(Err("the table is not packed".into())),
        };
        let all = Columns::choices(caps);
        let first = Candidate::new(spec(all[0].0, true), packed);
        let rest = all.map(|(columns, choice)| Candidate::new(spec(columns, false), plain(choice)));
        [first].into_iter().chain(rest).collect()
    }

    pub(super) fn dispatch(&self, spec: &super::Spec, domain: Domain) -> Dispatch {
        let at = |view: &Option<View>| view.map_or([0; 2], |v| v.words());
        let ([i_offset, i_stride], [w_offset, w_stride]) = (self.ids.words(), self.word.words());
        let ([p_offset, p_stride], [k_offset, k_stride]) = (at(&self.position), at(&self.kind));
        let [y_offset, y_stride] = self.y.words();
        let cols = self.y.cols as u32;
        let constants = Constants {
            rows_at: domain.word(),
            cols,
            i_offset,
            i_stride,
            w_offset,
            w_stride,
            p_offset,
            p_stride,
            k_offset,
            k_stride,
            y_offset,
            y_stride,
            vocab: self.vocab as u32,
            base: self.base as u32,
            held: self.word.rows as u32,
            positions: self.position.map_or(1, |v| v.rows as u32),
            kinds: self.kind.map_or(1, |v| v.rows as u32),
            scale: self.scale,
        };
        let super::Spec::Embed(spec) = spec else { return Dispatch::default() };
        Dispatch::new(&constants, Work::Rows { domain, per: 1, times: spec.columns.times(cols) })
    }
}
