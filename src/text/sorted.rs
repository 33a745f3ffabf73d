//! Texts in order: a prefix tree without its nodes.

/// Texts with their ids, sorted by bytes.
#[derive(Debug, Default)]
pub struct Sorted(Vec<(Box<str>, u32)>);

impl Sorted {
    pub fn new<'a>(texts: impl Iterator<Item = (&'a str, u32)>) -> Self {
        let mut all: Vec<(Box<str>, u32)> = texts.map(|(text, id)| (text.into(), id)).collect();
        all.sort_unstable();
        Self(all)
    }

    /// The texts that `text` begins with, the shortest first: length and id.
    ///
    /// The texts that agree with the first bytes lie side by side, so each byte narrows a range.
    pub fn prefixes<'a>(&'a self, text: &'a str) -> impl Iterator<Item = (usize, u32)> + 'a {
        let mut range = &self.0[..];
        text.bytes()
            .enumerate()
            .map_while(move |(depth, byte)| {
                let at = |text: &str| text.as_bytes().get(depth).copied();
                let low = range.partition_point(|(text, _)| at(text) < Some(byte));
                let high = range.partition_point(|(text, _)| at(text) <= Some(byte));
                range = &range[low..high];
                let (first, id) = range.first()?;
                Some((first.len() == depth + 1).then_some((depth + 1, *id)))
            })
            .flatten()
    }

    /// The longest of them.
    pub fn longest(&self, text: &str) -> Option<(usize, u32)> {
        self.prefixes(text).last()
    }

    pub fn get(&self, text: &str) -> Option<u32> {
        let at = self.0.binary_search_by(|(other, _)| other.as_ref().cmp(text)).ok()?;
        Some(self.0[at].1)
    }
}
