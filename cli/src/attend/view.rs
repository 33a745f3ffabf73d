//! The numbers that are shown, whatever shows them.

use serde::Serialize;

use crate::output::Failure;

const PAGE: &str = include_str!("page.html");
/// Stands in the page where the numbers go.
const PLACE: &str = "__DATA__";

/// Who attends to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The encoder's tokens to one another.
    Encoder,
    /// The decoder's tokens to those before them.
    Decoder,
    /// The decoder's tokens to the encoder's.
    Cross,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Encoder => "encoder self-attention",
            Self::Decoder => "decoder self-attention",
            Self::Cross => "cross-attention",
        }
    }
}

/// The weights of all layers and heads of one kind.
#[derive(Clone, Debug)]
pub struct Map {
    pub kind: Kind,
    pub layers: usize,
    pub heads: usize,
    /// Who attends, by name.
    pub rows: Vec<String>,
    /// To what.
    pub columns: Vec<String>,
    /// `[layers, heads, rows, columns]`.
    pub weights: Vec<f32>,
}

/// A layer and a head; `None` is the mean of all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Choice {
    pub layer: Option<usize>,
    pub head: Option<usize>,
}

/// All that is shown.
#[derive(Clone, Debug)]
pub struct View {
    /// The text.
    pub title: String,
    /// The model's name.
    pub model: String,
    pub maps: Vec<Map>,
    pub choice: Choice,
}

/// As the numbers and the page have it; `weights` differ.
#[derive(Serialize)]
struct Data<'a, W: Serialize> {
    title: &'a str,
    model: &'a str,
    layer: Option<usize>,
    head: Option<usize>,
    maps: Vec<Entry<'a, W>>,
}

#[derive(Serialize)]
struct Entry<'a, W: Serialize> {
    kind: Kind,
    layers: usize,
    heads: usize,
    rows: &'a [String],
    columns: &'a [String],
    weights: W,
}

impl Map {
    /// The weights `[rows, columns]` of a choice.
    pub fn matrix(&self, choice: Choice) -> Vec<f32> {
        let size = self.rows.len() * self.columns.len();
        let all = |chosen: Option<usize>, of: usize| chosen.map_or(0..of, |one| one..one + 1);
        let mut sum = vec![0.0; size];
        let mut count = 0.0;
        for layer in all(choice.layer, self.layers) {
            for head in all(choice.head, self.heads) {
                let weights = &self.weights[(layer * self.heads + head) * size..][..size];
                sum.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += weight);
                count += 1.0;
            }
        }
        sum.iter().map(|sum| sum / count).collect()
    }

    /// The weights as lists in lists.
    fn nested<'a>(&'a self) -> Vec<Vec<Vec<&'a [f32]>>> {
        let (rows, columns) = (self.rows.len(), self.columns.len());
        let layers = self.weights.chunks(self.heads * rows * columns);
        let heads =
            |layer: &'a [f32]| layer.chunks(rows * columns).map(|head| head.chunks(columns).collect()).collect();
        layers.map(heads).collect()
    }
}

impl View {
    /// Shapes agree, the choice exists, and every number is one.
    ///
    /// # Errors
    /// What is wrong, and what would be right.
    pub fn check(&self) -> Result<(), Failure> {
        for map in &self.maps {
            for (what, chosen, there) in
                [("layer", self.choice.layer, map.layers), ("head", self.choice.head, map.heads)]
            {
                if let Some(chosen) = chosen.filter(|&chosen| chosen >= there) {
                    let why =
                        format!("there is no {what} {chosen}; the {} has {there}, counted from 0", map.kind.name());
                    return Err(Failure::new(why));
                }
            }
            let expected = map.layers * map.heads * map.rows.len() * map.columns.len();
            if map.weights.len() != expected || expected == 0 {
                return Err(Failure::new(format!("{} weights came, expected {expected}", map.weights.len())));
            }
            if !map.weights.iter().all(|weight| weight.is_finite()) {
                let why = "has numbers that are not finite; see what `wgformer verify` says of this adapter";
                return Err(Failure::new(format!("the {} {why}", map.kind.name())));
            }
        }
        Ok(())
    }

    /// The map that says most: how target and source belong together, where there are two.
    pub fn main(&self) -> Option<&Map> {
        [Kind::Cross, Kind::Decoder, Kind::Encoder].iter().find_map(|kind| self.maps.iter().find(|m| m.kind == *kind))
    }

    /// All numbers, as JSON.
    pub fn json(&self) -> Result<String, Failure> {
        self.data(Map::nested).map(|json| json + "\n")
    }

    /// One file that shows them in a browser.
    pub fn page(&self) -> Result<String, Failure> {
        let base64 =
            |map: &Map| base64(&map.weights.iter().flat_map(|weight| weight.to_le_bytes()).collect::<Vec<_>>());
        // No text can end the element that holds the data.
        let data = self.data(base64)?.replace('<', "\\u003c");
        Ok(PAGE.replacen(PLACE, &data, 1))
    }

    fn data<'a, W: Serialize>(&'a self, weights: impl Fn(&'a Map) -> W) -> Result<String, Failure> {
        let entry = |map: &'a Map| Entry {
            kind: map.kind,
            layers: map.layers,
            heads: map.heads,
            rows: &map.rows,
            columns: &map.columns,
            weights: weights(map),
        };
        let Choice { layer, head } = self.choice;
        let maps = self.maps.iter().map(entry).collect();
        let data = Data { title: &self.title, model: &self.model, layer, head, maps };
        serde_json::to_string(&data).map_err(|e| Failure::new(e.to_string()))
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().zip([16, 8, 0]).fold(0, |bits, (&byte, shift)| bits | u32::from(byte) << shift);
        for (i, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            out.push(if i <= chunk.len() { char::from(DIGITS[(bits >> shift & 63) as usize]) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Two layers of two heads; the weights say where they are.
    pub fn made_up() -> View {
        let map = |kind, rows: &[&str], columns: &[&str]| {
            let names = |list: &[&str]| list.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
            let weights = (0..4).flat_map(|head| {
                let row = move |row: usize| {
                    let peak = (row + head) % columns.len();
                    (0..columns.len()).map(move |c| if c == peak { 0.5 } else { 0.5 / (columns.len() - 1) as f32 })
                };
                (0..rows.len()).flat_map(row).collect::<Vec<f32>>()
            });
            Map { kind, layers: 2, heads: 2, rows: names(rows), columns: names(columns), weights: weights.collect() }
        };
        let (source, target) = (["the", "</script>", "猫", "."], ["▁le", "▁chat", "."]);
        View {
            title: "the <b>cat".into(),
            model: "made-up".into(),
            maps: vec![
                map(Kind::Encoder, &source, &source),
                map(Kind::Decoder, &target, &target),
                map(Kind::Cross, &target, &source),
            ],
            choice: Choice::default(),
        }
    }

    #[test]
    fn means_and_choices() {
        let view = made_up();
        let map = view.main().unwrap();
        assert_eq!(map.kind, Kind::Cross);
        let one = map.matrix(Choice { layer: Some(1), head: Some(0) });
        assert_eq!(one[..4], [0.5 / 3.0, 0.5 / 3.0, 0.5, 0.5 / 3.0]);
        let mean = map.matrix(Choice::default());
        assert!(mean.iter().all(|w| (w - 0.25).abs() < 1e-6), "{mean:?}");
        let layer = map.matrix(Choice { layer: Some(0), head: None });
        assert!((layer[0] - layer[1]).abs() < 1e-6 && layer[0] > layer[2], "{layer:?}");
        for choice in [Choice { layer: Some(2), head: None }, Choice { layer: None, head: Some(2) }] {
            let Err(Failure::Message(why)) = (View { choice, ..made_up() }).check() else { panic!("accepted") };
            assert!(why.contains("has 2, counted from 0"), "{why}");
        }
        let mut broken = made_up();
        broken.maps[1].weights[3] = f32::NAN;
        assert!(broken.check().is_err());
        broken.maps[1].weights.pop();
        assert!(broken.check().is_err());
        assert!(made_up().check().is_ok());
    }

    #[test]
    fn json_has_every_number() {
        let view = made_up();
        let json: serde_json::Value = serde_json::from_str(&view.json().unwrap()).unwrap();
        for (map, entry) in view.maps.iter().zip(json["maps"].as_array().unwrap()) {
            let mut flat = Vec::new();
            for layer in entry["weights"].as_array().unwrap() {
                for head in layer.as_array().unwrap() {
                    for row in head.as_array().unwrap() {
                        flat.extend(row.as_array().unwrap().iter().map(|w| w.as_f64().unwrap() as f32));
                    }
                }
            }
            assert_eq!(flat, map.weights);
            assert_eq!(entry["rows"].as_array().unwrap().len(), map.rows.len());
        }
        assert_eq!(json["maps"][2]["kind"], "cross");
    }

    #[test]
    fn the_page_is_one_file() {
        let page = made_up().page().unwrap();
        assert_eq!(page.matches("</script>").count(), 2);
        assert!(!page.contains(PLACE) && !page.contains("src=") && !page.contains("href="));
        assert_eq!(base64(b"light w"), "bGlnaHQgdw==");
        assert_eq!(base64(b"light wo"), "bGlnaHQgd28=");
        assert_eq!(base64(b"light wor"), "bGlnaHQgd29y");
    }
}
