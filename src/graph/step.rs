//! A step: which sequences one replay of a plan works on, and the integers that its kernels read.
//!
//! Sequences are packed: only their real tokens have rows, one after the other, and each token keeps its original
//! position. So padding costs nothing and cannot change an answer.

use crate::kernel::{Keys, Op, View};
use crate::{Error, Result};

/// Which count of a step a tensor's rows follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Domain {
    /// A row for each token of the step.
    #[default]
    Tokens,
    /// A row for each sequence.
    Sequences,
    /// A row for each token of the encoder's output.
    Memory,
}

impl Domain {
    /// The header word that holds the count.
    pub(crate) fn word(self) -> u32 {
        self as u32
    }
}

/// Header words of the step buffer; the shader's names for them are made from this list.
const HEADER: [(&str, u32); 9] = [
    ("H_TOKENS", 0),
    ("H_SEQUENCES", 1),
    ("H_MEMORY", 2),
    ("H_POSITIONS", 3),
    ("H_TYPES", 4),
    ("H_SLOTS", 5),
    ("H_SPANS", 6),
    ("H_TABLE", 7),
    ("SPAN_WORDS", SPAN_WORDS as u32),
];
const HEADER_WORDS: usize = 24;
const SPAN_WORDS: usize = 6;
/// Heights of the tiles of query rows that attention kernels work on.
const HEIGHTS: [u32; 5] = [1, 8, 16, 32, 64];

/// The header word that points to the tiles of this height; the next word counts them.
pub(crate) fn tiles_word(height: u32) -> u32 {
    8 + 2 * HEIGHTS.iter().position(|&h| h == height).unwrap_or(0) as u32
}

pub(crate) fn header_constants() -> String {
    HEADER.iter().map(|(name, value)| format!("const {name} = {value}u;\n")).collect()
}

/// One sequence of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Its first row among the step's tokens.
    pub start: u32,
    /// Its rows in this step.
    pub len: u32,
    /// Keys it can see with the KV table: those of earlier steps and of this one.
    pub keys: u32,
    /// Its first entry in the slot table.
    pub table: u32,
    /// Its first row in the memory (the encoder's output).
    pub memory_start: u32,
    /// Its rows in the memory.
    pub memory_len: u32,
}

/// The host's description of one replay.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Step {
    /// The sequences, packed one after the other.
    pub spans: Vec<Span>,
    /// Original position of each token.
    pub positions: Vec<u32>,
    /// Token type of each token; empty means all 0.
    pub types: Vec<u32>,
    /// Cache slot that each token's key and value are written to; empty where there is no cache.
    pub slots: Vec<u32>,
    /// Slot of each (sequence, key): the entries of a sequence start at its `table`.
    pub table: Vec<u32>,
    /// Ids of the tokens, or `None` when they are in the session's `ids` already (chosen on the GPU, or the caller's).
    pub ids: Option<Vec<u32>>,
}

impl Step {
    /// Packed sequences of these lengths, positions counted from 0.
    pub fn packed(lengths: &[usize]) -> Self {
        let mut step = Self::default();
        for &len in lengths {
            step.push(&(0..len as u32).collect::<Vec<_>>());
        }
        step
    }

    /// `rows` rows for ops that know no sequences.
    pub fn rows(rows: usize) -> Self {
        let span = Span { len: rows as u32, ..Span::default() };
        Self { spans: vec![span], ..Self::default() }
    }

    /// Appends a sequence whose tokens have these positions; they may have holes.
    pub fn push(&mut self, positions: &[u32]) {
        let (start, len) = (self.end(), positions.len() as u32);
        self.spans.push(Span { start, len, keys: len, ..Span::default() });
        self.positions.extend_from_slice(positions);
    }

    /// The same step with these ids.
    pub fn with_ids(mut self, ids: Vec<u32>) -> Self {
        self.ids = Some(ids);
        self
    }

    /// The same step with a memory of one sequence each for cross-attention.
    pub fn with_memory(mut self, lengths: &[usize]) -> Self {
        let mut start = 0;
        for (span, &len) in self.spans.iter_mut().zip(lengths) {
            (span.memory_start, span.memory_len) = (start, len as u32);
            start += len as u32;
        }
        self
    }

    /// Appends a sequence that continues in the KV cache: `keys` maps each of its positions so far, this step's included,
    /// to its slot; its tokens are the last `len` of them.
    pub fn push_cached(&mut self, len: usize, keys: &[u32]) {
        let (start, table) = (self.end(), self.table.len() as u32);
        let first = keys.len().saturating_sub(len);
        self.spans.push(Span { start, len: len as u32, keys: keys.len() as u32, table, ..Span::default() });
        self.positions.extend(first as u32..keys.len() as u32);
        self.slots.extend_from_slice(&keys[first..]);
        self.table.extend_from_slice(keys);
    }

    /// The row after the last sequence's; sequences lie one after the other, so it is the next one's first.
    fn end(&self) -> u32 {
        self.spans.last().map_or(0, |s| s.start.saturating_add(s.len))
    }

    /// Tokens in this step.
    pub fn tokens(&self) -> u32 {
        self.end()
    }

    /// Rows of the memory.
    pub fn memory(&self) -> u32 {
        self.spans.iter().map(|s| s.memory_start.saturating_add(s.memory_len)).max().unwrap_or(0)
    }

    /// Checks what kernels without bounds checks rely on: spans that lie one after the other, lists as long as the
    /// tokens, a table that holds each sequence's keys, slots within the cache. Every field is public, so any may be wrong.
    pub(crate) fn check(&self, needs: Needs) -> Result<()> {
        let mut end = 0u64;
        for span in &self.spans {
            if u64::from(span.start) != end {
                return Err(Error::input(
                    "sequences",
                    format!("{span:?} does not begin at row {end}, where the last one ends"),
                ));
            }
            end += u64::from(span.len);
            let memory = u64::from(span.memory_start) + u64::from(span.memory_len);
            if end.max(memory) >= u64::from(u32::MAX) {
                return Err(Error::input("sequences", format!("{span:?} ends beyond 2^32 rows")));
            }
            let keys = u64::from(span.table) + u64::from(span.keys);
            if (needs.table || !self.table.is_empty()) && (keys > self.table.len() as u64 || span.keys < span.len) {
                return Err(Error::input(
                    "slot table",
                    format!("{span:?} does not fit a table of {}", self.table.len()),
                ));
            }
        }
        let lists = [
            ("positions", self.positions.len()),
            ("types", self.types.len()),
            ("slots", self.slots.len()),
            ("ids", self.ids.as_ref().map_or(0, Vec::len)),
        ];
        if let Some((what, len)) = lists.into_iter().find(|&(_, len)| len != 0 && len as u64 != end) {
            return Err(Error::input(what, format!("{len} given for {end} tokens")));
        }
        let Some(slots) = needs.slots else { return Ok(()) };
        match self.slots.iter().chain(&self.table).find(|&&s| s as usize >= slots) {
            Some(slot) => Err(Error::input("slots", format!("slot {slot} is beyond the cache of {slots}"))),
            None => Ok(()),
        }
    }

    pub(crate) fn counts(&self, heights: &[u32]) -> Counts {
        let tiles = |h: u32| self.spans.iter().map(|s| s.len.div_ceil(h)).sum();
        Counts {
            tokens: self.tokens(),
            sequences: self.spans.len() as u32,
            memory: self.memory(),
            tiles: heights.iter().map(|&h| (h, tiles(h))).collect(),
        }
    }

    /// The words that the kernels read: a header, then positions, types, slots, spans, table and tiles.
    pub(crate) fn words(&self, heights: &[u32]) -> Vec<u32> {
        let tokens = self.tokens() as usize;
        let mut words = vec![0; HEADER_WORDS];
        words[..3].copy_from_slice(&[self.tokens(), self.spans.len() as u32, self.memory()]);
        for (at, list) in [(3, &self.positions), (4, &self.types), (5, &self.slots)] {
            words[at] = words.len() as u32;
            match list.is_empty() {
                // Without a cache, a token's key lies in its own row.
                true if at == 5 => words.extend(0..tokens as u32),
                true => words.extend(std::iter::repeat_n(0, tokens)),
                false => words.extend_from_slice(list),
            }
        }
        words[6] = words.len() as u32;
        for s in &self.spans {
            words.extend([s.start, s.len, s.keys, s.table, s.memory_start, s.memory_len]);
        }
        words[7] = words.len() as u32;
        words.extend_from_slice(&self.table);
        for &height in heights {
            let at = tiles_word(height) as usize;
            let first = words.len();
            for (sequence, span) in self.spans.iter().enumerate() {
                words.extend((0..span.len).step_by(height as usize).flat_map(|row| [sequence as u32, row]));
            }
            words[at] = first as u32;
            words[at + 1] = ((words.len() - first) / 2) as u32;
        }
        words
    }

    /// The most words a step can need.
    pub(crate) fn max_words(tokens: usize, sequences: usize, table: usize, heights: &[u32]) -> usize {
        let tiles: usize = heights.iter().map(|&h| 2 * (tokens / h as usize + sequences)).sum();
        HEADER_WORDS + 3 * tokens + SPAN_WORDS * sequences + table + tiles
    }
}

/// What ops ask of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    /// Rows of the KV cache, where there is one.
    pub slots: Option<usize>,
    /// Keys are found through the slot table.
    pub table: bool,
}

impl Needs {
    pub fn of(op: &Op<View>) -> Self {
        match op {
            Op::Qkv(op) => Self { slots: Some(op.cache.rows), table: false },
            Op::Attention(op) if op.keys == Keys::Table => Self { slots: Some(op.k.rows), table: true },
            _ => Self::default(),
        }
    }

    /// What both ask.
    pub fn and(self, other: Self) -> Self {
        let slots = self.slots.map_or(other.slots, |a| Some(other.slots.map_or(a, |b| a.min(b))));
        Self { slots, table: self.table || other.table }
    }
}

/// What grids are computed from.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Counts {
    pub tokens: u32,
    pub sequences: u32,
    pub memory: u32,
    tiles: Vec<(u32, u32)>,
}

impl Counts {
    pub fn rows(&self, domain: Domain) -> u32 {
        match domain {
            Domain::Tokens => self.tokens,
            Domain::Sequences => self.sequences,
            Domain::Memory => self.memory,
        }
    }

    pub fn tiles(&self, height: u32) -> u32 {
        self.tiles.iter().find(|(h, _)| *h == height).map_or(0, |(_, n)| *n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CACHED: Needs = Needs { slots: Some(8), table: true };

    fn refused(needs: Needs, spoil: impl Fn(&mut Step)) -> bool {
        let mut step = Step::default();
        step.push_cached(2, &[0, 1, 2]);
        step.push_cached(1, &[4, 5]);
        assert!(step.check(needs).is_ok());
        spoil(&mut step);
        step.check(needs).is_err()
    }

    #[test]
    fn steps_that_would_lead_a_kernel_astray_are_refused() {
        let spoils: [fn(&mut Step); 12] = [
            |s| s.spans[1].start = 0,
            |s| s.spans[1].start = 3,
            |s| s.spans[1].len = u32::MAX,
            |s| s.spans[0].len = 1,
            |s| s.spans[1].keys = u32::MAX,
            |s| s.spans[1].keys = 0,
            |s| s.spans[1].table = 4,
            |s| s.spans[1].table = u32::MAX,
            |s| (s.spans[1].memory_start, s.spans[1].memory_len) = (u32::MAX, 2),
            |s| s.table[3] = 8,
            |s| s.slots[0] = 8,
            |s| s.table.clear(),
        ];
        for (i, spoil) in spoils.into_iter().enumerate() {
            assert!(refused(CACHED, spoil), "{i}");
        }
        let lists: [fn(&mut Step); 4] =
            [|s| s.positions.truncate(1), |s| s.slots.truncate(1), |s| s.types = vec![0], |s| s.ids = Some(vec![1])];
        for list in lists {
            assert!(refused(CACHED, list));
        }
        // Without a cache nobody reads the table.
        assert!(!refused(Needs::default(), |s| s.table.clear()));
    }

    #[test]
    fn no_step_outgrows_its_buffer() {
        let heights = HEIGHTS;
        let mut step = Step::default();
        for keys in [1, 7, 9, 64, 65] {
            step.push_cached(keys, &(0..keys as u32).collect::<Vec<_>>());
        }
        let most = Step::max_words(step.tokens() as usize, step.spans.len(), step.table.len(), &heights);
        assert!(step.words(&heights).len() <= most);
    }
}
