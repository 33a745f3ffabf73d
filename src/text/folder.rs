//! Which tokenizer a folder has.

use std::collections::BTreeSet;

use serde_json::Value;

use super::characters::Characters;
use super::json::Json;
use super::language::{Languages, Scheme};
use super::pieces::Pieces;
use super::sentencepiece::SentencePiece;
use super::spans::Marks;
use super::vocab::Vocab;
use super::{Kind, Side, Tokenizer, byte_level, wordpiece};
use crate::model::TokenizerFiles;
use crate::model::config::Config;
use crate::{Error, Result};

/// mBART's languages, in the order of their ids; mBART-50 has all, the first mBART the first 25.
const MBART: &str = "ar_AR cs_CZ de_DE en_XX es_XX et_EE fi_FI fr_XX gu_IN hi_IN it_IT ja_XX kk_KZ ko_KR lt_LT lv_LV \
    my_MM ne_NP nl_XX ro_RO ru_RU si_LK tr_TR vi_VN zh_CN af_ZA az_AZ bn_IN fa_IR he_IL hr_HR id_ID ka_GE km_KH mk_MK \
    ml_IN mn_MN mr_IN pl_PL ps_AF pt_XX sv_SE sw_KE ta_IN te_IN th_TH tl_XX uk_UA ur_PK xh_ZA gl_ES sl_SI";
/// M2M100's, likewise.
const M2M100: &str = "af am ar ast az ba be bg bn br bs ca ceb cs cy da de el en es et fa ff fi fr fy ga gd gl gu ha he \
    hi hr ht hu hy id ig ilo is it ja jv ka kk km kn ko lb lg ln lo lt lv mg mk ml mn mr ms my ne nl no ns oc or pa pl \
    ps pt ro ru sd si sk sl so sq sr ss su sv sw ta th tl tn tr uk ur uz vi wo xh yi yo zh zu";

/// What a folder's small files say.
pub struct Settings {
    pub tokenizer: Config,
    model: Config,
    map: Config,
    /// The tokenizer's class without "Tokenizer" and "Fast"; where no file has it, the `model_type`.
    pub class: String,
    /// All tokens that are special.
    pub special: BTreeSet<String>,
}

impl Settings {
    fn read(files: &TokenizerFiles) -> Result<Self> {
        let tokenizer = files.config("tokenizer_config.json")?;
        let (model, map) = (files.config("config.json")?, files.config("special_tokens_map.json")?);
        let class = match (tokenizer.str("tokenizer_class")?, model.str("tokenizer_class")?) {
            (Some(class), _) | (None, Some(class)) => class.trim_end_matches("Fast").trim_end_matches("Tokenizer"),
            _ => model.str("model_type")?.unwrap_or_default(),
        };
        let mut this = Self { class: class.to_owned(), special: BTreeSet::new(), tokenizer, model, map };
        this.special = this.specials().map(str::to_owned).collect();
        Ok(this)
    }

    fn specials(&self) -> impl Iterator<Item = &str> {
        const KEYS: [&str; 7] =
            ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];
        let named = KEYS.iter().filter_map(|key| self.token(key));
        let added = self.tokenizer.get("added_tokens_decoder").and_then(Value::as_object);
        let added = added.into_iter().flat_map(serde_json::Map::values);
        let added = added.filter(|token| token.get("special").and_then(Value::as_bool) == Some(true));
        named.chain(self.additional()).chain(added.filter_map(content))
    }

    /// A special token by its key, such as `eos_token`.
    pub fn token(&self, key: &str) -> Option<&str> {
        self.tokenizer.get(key).or_else(|| self.map.get(key)).and_then(content)
    }

    /// Whether a special token takes the space before it.
    fn takes_space(&self, key: &str) -> bool {
        let token = self.tokenizer.get(key).or_else(|| self.map.get(key));
        token.and_then(|token| token.get("lstrip")?.as_bool()).unwrap_or(false)
    }

    /// Whether the model is told which of two texts a token is of, as far as the tokenizer has a say in it: where the folder
    /// does not name the model's inputs, its class does.
    pub fn typed(&self) -> bool {
        match self.tokenizer.get("model_input_names").and_then(Value::as_array) {
            Some(names) => names.iter().any(|name| name == "token_type_ids"),
            // ALBERT's has changed its mind in transformers 5, which writes down its backend.
            None if self.class == "Albert" => self.tokenizer.get("backend").is_none(),
            None => !matches!(self.class.as_str(), "DistilBert" | "TokenizersBackend"),
        }
    }

    /// The special tokens that have no key, in order.
    fn additional(&self) -> impl Iterator<Item = &str> {
        let key = "additional_special_tokens";
        let list = self.map.get(key).or_else(|| self.tokenizer.get(key)).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(content)
    }

    /// Tokens that were added to the vocabulary, with their ids.
    fn added(&self, files: &TokenizerFiles) -> Result<Vec<(String, u32)>> {
        let old = match files.get("added_tokens.json") {
            Some(json) => Vocab::from_json("added_tokens.json", json)?,
            None => Vocab::default(),
        };
        let mut all: Vec<(String, u32)> = old.iter().map(|(token, id)| (token.to_owned(), id)).collect();
        let new = self.tokenizer.get("added_tokens_decoder").and_then(Value::as_object);
        for (id, token) in new.into_iter().flatten() {
            all.extend(content(token).zip(id.parse().ok()).map(|(token, id)| (token.to_owned(), id)));
        }
        Ok(all)
    }

    fn scheme(&self) -> Scheme {
        match self.class.as_str() {
            "Marian" | "marian" => Scheme::Before,
            "MBart" | "mbart" => Scheme::After,
            "MBart50" | "M2M100" | "m2m_100" | "Nllb" => Scheme::Around,
            _ => Scheme::None,
        }
    }

    fn unsupported(&self, file: &str) -> Error {
        let why = format!("{file} is not read for it; fetch tokenizer.json too");
        Error::Unsupported { what: format!("the tokenizer of {:?}", self.class), why }
    }
}

/// A token's text: a string, or an object with it.
fn content(token: &Value) -> Option<&str> {
    token.as_str().or_else(|| token.get("content")?.as_str())
}

/// The tokenizer that these files are.
pub fn tokenizer(files: &TokenizerFiles) -> Result<Tokenizer> {
    let settings = Settings::read(files)?;
    let mut this = bare(files, &settings)?;
    this.marks = Marks::of(&this, &settings);
    Ok(this)
}

fn bare(files: &TokenizerFiles, settings: &Settings) -> Result<Tokenizer> {
    let has = |name| files.get(name).is_some();
    if let Some(json) = files.get("tokenizer.json") {
        return json_tokenizer(json, settings);
    }
    if let Some(vocab) = files.text("vocab.txt")? {
        let json = wordpiece::tokenizer_json(vocab, files.text("tokenizer_config.json")?)?;
        return json_tokenizer(&json, settings);
    }
    if has("source.spm") {
        return marian(files, settings);
    }
    for name in ["spiece.model", "sentencepiece.bpe.model", "tokenizer.model"] {
        if let Some(bytes) = files.get(name) {
            return sentencepiece(files, settings, name, SentencePiece::from_bytes(bytes)?);
        }
    }
    match (files.text("vocab.json")?, files.text("merges.txt")?) {
        (Some(vocab), Some(merges)) => {
            json_tokenizer(&byte_level::tokenizer_json(vocab, merges, settings)?, settings)
        }
        (Some(vocab), None) => characters(vocab, settings),
        _ if settings.model.get("grapheme_chars").is_some() => listed_characters(settings),
        _ => Err(Error::Tokenizer(
            "the model has none: no tokenizer.json, vocab.txt, SentencePiece model or vocab.json; fetch what it has, or \
             give ids instead of text"
                .into(),
        )),
    }
}

fn json_tokenizer(json: &[u8], settings: &Settings) -> Result<Tokenizer> {
    let mut json = Json::from_bytes(json)?;
    if let Some(mask) = settings.token("mask_token") {
        json.add_mask(mask, settings.takes_space("mask_token"));
    }
    let special = json.special();
    let of = |key, default| json.id(settings.token(key).unwrap_or(default));
    let (scheme, eos) = (settings.scheme(), of("eos_token", "</s>"));
    let clean_up = settings.tokenizer.bool("clean_up_tokenization_spaces", false)? && !json.is_bpe();
    let mut this = Tokenizer { clean_up, ..Tokenizer::new(Kind::Json(Box::new(json))) };
    let tokens = || special.iter().map(|(token, id)| (token.as_str(), *id));
    let languages = Languages::new(scheme, tokens());
    if languages.codes().next().is_some() {
        this.suffix = eos.into_iter().collect();
        this.languages = languages;
        choose_default(&mut this, settings)?;
    }
    Ok(this)
}

/// The languages that the folder names, or else the family's own default.
fn choose_default(tokenizer: &mut Tokenizer, settings: &Settings) -> Result<()> {
    let languages = &mut tokenizer.languages;
    if matches!(languages.scheme, Scheme::After | Scheme::Around) {
        let default = ["en_XX", "eng_Latn", "en"].into_iter().find(|code| languages.codes().any(|c| c == *code));
        languages.choose(settings.tokenizer.str("src_lang")?.or(default), settings.tokenizer.str("tgt_lang")?)?;
    }
    Ok(())
}

/// Marian: pieces of `source.spm` and `target.spm`, looked up in `vocab.json`.
fn marian(files: &TokenizerFiles, settings: &Settings) -> Result<Tokenizer> {
    let read = |name: &str| -> Result<Vocab> {
        let missing = || Error::Tokenizer(format!("the folder has source.spm, but no {name}; fetch it too"));
        let mut vocab = Vocab::from_json(name, files.get(name).ok_or_else(missing)?)?;
        vocab.set_unknown(settings.token("unk_token").unwrap_or("<unk>"))?;
        let default = ["</s>", "<unk>", "<pad>"].into_iter();
        vocab.mark_special(default.chain(settings.special.iter().map(String::as_str)));
        Ok(vocab)
    };
    let vocab = read("vocab.json")?;
    let separate = settings.tokenizer.bool("separate_vocabs", false)?;
    let pieces = Pieces {
        source: SentencePiece::from_bytes(files.get("source.spm").unwrap_or_default())?,
        target: files.get("target.spm").map(SentencePiece::from_bytes).transpose()?,
        target_vocab: separate.then(|| read("target_vocab.json")).transpose()?,
        vocab,
    };
    let eos = pieces.vocab.require(settings.token("eos_token").unwrap_or("</s>"), "the end token")?;
    let languages = Languages::new(Scheme::Before, pieces.vocab.iter());
    let mut this = Tokenizer { suffix: vec![eos], languages, ..Tokenizer::new(Kind::Pieces(Box::new(pieces))) };
    if let Some(target) = settings.tokenizer.str("tgt_lang")? {
        // Bilingual folders name their languages too, but have no codes for them.
        let _ = this.languages.choose(None, Some(target));
    }
    Ok(this)
}

/// One SentencePiece model for both sides; its ids are moved or replaced as the family does.
fn sentencepiece(files: &TokenizerFiles, settings: &Settings, name: &str, model: SentencePiece) -> Result<Tokenizer> {
    let (mut prefix, mut suffix) = (None, Some("</s>"));
    let mut vocab = match settings.class.as_str() {
        "T5" | "MT5" | "t5" | "mt5" | "umt5" => t5(settings, &model)?,
        "Llama" | "llama" => {
            prefix = settings.tokenizer.bool("add_bos_token", true)?.then_some("<s>");
            suffix = settings.tokenizer.bool("add_eos_token", false)?.then_some("</s>");
            Vocab::new(model.texts().iter().cloned().zip(0..))?
        }
        "M2M100" | "m2m_100" if files.get("vocab.json").is_some() => m2m100(files, settings)?,
        "MBart" | "mbart" => fairseq(&model, MBART.split(' ').take(25))?,
        "MBart50" => fairseq(&model, MBART.split(' '))?,
        "Nllb" | "m2m_100" => fairseq(&model, settings.additional())?,
        "XLMRoberta" | "xlm-roberta" => {
            prefix = Some("<s>");
            fairseq(&model, std::iter::empty())?
        }
        _ => return Err(settings.unsupported(name)),
    };
    settings.added(files)?.into_iter().try_for_each(|(token, id)| vocab.insert(token, id))?;
    vocab.set_unknown(settings.token("unk_token").unwrap_or("<unk>"))?;
    let default = ["<s>", "</s>", "<unk>", "<pad>", "<mask>"].into_iter();
    vocab.mark_special(default.chain(settings.special.iter().map(String::as_str)));
    let languages = Languages::new(settings.scheme(), vocab.iter());
    vocab.mark_special_ids(languages.ids());
    let id = |key, token: Option<&str>| -> Result<Vec<u32>> {
        token.map(|token| vocab.require(settings.token(key).unwrap_or(token), key)).into_iter().collect()
    };
    let (prefix, suffix) = (id("bos_token", prefix)?, id("eos_token", suffix)?);
    let kind = Kind::Pieces(Box::new(Pieces { source: model, target: None, vocab, target_vocab: None }));
    let mut this = Tokenizer { prefix, suffix, languages, ..Tokenizer::new(kind) };
    choose_default(&mut this, settings)?;
    Ok(this)
}

/// T5: the model's own ids, and after them the masks `<extra_id_N>`, the last first.
fn t5(settings: &Settings, model: &SentencePiece) -> Result<Vocab> {
    let extra = settings.tokenizer.usize("extra_ids", 100, 0..=10_000)?;
    let size = model.texts().len();
    // Later models have them among their pieces.
    let extra = if model.texts().iter().any(|text| text == "<extra_id_0>") { 0 } else { extra };
    let masks = (0..extra).map(|i| (format!("<extra_id_{i}>"), (size + extra - 1 - i) as u32));
    let mut vocab = Vocab::new(model.texts().iter().cloned().zip(0..).chain(masks.clone()))?;
    let masks: Vec<String> = masks.map(|(mask, _)| mask).collect();
    vocab.mark_special(masks.iter().map(String::as_str));
    Ok(vocab)
}

/// fairseq's order: four tokens of its own in place of the model's three, then the pieces, the languages, the mask.
fn fairseq<'a>(model: &SentencePiece, languages: impl Iterator<Item = &'a str>) -> Result<Vocab> {
    let own = ["<s>", "<pad>", "</s>", "<unk>"].map(str::to_owned);
    let pieces = model.texts().iter().skip(3).cloned();
    let after = languages.map(str::to_owned).chain(["<mask>".to_owned()]);
    Vocab::new(own.into_iter().chain(pieces).chain(after).zip(0..))
}

/// M2M100: pieces looked up in `vocab.json`, and the languages after them.
fn m2m100(files: &TokenizerFiles, settings: &Settings) -> Result<Vocab> {
    let mut vocab = Vocab::from_json("vocab.json", files.get("vocab.json").unwrap_or_default())?;
    let named: Vec<String> = settings.additional().filter(|token| token.starts_with("__")).map(str::to_owned).collect();
    let all = || M2M100.split(' ').map(|code| format!("__{code}__")).collect();
    let languages: Vec<String> = if named.is_empty() { all() } else { named };
    let size = vocab.len() as u32;
    languages.into_iter().zip(size..).try_for_each(|(token, id)| vocab.insert(token, id))?;
    Ok(vocab)
}

/// A `vocab.json` of single characters.
fn characters(vocab: &str, settings: &Settings) -> Result<Tokenizer> {
    let mut vocab = Vocab::from_json("vocab.json", vocab.as_bytes())?;
    let default = ["<pad>", "<s>", "</s>", "<unk>"].into_iter();
    vocab.mark_special(default.chain(settings.special.iter().map(String::as_str)));
    let long = vocab.iter().find(|&(token, id)| token.chars().count() != 1 && !vocab.is_special(id));
    if let Some((token, _)) = long {
        let why = format!("vocab.json has {token:?}, no single character, and there is no merges.txt; fetch it too");
        return Err(Error::Tokenizer(why));
    }
    let unknown = settings.token("unk_token").unwrap_or("<unk>");
    if vocab.id(unknown).is_some() {
        vocab.set_unknown(unknown)?;
    }
    Ok(Tokenizer::new(Kind::Characters(Box::new(Characters { source: vocab, target: None }))))
}

/// The characters that `config.json` lists by position: 0 to 3 stand for padding, begin, end and what is unknown.
fn listed_characters(settings: &Settings) -> Result<Tokenizer> {
    const SPECIAL: [&str; 4] = ["<pad>", "<s>", "</s>", "<unk>"];
    let read = |key: &str| -> Result<Vocab> {
        let listed = settings.model.str(key)?.unwrap_or_default().chars().skip(SPECIAL.len()).map(String::from);
        let mut vocab = Vocab::new(SPECIAL.map(String::from).into_iter().chain(listed).zip(0..))?;
        vocab.mark_special(SPECIAL.into_iter());
        vocab.set_unknown("<unk>")?;
        Ok(vocab)
    };
    let characters = Characters { source: read("grapheme_chars")?, target: Some(read("phoneme_chars")?) };
    let id = |token| characters.vocab(Side::Source).require(token, "a special token");
    let (prefix, suffix) = (vec![id("<s>")?], vec![id("</s>")?]);
    Ok(Tokenizer { prefix, suffix, ..Tokenizer::new(Kind::Characters(Box::new(characters))) })
}
