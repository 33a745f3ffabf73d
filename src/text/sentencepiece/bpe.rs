//! Byte-pair encoding as SentencePiece does it: the adjacent pair that makes the best piece is joined, until none is left.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use super::proto::{Kind, Piece};
use crate::text::sorted::Sorted;

#[derive(Debug)]
pub struct Bpe {
    scores: Vec<f32>,
    unused: Vec<bool>,
}

/// A part of the text, in a doubly linked list; joined parts are empty.
struct Part {
    start: usize,
    end: usize,
    previous: Option<usize>,
    next: Option<usize>,
    /// A user's symbol: never joined.
    fixed: bool,
}

/// A possible join. The best score comes first, then the leftmost.
type Join = (Ordered, Reverse<usize>, usize, usize);

/// A finite score, ordered.
#[derive(PartialEq)]
struct Ordered(f32);

impl Eq for Ordered {}

impl PartialOrd for Ordered {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ordered {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl Bpe {
    pub fn new(pieces: &[Piece]) -> Self {
        Self {
            scores: pieces.iter().map(|piece| piece.score).collect(),
            unused: pieces.iter().map(|piece| piece.kind == Kind::Unused).collect(),
        }
    }

    /// Pieces as (start, end, id), in order; `unknown` for a character that is no piece.
    pub fn encode(&self, text: &str, pieces: &Sorted, fixed: &Sorted, unknown: u32) -> Vec<(usize, usize, u32)> {
        let mut parts = split(text, fixed);
        let mut halves = HashMap::new();
        let mut joins = BinaryHeap::new();
        for left in 1..parts.len() {
            self.offer(text, pieces, &parts, left - 1, left, &mut joins, &mut halves);
        }
        while let Some((_, Reverse(left), right, len)) = joins.pop() {
            // One of the two may have been joined to another meanwhile.
            let stale = parts[left].start == parts[left].end || parts[right].start == parts[right].end;
            if stale || parts[right].end - parts[left].start != len {
                continue;
            }
            let next = parts[right].next;
            parts[left].end = parts[right].end;
            parts[left].next = next;
            parts[right].start = parts[right].end;
            if let Some(next) = next {
                parts[next].previous = Some(left);
                self.offer(text, pieces, &parts, left, next, &mut joins, &mut halves);
            }
            if let Some(previous) = parts[left].previous {
                self.offer(text, pieces, &parts, previous, left, &mut joins, &mut halves);
            }
        }
        let mut path = Vec::new();
        for part in parts.iter().filter(|part| part.start < part.end) {
            self.give(text, pieces, (part.start, part.end), &halves, unknown, &mut path);
        }
        path
    }

    /// Notes that two neighbours may be joined, if they make a piece.
    #[expect(clippy::too_many_arguments, reason = "the state of one loop")]
    fn offer<'a>(
        &self,
        text: &'a str,
        pieces: &Sorted,
        parts: &[Part],
        left: usize,
        right: usize,
        joins: &mut BinaryHeap<Join>,
        halves: &mut HashMap<&'a str, usize>,
    ) {
        let (l, r) = (&parts[left], &parts[right]);
        if l.fixed || r.fixed {
            return;
        }
        let whole = &text[l.start..r.end];
        if let Some(id) = pieces.get(whole) {
            joins.push((Ordered(self.scores[id as usize]), Reverse(left), right, whole.len()));
            if self.unused[id as usize] {
                halves.insert(whole, l.end - l.start);
            }
        }
    }

    /// A part's piece; one that is never used falls apart into what it was joined from.
    fn give(
        &self,
        text: &str,
        pieces: &Sorted,
        (start, end): (usize, usize),
        halves: &HashMap<&str, usize>,
        unknown: u32,
        path: &mut Vec<(usize, usize, u32)>,
    ) {
        let mut stack = vec![(start, end)];
        while let Some((start, end)) = stack.pop() {
            let part = &text[start..end];
            let id = pieces.get(part);
            match id.filter(|&id| self.unused[id as usize]).and_then(|_| halves.get(part)) {
                Some(&half) => stack.extend([(start + half, end), (start, start + half)]),
                None => path.push((start, end, id.unwrap_or(unknown))),
            }
        }
    }
}

/// Characters, and the user's symbols whole.
fn split(text: &str, fixed: &Sorted) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    let mut start = 0;
    while let Some(char) = text[start..].chars().next() {
        let symbol = fixed.longest(&text[start..]);
        let end = start + symbol.map_or(char.len_utf8(), |(len, _)| len);
        let index = parts.len();
        parts.push(Part {
            start,
            end,
            previous: index.checked_sub(1),
            next: (end < text.len()).then_some(index + 1),
            fixed: symbol.is_some(),
        });
        start = end;
    }
    parts
}
