//! The linker: a header that the host writes, one body, and the parts it asks for, concatenated.
//!
//! WGSL's module scope is order-independent, so that is all there is to it, but for one thing: naga lowers `for` to an
//! endless loop with a break, which some drivers' compilers then do not unroll, and register tiles live or die by that.
//! So a loop whose line ends in `// unroll` and whose bound is a constant of the header, or one that the host gives
//! ([`Link::unrolled`]), is unrolled in the text:
//!
//! ```wgsl
//! for (var i = 0u; i < ROWS; i++) { // unroll
//! ```
//!
//! Such a body is valid WGSL before and after.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write;

use super::mirror;
use crate::model::arch::Activation;
use crate::weights::DType;

macro_rules! shaders {
    ($($path:literal)*) => {
        /// Every file under `shaders/`, by its name without the extension.
        pub const FILES: &[(&str, &str)] = &[$(($path, include_str!(concat!("../../shaders/", $path, ".wgsl")))),*];
    };
}
shaders! {
    "argmax" "attention" "attention_lanes" "attention_row" "attention_row_lanes" "embed" "gate" "matmul" "matmul_lanes" "matvec" "norm" "norm_lanes" "pool" "qkv" "softmax" "softmax_lanes" "topk"
    "bench/copy" "bench/fma_scalar" "bench/fma_vec4" "bench/read_buffer" "bench/read_texture"
    "bench/plain_argmax" "bench/plain_attention" "bench/plain_embed" "bench/plain_gate" "bench/plain_matmul"
    "bench/plain_norm" "bench/plain_pool" "bench/plain_qkv" "bench/plain_softmax" "bench/plain_topk"
    "parts/activation" "parts/best_lanes" "parts/best_subgroup" "parts/best_workgroup" "parts/column_kn" "parts/column_nk" "parts/counted" "parts/keys_memory" "parts/keys_own" "parts/keys_table" "parts/mask" "parts/numeric" "parts/packed_row"
    "parts/reduce_lanes" "parts/reduce_subgroup" "parts/reduce_workgroup"
    "parts/score_cosine" "parts/score_dot" "parts/power" "parts/rank" "parts/rows" "parts/share" "parts/step" "parts/texel_bf16" "parts/texel_f16" "parts/texel_f32" "parts/tile" "parts/weight" "parts/window"
}

/// The text of one of [`FILES`].
pub(crate) fn file(name: &str) -> &'static str {
    FILES.iter().find(|(n, _)| *n == name).map(|(_, text)| *text).unwrap_or_default()
}

/// How a kernel reads the rows of an f32 input, four elements at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Rows {
    /// Element by element: rows begin and end anywhere.
    Scalar,
    /// From an array of vec4f: rows begin and end on multiples of 4.
    Quads,
    /// Likewise, from a copy of the buffer in a storage texture.
    Mirror,
}

impl Rows {
    /// Straight from the buffers, all of which are `aligned` or not.
    pub fn direct(aligned: bool) -> Self {
        if aligned { Self::Quads } else { Self::Scalar }
    }
}

/// Collects a specialisation: constants, declarations and parts for one body.
#[derive(Debug)]
pub(crate) struct Link {
    body: &'static str,
    header: String,
    numbers: BTreeMap<&'static str, u32>,
    parts: Vec<&'static str>,
}

impl Link {
    /// Starts with a body's name and its constants' declaration.
    pub fn new(body: &'static str, constants: &str) -> Self {
        let header = format!("{constants}{}", crate::graph::step::header_constants());
        let link = Self { body, header, numbers: BTreeMap::new(), parts: Vec::new() };
        let link = link.part("parts/step").part("parts/numeric");
        // Ops that work row by row know which count of the step is theirs.
        if constants.contains("rows_at") { link.part("parts/rows") } else { link }
    }

    /// `const NAME = value`; the bound of unrolled loops.
    pub fn number(mut self, name: &'static str, value: u32) -> Self {
        let _ = writeln!(self.header, "const {name} = {value}u;");
        self.numbers.insert(name, value);
        self
    }

    /// Unrolls the marked loops up to a bound that the body computes: so many turns, at least as many as it has.
    pub fn unrolled(mut self, bound: &'static str, turns: u32) -> Self {
        self.numbers.insert(bound, turns);
        self
    }

    /// `const NAME = true|false`.
    pub fn flag(mut self, name: &'static str, value: bool) -> Self {
        let _ = writeln!(self.header, "const {name} = {value};");
        self
    }

    /// Any other line.
    pub fn line(mut self, text: &str) -> Self {
        let _ = writeln!(self.header, "{text}");
        self
    }

    /// Links a part, once.
    pub fn part(mut self, name: &'static str) -> Self {
        if !self.parts.contains(&name) {
            self.parts.push(name);
        }
        self
    }

    /// An optional f32 input: `fn NAME_at(i)` reads it, or gives `absent`.
    pub fn optional(self, name: &str, binding: Option<u32>, absent: &str) -> Self {
        match binding {
            Some(n) => self.line(&format!(
                "@group(0) @binding({n}) var<storage, read> {name}: array<f32>;\nfn {name}_at(i: u32) -> f32 {{ return {name}[i]; }}"
            )),
            None => self.line(&format!("fn {name}_at(i: u32) -> f32 {{ return {absent}; }}")),
        }
    }

    /// A table of weights in a buffer: `fn NAME_at(i)` gives element i as f32.
    pub fn weight(self, name: &str, binding: u32, dtype: DType) -> Self {
        let (element, read) = match dtype {
            DType::F16 => ("u32", format!("half_of({name}[i >> 1u], i)")),
            DType::BF16 => ("u32", format!("bfloat_of({name}[i >> 1u], i)")),
            DType::F32 | DType::U32 => ("f32", format!("{name}[i]")),
        };
        self.part("parts/weight").line(&format!(
            "@group(0) @binding({binding}) var<storage, read> {name}: array<{element}>;\nfn {name}_at(i: u32) -> f32 {{ return {read}; }}"
        ))
    }

    /// The table `word`, packed: `fn word_of(word_row(row), j)` gives an element as f32.
    pub fn packed_rows(self, binding: u32, dtype: DType) -> Self {
        let (texel, format, count, element) = match dtype {
            DType::F32 | DType::U32 => ("vec4f", "rgba32float", 4, "texel[i]"),
            DType::F16 => ("vec4u", "rgba32uint", 8, "half_of(texel[i >> 1u], i)"),
            DType::BF16 => ("vec4u", "rgba32uint", 8, "bfloat_of(texel[i >> 1u], i)"),
        };
        self.part("parts/weight").part("parts/packed_row").number("PER_TEXEL", count).line(&format!(
            "@group(0) @binding({binding}) var word: texture_storage_2d<{format}, read>;\n\
             fn element_of(texel: {texel}, i: u32) -> f32 {{ return {element}; }}"
        ))
    }

    /// As [`Self::weight`]; absent, its elements are 0.
    pub fn optional_weight(self, name: &str, binding: u32, dtype: Option<DType>) -> Self {
        match dtype {
            Some(dtype) => self.weight(name, binding, dtype),
            None => self.optional(name, None, "0.0"),
        }
    }

    /// An f32 input whose rows are read four neighbours at a time: `fn NAME_quad(row, at, end)` gives elements
    /// `at..at + 4` of the row that begins at element `row` and has `end` elements, with zeros past its end.
    pub fn quads(self, name: &str, binding: u32, rows: Rows) -> Self {
        let kind = match rows {
            Rows::Scalar => format!("var<storage, read> {name}: array<f32>"),
            Rows::Quads => format!("var<storage, read> {name}: array<vec4f>"),
            Rows::Mirror => format!("var {name}: texture_storage_2d<rgba32float, read>"),
        };
        let read = match rows {
            Rows::Scalar => one_by_one(|i| format!("{name}[{i}]")),
            Rows::Quads => format!("    return select(vec4f(0.0), {name}[(row + min(at, end - 4u)) / 4u], at < end);"),
            Rows::Mirror => format!(
                "    let i = (row + min(at, end - 4u)) / 4u;\n    let texel = textureLoad({name}, vec2u(i % {wide}u, i / {wide}u));\n    \
                 return select(vec4f(0.0), texel, at < end);",
                wide = mirror::WIDE,
            ),
        };
        self.line(&format!(
            "@group(0) @binding({binding}) {kind};\nfn {name}_quad(row: u32, at: u32, end: u32) -> vec4f {{\n{read}\n}}"
        ))
    }

    /// As [`Self::quads`] for an input that may be absent: its elements are then `absent`.
    pub fn optional_quads(self, name: &str, binding: Option<u32>, rows: Rows, absent: &str) -> Self {
        match binding {
            Some(n) => self.quads(name, n, rows),
            None => self
                .line(&format!("fn {name}_quad(row: u32, at: u32, end: u32) -> vec4f {{ return vec4f({absent}); }}")),
        }
    }

    /// An f32 output that is written four neighbours at a time: `fn NAME_put(row, at, end, value)`, as [`Self::quads`].
    pub fn put(self, name: &str, binding: u32, aligned: bool) -> Self {
        let (element, text) = match aligned {
            true => ("vec4f", format!("    if (at < end) {{ {name}[(row + at) / 4u] = value; }}\n")),
            false => {
                let one = |i| format!("    if (at + {i}u < end) {{ {name}[row + at + {i}u] = value[{i}]; }}\n");
                ("f32", (0..4).map(one).collect())
            }
        };
        self.line(&format!(
            "@group(0) @binding({binding}) var<storage, read_write> {name}: array<{element}>;\n\
             fn {name}_put(row: u32, at: u32, end: u32, value: vec4f) {{\n{text}}}"
        ))
    }

    /// A matrix of weights in a buffer, read as by [`Self::quads`]; `aligned` where its rows are whole quads.
    pub fn weight_quads(self, name: &str, binding: u32, dtype: DType, aligned: bool) -> Self {
        let (link, read) = match dtype {
            _ if !aligned => (self.weight(name, binding, dtype), one_by_one(|i| format!("{name}_at({i})"))),
            DType::F32 | DType::U32 => return self.quads(name, binding, Rows::Quads),
            DType::F16 | DType::BF16 => {
                let four = if dtype == DType::F16 { "halves_of" } else { "bfloats_of" };
                let words = format!("@group(0) @binding({binding}) var<storage, read> {name}: array<vec2u>;");
                let read =
                    format!("    return select(vec4f(0.0), {four}({name}[(row + min(at, end - 4u)) / 4u]), at < end);");
                (self.part("parts/weight").line(&words), read)
            }
        };
        link.line(&format!("fn {name}_quad(row: u32, at: u32, end: u32) -> vec4f {{\n{read}\n}}"))
    }

    /// `fn activate(x)`.
    pub fn activation(self, act: Activation) -> Self {
        let call = match act {
            Activation::None => "x",
            Activation::Relu => "relu(x)",
            Activation::Gelu => "gelu(x)",
            Activation::GeluTanh => "gelu_tanh(x)",
            Activation::Silu => "silu(x)",
            Activation::Tanh => "tanh_of(x)",
        };
        self.part("parts/activation").line(&format!("fn activate(x: f32) -> f32 {{ return {call}; }}"))
    }

    /// The name of the body.
    pub fn body(&self) -> &'static str {
        self.body
    }

    /// The names of the files that are linked, in their order: the parts, then the body.
    pub fn files(&self) -> impl Iterator<Item = &'static str> {
        self.parts.iter().copied().chain([self.body])
    }

    /// The linked source, where `read` gives a file's text.
    pub fn text(&self, read: impl Fn(&'static str) -> Cow<'static, str>) -> String {
        let mut text = format!("// {}: linked by wgformer\n{}", self.body, self.header);
        for name in self.files() {
            let _ = write!(text, "\n// ---- {name}.wgsl\n{}", unroll(&read(name), &self.numbers));
        }
        text
    }
}

/// What a `NAME_quad` does whose elements are read one by one, each as `element` says for its index.
fn one_by_one(element: impl Fn(&str) -> String) -> String {
    let [x, y, z, w] = ["i.x", "i.y", "i.z", "i.w"].map(element);
    format!(
        "    let four = vec4u(at, at + 1u, at + 2u, at + 3u);\n    let i = row + min(four, vec4u(end - 1u));\n    \
         return select(vec4f(0.0), vec4f({x}, {y}, {z}, {w}), four < vec4u(end));"
    )
}

/// The source of a kernel that is only measured: it has no parts and no constants but `numbers`.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn bench_source(name: &'static str, numbers: &[(&'static str, u32)]) -> String {
    let header: String = numbers.iter().map(|(name, value)| format!("const {name} = {value}u;\n")).collect();
    header + &unroll(file(name), &numbers.iter().copied().collect())
}

/// Unrolls the marked loops whose bound is a known constant, innermost last.
fn unroll(text: &str, numbers: &BTreeMap<&str, u32>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, name, bound, body, after)) = next_loop(rest) {
        out.push_str(before);
        match bound.parse().ok().or_else(|| numbers.get(bound).copied()) {
            Some(n) => {
                for i in 0..n {
                    let copy = replace_word(body, name, &format!("{i}u"));
                    let _ = write!(out, "{{{}}}", unroll(&copy, numbers).trim_end());
                }
                out.push('\n');
            }
            None => {
                let _ = write!(out, "for (var {name} = 0u; {name} < {bound}; {name}++) {{{}}}", unroll(body, numbers));
            }
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Splits at the first marked loop: what is before, its variable, its bound, its body, what is after.
fn next_loop(text: &str) -> Option<(&str, &str, &str, &str, &str)> {
    let mark = text.find("{ // unroll")?;
    let start = text[..mark].rfind("for (var ")?;
    let head = &text[start + "for (var ".len()..mark];
    let (name, tail) = head.split_once(" = 0u; ")?;
    let bound = tail.split_once("< ")?.1.split(';').next()?.trim_end_matches('u');
    let body_at = mark + "{ // unroll".len();
    let mut depth = 1;
    for (i, b) in text.bytes().enumerate().skip(body_at) {
        match b {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some((&text[..start], name, bound, &text[body_at..i], &text[i + 1..]));
        }
    }
    None
}

fn replace_word(text: &str, word: &str, with: &str) -> String {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for (at, _) in text.match_indices(word) {
        let end = at + word.len();
        let bounded = !text[..at].ends_with(|c| is_word(c) || c == '.') && !text[end..].starts_with(is_word);
        out.push_str(&text[done..at]);
        out.push_str(if bounded { with } else { word });
        done = end;
    }
    out.push_str(&text[done..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unrolls_marked_loops_only() {
        let text = "a for (var i = 0u; i < N; i++) { // unroll\n x[i] = ii + i; for (var j = 0u; j < 2u; j++) { // unroll\n y[i][j]; } }\nb";
        let out = unroll(text, &BTreeMap::from([("N", 2)]));
        assert!(!out.contains("for"), "{out}");
        for want in ["x[0u] = ii + 0u;", "x[1u] = ii + 1u;", "y[1u][0u];", "y[0u][1u];"] {
            assert!(out.contains(want), "{want} in {out}");
        }
        let kept = unroll(text, &BTreeMap::new());
        assert!(kept.contains("for (var i = 0u; i < N; i++)"), "{kept}");
        let plain = "for (var i = 0u; i < 3u; i++) { x; }";
        assert_eq!(unroll(plain, &BTreeMap::new()), plain);
    }
}
