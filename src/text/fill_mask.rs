//! Masks in text, and the words that a model puts in their place, as Hugging Face's `fill-mask` pipeline does it.

use super::spans::softmax;
use super::{Side, Tokenizer};
use crate::model::arch::TaskKind;
use crate::model::{Model, Sequence};
use crate::{Error, Result};

/// A token in place of a mask.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filled {
    /// Its probability.
    pub score: f32,
    /// Its id.
    pub id: u32,
    /// Its text, special tokens' too.
    pub token: String,
    /// The text with it, other masks left as they are; decoded, so upper case may be gone.
    pub sequence: String,
}

/// A text's masks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fillings {
    /// The text was longer than the model's limit: its end was cut off, with no mask in it.
    pub truncated: bool,
    /// For each mask, in order, the best tokens, the best first. Each is guessed while the others are masks still.
    pub masks: Vec<Vec<Filled>>,
}

impl Model {
    /// The `top` best tokens, or as many as there are, for each mask of each text. Only masks have logits computed.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a model without a head for masked words; [`Error::Input`] for a text without a mask, a mask
    /// beyond the model's limit, and for a `top` of 0; [`Error::Tokenizer`] where the tokenizer has no mask; as
    /// [`Model::embed`] and [`Model::word_logits`].
    pub async fn fill_mask(&self, texts: &[&str], top: usize) -> Result<Vec<Fillings>> {
        self.blueprint().task(TaskKind::Words)?;
        if top == 0 {
            return Err(Error::input("top_k", "is 0; ask for one token at least"));
        }
        let tokenizer = self.blueprint().text_tokenizer()?;
        let mask =
            tokenizer.marks.mask.ok_or_else(|| Error::Tokenizer("it has no mask token; is it this model's?".into()))?;
        let masked = texts.iter().map(|text| masked(tokenizer, text, mask)).collect::<Result<Vec<_>>>()?;
        let (sequences, truncated): (Vec<_>, Vec<bool>) = masked.into_iter().unzip();
        let at = |sequence: &Sequence| (0..sequence.ids.len()).filter(|&i| sequence.ids[i] == mask).collect();
        let places: Vec<Vec<usize>> = sequences.iter().map(at).collect();
        let found = self.word_logits(&sequences, &places, |row| best_words(row, top)).await?;
        let mut all = Vec::with_capacity(texts.len());
        for (((sequence, places), truncated), found) in sequences.iter().zip(&places).zip(truncated).zip(found) {
            let fill = |(&place, best): (&usize, Vec<(u32, f32)>)| {
                let fill = |(id, score)| filled(tokenizer, &sequence.ids, place, places.len() == 1, id, score);
                best.into_iter().map(fill).collect()
            };
            let masks = places.iter().zip(found).map(fill).collect::<Result<_>>()?;
            all.push(Fillings { truncated, masks });
        }
        Ok(all)
    }
}

/// A text's ids, with all of its masks, and whether others were cut.
fn masked(tokenizer: &Tokenizer, text: &str, mask: u32) -> Result<(Sequence, bool)> {
    let count = |ids: &[u32]| ids.iter().filter(|&&id| id == mask).count();
    let (sequence, truncated) = tokenizer.sequence(text, None)?;
    let name = tokenizer.token(mask, Side::Source).unwrap_or_default();
    let kept = count(&sequence.ids);
    if truncated && count(&tokenizer.encode_plain(text)?) > kept {
        let limit = sequence.ids.len();
        let why = format!("{} has a {name} beyond the {limit} tokens that the model takes; shorten it", start(text));
        return Err(Error::input("a text", why));
    }
    if kept == 0 {
        let why = format!("{} has no {name}; write it where a word is to be guessed", start(text));
        return Err(Error::input("a text", why));
    }
    Ok((sequence, truncated))
}

/// A text's beginning, quoted: it tells which of the texts is meant.
fn start(text: &str) -> String {
    let short: String = text.chars().take(40).collect();
    format!("{short:?}{}", if short.len() < text.len() { ".." } else { "" })
}

/// The best words of a row and their probabilities; of equals the first.
fn best_words(row: &[f32], top: usize) -> Vec<(u32, f32)> {
    let scores = softmax(row);
    let better = |&a: &u32, &b: &u32| scores[b as usize].total_cmp(&scores[a as usize]).then(a.cmp(&b));
    let mut ids: Vec<u32> = (0..row.len() as u32).collect();
    if top < ids.len() {
        ids.select_nth_unstable_by(top, better);
        ids.truncate(top);
    }
    ids.sort_unstable_by(better);
    ids.into_iter().map(|id| (id, scores[id as usize])).collect()
}

fn filled(tokenizer: &Tokenizer, ids: &[u32], place: usize, single: bool, id: u32, score: f32) -> Result<Filled> {
    let mut ids = ids.to_vec();
    ids[place] = id;
    ids.retain(|&id| Some(id) != tokenizer.marks.pad);
    // Without special tokens other masks would be gone.
    let sequence = if single { tokenizer.decode(&ids)? } else { tokenizer.decode_all(&ids)? };
    Ok(Filled { score, id, token: tokenizer.decode_all(&[id])?, sequence })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_words_come_first() {
        let row = [0.0, 2.0, 1.0, 2.0];
        let ids = |top| best_words(&row, top).into_iter().map(|(id, _)| id).collect::<Vec<_>>();
        assert_eq!(ids(3), [1, 3, 2]);
        assert_eq!(ids(1), [1]);
        assert_eq!(ids(9), [1, 3, 2, 0]);
        let sum: f32 = best_words(&row, 4).into_iter().map(|(_, score)| score).sum();
        assert!((sum - 1.0).abs() < 1e-6);
    }
}
